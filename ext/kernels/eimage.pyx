# ext/kernels/eimage.pyx — zero-phase filtering of electrodes, and sums of windows around spikes, tile by tile.
#
# A tile is `TILE` neighbouring electrodes; what belongs to it is together: sums (unit, tile, window row, electrode).
# The backward half of the zero-phase filter is linear, so it is applied to the summed windows, not to the recording:
# a unit's window sum of forward-filtered samples, and the sum of the backward filter's states just after each of its
# windows, are all that this takes. A block is filtered backwards from rest, once, for those states; `carry` says how
# the state at the block's end enters the sums, and the next block tells what that state was.
from libc.stdint cimport int16_t, int32_t, int64_t, uint16_t
from libc.string cimport memcpy, memset

cdef extern from "eimage_impl.h" nogil:
    enum: EIMAGE_TILE, EIMAGE_MAX_SECTIONS, EIMAGE_INT16, EIMAGE_FLOAT
    unsigned int eimage_flush_denormals()
    void eimage_restore_denormals(unsigned int before)
    void eimage_forward(int level, int kind, int sections, const void *samples, ptrdiff_t step, float *out,
                        ptrdiff_t out_step, ptrdiff_t count, const double *coefficients, double *state)
    void eimage_backward(int level, int sections, const float *samples, ptrdiff_t step, float *out,
                         ptrdiff_t out_step, ptrdiff_t count, const double *coefficients, double *state, double scale)
    void eimage_backward_states(int level, int sections, const float *samples, ptrdiff_t count,
                                const double *coefficients, double *state, const int64_t *ends, ptrdiff_t n_ends,
                                double *sums, ptrdiff_t unit_step)
    void eimage_carry(int level, double *sums, const double *carry, const double *state, ptrdiff_t orders)
    void eimage_add(int level, float *sums, uint16_t *lost, const float *samples, ptrdiff_t rows)
    void eimage_add_short(int level, int32_t *sums, const int16_t *samples, ptrdiff_t step, ptrdiff_t rows)
    void eimage_add_wide(int level, int kind, double *sums, const void *samples, ptrdiff_t step, ptrdiff_t rows)
    void eimage_total(int level, int kind, double *total, const void *samples, ptrdiff_t step, ptrdiff_t rows)

TILE = EIMAGE_TILE
MAX_SECTIONS = EIMAGE_MAX_SECTIONS

ctypedef fused sample:
    int16_t
    float

ctypedef fused raw_sum:
    int32_t
    double


cdef inline int kind_of(const sample *unused) noexcept nogil:
    if sample is int16_t:
        return EIMAGE_INT16
    else:
        return EIMAGE_FLOAT


cdef inline const sample *tile_rows(const sample[:, ::1] block, Py_ssize_t tile, sample[::1] padded,
                                    Py_ssize_t *step) noexcept nogil:
    """The tile's first row and the elements from row to row: in place, or copied and padded where it is narrower."""
    cdef Py_ssize_t first = tile * EIMAGE_TILE, channels = block.shape[1], row
    cdef size_t width
    if first + EIMAGE_TILE <= channels:
        step[0] = channels
        return &block[0, first]
    width = channels - first
    memset(&padded[0], 0, block.shape[0] * EIMAGE_TILE * sizeof(sample))
    for row in range(block.shape[0]):
        memcpy(&padded[row * EIMAGE_TILE], &block[row, first], width * sizeof(sample))
    step[0] = EIMAGE_TILE
    return &padded[0]


