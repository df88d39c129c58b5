# ext/kernels/passages.pyx — when something bright passes over each pixel of a part of a movie.
from libc.stdint cimport int32_t, uint8_t

ctypedef fused luminance:
    uint8_t
    float


def passages(
    const luminance[:, :, ::1] frames, double[:, ::1] scratch, float[:, :, ::1] state, int32_t[:, :, ::1] open_frames,
    int32_t[:, ::1] on, int32_t[:, ::1] off, int area
) -> None:
    """Write the frames in which each pixel becomes bright and dark again when the area about it is brightest.

    frames (frames, height, width). area: side of the square about a pixel, [place - area // 2, + area), what is outside
    the field being dark. A passage begins at the largest of the rises that follow one another while it is bright, each
    larger than half of the pixel's largest rise, and ends at the first frame that is darker than half way up it, or at
    the number of frames. Of a pixel's passages the one that is nearest to the frame in which its area is first
    brightest is written, of equally near ones that of the larger rise, then the first; -1 for a pixel that never
    brightens. scratch (height + 1, width): sums; state (3, height, width), open_frames (2, height, width): of the
    passage that is open. All are written from scratch.
    """
    cdef Py_ssize_t height = frames.shape[1], width = frames.shape[2], count = frames.shape[0]
    cdef float[:, ::1] largest = state[0], rise = state[1], level = state[2]
    cdef int32_t[:, ::1] peak = open_frames[0], begun = open_frames[1]
    cdef Py_ssize_t t, row, col
    with nogil:
        for row in range(height):
            for col in range(width):
                on[row, col] = off[row, col] = begun[row, col] = -1
                peak[row, col] = 0
                largest[row, col] = 0
                scratch[row, col] = 0
        for t in range(count):
            brightest_areas(frames, scratch, peak, t, area)
            if t:
                for row in range(height):
                    for col in range(width):
                        largest[row, col] = max(
                            largest[row, col], <float>frames[t, row, col] - <float>frames[t - 1, row, col]
                        )
        for row in range(height):
            for col in range(width):
                scratch[row, col] = 0  # the rise of the passage that is written
        for t in range(1, count):
            for row in range(height):
                for col in range(width):
                    follow(
                        frames[t, row, col], frames[t - 1, row, col], <int32_t>t, peak[row, col], largest[row, col],
                        &rise[row, col], &level[row, col], &begun[row, col], &on[row, col], &off[row, col],
                        &scratch[row, col],
                    )
        for row in range(height):
            for col in range(width):
                if begun[row, col] >= 0:
                    finish(
                        <int32_t>count, peak[row, col], rise[row, col], &begun[row, col], &on[row, col],
                        &off[row, col], &scratch[row, col],
                    )


cdef inline void follow(
    float value, float before, int32_t t, int32_t peak, float largest, float* rise, float* level, int32_t* begun,
    int32_t* on, int32_t* off, double* best
) noexcept nogil:
    """One frame of one pixel."""
    cdef float change = value - before
    if change > 0 and 2 * change > largest and (begun[0] < 0 or change > rise[0]):
        begun[0], rise[0], level[0] = t, change, value - change / 2
    elif begun[0] >= 0 and value < level[0]:
        finish(t, peak, rise[0], begun, on, off, best)


cdef inline void finish(
    int32_t end, int32_t peak, float rise, int32_t* begun, int32_t* on, int32_t* off, double* best
) noexcept nogil:
    """The end of a passage: it is written if it is nearer to the peak than the one that is."""
    cdef int32_t gap = distance(begun[0], end, peak), other = distance(on[0], off[0], peak)
    if on[0] < 0 or gap < other or (gap == other and rise > best[0]):
        on[0], off[0], best[0] = begun[0], end, rise
    begun[0] = -1


cdef inline int32_t distance(int32_t on, int32_t off, int32_t frame) noexcept nogil:
    """Frames from a passage [on, off) to a frame; 0 within it."""
    return on - frame if frame < on else (frame - off + 1 if frame >= off else 0)


cdef void brightest_areas(
    const luminance[:, :, ::1] frames, double[:, ::1] scratch, int32_t[:, ::1] peak, Py_ssize_t t, Py_ssize_t area
) noexcept nogil:
    """Note the frame where the sum over the area about a pixel is larger than in all before it.

    scratch: (height, width) the largest sums until then, and in its last row the sums along columns.
    """
    cdef Py_ssize_t height = frames.shape[1], width = frames.shape[2], row, col, added, lit = 0
    cdef Py_ssize_t before = area // 2, after = area - area // 2
    cdef double total
    for col in range(width):
        scratch[height, col] = 0
    for added in range(after - 1):  # rows that are in the area about the first row already
        if added < height:
            lit += change_sums(frames, scratch, t, added, 1)
    for row in range(height):
        if row + after - 1 < height:
            lit += change_sums(frames, scratch, t, row + after - 1, 1)
        if row - before - 1 >= 0:
            lit -= change_sums(frames, scratch, t, row - before - 1, -1)
        if not lit:
            continue
        total = 0
        for col in range(min(after - 1, width)):
            total += scratch[height, col]
        for col in range(width):
            if col + after - 1 < width:
                total += scratch[height, col + after - 1]
            if col - before - 1 >= 0:
                total -= scratch[height, col - before - 1]
            if total > scratch[row, col]:
                scratch[row, col] = total
                peak[row, col] = <int32_t>t


cdef Py_ssize_t change_sums(
    const luminance[:, :, ::1] frames, double[:, ::1] scratch, Py_ssize_t t, Py_ssize_t row, double sign
) noexcept nogil:
    """Add or take away one row of a frame in the sums along columns; whether it is not all dark."""
    cdef Py_ssize_t height = frames.shape[1], col
    cdef Py_ssize_t lit = 0
    for col in range(frames.shape[2]):
        scratch[height, col] += sign * frames[t, row, col]
        lit |= frames[t, row, col] != 0
    return lit
