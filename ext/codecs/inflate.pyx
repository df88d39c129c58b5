# ext/codecs/inflate.pyx — zlib streams undone into buffers, one or two at once.
from libc.stdint cimport uint8_t

cdef extern from "inflate.h" nogil:
    ctypedef struct inflate_tables:
        pass
    ctypedef struct inflate_stream:
        uint8_t *out
        uint8_t *out_start
        int state
    int STREAM_ENDED, CUT_SHORT, NOT_ZLIB, NO_SUCH_BLOCK, NO_SUCH_CODE, TOO_FAR_BACK, TOO_LONG, WRONG_CHECKSUM
    void prepare_patterns()
    void begin_stream(inflate_stream *, const uint8_t *, size_t, uint8_t *, size_t, inflate_tables *)
    void inflate_streams(inflate_stream *, inflate_stream *, int)

prepare_patterns()

_WHAT = {
    CUT_SHORT: "it is cut short",
    NOT_ZLIB: "it is not a zlib stream",
    NO_SUCH_BLOCK: "a block is of no known kind",
    NO_SUCH_CODE: "a code is not valid",
    TOO_FAR_BACK: "it refers to bytes before its beginning",
    TOO_LONG: "it is longer than it should be",
    WRONG_CHECKSUM: "its checksum is wrong",
}


cdef result_of(const inflate_stream *stream):
    if stream.state == STREAM_ENDED:
        return stream.out - stream.out_start
    return _WHAT[stream.state]


def inflate(const uint8_t[::1] data, uint8_t[::1] out, int level) -> int | str:
    """Decode a zlib stream: the number of bytes of `out` it became, or what is wrong with it.

    level: of `h5burst.runtime.simd`.
    """
    cdef uint8_t nothing = 0
    cdef const uint8_t *source = &data[0] if data.shape[0] else &nothing
    cdef uint8_t *target = &out[0] if out.shape[0] else &nothing
    cdef inflate_stream stream
    cdef inflate_tables tables
    with nogil:
        begin_stream(&stream, source, data.shape[0], target, out.shape[0], &tables)
        inflate_streams(&stream, NULL, level)
    return result_of(&stream)


def inflate_both(
    const uint8_t[::1] first, uint8_t[::1] first_out, const uint8_t[::1] second, uint8_t[::1] second_out, int level
) -> tuple[int | str, int | str]:
    """As `inflate`, for two streams at once, which takes less time than one after the other."""
    cdef uint8_t nothing = 0
    cdef const uint8_t *sources[2]
    cdef uint8_t *targets[2]
    cdef inflate_stream streams[2]
    cdef inflate_tables tables[2]
    sources[0] = &first[0] if first.shape[0] else &nothing
    sources[1] = &second[0] if second.shape[0] else &nothing
    targets[0] = &first_out[0] if first_out.shape[0] else &nothing
    targets[1] = &second_out[0] if second_out.shape[0] else &nothing
    with nogil:
        begin_stream(&streams[0], sources[0], first.shape[0], targets[0], first_out.shape[0], &tables[0])
        begin_stream(&streams[1], sources[1], second.shape[0], targets[1], second_out.shape[0], &tables[1])
        inflate_streams(&streams[0], &streams[1], level)
    return result_of(&streams[0]), result_of(&streams[1])
