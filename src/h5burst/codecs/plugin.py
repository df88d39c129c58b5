"""Filters that hdf5plugin brings: plain C functions in small shared libraries.

Called directly they run in threads, which they cannot behind libhdf5's lock. Where that does not work, a file in memory
lets libhdf5 do it, one chunk at a time.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t
from h5py._objects import phil

from h5burst.codecs.codec import ChunkLayout, Codec
from h5burst.runtime.buffers import Bytes

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


class PluginCodec(Codec):
    """A codec whose C function is in a library of hdf5plugin.

    Attributes
    ----------
    library
        File name of the shared library.
    """

    library: ClassVar[str]

    @abstractmethod
    def claimed_size(self, data: Bytes) -> int:
        """Bytes that encoded data say they become, -1 where they do not say.

        Filters trust it, so it is looked at first.
        """

    def is_threaded(self) -> bool:
        return self.can_decode()

    def can_decode(self) -> bool:
        return _function(self.library, self.filter_id) is not None

    def prepare_libhdf5(self) -> None:
        importlib.import_module("hdf5plugin")

    def encode(self, data: Bytes, values: tuple[int, ...], layout: ChunkLayout, hint: Any = None) -> bytes | None:
        function = _function(self.library, self.filter_id)
        if function is None:
            self.prepare_libhdf5()
            return _compress_in_memory_file(self.filter_id, values, data, layout.itemsize)
        return _call(function, 0, values, data, data.size - 1)

    def decode(self, data: Bytes, values: tuple[int, ...], size: int, *, is_exact: bool = True) -> bytes:
        function = _function(self.library, self.filter_id)
        if function is None:
            raise LookupError(f"filter {self.filter_id} can only be called by libhdf5")
        claimed = self.claimed_size(data)
        fits = claimed == size if is_exact else 0 <= claimed <= size
        whole = _call(function, _REVERSE, values, data, claimed) if fits else None
        if whole is None or len(whole) != claimed:
            raise ValueError(f"it does not hold {size} bytes")
        return whole


@functools.cache
def _function(library: str, filter_id: int) -> Callable[..., int] | None:
    if os.name == "nt":  # another C runtime there may own the buffers
        return None
    path = Path(importlib.import_module("hdf5plugin").PLUGIN_PATH) / library
    try:
        describe = ctypes.CDLL(os.fspath(path)).H5PLget_plugin_info
    except (OSError, AttributeError):
        return None
    describe.restype = ctypes.POINTER(_Class)
    description = describe().contents
    return description.filter if description.version == 1 and description.id == filter_id else None


@functools.cache
def _runtime() -> ctypes.CDLL:
    """The C library, whose heap the filters and we share."""
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]
    return library


def _call(function: Callable[..., int], flags: int, values: tuple[int, ...], data: Bytes, most: int) -> bytes | None:
    """Result of a filter, None where it fails (some then return an error as a size) or gives more than `most`."""
    runtime = _runtime()
    capacity = ctypes.c_size_t(data.size)
    buffer = ctypes.c_void_p(runtime.malloc(max(1, data.size)))
    if not buffer:
        raise MemoryError
    ctypes.memmove(buffer, data.ctypes.data, data.size)
    numbers = (ctypes.c_uint * len(values))(*values)
    try:
        size = function(flags, len(values), numbers, data.size, ctypes.byref(capacity), ctypes.byref(buffer))
        return ctypes.string_at(buffer, size) if 0 < size <= most else None
    finally:
        runtime.free(buffer)


def _compress_in_memory_file(filter_id: int, values: tuple[int, ...], data: Bytes, itemsize: int) -> bytes | None:
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
