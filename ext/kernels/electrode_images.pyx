# ext/kernels/electrode_images.pyx — noise, medians and filtering of images of electrodes, sums along rays over them.
from libc.math cimport sqrt
from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport free, malloc

cdef extern from "electrode_images.h" nogil:
    enum:
        MEDIAN_LANES
    int32_t ordered_bits(float)
    float median_of_keys(const int32_t *, int32_t)
    void curvature_medians(const float *, Py_ssize_t, Py_ssize_t, int32_t *, float *)
    void filter_in_time(const float *, Py_ssize_t, Py_ssize_t, const float *, Py_ssize_t, const float *, float *)


def second_difference_medians(const float[:, ::1] image, float[::1] out) -> None:
    """Write each electrode's median over time of |second difference|. image (samples ≥ 3, electrodes), finite."""
    cdef int32_t *scratch = <int32_t *>malloc((image.shape[0] - 2) * MEDIAN_LANES * sizeof(int32_t))
    if scratch == NULL:
        raise MemoryError
    with nogil:
        if image.shape[1]:
            curvature_medians(&image[0, 0], image.shape[0], image.shape[1], scratch, &out[0])
    free(scratch)


def row_medians(const float[:, ::1] rows, const uint8_t[::1] used, float[::1] out) -> None:
    """Write each row's median over the columns that are used, at least one; those are finite."""
    cdef Py_ssize_t row, column
    cdef int32_t count
    cdef int32_t *keys = <int32_t *>malloc(rows.shape[1] * sizeof(int32_t))
    if keys == NULL:
        raise MemoryError
    with nogil:
        for row in range(rows.shape[0]):
            count = 0
            for column in range(rows.shape[1]):
                keys[count] = ordered_bits(rows[row, column])
                count += used[column] != 0
            out[row] = median_of_keys(keys, count)
    free(keys)


def filtered(
    const float[:, ::1] image, const float[:, ::1] weights, const float[::1] scale, float[:, ::1] out
) -> None:
    """Write out[t, e] = scale[e] · Σ_j weights[t, j] · image[t + j − reach, e], reach = half of weights' columns.

    image, out (samples, electrodes); weights (samples, 2 · reach + 1); scale (electrodes,).
    """
    with nogil:
        if image.shape[0] and image.shape[1]:
            filter_in_time(
                &image[0, 0], image.shape[0], image.shape[1], &weights[0, 0], weights.shape[1] // 2, &scale[0],
                &out[0, 0]
            )


def best_rays(
    const float[:, ::1] image, const int32_t[:, :, ::1] paths, const int32_t[:, :, ::1] times, Py_ssize_t min_steps,
    float[::1] best, int32_t[:, ::1] where
) -> None:
    """For each angle write the largest of the running sums along its rays, over √max(steps that count, min_steps).

    image (electrodes, samples); paths (angles, curvatures, steps): electrode, negative where a step does not count;
    times (delays, velocities, steps): sample, negative from where the window ends; best (angles,); where (angles, 4):
    curvature, delay, velocity, step of the largest.
    """
    cdef Py_ssize_t angle, bend, delay, velocity, step, steps = paths.shape[2], count
    cdef const float *pixels
    cdef const int32_t *path
    cdef const int32_t *time
    cdef float total, value
    cdef float *shares = <float *>malloc((steps + 1) * sizeof(float))
    if shares == NULL:
        raise MemoryError
    with nogil:
        for count in range(steps + 1):
            shares[count] = <float>(1 / sqrt(<double>(count if count > min_steps else min_steps)))
        for angle in range(paths.shape[0]):
            best[angle] = 0
            where[angle, 0] = where[angle, 1] = where[angle, 2] = where[angle, 3] = 0
            for bend in range(paths.shape[1]):
                path = &paths[angle, bend, 0]
                for delay in range(times.shape[0]):
                    for velocity in range(times.shape[1]):
                        time = &times[delay, velocity, 0]
                        total = 0
                        count = 0
                        for step in range(steps):
                            if time[step] < 0:
                                break
                            if path[step] < 0:
                                continue
                            pixels = &image[path[step], 0]
                            total += pixels[time[step]]
                            count += 1
                            value = total * shares[count]
                            if value > best[angle]:
                                best[angle] = value
                                where[angle, 0] = bend
                                where[angle, 1] = delay
                                where[angle, 2] = velocity
                                where[angle, 3] = step
    free(shares)
