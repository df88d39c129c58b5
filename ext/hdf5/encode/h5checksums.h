/* h5checksums.h — the checksums of many object headers at once.
 *
 * In lookup3 each step waits for the one before. Eight headers side by side keep the processor busy. */
#ifndef H5BURST_CHECKSUMS_H
#define H5BURST_CHECKSUMS_H

#include "h5bytes.h"
#include "simd.h"

enum { H5_LANES = 8 };

#define SIMD_SOURCE "h5checksums_loops.h"
#include "simd_variants.h"

typedef struct {
    uint64_t start, length; /* of a structure in the buffer; four bytes for its checksum are behind it */
} h5_pending_checksum;

/* Write the checksum of each of `count` structures (none empty) behind it. level: see simd.h. */
static void h5_write_checksums(int level, uint8_t *data, const h5_pending_checksum *structures, size_t count)
{
    uint32_t a[H5_LANES] = {0}, b[H5_LANES] = {0}, c[H5_LANES] = {0};
    const h5_pending_checksum *in_lane[H5_LANES] = {NULL}; /* NULL: what the lane computes is nothing */
    const uint8_t *at[H5_LANES];
    size_t blocks[H5_LANES]; /* of 12 bytes, that are left; a tail of 1 to 12 bytes follows them */
    const h5_pending_checksum *next = structures, *end = structures + count;
    for (;;) {
        int shortest = -1;
        for (int i = 0; i < H5_LANES; i++) {
            if (in_lane[i] == NULL && next < end) {
                in_lane[i] = next;
                at[i] = data + next->start;
                blocks[i] = (size_t)(next->length - 1) / 12;
                a[i] = b[i] = c[i] = h5_lookup3_start((size_t)next++->length);
            }
            if (in_lane[i] != NULL && (shortest < 0 || blocks[i] < blocks[shortest]))
                shortest = i;
        }
        if (shortest < 0)
            return;
        size_t step = blocks[shortest];
        for (int i = 0; i < H5_LANES; i++)
            if (in_lane[i] == NULL)
                at[i] = at[shortest], blocks[i] = step; /* it reads along */
        SIMD_CALL(level, h5_mix_lanes, (at, step, a, b, c));
        for (int i = 0; i < H5_LANES; i++)
            at[i] += 12 * step, blocks[i] -= step;
        const h5_pending_checksum *done = in_lane[shortest];
        size_t tail = (size_t)(done->length - 1) % 12 + 1;
        uint32_t sum = h5_lookup3_end(at[shortest], tail, a[shortest], b[shortest], c[shortest]);
        h5_store(data + done->start + done->length, sum, 4);
        in_lane[shortest] = NULL;
    }
}

#endif
