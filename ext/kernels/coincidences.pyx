# ext/kernels/coincidences.pyx — which times of one train are near times of another, and how far apart they are.
#
# Times are int64 and ascend within a train; equal neighbours are two spikes.
from libc.stdint cimport int32_t, int64_t, uint32_t


def fill_cells(const int64_t[::1] train, int64_t dt, int64_t start, uint32_t[:, ::1] cells) -> None:
    """Write, for each cell of 2 dt + 1 samples, the part of it that is not within dt of a time: (first, length).

    Every interval [t - dt, t + dt] is as long as a cell, so at most one ends in a cell and one begins in it, and what
    is between them is one gap. Cell 0 begins 2 dt + 1 before `start`; no time is before `start`, or behind the last
    cell but one.
    """
    cdef Py_ssize_t k, cell
    cdef int64_t width = 2 * dt + 1, place, origin = start - width
    cdef uint32_t rest, behind
    with nogil:
        for cell in range(cells.shape[0]):
            cells[cell, 0] = 0
            cells[cell, 1] = <uint32_t>width
        for k in range(train.shape[0]):
            place = train[k] - dt - origin
            cell = <Py_ssize_t>(place // width)
            rest = <uint32_t>(place % width)  # the interval covers [rest, width) of its cell, and [0, rest) of the next
            behind = cells[cell, 0] + cells[cell, 1]
            if rest < behind:
                cells[cell, 1] = rest - cells[cell, 0] if rest > cells[cell, 0] else 0
            if rest > cells[cell + 1, 0]:  # earlier times have left nothing but the beginning of that cell
                cells[cell + 1, 1] -= rest - cells[cell + 1, 0]
                cells[cell + 1, 0] = rest


def split_times(const int64_t[::1] times, int64_t width, int64_t start, uint32_t[::1] cell, uint32_t[::1] rest) -> None:
    """Write the cell that each time is in, as `fill_cells` counts them, and its place in the cell."""
    cdef Py_ssize_t k
    cdef int64_t place
    with nogil:
        for k in range(times.shape[0]):
            place = times[k] - start + width
            cell[k] = <uint32_t>(place // width)
            rest[k] = <uint32_t>(place % width)


def near_by_cells(
    const uint32_t[::1] cell, const uint32_t[::1] rest, const int64_t[::1] offsets, const uint32_t[:, :, ::1] tables,
    int64_t[:, ::1] out,
) -> None:
    """Write how many times of each train are near those of each train that a table is of.

    cell, rest: as `split_times` writes them; offsets (trains + 1,); tables (tables, cells, 2); out (tables, trains).
    """
    cdef Py_ssize_t train, table, k
    cdef int64_t count
    cdef const uint32_t *gaps
    with nogil:
        for train in range(out.shape[1]):
            for table in range(out.shape[0]):
                gaps = &tables[table, 0, 0]
                count = 0
                for k in range(offsets[train], offsets[train + 1]):
                    count += rest[k] - gaps[2 * cell[k]] >= gaps[2 * cell[k] + 1]
                out[table, train] = count


def near_by_merging(
    const int64_t[::1] times, const int64_t[::1] offsets, const int64_t[::1] other, int64_t dt, int64_t[::1] out
) -> None:
    """Write how many times of each train are within dt of one of `other`. out (trains,)."""
    cdef Py_ssize_t train, k, place
    cdef int64_t count
    with nogil:
        for train in range(out.shape[0]):
            count = 0
            place = 0
            for k in range(offsets[train], offsets[train + 1]):
                while place < other.shape[0] and other[place] < times[k] - dt:
                    place += 1
                count += place < other.shape[0] and other[place] <= times[k] + dt
            out[train] = count


def lags_to_all(
    const int64_t[::1] times, const int32_t[::1] owners, const int64_t[::1] train, int64_t low,
    const int32_t[::1] bin_of, int64_t[:, ::1] out,
) -> None:
    """Add to out (trains, bins), for each time of `train`, how long after it the times of all trains are.

    times, owners (n,): all trains merged, ascending, and whose each is. bin_of: the bin of the lags low, low + 1, …
    """
    cdef Py_ssize_t k, at, first = 0
    cdef int64_t begin, lag, lags = bin_of.shape[0]
    with nogil:
        for k in range(train.shape[0]):
            begin = train[k] + low
            while first < times.shape[0] and times[first] < begin:
                first += 1
            at = first
            while at < times.shape[0]:
                lag = times[at] - begin
                if lag >= lags:
                    break
                out[owners[at], bin_of[lag]] += 1
                at += 1


def lags_of_pair(
    const int64_t[::1] train, const int64_t[::1] other, int64_t low, const int32_t[::1] bin_of, int64_t[::1] out
) -> None:
    """Add to out (bins,), for each time of `train`, how long after it the times of `other` are; as `lags_to_all`."""
    cdef Py_ssize_t k, at, first = 0
    cdef int64_t begin, lag, lags = bin_of.shape[0]
    with nogil:
        for k in range(train.shape[0]):
            begin = train[k] + low
            while first < other.shape[0] and other[first] < begin:
                first += 1
            at = first
            while at < other.shape[0]:
                lag = other[at] - begin
                if lag >= lags:
                    break
                out[bin_of[lag]] += 1
                at += 1
