/* lzf.h — the LZF format: runs of literals, and copies of what was at most 8 KiB before.
 *
 * A byte below 32 says how many literals follow, less 1. Any other holds in its upper three bits the length of a copy
 * less 2 (7: more in the next byte), in its lower five, and in the byte that ends the item, its distance less 1. */
#ifndef H5BURST_LZF_H
#define H5BURST_LZF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LZF_LITERALS = 32,    /* the most in one item */
    LZF_DISTANCE = 8192,
    LZF_MAX_MATCH = 264,     /* the longest copy, and the shortest */
    LZF_MIN_MATCH = 3,
    LZF_HASH_BITS = 14
};

static inline uint32_t lzf_hash(const uint8_t *p) {
    uint32_t three = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
    return (three * 2654435761u) >> (32 - LZF_HASH_BITS);
}

/* Items of literals; NULL for want of room. */
static inline uint8_t *lzf_put_literals(uint8_t *out, const uint8_t *end, const uint8_t *data, size_t count) {
    while (count) {
        size_t part = count < LZF_LITERALS ? count : LZF_LITERALS;
        if ((size_t)(end - out) < part + 1) return NULL;
        *out++ = (uint8_t)(part - 1);
        memcpy(out, data, part);
        out += part;
        data += part;
        count -= part;
    }
    return out;
}

/* Compress `size` bytes. Returns how many were written, 0 where they do not fit into `room`. */
static size_t lzf_encode(const uint8_t *data, size_t size, uint8_t *out, size_t room) {
    uint32_t places[1 << LZF_HASH_BITS]; /* counted from 1 */
    const uint8_t *begin = out, *end = out + room;
    size_t at = 0, literals = 0;
    memset(places, 0, sizeof places);
    while (at + LZF_MIN_MATCH <= size) {
        uint32_t *place = &places[lzf_hash(data + at)];
        size_t distance = at + 1 - *place, most = size - at < LZF_MAX_MATCH ? size - at : LZF_MAX_MATCH, length = 0;
        if (*place && distance <= LZF_DISTANCE)
            while (length < most && data[at + length] == data[at + length - distance]) length++;
        *place = (uint32_t)at + 1;
        if (length < LZF_MIN_MATCH) {
            at += 1 + ((at - literals) >> 10); /* where nothing is found for long, look less closely */
            continue;
        }
        out = lzf_put_literals(out, end, data + literals, at - literals);
        if (out == NULL || end - out < 3) return 0;
        size_t code = length - 2, high = (distance - 1) >> 8;
        *out++ = (uint8_t)((code < 7 ? code : 7) << 5 | high);
        if (code >= 7) *out++ = (uint8_t)(code - 7);
        *out++ = (uint8_t)(distance - 1);
        for (literals = at + length; ++at < literals && at + LZF_MIN_MATCH <= size;)
            places[lzf_hash(data + at)] = (uint32_t)at + 1;
        at = literals;
    }
    out = lzf_put_literals(out, end, data + literals, size - literals);
    return out == NULL ? 0 : (size_t)(out - begin);
}

/* Whether `packed` holds exactly `size` bytes, which are then in `out`. */
static int lzf_decode(const uint8_t *packed, size_t packed_size, uint8_t *out, size_t size) {
    const uint8_t *in = packed, *in_end = packed + packed_size;
    size_t at = 0;
    while (in < in_end) {
        size_t code = *in++;
        if (code < LZF_LITERALS) {
            size_t count = code + 1;
            if ((size_t)(in_end - in) < count || size - at < count) return 0;
            memcpy(out + at, in, count);
            in += count;
            at += count;
            continue;
        }
        size_t length = code >> 5, distance = (code & 31) << 8;
        if (length == 7) {
            if (in == in_end) return 0;
            length += *in++;
        }
        if (in == in_end) return 0;
        distance += (size_t)*in++ + 1;
        length += 2;
        if (distance > at || size - at < length) return 0;
        if (distance >= length) memcpy(out + at, out + at - distance, length);
        else if (distance == 1) memset(out + at, out[at - 1], length);
        else
            for (size_t i = 0; i < length; i++) out[at + i] = out[at + i - distance];
        at += length;
    }
    return at == size;
}

#endif
