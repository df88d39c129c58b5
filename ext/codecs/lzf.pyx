# ext/codecs/lzf.pyx — the LZF codec, as h5py's filter of that name writes and reads it.
from libc.stdint cimport uint8_t

cdef extern from "lzf.h" nogil:
    size_t lzf_encode(const uint8_t *data, size_t size, uint8_t *out, size_t room)
    bint lzf_decode(const uint8_t *packed, size_t packed_size, uint8_t *out, size_t size)


def encode(const uint8_t[::1] data, uint8_t[::1] out) -> int:
    """Compress `data` into `out`; returns how many bytes were written, 0 where they do not fit."""
    cdef size_t written = 0
    if data.shape[0] and out.shape[0]:
        with nogil:
            written = lzf_encode(&data[0], data.shape[0], &out[0], out.shape[0])
    return written


def decode(const uint8_t[::1] packed, uint8_t[::1] out) -> bool:
    """Decode into `out`; False where `packed` does not hold exactly as many bytes as it has room for."""
    cdef bint whole = False
    if packed.shape[0] and out.shape[0]:
        with nogil:
            whole = lzf_decode(&packed[0], packed.shape[0], &out[0], out.shape[0])
    return whole
