# ext/codecs/huffman.pyx — deflate blocks of literals alone, or with the matches that arrays have.
from libc.stdint cimport uint8_t

cdef extern from "matches.h" nogil:
    size_t literal_blocks_bound(size_t size)
    size_t literal_blocks(const uint8_t *data, size_t size, uint8_t *out)
    size_t match_blocks(const uint8_t *data, size_t size, size_t stride, uint8_t *out)
    double matched_bytes(const uint8_t *data, size_t size, size_t stride)
    void match_gain(const uint8_t *data, size_t size, double *literal_bytes, double *saved_bytes)


def bound(size_t size) -> int:
    """Bytes of room that `encode` or `encode_matches` needs for `size` bytes."""
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


def encode_matches(const uint8_t[::1] data, size_t stride, uint8_t[::1] out) -> int:
    """As `encode`, with matches that begin at elements of `stride` bytes (at least 1)."""
    cdef size_t written = 0
    if data.shape[0]:
        with nogil:
            written = match_blocks(&data[0], data.shape[0], stride, &out[0])
    return written


def matched_size(const uint8_t[::1] data, size_t stride) -> float:
    """Bytes that `encode_matches` makes of a sample, without the description of its codes."""
    cdef double size = 0
    if data.shape[0]:
        with nogil:
            size = matched_bytes(&data[0], data.shape[0], stride)
    return size


def gain(const uint8_t[::1] data) -> tuple[float, float]:
    """Bytes that a Huffman code of literals takes, and how many of them matches would save: estimates on a sample."""
    cdef double literal_bytes = 0, saved_bytes = 0
    if data.shape[0]:
        with nogil:
            match_gain(&data[0], data.shape[0], &literal_bytes, &saved_bytes)
    return literal_bytes, saved_bytes
