"""Facts about a dataset that h5py holds open, and why it is left to h5py where it is."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5f, h5fd, h5i, h5o, h5p, h5t

DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000  # filter numbers
KNOWN_FILTERS = frozenset((DEFLATE, SHUFFLE, FLETCHER32, LZF))
_PLAIN_KINDS, _NUMBERS = "biufcSV", "iuf"
_HAS_PREAD = hasattr(os, "pread")
_DONT_FILTER_PARTIAL_CHUNKS = 2  # of H5Pset_chunk_opts
_SWMR = getattr(h5f, "ACC_SWMR_READ", 64) | getattr(h5f, "ACC_SWMR_WRITE", 32)


@dataclass(frozen=True, slots=True)
class FilterStep:
    """One filter: its number, the width of an element for the shuffle, level of gzip."""

    number: int
    width: int
    level: int


@dataclass(slots=True)
class Facts:
    """Of a dataset whose chunks this package undoes and makes; what does not change while it is open.

    identity: as `identity_of`. fill: the bytes of one element, empty for zeros. descriptor: of the file, where chunks
    may be read from it by `pread`; -1 where only libhdf5 reads. cache_bytes: that libhdf5 keeps of decoded chunks.
    """

    identity: tuple[int, int]
    dtype: np.dtype[Any]
    file_type: h5t.TypeID
    chunk: tuple[int, ...]
    steps: tuple[FilterStep, ...]
    fill: bytes
    descriptor: int
    is_writable: bool
    cache_bytes: int
    row_bytes: int
    locations: Any = None  # of all chunks, of a file that is open for reading alone
    read_directly: int = 0  # chunks, one after another
    last_box: tuple[tuple[int, int], ...] = ()
    masked: set[tuple[int, ...]] | None = None  # first elements of chunks that some filter was not applied to
    encoder: Any = None
    encoded_bytes: int = field(default=0)  # since the encoder was chosen

    @property
    def chunk_bytes(self) -> int:
        return math.prod(self.chunk) * self.dtype.itemsize


def facts_of(dataset: h5py.Dataset) -> Facts | str:
    """Facts about a dataset, or why it is left to h5py. In h5py's lock."""
    creation = dataset.id.get_create_plist()
    if creation.get_layout() != h5d.CHUNKED:
        return "not in chunks"
    shape = dataset.id.shape
    if not shape:
        return "no axes"
    steps = _steps(creation)
    if isinstance(steps, str):
        return steps
    if _has_plain_edges(creation):
        return "chunks at the edge go through no filter"
    dtype, file_type = dataset.id.dtype, dataset.id.get_type()
    if not _is_plain(dtype, file_type):
        return f"elements of {dtype} are others in memory"
    opened = h5i.get_file_id(dataset.id)
    intent = opened.get_intent()
    if intent & _SWMR:
        return "single writer, multiple readers"
    access = opened.get_access_plist()
    driver = access.get_driver()
    if driver == getattr(h5fd, "MPIO", object()) and driver != -1:
        return "MPI"
    is_writable = bool(intent & h5f.ACC_RDWR)
    descriptor = opened.get_vfd_handle() if driver == h5fd.SEC2 and not is_writable and _HAS_PREAD else -1
    fill = np.zeros((), dtype)
    if creation.fill_value_defined() != h5d.FILL_VALUE_UNDEFINED:
        creation.get_fill_value(fill)
    raw = fill.tobytes()
    return Facts(
        identity=identity_of(dataset),
        dtype=dtype,
        file_type=file_type,
        chunk=creation.get_chunk(),
        steps=steps,
        fill=raw if any(raw) else b"",
        descriptor=descriptor,
        is_writable=is_writable,
        cache_bytes=dataset.id.get_access_plist().get_chunk_cache()[1],
        row_bytes=math.prod(shape[1:]) * dtype.itemsize,
    )


def _steps(creation: Any) -> tuple[FilterStep, ...] | str:
    steps = []
    for filter_index in range(creation.get_nfilters()):
        number, _, values, name = creation.get_filter(filter_index)
        if number not in KNOWN_FILTERS:
            return f"the filter {name.decode('utf-8', 'replace') or number}"
        width = values[0] if number == SHUFFLE and values else 1
        level = values[0] if number == DEFLATE and values else 0
        if width < 1 or (number == DEFLATE and not values):
            return "a filter with unusual values"
        steps.append(FilterStep(number, width, level))
    if not steps or len(steps) > 8:
        return "no filters" if not steps else "many filters"
    return tuple(steps)


def _has_plain_edges(creation: Any) -> bool:
    """True where chunks that reach beyond the dataset are left out of the filters, which h5py itself does not show."""
    ask, options = _chunk_options(), ctypes.c_uint()
    if ask is None or ask(creation.id, ctypes.byref(options)) < 0:
        return True  # for all we know
    return bool(options.value & _DONT_FILTER_PARTIAL_CHUNKS)


@cache
def _chunk_options() -> Any:
    """H5Pget_chunk_opts of the libhdf5 that h5py uses, None where it is not found."""
    try:
        ask = ctypes.CDLL("hdf5" if sys.platform == "win32" else h5p.__file__).H5Pget_chunk_opts
    except (OSError, AttributeError):
        return None
    ask.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_uint)]
    ask.restype = ctypes.c_int
    return ask


def _is_plain(dtype: np.dtype[Any], file_type: h5t.TypeID) -> bool:
    """True where elements are in the file as they are in memory."""
    if dtype.hasobject or dtype.subdtype is not None or dtype.kind not in _PLAIN_KINDS or not dtype.itemsize:
        return False
    try:
        return bool(h5t.py_create(dtype) == file_type)
    except TypeError:
        return False


def is_shared_while_written(dataset: h5py.Dataset) -> bool:
    """True where others may read the file while it is written, which may begin at any time."""
    return bool(h5i.get_file_id(dataset.id).get_intent() & _SWMR)


def identity_of(dataset: h5py.Dataset) -> tuple[int, int]:
    """The opened file, and the place in it: HDF5 gives the number of what is closed to what is opened next."""
    info = h5o.get_info(dataset.id)
    return int(info.fileno), int(info.addr)


def is_safe_cast(dtype: np.dtype[Any], to: np.dtype[Any]) -> bool:
    """True where numpy and HDF5 agree on a cast: of numbers, to a type that holds them all."""
    return dtype.kind in _NUMBERS and to.kind in _NUMBERS and np.can_cast(dtype, to, "safe")


def has_class_of_its_dtype(facts: Facts) -> bool:
    """True where integers are no names of an enumeration, which HDF5 casts to no others."""
    return bool(h5t.py_create(facts.dtype).get_class() == facts.file_type.get_class() != h5t.ENUM)
