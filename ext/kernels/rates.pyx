# ext/kernels/rates.pyx — binned rates of trains of times, and the frame that is shown at a time.
from libc.stdint cimport int64_t, uint64_t

ctypedef fused integer:
    int64_t
    uint64_t

ctypedef fused frame_time:
    int64_t
    uint64_t

ctypedef fused time:
    int64_t
    uint64_t
    double


def binned(
    const time[::1] times, const int64_t[::1] offsets, double width, double factor, int64_t[::1] counts,
    float[:, ::1] out
) -> None:
    """Write how many of each train's times are in each bin, multiplied by `factor`.

    Bin b is [b * width, (b + 1) * width) in double precision, the last one closed at its end. offsets (trains + 1,);
    counts (bins,) scratch; out (trains, bins).
    """
    cdef Py_ssize_t train, k, bins = out.shape[1], place
    cdef double value, guess
    with nogil:
        for train in range(out.shape[0]):
            for place in range(bins):
                counts[place] = 0
            for k in range(offsets[train], offsets[train + 1]):
                value = <double>times[k]
                if not (value >= 0 and value <= bins * width):
                    continue
                guess = value / width
                place = <Py_ssize_t>guess if guess < bins else bins - 1
                # The quotient is rounded: the edges decide.
                while place > 0 and value < place * width:
                    place -= 1
                while place < bins - 1 and value >= (place + 1) * width:
                    place += 1
                counts[place] += 1
            for place in range(bins):
                out[train, place] = <float>(counts[place] * factor)


cdef inline bint at_or_before(frame_time frame, integer value) noexcept nogil:
    """frame <= value, whatever their signs."""
    if frame_time is int64_t and integer is uint64_t:
        return frame < 0 or <uint64_t>frame <= value
    elif frame_time is uint64_t and integer is int64_t:
        return value >= 0 and frame <= <uint64_t>value
    else:
        return frame <= value


def frame_at(const integer[::1] times, const frame_time[::1] starts, int64_t[::1] out) -> None:
    """Write the last frame that starts at or before each time, 0 if none does. starts (frames,) ascending, not empty.

    Neighbouring times are often near each other, so the search begins where the last one ended and widens from there.
    """
    cdef Py_ssize_t k, low, high, step, middle, frames = starts.shape[0]
    cdef Py_ssize_t last = 0
    with nogil:
        for k in range(times.shape[0]):
            # All frames before `low` start at or before the time, none from `high` on does.
            low, high, step = last, last, 1
            if at_or_before(starts[last], times[k]):
                while high < frames and at_or_before(starts[high], times[k]):
                    low = high + 1
                    high = high + step if high + step < frames else frames
                    step *= 2
            else:
                low = high - step if high > step else 0
                while low > 0 and not at_or_before(starts[low - 1], times[k]):
                    high = low - 1
                    step *= 2
                    low = high - step if high > step else 0
            while low < high:
                middle = low + (high - low) // 2
                if at_or_before(starts[middle], times[k]):
                    low = middle + 1
                else:
                    high = middle
            last = low - 1 if low > 0 else 0
            out[k] = last
