# ext/kernels/sta.pyx — the average of a movie over windows around trigger frames: sums of every train over one tile.
#
# The movie comes tile by tile: some frames × neighbouring pixels. `pack` turns a tile into strips of 64 pixels, one
# entry for each run of equal frames; `add` adds every train's weighted runs to its sums; `finish` divides.
from libc.math cimport NAN
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

cdef extern from "sta.h" nogil:
    enum:
        STA_STRIP
        STA_LAGS
        STA_BITS8
        STA_BITS16
    int64_t sta_runs(const uint8_t *, int64_t, int64_t, int64_t *)
    void sta_pack8(const uint8_t *, int64_t, const int64_t *, int64_t, int64_t, int32_t *)
    void sta_pack16(const uint16_t *, int64_t, const int64_t *, int64_t, int64_t, int32_t *)
    void sta_copy_double(const double *, int64_t, const int64_t *, int64_t, int64_t, double *)
    void sta_copy_int64(const int64_t *, int64_t, const int64_t *, int64_t, int64_t, int64_t *)
    uint32_t sta_weights(int, const int32_t *, const int64_t *, int64_t, int, int64_t, int64_t, int, int, int32_t *)
    void sta_dot8(int, const int32_t *, const int32_t *, int64_t, int64_t, int, int64_t *)
    void sta_dot16(int, const int32_t *, const int32_t *, int64_t, int64_t, int, int64_t *)
    void sta_add_doubles(int, const int32_t *, const double *, int64_t, int64_t, double *)
    void sta_add_int64(int, const int32_t *, const int64_t *, int64_t, int64_t, int64_t *)

STRIP = STA_STRIP  # pixels
LAGS = STA_LAGS  # the lags of sums and weights are a multiple of it

ctypedef fused pixel:
    uint8_t
    uint16_t
    double
    int64_t

ctypedef fused word:  # what strips hold: packed runs of 8 or 16 bits, or values as they are
    int32_t
    double
    int64_t

ctypedef fused total:
    double
    int64_t


def runs(const uint8_t[:, ::1] rows, int64_t[::1] starts) -> int:
    """Write the first frame of each run of equal frames, then the number of frames; give the number of runs."""
    cdef int64_t runs
    if rows.shape[0] == 0:
        starts[0] = 0
        return 0
    with nogil:
        runs = sta_runs(&rows[0, 0], rows.shape[0], rows.shape[1], &starts[0])
    return runs


def pack(const pixel[:, ::1] rows, const int64_t[::1] starts, int64_t runs, Py_ssize_t strip, word[:, ::1] out) -> None:
    """Write the strip: for each run STRIP values, four runs of bytes or two of 16 bits in one word.

    rows (frames, pixels); starts (runs,) and more; out (runs over runs per word, rounded up; STRIP).
    """
    cdef Py_ssize_t first = strip * STA_STRIP, width = min(rows.shape[1] - strip * STA_STRIP, <Py_ssize_t>STA_STRIP)
    if runs == 0:
        return
    with nogil:
        if pixel is uint8_t and word is int32_t:
            sta_pack8(&rows[0, first], rows.shape[1], &starts[0], runs, width, &out[0, 0])
        elif pixel is uint16_t and word is int32_t:
            sta_pack16(&rows[0, first], rows.shape[1], &starts[0], runs, width, &out[0, 0])
        elif pixel is double and word is double:
            sta_copy_double(&rows[0, first], rows.shape[1], &starts[0], runs, width, &out[0, 0])
        elif pixel is int64_t and word is int64_t:
            sta_copy_int64(&rows[0, first], rows.shape[1], &starts[0], runs, width, &out[0, 0])


def count(
    const int64_t[::1] triggers, const int64_t[::1] offsets, int64_t low, int64_t high, int64_t frames,
    int64_t[::1] out
) -> None:
    """Write how many of each train's windows [trigger + low, trigger + high) are within [0, frames)."""
    cdef Py_ssize_t train, k
    cdef int64_t used
    with nogil:
        for train in range(out.shape[0]):
            used = 0
            for k in range(offsets[train], offsets[train + 1]):
                used += -low <= triggers[k] and triggers[k] <= frames - high
            out[train] = used


