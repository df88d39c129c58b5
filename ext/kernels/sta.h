/* ext/kernels/sta.h — the triggered average: packing of frames, and the entry points of sta_loops.h. */
#ifndef H5BURST_STA_H
#define H5BURST_STA_H

#include <stdint.h>
#include <string.h>

#include "simd.h"

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define STA_SSE2 1
#else
#define STA_SSE2 0
#endif

enum { STA_STRIP = 64, STA_LAGS = 6, STA_BITS8 = 6, STA_BITS16 = 5, STA_RUNS = 32 };
#define STA_EACH_LAG(X) X(0) X(1) X(2) X(3) X(4) X(5)
#define STA_EACH_OF_8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

#define SIMD_SOURCE "sta_loops.h"
#include "simd_variants.h"

/* The first frame of each run of frames that are equal byte by byte, then the number of frames; gives the number of
   runs. rows (frames, width) bytes; starts has room for frames + 1. */
static inline int64_t sta_runs(const uint8_t *rows, int64_t frames, int64_t width, int64_t *starts) {
    int64_t runs = 0;
    for (int64_t frame = 0; frame < frames; ++frame)
        if (frame == 0 || memcmp(rows + frame * width, rows + (frame - 1) * width, (size_t)width))
            starts[runs++] = frame;
    starts[runs] = frames;
    return runs;
}

/* Words (groups, STA_STRIP) of a strip of `width` pixels: `per_word` runs side by side in each, zeros where there is
   no pixel and no run. rows (frames, row_width). */
#define STA_PACK(name, T, per_word)                                                                              \
    static inline void name(const T *rows, int64_t row_width, const int64_t *starts, int64_t runs, int64_t width, \
                            int32_t *words) {                                                                    \
        for (int64_t run = 0; run < runs; run += per_word, words += STA_STRIP) {                                 \
            memset(words, 0, STA_STRIP * sizeof *words);                                                         \
            for (int64_t k = 0; k < per_word && run + k < runs; ++k) {                                           \
                const T *row = rows + starts[run + k] * row_width;                                               \
                for (int64_t pixel = 0; pixel < width; ++pixel)                                                  \
                    words[pixel] |= (int32_t)((uint32_t)row[pixel] << (k * (32 / per_word)));                    \
            }                                                                                                    \
        }                                                                                                        \
    }
STA_PACK(sta_pack8, uint8_t, 4)
STA_PACK(sta_pack16, uint16_t, 2)

/* The same for values that are not packed: (runs, STA_STRIP). */
#define STA_COPY(name, T)                                                                                        \
    static inline void name(const T *rows, int64_t row_width, const int64_t *starts, int64_t runs, int64_t width, \
                            T *values) {                                                                         \
        for (int64_t run = 0; run < runs; ++run, values += STA_STRIP) {                                          \
            memset(values, 0, STA_STRIP * sizeof *values);                                                       \
            memcpy(values, rows + starts[run] * row_width, (size_t)width * sizeof *values);                      \
        }                                                                                                        \
    }
STA_COPY(sta_copy_double, double)
STA_COPY(sta_copy_int64, int64_t)

static inline uint32_t sta_weights(int level, const int32_t *before, const int64_t *starts, int64_t groups,
                                   int per_word, int64_t lag, int64_t lags, int shift, int bits, int32_t *words) {
    return SIMD_CALL(level, sta_weights, (before, starts, groups, per_word, lag, lags, shift, bits, words));
}

static inline void sta_dot8(int level, const int32_t *weights, const int32_t *words, int64_t groups, int64_t lags,
                            int shift, int64_t *sums) {
    SIMD_CALL(level, sta_dot8, (weights, words, groups, lags, shift, sums));
}

static inline void sta_dot16(int level, const int32_t *weights, const int32_t *words, int64_t groups, int64_t lags,
                             int shift, int64_t *sums) {
    SIMD_CALL(level, sta_dot16, (weights, words, groups, lags, shift, sums));
}

static inline void sta_add_doubles(int level, const int32_t *weights, const double *values, int64_t runs,
                                    int64_t lags, double *sums) {
    SIMD_CALL(level, sta_add_doubles, (weights, values, runs, lags, sums));
}

static inline void sta_add_int64(int level, const int32_t *weights, const int64_t *values, int64_t runs,
                                   int64_t lags, int64_t *sums) {
    SIMD_CALL(level, sta_add_int64, (weights, values, runs, lags, sums));
}

#endif
