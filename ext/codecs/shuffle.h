/* shuffle.h — byte shuffle as a blocked transposition, and fletcher32 with its sums kept in lanes.
 *
 * Elements are taken in blocks of 16, whose bytes one 16 x 16 transposition in registers turns round; without SSE2 the
 * same goes through plain loops, as do elements of other sizes.
 */
#ifndef H5BURST_SHUFFLE_H
#define H5BURST_SHUFFLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define H5BURST_SSE2 1
#else
#define H5BURST_SSE2 0
#endif

#define BLOCK 256 /* elements whose bytes stay in the first-level cache while all planes of them are written */

static void planes_scalar(const uint8_t *source, size_t itemsize, size_t count, size_t first, size_t stop,
                          uint8_t *out) {
    for (size_t k = 0; k < itemsize; k++)
        for (size_t i = first; i < stop; i++) out[k * count + i] = source[i * itemsize + k];
}

static void elements_scalar(const uint8_t *source, size_t itemsize, size_t count, size_t first, size_t stop,
                            uint8_t *out) {
    for (size_t i = first; i < stop; i++)
        for (size_t k = 0; k < itemsize; k++) out[i * itemsize + k] = source[k * count + i];
}

#if H5BURST_SSE2

/* One step of a transposition: interleave the bytes of rows i and i + rows / 2. Four steps turn 16 rows of 16 bytes. */
static inline void interleave16(const __m128i *in, __m128i *out) {
    for (int i = 0; i < 8; i++) {
        out[2 * i] = _mm_unpacklo_epi8(in[i], in[i + 8]);
        out[2 * i + 1] = _mm_unpackhi_epi8(in[i], in[i + 8]);
    }
}

static inline void interleave8(const __m128i *in, __m128i *out) {
    for (int i = 0; i < 4; i++) {
        out[2 * i] = _mm_unpacklo_epi8(in[i], in[i + 4]);
        out[2 * i + 1] = _mm_unpackhi_epi8(in[i], in[i + 4]);
    }
}

static inline void interleave4(const __m128i *in, __m128i *out) {
    for (int i = 0; i < 2; i++) {
        out[2 * i] = _mm_unpacklo_epi8(in[i], in[i + 2]);
        out[2 * i + 1] = _mm_unpackhi_epi8(in[i], in[i + 2]);
    }
}

static inline void interleave2(const __m128i *in, __m128i *out) {
    out[0] = _mm_unpacklo_epi8(in[0], in[1]);
    out[1] = _mm_unpackhi_epi8(in[0], in[1]);
}

#define LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define STORE(p, v) _mm_storeu_si128((__m128i *)(p), v)

/* 16 elements of N bytes are N rows of 16 bytes. Seen as a 16 x N matrix of bytes, log2(16) interleavings of its
 * halves transpose it into N rows of 16 (shuffle); log2(N) interleavings turn N x 16 back (unshuffle). */
#define DEFINE_SHUFFLE(N)                                                                                          \
    static void shuffle_##N(const uint8_t *source, size_t count, size_t stop, uint8_t *out) {       \
        for (size_t i = 0; i < stop; i += 16) {                                                                \
            __m128i a[N], b[N];                                                                                    \
            for (int k = 0; k < N; k++) a[k] = LOAD(source + i * N + 16 * k);                                      \
            interleave##N(a, b);                                                                                   \
            interleave##N(b, a);                                                                                   \
            interleave##N(a, b);                                                                                   \
            interleave##N(b, a);                                                                                   \
            for (int k = 0; k < N; k++) STORE(out + k * count + i, a[k]);                                          \
        }                                                                                                          \
    }

DEFINE_SHUFFLE(2)
DEFINE_SHUFFLE(4)
DEFINE_SHUFFLE(8)
DEFINE_SHUFFLE(16)

/* result: where the last interleaving leaves the elements. */
#define DEFINE_UNSHUFFLE(N, INTERLEAVE_ALL, result)                                                                \
    static void unshuffle_##N(const uint8_t *source, size_t count, size_t stop, uint8_t *out) {                    \
        for (size_t i = 0; i < stop; i += 16) {                                                                    \
            __m128i a[N], b[N];                                                                                    \
            for (int k = 0; k < N; k++) a[k] = LOAD(source + k * count + i);                                       \
            INTERLEAVE_ALL;                                                                                        \
            for (int k = 0; k < N; k++) STORE(out + i * N + 16 * k, result[k]);                                    \
        }                                                                                                          \
    }

DEFINE_UNSHUFFLE(2, interleave2(a, b), b)
DEFINE_UNSHUFFLE(4, interleave4(a, b); interleave4(b, a), a)
DEFINE_UNSHUFFLE(8, interleave8(a, b); interleave8(b, a); interleave8(a, b), b)
DEFINE_UNSHUFFLE(16, interleave16(a, b); interleave16(b, a); interleave16(a, b); interleave16(b, a), a)

#endif

typedef void (*turn_function)(const uint8_t *, size_t, size_t, uint8_t *);
typedef void (*rest_function)(const uint8_t *, size_t, size_t, size_t, size_t, uint8_t *);

static turn_function shuffle_function(size_t itemsize) {
#if H5BURST_SSE2
    if (itemsize == 2) return shuffle_2;
    if (itemsize == 4) return shuffle_4;
    if (itemsize == 8) return shuffle_8;
    if (itemsize == 16) return shuffle_16;
#endif
    return NULL;
}

