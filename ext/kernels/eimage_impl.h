/* eimage_impl.h — a tile of electrodes: filter passes and accumulation, dispatched to the instruction set in use.

The tile is EIMAGE_TILE electrodes wide everywhere; a narrower one is copied into a padded buffer before. */
#ifndef H5BURST_EIMAGE_H
#define H5BURST_EIMAGE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "simd.h"

#define EIMAGE_TILE 32
#define EIMAGE_MAX_SECTIONS 16

enum { EIMAGE_INT16, EIMAGE_FLOAT };                   /* what a sample is */
enum { EIMAGE_NOTHING, EIMAGE_PLAIN, EIMAGE_SCALED };  /* what a pass writes */

#if defined(__GNUC__) || defined(__clang__)
#define EIMAGE_VECTORS 1
#define EIMAGE_INLINE static inline __attribute__((always_inline))
#else
#define EIMAGE_VECTORS 0
#define EIMAGE_INLINE static __forceinline
#endif

#define SIMD_SOURCE "eimage_loops.h"
#include "simd_variants.h"

/* Filter states die away through the denormal numbers, which are slow on many CPUs: take them as zero meanwhile. */
#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
static unsigned int eimage_flush_denormals(void) {
    unsigned int before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* flush to zero, denormals are zero */
    return before;
}
static void eimage_restore_denormals(unsigned int before) { _mm_setcsr(before); }
#else
static unsigned int eimage_flush_denormals(void) { return 0; }
static void eimage_restore_denormals(unsigned int before) { (void)before; }
#endif

/* Filter `count` rows, `step` elements apart, into `out`. */
static void eimage_forward(int level, int kind, int sections, const void *samples, ptrdiff_t step, float *out,
                           ptrdiff_t out_step, ptrdiff_t count, const double *coefficients, double *state) {
    if (kind == EIMAGE_INT16)
        SIMD_CALL(level, eimage_forward_int16,
                  (sections, samples, step, out, out_step, count, coefficients, state, 1.0));
    else
        SIMD_CALL(level, eimage_forward_float,
                  (sections, samples, step, out, out_step, count, coefficients, state, 1.0));
}

/* Filter backwards in time: samples and out point to the first row in time. `out` may be `samples`. */
static void eimage_backward(int level, int sections, const float *samples, ptrdiff_t step, float *out,
                            ptrdiff_t out_step, ptrdiff_t count, const double *coefficients, double *state,
                            double scale) {
    if (count)
        SIMD_CALL(level, eimage_scaled,
                  (sections, samples + (count - 1) * step, -step, out + (count - 1) * out_step, -out_step, count,
                   coefficients, state, scale));
}

/* Only the states of the backward filter over a tile of `count` rows, which starts from rest after the last row.
 *
 * ends (n, 2): unit and row, rows descending; the state before which that row was the last one filtered is added to
 * the unit's sums, `unit_step` doubles apart. `state` is left as it is before the first row. */
static void eimage_backward_states(int level, int sections, const float *samples, ptrdiff_t count,
                                   const double *coefficients, double *state, const int64_t *ends, ptrdiff_t n_ends,
                                   double *sums, ptrdiff_t unit_step) {
    memset(state, 0, sizeof(double) * 2 * sections * EIMAGE_TILE);
    for (ptrdiff_t i = 0; i <= n_ends; i++) {
        ptrdiff_t row = i < n_ends ? ends[2 * i + 1] : 0;
        if (count > row)
            SIMD_CALL(level, eimage_state_only,
                      (sections, samples + (count - 1) * EIMAGE_TILE, -EIMAGE_TILE, NULL, 0, count - row,
                       coefficients, state, 1.0));
        count = row;
        if (i < n_ends) SIMD_CALL(level, eimage_add_states, (sums + ends[2 * i] * unit_step, state, 2 * sections));
    }
}

static void eimage_carry(int level, double *sums, const double *carry, const double *state, ptrdiff_t orders) {
    SIMD_CALL(level, eimage_add_carried, (sums, carry, state, orders));
}

static void eimage_add(int level, float *sums, uint16_t *lost, const float *samples, ptrdiff_t rows) {
    SIMD_CALL(level, eimage_add_filtered, (sums, lost, samples, rows));
}

static void eimage_add_short(int level, int32_t *sums, const int16_t *samples, ptrdiff_t step, ptrdiff_t rows) {
    SIMD_CALL(level, eimage_add_int16, (sums, samples, step, rows));
}

static void eimage_add_wide(int level, int kind, double *sums, const void *samples, ptrdiff_t step, ptrdiff_t rows) {
    if (kind == EIMAGE_INT16)
        SIMD_CALL(level, eimage_add_int16_wide, (sums, samples, step, rows));
    else
        SIMD_CALL(level, eimage_add_float_wide, (sums, samples, step, rows));
}

static void eimage_total(int level, int kind, double *total, const void *samples, ptrdiff_t step, ptrdiff_t rows) {
    if (kind == EIMAGE_INT16)
        SIMD_CALL(level, eimage_total_int16, (total, samples, step, rows));
    else
        SIMD_CALL(level, eimage_total_float, (total, samples, step, rows));
}

#endif
