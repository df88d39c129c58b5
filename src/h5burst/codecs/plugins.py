"""The filters beside gzip: blosc and zstd as hdf5plugin brings them, and lzf, which is h5py's.

hdf5plugin's filters are plain C functions in small shared libraries. Called directly they run in threads, which they
cannot behind libhdf5's lock; where that does not work, a file in memory lets libhdf5 do it, one chunk at a time. The one
of h5py cannot be called from outside, but LZF is a simple format: `ext/lzf.h`.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t
from h5py._objects import phil

from h5burst._ext import lzf
from h5burst.runtime.buffers import Bytes, scratch

LZF, BLOSC, ZSTD = 32000, 32001, 32015
_LIBRARIES = {BLOSC: "libh5blosc.so", ZSTD: "libh5zstd.so"}
_REVERSE = 0x0100  # H5Z_FLAG_REVERSE

_Function = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.c_uint,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_uint),
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_size_t),
    ctypes.POINTER(ctypes.c_void_p),
)


class _Class(ctypes.Structure):
    """H5Z_class2_t"""

    _fields_ = (
        ("version", ctypes.c_int),
        ("id", ctypes.c_int),
        ("encoder_present", ctypes.c_uint),
        ("decoder_present", ctypes.c_uint),
        ("name", ctypes.c_char_p),
        ("can_apply", ctypes.c_void_p),
        ("set_local", ctypes.c_void_p),
        ("filter", _Function),
    )


def register() -> None:
    """Let libhdf5 find hdf5plugin's filters."""
    importlib.import_module("hdf5plugin")


def is_direct(filter_id: int) -> bool:
    """Whether the filter can be called without libhdf5, from any thread."""
    return filter_id == LZF or _function(filter_id) is not None


@functools.cache
def _function(filter_id: int) -> Callable[..., int] | None:
    name = _LIBRARIES.get(filter_id)
    if name is None or os.name == "nt":  # another C runtime there may own the buffers
        return None
    path = Path(importlib.import_module("hdf5plugin").PLUGIN_PATH) / name
    try:
        describe = ctypes.CDLL(os.fspath(path)).H5PLget_plugin_info
    except (OSError, AttributeError):
        return None
    describe.restype = ctypes.POINTER(_Class)
    found = describe().contents
    return found.filter if found.version == 1 and found.id == filter_id else None


@functools.cache
def _runtime() -> ctypes.CDLL:
    """The C library, whose heap the filters and we share."""
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]
    return library


def compress(filter_id: int, values: tuple[int, ...], data: Bytes, itemsize: int) -> bytes | None:
    """What the filter makes of a chunk, None when it cannot make it smaller."""
    if filter_id == LZF:
        room = scratch("lzf", max(0, data.size - 1))
        return room[: lzf.encode(data, room)].tobytes() or None
    function = _function(filter_id)
    if function is None:
        return _compress_in_memory_file(filter_id, values, data, itemsize)
    return _call(function, 0, values, data, data.size - 1)


def decompress(filter_id: int, values: tuple[int, ...], data: Bytes, size: int) -> bytes | Bytes:
    """The `size` bytes behind what a direct filter made. Raises ValueError for damaged data."""
    if filter_id == LZF:
        unpacked = np.empty(size, np.uint8)
        if not lzf.decode(data, unpacked):
            raise ValueError(f"it does not hold {size} bytes")
        return unpacked
    function = _function(filter_id)
    if function is None:
        raise LookupError(f"filter {filter_id} can only be called by libhdf5")
    # The filters believe what the data say of their own length; so that is looked at before.
    claimed = _blosc_length(data) if filter_id == BLOSC else _zstd_length(data)
    whole = _call(function, _REVERSE, values, data, size) if claimed == size else None
    if whole is None or len(whole) != size:
        raise ValueError(f"it does not hold {size} bytes")
    return whole


def _blosc_length(data: Bytes) -> int:
    """Bytes that a blosc buffer says it holds; -1 where it is not as long as it says it is itself."""
    head = data[:16].tobytes()
    return int.from_bytes(head[4:8], "little") if data.size == int.from_bytes(head[12:16], "little") >= 16 else -1


def _zstd_length(data: Bytes) -> int:
    """Bytes that a zstd frame (RFC 8878, 3.1.1.1) says it holds; -1 where it does not say."""
    head = data[:18].tobytes()
    if data.size < 9 or head[:4] != b"\x28\xb5\x2f\xfd":
        return -1
    is_single_segment, code = head[4] >> 5 & 1, head[4] >> 6
    width = (is_single_segment, 2, 4, 8)[code]
    start = 5 + (1 - is_single_segment) + (0, 1, 2, 4)[head[4] & 3]
    return int.from_bytes(head[start : start + width], "little") + (256 if code == 1 else 0) if width else -1


def _call(function: Callable[..., int], flags: int, values: tuple[int, ...], data: Bytes, most: int) -> bytes | None:
    """What a filter returns, None where it fails (some then return an error as a size) or gives more than `most`."""
    runtime = _runtime()
    room = ctypes.c_size_t(data.size)
    buffer = ctypes.c_void_p(runtime.malloc(max(1, data.size)))
    if not buffer:
        raise MemoryError
    ctypes.memmove(buffer, data.ctypes.data, data.size)
    numbers = (ctypes.c_uint * len(values))(*values)
    try:
        size = function(flags, len(values), numbers, data.size, ctypes.byref(room), ctypes.byref(buffer))
        return ctypes.string_at(buffer, size) if 0 < size <= most else None
    finally:
        runtime.free(buffer)


def _compress_in_memory_file(filter_id: int, values: tuple[int, ...], data: Bytes, itemsize: int) -> bytes | None:
    register()
    with phil, h5py.File(f"{id(data)}.h5", "w", driver="core", backing_store=False) as file:
        count = data.size // itemsize
        creation = h5p.create(h5p.DATASET_CREATE)
        creation.set_chunk((count,))
        creation.set_filter(filter_id, h5py.h5z.FLAG_OPTIONAL, values)
        dtype = h5t.py_create(np.dtype((np.void, itemsize)), logical=True)
        dataset = h5d.create(file.id, b"chunk", dtype, h5s.create_simple((count,)), creation)
        dataset.write(h5s.ALL, h5s.ALL, data.view(np.dtype((np.void, itemsize))))
        dataset.flush()
        mask, packed = dataset.read_direct_chunk((0,))
    return None if mask & 1 else bytes(packed)


def client_values(filter_id: int, level: int | None, itemsize: int, chunk_bytes: int) -> tuple[int, ...]:
    """What a filter's author wants stored with it, as h5py and hdf5plugin would store it."""
    return {
        LZF: (4, 261, chunk_bytes),  # revision of the filter, version of the library
        # Revision of the filter, of the format, size of an item, bytes of a chunk, level, byte shuffle, lz4.
        BLOSC: (2, 2, itemsize if itemsize < 256 else 1, chunk_bytes, 5 if level is None else level, 1, 1),
        ZSTD: (3 if level is None else level,),
    }[filter_id]
