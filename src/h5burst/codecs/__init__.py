"""Filters of chunks: what each does to bytes, and the pipeline that they make."""

from h5burst.codecs.pipeline import (
    CODECS,
    DEFLATE,
    FLETCHER32,
    SHUFFLE,
    ChunkError,
    Filter,
    can_decode,
    decode,
    encode,
    filters_for,
    is_threaded,
    precedent_of,
    register,
)

__all__ = [
    "CODECS",
    "DEFLATE",
    "FLETCHER32",
    "SHUFFLE",
    "ChunkError",
    "Filter",
    "can_decode",
    "decode",
    "encode",
    "filters_for",
    "is_threaded",
    "precedent_of",
    "register",
]
