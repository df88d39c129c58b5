# ext/csr.pyx — dense matrices to CSR (compressed sparse rows), whole or a stretch of it, and back.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "csr.h" nogil:
    void csr_count_u8(int, const uint8_t *, Py_ssize_t, Py_ssize_t, int64_t, int64_t, uint64_t, int64_t *)
    void csr_count_u16(int, const uint16_t *, Py_ssize_t, Py_ssize_t, int64_t, int64_t, uint64_t, int64_t *)
    void csr_count_u32(int, const uint32_t *, Py_ssize_t, Py_ssize_t, int64_t, int64_t, uint64_t, int64_t *)
    void csr_count_u64(int, const uint64_t *, Py_ssize_t, Py_ssize_t, int64_t, int64_t, uint64_t, int64_t *)
    void csr_count_ld(int, const long double *, Py_ssize_t, Py_ssize_t, int64_t, int64_t, uint64_t, int64_t *)
    void csr_encode_u8(int, const uint8_t *, Py_ssize_t, Py_ssize_t, int64_t, int64_t, uint64_t, const int64_t *,
                       int64_t, int64_t, uint8_t *, int32_t *, int64_t *)
    void csr_encode_u16(int, const uint16_t *, Py_ssize_t, Py_ssize_t, int64_t, int64_t, uint64_t, const int64_t *,
                        int64_t, int64_t, uint16_t *, int32_t *, int64_t *)
    void csr_encode_u32(int, const uint32_t *, Py_ssize_t, Py_ssize_t, int64_t, int64_t, uint64_t, const int64_t *,
                        int64_t, int64_t, uint32_t *, int32_t *, int64_t *)
    void csr_encode_u64(int, const uint64_t *, Py_ssize_t, Py_ssize_t, int64_t, int64_t, uint64_t, const int64_t *,
                        int64_t, int64_t, uint64_t *, int32_t *, int64_t *)
    void csr_encode_ld(int, const long double *, Py_ssize_t, Py_ssize_t, int64_t, int64_t, uint64_t, const int64_t *,
                       int64_t, int64_t, long double *, int32_t *, int64_t *)

ctypedef fused element:  # bits of integers and floats, by size; long double by value
    uint8_t
    uint16_t
    uint32_t
    uint64_t
    long double

ctypedef fused number:
    uint8_t
    uint16_t
    uint32_t
    uint64_t
    float
    double
    long double

ctypedef fused index:
    int32_t
    int64_t


def count(const element[:, :] dense, uint64_t mask, int64_t[::1] counts, int level) -> None:
    """Write the number of nonzeros of each row: of elements with a bit of `mask` set.

    dense (rows, columns), any strides, aligned; counts (rows,).
    """
    cdef Py_ssize_t rows = dense.shape[0], columns = dense.shape[1]
    if rows == 0 or columns == 0:
        counts[:] = 0
        return
    cdef const element *x = &dense[0, 0]
    cdef int64_t *out = &counts[0]
    with nogil:
        if element is uint8_t:
            csr_count_u8(level, x, dense.strides[0], dense.strides[1], rows, columns, mask, out)
        elif element is uint16_t:
            csr_count_u16(level, x, dense.strides[0], dense.strides[1], rows, columns, mask, out)
        elif element is uint32_t:
            csr_count_u32(level, x, dense.strides[0], dense.strides[1], rows, columns, mask, out)
        elif element is uint64_t:
            csr_count_u64(level, x, dense.strides[0], dense.strides[1], rows, columns, mask, out)
        else:
            csr_count_ld(level, x, dense.strides[0], dense.strides[1], rows, columns, mask, out)


def encode(
    const element[:, :] dense, uint64_t mask, const int64_t[::1] pointers, int64_t start,
    element[::1] data, int32_t[::1] narrow, int64_t[::1] wide, int level
) -> None:
    """Write entries from `start` on of the CSR matrix whose rows these are.

    pointers (rows + 1,) row pointers, in the same counting as `start`. data, narrow, wide: values and columns (32 or
    64 bits); each is either empty, and left out, or as long as the entries that are wanted.
    """
    cdef Py_ssize_t rows = dense.shape[0], columns = dense.shape[1]
    cdef int64_t stop = start + max(data.shape[0], narrow.shape[0], wide.shape[0])
    if stop == start or rows == 0 or columns == 0:
        return
    cdef const element *x = &dense[0, 0]
    cdef const int64_t *p = &pointers[0]
    cdef element *d = &data[0] if data.shape[0] else NULL
    cdef int32_t *n = &narrow[0] if narrow.shape[0] else NULL
    cdef int64_t *w = &wide[0] if wide.shape[0] else NULL
    with nogil:
        if element is uint8_t:
            csr_encode_u8(level, x, dense.strides[0], dense.strides[1], rows, columns, mask, p, start, stop, d, n, w)
        elif element is uint16_t:
            csr_encode_u16(level, x, dense.strides[0], dense.strides[1], rows, columns, mask, p, start, stop, d, n, w)
        elif element is uint32_t:
            csr_encode_u32(level, x, dense.strides[0], dense.strides[1], rows, columns, mask, p, start, stop, d, n, w)
        elif element is uint64_t:
            csr_encode_u64(level, x, dense.strides[0], dense.strides[1], rows, columns, mask, p, start, stop, d, n, w)
        else:
            csr_encode_ld(level, x, dense.strides[0], dense.strides[1], rows, columns, mask, p, start, stop, d, n, w)


def column_range(const index[::1] indices) -> tuple[int, int]:
    """The smallest and the largest index; (0, -1) of none."""
    cdef Py_ssize_t k
    cdef index low = 0, high = -1
    with nogil:
        if indices.shape[0]:
            low = high = indices[0]
        for k in range(indices.shape[0]):
            low = min(low, indices[k])
            high = max(high, indices[k])
    return low, high


def repeats(const index[::1] indices, const int64_t[::1] pointers) -> bool:
    """Whether a row's columns are anywhere not strictly ascending: then one may come twice."""
    cdef Py_ssize_t row, k
    cdef bint found = False
    with nogil:
        for row in range(pointers.shape[0] - 1):
            for k in range(pointers[row] + 1, pointers[row + 1]):
                found |= indices[k - 1] >= indices[k]
    return found


def decode(
    const number[::1] data, const index[::1] indices, const int64_t[::1] pointers, bint logical, number[:, ::1] out
) -> None:
    """Add the entries to the dense rows, which hold zeros; or join them by "or" if `logical`.

    pointers (rows + 1,) into data and indices, ascending and in range; indices in range; out (rows, columns).
    """
    cdef Py_ssize_t row, k
    cdef number *target
    with nogil:
        for row in range(out.shape[0]):
            if pointers[row] == pointers[row + 1]:
                continue
            target = &out[row, 0]
            if logical:
                for k in range(pointers[row], pointers[row + 1]):
                    target[indices[k]] = target[indices[k]] or data[k]
            else:
                for k in range(pointers[row], pointers[row + 1]):
                    target[indices[k]] += data[k]
