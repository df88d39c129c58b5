/* ext/kernels/electrode_images.h — loops over images of electrodes: samples × electrodes, a sample's together. */
#ifndef H5BURST_ELECTRODE_IMAGES_H
#define H5BURST_ELECTRODE_IMAGES_H

#include <math.h>

#include "medians.h"

#define IMAGE_LANES 32

/* out[e] = median over time of |second difference| of electrode e; scratch (samples - 2, MEDIAN_LANES). */
static inline void curvature_medians(const float *image, ptrdiff_t samples, ptrdiff_t electrodes, int32_t *scratch,
                                     float *out) {
    const int32_t count = (int32_t)(samples - 2);
    for (ptrdiff_t first = 0; first < electrodes; first += MEDIAN_LANES) {
        const ptrdiff_t width = electrodes - first < MEDIAN_LANES ? electrodes - first : MEDIAN_LANES;
        for (int32_t t = 0; t < count; t++) {
            const float *a = image + t * electrodes + first, *b = a + electrodes, *c = b + electrodes;
            int32_t *row = scratch + (ptrdiff_t)t * MEDIAN_LANES;
            for (ptrdiff_t lane = 0; lane < width; lane++)
                row[lane] = ordered_bits(fabsf(a[lane] - 2 * b[lane] + c[lane]));
            for (ptrdiff_t lane = width; lane < MEDIAN_LANES; lane++) row[lane] = 0;
        }
        sort_columns(scratch, count);
        for (ptrdiff_t lane = 0; lane < width; lane++) {
            const int32_t upper = scratch[(ptrdiff_t)(count / 2) * MEDIAN_LANES + lane];
            const int32_t lower = scratch[(ptrdiff_t)((count - 1) / 2) * MEDIAN_LANES + lane];
            out[first + lane] = (from_ordered_bits(lower) + from_ordered_bits(upper)) * 0.5f;
        }
    }
}

/* out[t, e] = Σ_j weights[t, j] · image[t + j - reach, e] · scale[e]; weights (samples, 2 · reach + 1); 0 outside. */
static inline void filter_in_time(const float *image, ptrdiff_t samples, ptrdiff_t electrodes, const float *weights,
                                  ptrdiff_t reach, const float *scale, float *out) {
    const ptrdiff_t taps = 2 * reach + 1;
    for (ptrdiff_t first = 0; first < electrodes; first += IMAGE_LANES) {
        const ptrdiff_t width = electrodes - first < IMAGE_LANES ? electrodes - first : IMAGE_LANES;
        for (ptrdiff_t t = 0; t < samples; t++) {
            float sums[IMAGE_LANES] = {0};
            const ptrdiff_t from = t < reach ? reach - t : 0;
            const ptrdiff_t to = samples - t + reach < taps ? samples - t + reach : taps;
            for (ptrdiff_t j = from; j < to; j++) {
                const float weight = weights[t * taps + j];
                const float *row = image + (t + j - reach) * electrodes + first;
                if (width == IMAGE_LANES)
                    for (int lane = 0; lane < IMAGE_LANES; lane++) sums[lane] += weight * row[lane];
                else
                    for (ptrdiff_t lane = 0; lane < width; lane++) sums[lane] += weight * row[lane];
            }
            for (ptrdiff_t lane = 0; lane < width; lane++)
                out[t * electrodes + first + lane] = sums[lane] * scale[first + lane];
        }
    }
}

#endif
