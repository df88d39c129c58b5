"""Codecs of chunks, one class each.

The registry that knows them; and HDF5's filter pipeline, which they are part of.
"""

from h5burst.codecs.codec import DEFAULT_LEVELS, ChunkError, ChunkLayout, Codec, Filter
from h5burst.codecs.options import check_codec, storage_for
from h5burst.codecs.pipeline import (
    DEFLATE,
    FLETCHER32,
    SHUFFLE,
    can_decode,
    decode,
    decode_pair,
    encode,
    encoding_hint,
    filters_for,
    fitted,
    is_fitted,
    is_threaded,
    max_ratio,
    prepare_libhdf5,
)
from h5burst.codecs.registry import by_id, by_name, is_known, names, register

__all__ = [
    "DEFAULT_LEVELS",
    "DEFLATE",
    "FLETCHER32",
    "SHUFFLE",
    "ChunkError",
    "ChunkLayout",
    "Codec",
    "Filter",
    "by_id",
    "by_name",
    "can_decode",
    "check_codec",
    "decode",
    "decode_pair",
    "encode",
    "encoding_hint",
    "filters_for",
    "fitted",
    "is_fitted",
    "is_known",
    "is_threaded",
    "max_ratio",
    "names",
    "prepare_libhdf5",
    "register",
    "storage_for",
]
