# ext/shuffle.pyx — HDF5's byte shuffle, its inverse, and HDF5's fletcher32 checksum.
from libc.stdint cimport uint8_t, uint32_t


def shuffle(const uint8_t[::1] source, Py_ssize_t itemsize, uint8_t[::1] out) -> None:
    """Write byte k of every element one after another, k = 0 … itemsize - 1; a remainder stays at the end."""
    cdef Py_ssize_t count = source.shape[0] // itemsize, i, k
    with nogil:
        for k in range(itemsize):
            for i in range(count):
                out[k * count + i] = source[i * itemsize + k]
        for i in range(count * itemsize, source.shape[0]):
            out[i] = source[i]


def unshuffle(const uint8_t[::1] source, Py_ssize_t itemsize, uint8_t[::1] out) -> None:
    """Undo `shuffle`."""
    cdef Py_ssize_t count = source.shape[0] // itemsize, i, k
    with nogil:
        for k in range(itemsize):
            for i in range(count):
                out[i * itemsize + k] = source[k * count + i]
        for i in range(count * itemsize, source.shape[0]):
            out[i] = source[i]


def fletcher32(const uint8_t[::1] data) -> int:
    """HDF5's checksum of chunk payloads: fletcher32 over big-endian 16-bit words, an odd byte as the high one."""
    cdef uint32_t low = 0, high = 0
    cdef Py_ssize_t i, n = data.shape[0]
    with nogil:
        for i in range(0, n - 1, 2):
            low += (<uint32_t>data[i] << 8) | data[i + 1]
            low = (low & 0xFFFF) + (low >> 16)
            high += low
            high = (high & 0xFFFF) + (high >> 16)
        if n & 1:
            low += <uint32_t>data[n - 1] << 8
            low = (low & 0xFFFF) + (low >> 16)
            high += low
            high = (high & 0xFFFF) + (high >> 16)
    return (high << 16) | low