def add_filtered(const sample[:, ::1] block, Py_ssize_t first_tile, Py_ssize_t last_tile,
                 const double[:, ::1] coefficients, double[:, :, ::1] forward,
                 const int64_t[:, ::1] windows, const int64_t[:, ::1] ends,
                 const int64_t[::1] carrying, const double[:, :, ::1] carry,
                 float[:, :, :, ::1] sums, uint16_t[:, :, :, ::1] lost, double[:, :, :, ::1] states,
                 float[::1] filtered, sample[::1] padded, double[::1] state, int level) -> None:
    """Filter a block's tiles [first_tile, last_tile) and add each unit's windows and backward states to its sums.

    block (frames, channels); coefficients (sections, 5) b0 b1 b2 a1 a2; forward (tiles, 2 · sections, TILE) state,
    carried from block to block; windows (n, 4) unit, first row in the block, first row in the window, rows;
    ends (m, 2) unit and row in the block at which the backward state is wanted, rows descending;
    carrying: the units whose carry (units, 2 · sections, 2 · sections) from earlier blocks is not zero;
    sums (units, tiles, window, TILE), what rounding lost in them (as bfloat16), and states (units, tiles,
    2 · sections, TILE) are added to.
    filtered, padded (frames · TILE) and state (2 · sections · TILE) are this thread's scratch.
    """
    cdef Py_ssize_t tile, i, step = 0, frames = block.shape[0]
    cdef int sections = <int>coefficients.shape[0]
    cdef Py_ssize_t orders = 2 * sections
    cdef Py_ssize_t unit_step = states.shape[1] * orders * EIMAGE_TILE
    cdef const double *c = &coefficients[0, 0]
    cdef const sample *rows
    cdef unsigned int mode
    with nogil:
        mode = eimage_flush_denormals()
        for tile in range(first_tile, last_tile):
            rows = tile_rows(block, tile, padded, &step)
            eimage_forward(level, kind_of(rows), sections, rows, step, &filtered[0], EIMAGE_TILE, frames, c,
                           &forward[tile, 0, 0])
            if states.shape[0]:
                eimage_backward_states(level, sections, &filtered[0], frames, c, &state[0],
                                       &ends[0, 0] if ends.shape[0] else NULL, ends.shape[0],
                                       &states[0, tile, 0, 0], unit_step)
            for i in range(carrying.shape[0]):
                eimage_carry(level, &states[carrying[i], tile, 0, 0], &carry[carrying[i], 0, 0], &state[0], orders)
            for i in range(windows.shape[0]):
                eimage_add(level, &sums[windows[i, 0], tile, windows[i, 2], 0],
                           &lost[windows[i, 0], tile, windows[i, 2], 0], &filtered[windows[i, 1] * EIMAGE_TILE],
                           windows[i, 3])
        eimage_restore_denormals(mode)


def add_raw(const sample[:, ::1] block, Py_ssize_t first_tile, Py_ssize_t last_tile, const int64_t[:, ::1] windows,
            raw_sum[:, :, :, ::1] sums, double[:, ::1] totals, sample[::1] padded, int level) -> None:
    """Add each unit's windows of unfiltered samples to its sums, and every sample to its electrode's total.

    As `add_filtered`; sums of int32 take int16 samples only; totals (tiles, TILE).
    """
    cdef Py_ssize_t tile, i, step = 0
    cdef const sample *rows
    with nogil:
        for tile in range(first_tile, last_tile):
            rows = tile_rows(block, tile, padded, &step)
            eimage_total(level, kind_of(rows), &totals[tile, 0], rows, step, block.shape[0])
            for i in range(windows.shape[0]):
                if raw_sum is double:
                    eimage_add_wide(level, kind_of(rows), &sums[windows[i, 0], tile, windows[i, 2], 0],
                                    rows + windows[i, 1] * step, step, windows[i, 3])
                elif sample is int16_t:
                    eimage_add_short(level, &sums[windows[i, 0], tile, windows[i, 2], 0],
                                     rows + windows[i, 1] * step, step, windows[i, 3])


def finish_filtered(const float[:, :, ::1] sums, double[:, :, ::1] states, const double[:, ::1] coefficients,
                    double scale, float[:, ::1] out, float[::1] filtered, int level) -> None:
    """Filter one unit's window sums backwards and scale them: its electrical image.

    sums (tiles, window, TILE), states (tiles, 2 · sections, TILE; overwritten), out (window, channels), other memory;
    filtered (window · TILE) is scratch.
    """
    cdef Py_ssize_t tile, row, window = sums.shape[1], channels = out.shape[1]
    cdef int sections = <int>coefficients.shape[0]
    cdef size_t width
    cdef unsigned int mode
    with nogil:
        mode = eimage_flush_denormals()
        for tile in range(sums.shape[0]):
            eimage_backward(level, sections, &sums[tile, 0, 0], EIMAGE_TILE, &filtered[0], EIMAGE_TILE, window,
                            &coefficients[0, 0], &states[tile, 0, 0], scale)
            width = min(EIMAGE_TILE, channels - tile * EIMAGE_TILE) * sizeof(float)
            for row in range(window):
                memcpy(&out[row, tile * EIMAGE_TILE], &filtered[row * EIMAGE_TILE], width)
        eimage_restore_denormals(mode)