cdef void count_before(
    const int64_t *triggers, int64_t number, int64_t low, int64_t high, int64_t frames, int32_t *before
) noexcept nogil:
    """before[i] for i = 0 … frames: how many windows of a train start before frame i; zeros are in front of it."""
    cdef int64_t k
    cdef int32_t sum = 0, here
    memset(before, 0, (frames + 1) * sizeof(int32_t))
    for k in range(number):
        if -low <= triggers[k] and triggers[k] <= frames - high:
            before[triggers[k] + low] += 1
    for k in range(frames + 1):
        here = before[k]
        before[k] = sum
        sum += here


def add(
    const int64_t[::1] triggers, const int64_t[::1] offsets, int64_t low, int64_t high, int64_t frames, int64_t lag,
    const int64_t[::1] starts, const word[:, :, :] strips, int bytes_a_pixel, int32_t[::1] before,
    int32_t[:, ::1] weights, total[:, :, :, :] sums, int level
) -> None:
    """Add to each train's sums, lag `lag` and those after it, what its windows see of the strips' frames.

    offsets (trains + 1,) into triggers; low, high: window; frames: of the whole movie; starts: first frame of each run,
    counted in the whole movie, and the end of the last, repeated up to whole words and once more; strips (n, words a
    strip, STRIP) from `pack`; bytes_a_pixel: 1, 2, or 8 for values that are not packed; sums (trains, n, lags, STRIP),
    its last two axes contiguous, the last lag first. Scratch: before (front + frames + 1,) of zeros in
    front, as many as no lag goes beyond; weights (words at a time, lags).
    """
    cdef Py_ssize_t train, strip, first, groups = strips.shape[1], block = weights.shape[0], here
    cdef int64_t lags = sums.shape[2], number
    cdef int per_word = 4 // bytes_a_pixel if bytes_a_pixel <= 2 else 1
    cdef int bits = STA_BITS8 if bytes_a_pixel == 1 else STA_BITS16 if bytes_a_pixel == 2 else 31
    cdef int shift
    cdef uint32_t left
    cdef int32_t *zero
    if groups == 0 or strips.shape[0] == 0:
        return
    zero = &before[before.shape[0] - frames - 1]
    with nogil:
        for train in range(sums.shape[0]):
            number = offsets[train + 1] - offsets[train]
            if number == 0:
                continue
            count_before(&triggers[offsets[train]], number, low, high, frames, zero)
            if zero[frames] == 0:
                continue
            first = 0
            while first < groups:
                here = min(block, groups - first)
                shift = 0
                left = 1
                while left:
                    left = sta_weights(
                        level, zero, &starts[first * per_word], here, per_word, lag, lags, shift, bits, &weights[0, 0]
                    )
                    for strip in range(strips.shape[0]):
                        if word is int32_t and total is int64_t:
                            if bytes_a_pixel == 1:
                                sta_dot8(level, &weights[0, 0], &strips[strip, first, 0], here, lags, shift,
                                         &sums[train, strip, 0, 0])
                            else:
                                sta_dot16(level, &weights[0, 0], &strips[strip, first, 0], here, lags, shift,
                                          &sums[train, strip, 0, 0])
                        elif word is double and total is double:
                            sta_add_doubles(level, &weights[0, 0], &strips[strip, first, 0], here, lags,
                                             &sums[train, strip, 0, 0])
                        elif word is int64_t and total is int64_t:
                            sta_add_int64(level, &weights[0, 0], &strips[strip, first, 0], here, lags,
                                            &sums[train, strip, 0, 0])
                    shift += bits
                first += block


def finish(
    const total[:, :, :, :] sums, const int64_t[::1] counts, int64_t bias, float[:, :, :] out
) -> None:
    """Write the means: (sum + bias × count) / count in double precision, then single; NaN without windows.

    sums (trains, strips, lags, STRIP), the last lag first, at least those of out; out (trains, lags, pixels).
    """
    cdef Py_ssize_t train, lag, strip, k, width, last = sums.shape[2] - 1
    cdef const total *sum
    cdef float *mean
    cdef int64_t shown
    with nogil:
        for train in range(out.shape[0]):
            shown = counts[train]
            for lag in range(out.shape[1]):
                for strip in range(sums.shape[1]):
                    width = min(out.shape[2] - strip * STA_STRIP, <Py_ssize_t>STA_STRIP)
                    if width <= 0:
                        continue
                    sum = &sums[train, strip, last - lag, 0]
                    mean = &out[train, lag, strip * STA_STRIP]
                    for k in range(width):
                        if shown == 0:
                            mean[k] = <float>NAN
                        elif total is int64_t:
                            mean[k] = <float>(<double>(sum[k] + bias * shown) / <double>shown)
                        else:
                            mean[k] = <float>(sum[k] / <double>shown)
