# ext/shuffle.pyx — HDF5's byte shuffle and its inverse.
from libc.stdint cimport uint8_t


def shuffle(const uint8_t[::1] source, Py_ssize_t itemsize, uint8_t[::1] out) -> None:
    """Write byte k of every element one after another, k = 0 … itemsize - 1; a remainder stays at the end."""
    cdef Py_ssize_t count = source.shape[0] // itemsize, i, k
    with nogil:
        for k in range(itemsize):
            for i in range(count):
                out[k * count + i] = source[i * itemsize + k]
        for i in range(count * itemsize, source.shape[0]):
            out[i] = source[i]
