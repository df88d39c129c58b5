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
    const uint8_t *at;
    size_t blocks;
} h5_lane;

static inline void h5_lane_start(h5_lane *lane, const uint8_t *data, const h5_unsealed *one, uint32_t *a, uint32_t *b, uint32_t *c)
{
    lane->at = data + one->start;
    lane->blocks = (size_t)(one->length - 1) / 12;
    *a = *b = *c = h5_lookup3_start((size_t)one->length);
}

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
    uint32_t a[H5_LANES], b[H5_LANES], c[H5_LANES];
    h5_lane lanes[H5_LANES];
    size_t owners[H5_LANES], next = 0;
    if (count >= H5_LANES) {
        for (int i = 0; i < H5_LANES; i++, next++) {
            owners[i] = next;
            h5_lane_start(&lanes[i], data, &structures[next], &a[i], &b[i], &c[i]);
        }
        for (;;) {
            size_t blocks = lanes[0].blocks;
            int shortest = 0;
            for (int i = 1; i < H5_LANES; i++)
                if (lanes[i].blocks < blocks)
                    blocks = lanes[shortest = i].blocks;
            h5_mix_lanes(lanes, blocks, a, b, c);
            const h5_unsealed *done = &structures[owners[shortest]];
            size_t tail = (size_t)(done->length - 1) % 12 + 1;
            h5_store(data + done->start + done->length, h5_lookup3_end(lanes[shortest].at, tail, a[shortest], b[shortest], c[shortest]), 4);
            if (next == count) {
                owners[shortest] = count; /* the others are finished one by one */
                break;
            }
            owners[shortest] = next;
            h5_lane_start(&lanes[shortest], data, &structures[next++], &a[shortest], &b[shortest], &c[shortest]);
        }
        for (int i = 0; i < H5_LANES; i++) {
            if (owners[i] == count)
                continue;
            const h5_unsealed *one = &structures[owners[i]];
            h5_store(data + one->start + one->length, h5_lookup3(data + one->start, (size_t)one->length), 4);
        }
        return;
    }
    for (; next < count; next++) {
        const h5_unsealed *one = &structures[next];
        h5_store(data + one->start + one->length, h5_lookup3(data + one->start, (size_t)one->length), 4);
    }
}

#endif
