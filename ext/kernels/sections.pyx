# ext/kernels/sections.pyx — trains of times × windows of time -> slices, and the union of each train's slices.
#
# Times are int64. A window [first, last] is inclusive, so int64's largest value can be in one; last < first: empty.
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy


cdef inline Py_ssize_t lower_bound(const int64_t *times, Py_ssize_t low, Py_ssize_t high, int64_t value) noexcept nogil:
    """The first place in [low, high) of ascending times whose time is not below `value`; high if there is none."""
    cdef Py_ssize_t middle
    while low < high:
        middle = low + (high - low) // 2
        if times[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline Py_ssize_t lower_bound_nearby(
    const int64_t *times, Py_ssize_t low, Py_ssize_t high, int64_t value
) noexcept nogil:
    """As `lower_bound`, in growing steps from `low`, because the place is thought to be near."""
    cdef Py_ssize_t step = 1
    while step <= high - low and times[low + step - 1] < value:
        low += step
        step *= 2
    return lower_bound(times, low, min(low + step, high), value)


cdef inline Py_ssize_t upper_bound(const int64_t *times, Py_ssize_t low, Py_ssize_t high, int64_t value) noexcept nogil:
    """The first place in [low, high) of ascending times whose time is above `value`; high if there is none."""
    cdef Py_ssize_t middle
    while low < high:
        middle = low + (high - low) // 2
        if times[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline const int64_t *start_of(const int64_t[::1] times) noexcept nogil:
    return &times[0] if times.shape[0] else NULL


def order(const int64_t[::1] times, const int64_t[::1] offsets, uint8_t[::1] out) -> None:
    """Write of each train: 0 if it descends anywhere, 1 if it ascends with equal neighbours, 2 if it ascends strictly.

    offsets (trains + 1,); out (trains,).
    """
    cdef const int64_t *t = start_of(times)
    cdef Py_ssize_t train, k
    cdef bint descends, has_ties
    with nogil:
        for train in range(out.shape[0]):
            if rises_from_zero(t + offsets[train], offsets[train + 1] - offsets[train]):
                out[train] = 2
                continue
            descends = has_ties = False
            for k in range(offsets[train] + 1, offsets[train + 1]):
                descends |= t[k - 1] > t[k]
                has_ties |= t[k - 1] == t[k]
            out[train] = 0 if descends else 1 if has_ties else 2


cdef inline bint rises_from_zero(const int64_t *times, Py_ssize_t count) noexcept nogil:
    """Whether times are not negative and ascend strictly: by signs of differences, which vector instructions have."""
    cdef int64_t signs = 0, differences = -1
    cdef Py_ssize_t k
    if count > 0:
        signs = times[0]
    for k in range(1, count):
        signs |= times[k]
        differences &= <int64_t>(<uint64_t>times[k - 1] - <uint64_t>times[k])
    return signs >= 0 and differences < 0


def slices(
    const int64_t[::1] times, const int64_t[::1] offsets, const int64_t[:, ::1] windows, int64_t[:, :, ::1] out
) -> None:
    """Write the half-open slice of each ascending train that descends in each window.

    offsets (trains + 1,); windows (n, 2); out (trains, n, 2) places in `times`.
    """
    cdef const int64_t *t = start_of(times)
    cdef Py_ssize_t train, window, end, place
    with nogil:
        for train in range(out.shape[0]):
            end = offsets[train + 1]
            for window in range(windows.shape[0]):
                if window and windows[window - 1, 1] < windows[window, 0]:  # most follow each other closely
                    place = lower_bound_nearby(t, out[train, window - 1, 1], end, windows[window, 0])
                else:
                    place = lower_bound(t, offsets[train], end, windows[window, 0])
                out[train, window, 0] = place
                out[train, window, 1] = upper_bound(t, place, end, windows[window, 1])


def count_within(const int64_t[::1] train, const int64_t[:, ::1] windows, int64_t[::1] out) -> None:
    """Write how many of a train's times, in any order, fall in each window."""
    cdef Py_ssize_t window, k
    cdef int64_t count
    with nogil:
        for window in range(windows.shape[0]):
            count = 0
            for k in range(train.shape[0]):
                count += windows[window, 0] <= train[k] and train[k] <= windows[window, 1]
            out[window] = count


def take_within(const int64_t[::1] train, const int64_t[:, ::1] windows, int64_t[::1] out) -> None:
    """Write a train's times that fall in each window, in the order in which they stand, window after window."""
    cdef Py_ssize_t window, k, place = 0
    with nogil:
        for window in range(windows.shape[0]):
            for k in range(train.shape[0]):
                if windows[window, 0] <= train[k] and train[k] <= windows[window, 1]:
                    out[place] = train[k]
                    place += 1


def count_union(const int64_t[::1] times, const int64_t[:, :, ::1] slices, int64_t[::1] out) -> None:
    """Write how many different times are in each ascending train's slices, which ascend and are apart.

    slices (trains, n, 2), as `slices` makes them; out (trains,).
    """
    cdef const int64_t *t = start_of(times)
    cdef Py_ssize_t train, window, k, first, last
    cdef int64_t count
    with nogil:
        for train in range(out.shape[0]):
            count = 0
            for window in range(slices.shape[1]):
                first, last = slices[train, window, 0], slices[train, window, 1]
                count += first < last
                for k in range(first + 1, last):
                    count += t[k - 1] != t[k]
            out[train] = count


def take_union(
    const int64_t[::1] times, const int64_t[:, :, ::1] slices, bint without_repeats, int64_t[::1] out
) -> None:
    """Write the different times in each ascending train's slices, ascending, train after train.

    slices: as for `count_union`; without_repeats: no train has equal neighbours; out as long as all that is taken.
    """
    cdef const int64_t *t = start_of(times)
    cdef Py_ssize_t train, window, k, first, last, place = 0
    with nogil:
        for train in range(slices.shape[0]):
            for window in range(slices.shape[1]):
                first, last = slices[train, window, 0], slices[train, window, 1]
                if without_repeats:
                    if first < last:
                        memcpy(&out[place], t + first, <size_t>(last - first) * sizeof(int64_t))
                        place += last - first
                    continue
                for k in range(first, last):
                    if k == first or t[k - 1] != t[k]:
                        out[place] = t[k]
                        place += 1
