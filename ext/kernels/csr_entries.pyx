# ext/kernels/csr_entries.pyx — of the entries of a CSR matrix, those of some columns.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

ctypedef fused index_t:
    int32_t
    int64_t
    uint32_t
    uint64_t

ctypedef fused place_t:
    uint16_t
    uint32_t

ctypedef fused value_t:
    uint8_t
    uint16_t
    uint32_t
    uint64_t


def choose(
    const index_t[::1] columns, const int32_t[::1] places, const int64_t[::1] edges, int64_t[::1] counts,
    uint8_t[::1] is_left, place_t[::1] placed,
) -> int:
    """Find the entries that are left, by the place of each column: below 0, it is left out.

    edges: where each row begins among `columns`, and where the last ends. counts (rows), is_left (entries), and placed
    (entries) are written: how many entries of each row are left, which, and from the front the places of their columns.
    Returns how many; -1 for a column that `places` does not have.
    """
    cdef Py_ssize_t row, entry, left = 0, before
    cdef uint64_t width = places.shape[0], column
    cdef int32_t place
    with nogil:
        for row in range(counts.shape[0]):
            before = left
            for entry in range(edges[row], edges[row + 1]):
                column = <uint64_t>columns[entry]
                if column >= width:
                    with gil:
                        return -1
                place = places[column]
                placed[left] = <place_t>place
                is_left[entry] = place >= 0
                left += place >= 0
            counts[row] = left - before
    return left


def compress(const value_t[::1] values, const uint8_t[::1] is_left, value_t[::1] out) -> int:
    """Write the values that are left, one after the other; returns how many. out: as long as `values`."""
    cdef Py_ssize_t entry, left = 0
    with nogil:
        for entry in range(values.shape[0]):
            out[left] = values[entry]
            left += is_left[entry]
    return left
