/* h5checksums.h — the checksums of many object headers at once.
 *
 * In lookup3 each step waits for the one before. Four headers side by side keep the processor busy: the four states lie
 * in arrays that compilers turn into vectors. */
#ifndef H5BURST_CHECKSUMS_H
#define H5BURST_CHECKSUMS_H

#include "h5bytes.h"

enum { H5_LANES = 4 };

typedef struct {
    uint64_t start, length; /* of a structure in the buffer; four bytes for its checksum lie behind it */
} h5_unsealed;

/* What is left of one structure, in blocks of 12 bytes and a tail of 1 to 12. */
typedef struct {
    const h5_unsealed *structure; /* NULL: none, what the lane computes is nothing */
    const uint8_t *at;
    size_t blocks;
} h5_lane;

/* Mix `blocks` blocks of every lane. */
static void h5_mix_lanes(h5_lane *lanes, size_t blocks, uint32_t *states_a, uint32_t *states_b, uint32_t *states_c)
{
    uint32_t a[H5_LANES], b[H5_LANES], c[H5_LANES];
    const uint8_t *at[H5_LANES];
    for (int i = 0; i < H5_LANES; i++) {
        a[i] = states_a[i], b[i] = states_b[i], c[i] = states_c[i];
        at[i] = lanes[i].at;
    }
    for (size_t block = 0; block < blocks; block++) {
        for (int i = 0; i < H5_LANES; i++) {
            a[i] += h5_word(at[i] + 12 * block);
            b[i] += h5_word(at[i] + 12 * block + 4);
            c[i] += h5_word(at[i] + 12 * block + 8);
        }
#define H5_MIX(x, y, z, bits) \
    for (int i = 0; i < H5_LANES; i++) x[i] = (x[i] - z[i]) ^ h5_rotate(z[i], bits), z[i] += y[i];
        H5_MIX(a, b, c, 4)
        H5_MIX(b, c, a, 6)
        H5_MIX(c, a, b, 8)
        H5_MIX(a, b, c, 16)
        H5_MIX(b, c, a, 19)
        H5_MIX(c, a, b, 4)
#undef H5_MIX
    }
    for (int i = 0; i < H5_LANES; i++) {
        states_a[i] = a[i], states_b[i] = b[i], states_c[i] = c[i];
        lanes[i].at += 12 * blocks;
        lanes[i].blocks -= blocks;
    }
}

/* Write the checksum of each of `count` structures (none empty) behind it. */
static void h5_seal(uint8_t *data, const h5_unsealed *structures, size_t count)
{
    uint32_t a[H5_LANES] = {0}, b[H5_LANES] = {0}, c[H5_LANES] = {0};
    h5_lane lanes[H5_LANES];
    const h5_unsealed *next = structures, *end = structures + count;
    size_t busy = count < H5_LANES ? count : H5_LANES;
    memset(lanes, 0, sizeof lanes);
    for (;;) {
        int shortest = -1;
        for (int i = 0; i < H5_LANES; i++) {
            if (lanes[i].structure == NULL && next < end) {
                lanes[i].structure = next;
                lanes[i].at = data + next->start;
                lanes[i].blocks = (size_t)(next->length - 1) / 12;
                a[i] = b[i] = c[i] = h5_lookup3_start((size_t)next++->length);
            }
            if (lanes[i].structure != NULL && (shortest < 0 || lanes[i].blocks < lanes[shortest].blocks))
                shortest = i;
        }
        if (busy == 0)
            return;
        for (int i = 0; i < H5_LANES; i++)
            if (lanes[i].structure == NULL)
                lanes[i].at = lanes[shortest].at; /* it reads along */
        h5_mix_lanes(lanes, lanes[shortest].blocks, a, b, c);
        const h5_unsealed *done = lanes[shortest].structure;
        size_t tail = (size_t)(done->length - 1) % 12 + 1;
        uint32_t sum = h5_lookup3_end(lanes[shortest].at, tail, a[shortest], b[shortest], c[shortest]);
        h5_store(data + done->start + done->length, sum, 4);
        lanes[shortest].structure = NULL;
        busy -= next == end;
    }
}

#endif
