"""Datatype messages: what h5py makes of a dtype, as the bytes that lie in a file."""

from __future__ import annotations

import functools
from typing import Any

import h5py
import numpy as np

from h5burst._ext.h5emit import NotCovered

ENCODING_PREFIX = 2  # H5Tencode puts an object class and a version before the message
REFERENCE_BYTES = 16  # of a variable-length value in a file; in memory, and so in what H5Tencode says, it differs
MESSAGE_LIMIT = 32768  # leaves room for the rest of an attribute's message


def datatype_message(dtype: Any) -> bytes:
    """Body of the datatype message of a numpy dtype, or of variable-length text for `str` (UTF-8) and `bytes` (ASCII).

    Raises `NotCovered` for a dtype that h5py does not know, and for one whose elements do not lie in a file as they
    lie in memory.
    """
    if dtype is str or dtype is bytes:
        return _text_message("utf-8" if dtype is str else "ascii")
    if dtype.metadata is None and dtype.fields is None:
        return _simple_message(dtype)
    return _message(dtype)


def _text_message(encoding: str) -> bytes:
    message = bytearray(h5py.h5t.py_create(h5py.string_dtype(encoding), logical=True).encode()[ENCODING_PREFIX:])
    message[4:8] = REFERENCE_BYTES.to_bytes(4, "little")  # the size field
    return bytes(message)


def _message(dtype: np.dtype[Any]) -> bytes:
    text = h5py.check_string_dtype(dtype)
    if text is not None and text.length is None:
        return _text_message(text.encoding)
    if dtype.hasobject:
        raise NotCovered(f"a dtype with objects in it: {dtype}")
    try:
        datatype = h5py.h5t.py_create(dtype, logical=True)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise NotCovered(str(error)) from error
    if datatype.get_size() != dtype.itemsize or datatype.dtype != dtype:
        raise NotCovered(f"a dtype that HDF5 lays out differently: {dtype}")
    message = datatype.encode()[ENCODING_PREFIX:]
    if len(message) > MESSAGE_LIMIT:
        raise NotCovered("a dtype with a very long description")
    return bytes(message)


# Equal dtypes without metadata and fields are stored alike; with them, they may differ in what only h5py looks at.
_simple_message = functools.lru_cache(maxsize=1024)(_message)
