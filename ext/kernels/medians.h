/* ext/kernels/medians.h — medians in linear time, without sorting whole arrays.
 *
 * Floats are compared by their bits, read as integers that have the same order, so that a median is found by bisection
 * of the bits: at most 32 passes that only count, which compilers turn into vector code.
 */
#ifndef H5BURST_MEDIANS_H
#define H5BURST_MEDIANS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline int32_t ordered_bits(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits ^ ((bits >> 31) & 0x7fffffff);
}

static inline float from_ordered_bits(int32_t bits) {
    float value;
    bits ^= (bits >> 31) & 0x7fffffff;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* How many of `keys` are at most `limit`. */
static inline int32_t count_up_to(const int32_t *keys, int32_t count, int32_t limit) {
    int32_t below = 0;
    for (int32_t i = 0; i < count; i++) below += keys[i] <= limit;
    return below;
}

/* The median of finite values whose ordered bits are `keys`, count > 0; of an even count the mean of the middle two. */
static inline float median_of_keys(const int32_t *keys, int32_t count) {
    int32_t low = INT32_MAX, high = INT32_MIN, next = INT32_MAX, below = (count - 1) / 2;
    for (int32_t i = 0; i < count; i++) {
        low = keys[i] < low ? keys[i] : low;
        high = keys[i] > high ? keys[i] : high;
    }
    while (low < high) {
        const int32_t middle = (int32_t)(((int64_t)low + (int64_t)high) >> 1);
        if (count_up_to(keys, count, middle) > below) high = middle;
        else low = middle + 1;
    }
    if (count % 2 || count_up_to(keys, count, low) > below + 1) return from_ordered_bits(low);
    for (int32_t i = 0; i < count; i++) next = keys[i] > low && keys[i] < next ? keys[i] : next;
    return (from_ordered_bits(low) + from_ordered_bits(next)) * 0.5f;
}

/* The k-th smallest of `values` (Hoare's selection), which it reorders so that none before k is larger. */
static inline double select_kth(double *values, ptrdiff_t count, ptrdiff_t k) {
    ptrdiff_t first = 0, last = count - 1;
    while (first < last) {
        const double pivot = values[(first + last) / 2];
        ptrdiff_t i = first, j = last;
        while (i <= j) {
            while (values[i] < pivot) i++;
            while (pivot < values[j]) j--;
            if (i <= j) {
                const double kept = values[i];
                values[i++] = values[j];
                values[j--] = kept;
            }
        }
        if (k <= j) last = j;
        else if (k >= i) first = i;
        else break;
    }
    return values[k];
}

/* The median of finite `values`, which it reorders; count > 0. */
static inline double median_in_place(double *values, ptrdiff_t count) {
    const double upper = select_kth(values, count, count / 2);
    double lower;
    if (count % 2) return upper;
    lower = values[0];
    for (ptrdiff_t i = 1; i < count / 2; i++) lower = values[i] > lower ? values[i] : lower;
    return 0.5 * (lower + upper);
}

#define MEDIAN_LANES 64

/* Sort each of MEDIAN_LANES columns of `rows` (count, MEDIAN_LANES): Batcher's merge exchange (Knuth, vol. 3, 5.2.2 M).
 *
 * Integers, because compilers make vector code of their minimum and maximum; floats come as their ordered bits. */
static inline void sort_columns(int32_t *rows, int32_t count) {
    int32_t top = 1;
    while (top < count) top *= 2;
    for (int32_t p = top / 2; p > 0; p /= 2) {
        int32_t q = top / 2, r = 0, d = p;
        for (;;) {
            for (int32_t i = 0; i < count - d; i++) {
                int32_t *restrict low, *restrict high;
                if ((i & p) != r) continue;
                low = rows + (ptrdiff_t)i * MEDIAN_LANES;
                high = low + (ptrdiff_t)d * MEDIAN_LANES;
                for (int32_t lane = 0; lane < MEDIAN_LANES; lane++) {
                    const int32_t a = low[lane], b = high[lane];
                    low[lane] = a < b ? a : b;
                    high[lane] = a < b ? b : a;
                }
            }
            if (q == p) break;
            d = q - p;
            q /= 2;
            r = p;
        }
    }
}

#endif