static turn_function unshuffle_function(size_t itemsize) {
#if H5BURST_SSE2
    if (itemsize == 2) return unshuffle_2;
    if (itemsize == 4) return unshuffle_4;
    if (itemsize == 8) return unshuffle_8;
    if (itemsize == 16) return unshuffle_16;
#endif
    return NULL;
}

/* Turn whole elements: by `turn` as many as it takes, by `rest` the others, block by block; what is behind stays. */
static inline void turned(const uint8_t *source, size_t size, size_t itemsize, uint8_t *out, turn_function turn,
                          rest_function rest) {
    size_t count = size / itemsize, done = 0;
    if (itemsize == 1 || count < 2) {
        memcpy(out, source, size);
        return;
    }
    if (turn) {
        done = count & ~(size_t)15;
        turn(source, count, done, out);
    }
    for (size_t first = done; first < count; first += BLOCK)
        rest(source, itemsize, count, first, first + BLOCK < count ? first + BLOCK : count, out);
    memcpy(out + count * itemsize, source + count * itemsize, size - count * itemsize);
}

/* HDF5's shuffle: byte k of every element one after another; bytes beyond the last whole element stay at the end. */
static inline void shuffle_bytes(const uint8_t *source, size_t size, size_t itemsize, uint8_t *out) {
    turned(source, size, itemsize, out, shuffle_function(itemsize), planes_scalar);
}

static inline void unshuffle_bytes(const uint8_t *source, size_t size, size_t itemsize, uint8_t *out) {
    turned(source, size, itemsize, out, unshuffle_function(itemsize), elements_scalar);
}

/* fletcher32: sums of 16-bit big-endian words, and of those sums, modulo 65535 with 65535 standing for a nonzero
 * multiple. Swapping the bytes of every word multiplies a sum by 256 modulo 65535, which swaps the bytes of the sum:
 * so the words are added as they are in memory (little-endian) and only the result is swapped. */
#define LANES 16
#define STEPS 256 /* lane sums of sums stay below 2^32: 256 * 257 / 2 * 65535 */

static inline uint32_t folded(uint64_t sum) {
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return (uint32_t)sum;
}

static inline uint32_t swapped(uint32_t word) { return ((word & 0xff) << 8) | (word >> 8); }

static inline uint32_t word_at(const uint8_t *data) { return (uint32_t)data[0] | ((uint32_t)data[1] << 8); }

/* Sums, and sums of sums, of the words of each lane. */
#if H5BURST_SSE2
static void sum_lanes(const uint8_t *p, size_t steps, uint32_t *plain, uint32_t *weighted) {
    const __m128i none = _mm_setzero_si128();
    __m128i sum[LANES / 4] = {none, none, none, none}, sums[LANES / 4] = {none, none, none, none};
    for (size_t step = 0; step < steps; step++, p += 2 * LANES) {
        for (int half = 0; half < 2; half++) {
            __m128i words = _mm_loadu_si128((const __m128i *)(p + 16 * half));
            sum[2 * half] = _mm_add_epi32(sum[2 * half], _mm_unpacklo_epi16(words, none));
            sum[2 * half + 1] = _mm_add_epi32(sum[2 * half + 1], _mm_unpackhi_epi16(words, none));
        }
        for (int part = 0; part < LANES / 4; part++) sums[part] = _mm_add_epi32(sums[part], sum[part]);
    }
    memcpy(plain, sum, sizeof sum);
    memcpy(weighted, sums, sizeof sums);
}
#else
static void sum_lanes(const uint8_t *p, size_t steps, uint32_t *plain, uint32_t *weighted) {
    memset(plain, 0, LANES * sizeof *plain);
    memset(weighted, 0, LANES * sizeof *weighted);
    for (size_t step = 0; step < steps; step++, p += 2 * LANES) {
        for (int lane = 0; lane < LANES; lane++) {
            plain[lane] += word_at(p + 2 * lane);
            weighted[lane] += plain[lane];
        }
    }
}
#endif

static uint32_t fletcher32_bytes(const uint8_t *data, size_t size) {
    uint64_t low = 0, high = 0; /* both kept folded between blocks */
    size_t words = size / 2, at = 0;
    while (words - at >= LANES) {
        uint32_t sum[LANES], sums[LANES];
        size_t steps = (words - at) / LANES;
        if (steps > STEPS) steps = STEPS;
        sum_lanes(data + 2 * at, steps, sum, sums);
        uint64_t plain = 0, weighted = 0, behind = 0;
        for (int lane = 0; lane < LANES; lane++) {
            plain += sum[lane];
            weighted += sums[lane];
            behind += (uint64_t)lane * sum[lane];
        }
        /* Word n of N counts N - n times in the sum of sums; the sum from before counts N times. */
        high = folded(high + low * (steps * LANES) + weighted * LANES - behind);
        low = folded(low + plain);
        at += steps * LANES;
    }
    for (; at < words; at++) {
        low += word_at(data + 2 * at);
        high += low;
    }
    low = folded(low);
    high = folded(high);
    if (size & 1) { /* the high byte of a last big-endian word */
        low = folded(low + data[size - 1]);
        high = folded(high + low);
    }
    return (swapped((uint32_t)high) << 16) | swapped((uint32_t)low);
}

#endif
