# ext/huffman.pyx — deflate blocks of literals alone, for data in which matches do not pay.
from libc.stdint cimport uint8_t

cdef extern from "huffman.h" nogil:
    size_t literal_blocks_bound(size_t size)
    size_t literal_blocks(const uint8_t *data, size_t size, uint8_t *out)
    void match_gain(const uint8_t *data, size_t size, double *literal_bytes, double *saved_bytes)


def bound(size_t size) -> int:
    """Bytes of room that `encode` needs for `size` bytes."""
    return literal_blocks_bound(size)


def encode(const uint8_t[::1] data, uint8_t[::1] out) -> int:
    """Write deflate blocks that hold `data` as literals; returns how many bytes of `out` were written.

    None is the last block of its stream, and they end at a byte: any further blocks may follow.
    """
    cdef size_t written = 0
    if data.shape[0]:
        with nogil:
            written = literal_blocks(&data[0], data.shape[0], &out[0])
    return written


def gain(const uint8_t[::1] data) -> tuple[float, float]:
    """Bytes that a Huffman code of literals takes, and how many of them matches would save: estimates on a sample."""
    cdef double literal_bytes = 0, saved_bytes = 0
    if data.shape[0]:
        with nogil:
            match_gain(&data[0], data.shape[0], &literal_bytes, &saved_bytes)
    return literal_bytes, saved_bytes
