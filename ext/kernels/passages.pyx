# ext/kernels/passages.pyx — when something bright passes over each pixel of a part of a movie.
from libc.stdint cimport int32_t, uint8_t

ctypedef fused luminance:
    uint8_t
    float


def passages(
    const luminance[:, :, ::1] frames, float[:, ::1] level, float[:, ::1] rise, int32_t[:, ::1] on, int32_t[:, ::1] off
) -> None:
    """Write the frame of each pixel's largest rise, and the frame of the fall that follows it.

    frames (frames, height, width). on: the first frame that is brighter than the one before by as much as any; off: the
    first frame after it that is darker than half way up that rise, or the number of frames where none is; both -1 for
    a pixel that never brightens. level, rise (height, width) scratch. All are written from scratch.
    """
    cdef Py_ssize_t t, row, col, count = frames.shape[0]
    cdef float change, value
    with nogil:
        for row in range(frames.shape[1]):
            for col in range(frames.shape[2]):
                on[row, col] = off[row, col] = -1
                rise[row, col] = level[row, col] = 0
        for t in range(1, count):
            for row in range(frames.shape[1]):
                for col in range(frames.shape[2]):
                    value = <float>frames[t, row, col]
                    change = value - <float>frames[t - 1, row, col]
                    if change > rise[row, col]:
                        rise[row, col] = change
                        level[row, col] = value - change / 2
                        on[row, col] = <int32_t>t
                        off[row, col] = <int32_t>count
                    elif on[row, col] >= 0 and off[row, col] == count and value < level[row, col]:
                        off[row, col] = <int32_t>t
