# ext/codecs/shuffle.pyx — HDF5's byte shuffle, its inverse, and HDF5's fletcher32 checksum.
from libc.stdint cimport uint8_t, uint32_t

cdef extern from "shuffle.h" nogil:
    void shuffle_bytes(const uint8_t *source, size_t size, size_t itemsize, uint8_t *out)
    void unshuffle_bytes(const uint8_t *source, size_t size, size_t itemsize, uint8_t *out)
    uint32_t fletcher32_bytes(const uint8_t *data, size_t size)


def shuffle(const uint8_t[::1] source, size_t itemsize, uint8_t[::1] out) -> None:
    """Write byte k of every element one after another, k = 0 … itemsize - 1; a remainder stays at the end.

    `out` is as long as `source`, and other memory; itemsize at least 1.
    """
    if source.shape[0]:
        with nogil:
            shuffle_bytes(&source[0], source.shape[0], itemsize, &out[0])


def unshuffle(const uint8_t[::1] source, size_t itemsize, uint8_t[::1] out) -> None:
    """Undo `shuffle`."""
    if source.shape[0]:
        with nogil:
            unshuffle_bytes(&source[0], source.shape[0], itemsize, &out[0])


def fletcher32(const uint8_t[::1] data) -> int:
    """HDF5's checksum of chunk payloads: fletcher32 over big-endian 16-bit words, an odd byte as the high one."""
    cdef uint32_t value = 0
    if data.shape[0]:
        with nogil:
            value = fletcher32_bytes(&data[0], data.shape[0])
    return value
