/* h5bytes.h — a growing run of bytes, little-endian fields, and the metadata checksum of the HDF5 file format.
 *
 * Appending never fails loudly: when memory runs out, `failed` is set, the bytes are dropped, and whoever owns the
 * buffer looks at the flag once an object is done. */
#ifndef H5BURST_BYTES_H
#define H5BURST_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define H5_UNDEFINED UINT64_MAX /* the format's undefined address */

typedef struct {
    uint8_t *data;
    size_t length;
    size_t capacity;
    int failed;
} h5_bytes;

static inline void h5_free(h5_bytes *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}

/* Room for `n` more bytes, counted as written; NULL when there is no memory. */
static inline uint8_t *h5_extend(h5_bytes *b, size_t n)
{
    if (b->failed)
        return NULL;
    if (n > b->capacity - b->length) {
        size_t capacity = b->capacity < 4096 ? 4096 : b->capacity;
        while (capacity - b->length < n) {
            if (capacity > SIZE_MAX / 2) {
                b->failed = 1;
                return NULL;
            }
            capacity *= 2;
        }
        uint8_t *data = (uint8_t *)realloc(b->data, capacity);
        if (data == NULL) {
            b->failed = 1;
            return NULL;
        }
        b->data = data;
        b->capacity = capacity;
    }
    uint8_t *place = b->data + b->length;
    b->length += n;
    return place;
}

static inline void h5_store(uint8_t *place, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        place[i] = (uint8_t)(value >> (8 * i));
}

static inline void h5_put(h5_bytes *b, uint64_t value, int size)
{
    uint8_t *place = h5_extend(b, (size_t)size);
    if (place != NULL)
        h5_store(place, value, size);
}

static inline void h5_put8(h5_bytes *b, uint8_t value) { h5_put(b, value, 1); }
static inline void h5_put16(h5_bytes *b, uint16_t value) { h5_put(b, value, 2); }
static inline void h5_put32(h5_bytes *b, uint32_t value) { h5_put(b, value, 4); }
static inline void h5_put64(h5_bytes *b, uint64_t value) { h5_put(b, value, 8); }

static inline void h5_put_bytes(h5_bytes *b, const void *bytes, size_t n)
{
    uint8_t *place = h5_extend(b, n);
    if (place != NULL && n)
        memcpy(place, bytes, n);
}

static inline void h5_put_zeros(h5_bytes *b, size_t n)
{
    uint8_t *place = h5_extend(b, n);
    if (place != NULL && n)
        memset(place, 0, n);
}

/* Overwrite a field that was left open, `at` bytes from the start. */
static inline void h5_patch(h5_bytes *b, size_t at, uint64_t value, int size)
{
    if (!b->failed)
        h5_store(b->data + at, value, size);
}

static inline uint32_t h5_rotate(uint32_t x, int k) { return (x << k) | (x >> (32 - k)); }

static inline uint32_t h5_word(const uint8_t *k)
{
    return (uint32_t)k[0] | (uint32_t)k[1] << 8 | (uint32_t)k[2] << 16 | (uint32_t)k[3] << 24;
}

static inline int h5_log2(uint64_t n)
{
    int bits = 0;
    while (n >>= 1)
        bits++;
    return bits;
}

/* Bob Jenkins' lookup3 hash (hashlittle, initial value 0): the checksum of every metadata structure, and the hash by
 * which dense links and attributes are indexed. */
static inline uint32_t h5_lookup3_start(size_t length) { return UINT32_C(0xdeadbeef) + (uint32_t)length; }

/* The last 1 to 12 bytes. */
static inline uint32_t h5_lookup3_end(const uint8_t *k, size_t length, uint32_t a, uint32_t b, uint32_t c)
{
    uint8_t tail[12] = {0};
    memcpy(tail, k, length);
    a += h5_word(tail);
    b += h5_word(tail + 4);
    c += h5_word(tail + 8);
    c ^= b; c -= h5_rotate(b, 14);
    a ^= c; a -= h5_rotate(c, 11);
    b ^= a; b -= h5_rotate(a, 25);
    c ^= b; c -= h5_rotate(b, 16);
    a ^= c; a -= h5_rotate(c, 4);
    b ^= a; b -= h5_rotate(a, 14);
    c ^= b; c -= h5_rotate(b, 24);
    return c;
}

static inline uint32_t h5_lookup3(const uint8_t *k, size_t length)
{
    uint32_t a, b, c;
    a = b = c = h5_lookup3_start(length);
    for (; length > 12; length -= 12, k += 12) {
        a += h5_word(k);
        b += h5_word(k + 4);
        c += h5_word(k + 8);
        a -= c; a ^= h5_rotate(c, 4);  c += b;
        b -= a; b ^= h5_rotate(a, 6);  a += c;
        c -= b; c ^= h5_rotate(b, 8);  b += a;
        a -= c; a ^= h5_rotate(c, 16); c += b;
        b -= a; b ^= h5_rotate(a, 19); a += c;
        c -= b; c ^= h5_rotate(b, 4);  b += a;
    }
    return length ? h5_lookup3_end(k, length, a, b, c) : c;
}

/* Close a structure that began `start` bytes into the buffer with the checksum of all its bytes. */
static inline void h5_put_checksum(h5_bytes *b, size_t start)
{
    uint32_t sum = b->failed ? 0 : h5_lookup3(b->data + start, b->length - start);
    h5_put32(b, sum);
}

#endif
