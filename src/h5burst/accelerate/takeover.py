"""The methods of h5py that are replaced: each looks whether it takes a call over, and calls h5py's own where not."""

from __future__ import annotations

import os
import time
from typing import Any, Protocol

import h5py
import numpy as np
from h5py._hl import dataset as h5py_dataset
from h5py._objects import phil

from h5burst.accelerate import reading, tally, writing
from h5burst.accelerate.boxes import Box, box_of, overlap, touched, volume
from h5burst.accelerate.facts import Facts, facts_of, identity_of, is_shared_while_written

THRESHOLD_VARIABLE = "H5BURST_AUTO_THRESHOLD"
THRESHOLD = 256 << 10  # bytes of an array that is read or written
_PLACE = "_h5burst_facts"  # in the `__dict__` of a dataset that h5py holds open: what is known of it
_NO_DATASET = (ValueError, RuntimeError, OSError, KeyError)  # h5py's, for a file that is closed
_MAX_RATIO = 64  # what is smaller in the file than the threshold by this is not looked at any further
_LEFT = "left"  # in its place where it is left to h5py


def _threshold_asked_for() -> int:
    text = os.environ.get(THRESHOLD_VARIABLE, "").strip()
    if text and not text.isdigit():
        raise ValueError(f"{THRESHOLD_VARIABLE} must be a whole number of bytes, got {text!r}")
    return int(text or THRESHOLD)


_threshold = _threshold_asked_for()
_get = h5py.Dataset.__getitem__
_set = h5py.Dataset.__setitem__
_read_direct = h5py.Dataset.read_direct
_write_direct = h5py.Dataset.write_direct
_make = h5py_dataset.make_new_dset


class _Method(Protocol):
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


def _facts(dataset: Any) -> Facts | None:
    """Facts about a dataset; None where it is left to h5py, which is then noted in it. In h5py's lock."""
    try:
        identity = identity_of(dataset)
    except _NO_DATASET:  # h5py says so
        return None
    notes = dataset.__dict__
    noted = notes.get(_PLACE)
    if noted is None or (noted is not _LEFT and noted.identity != identity):
        noted = facts_of(dataset)
        if isinstance(noted, str):
            tally.note_left(noted)
            noted = _LEFT
        notes[_PLACE] = noted
    if noted is _LEFT or (noted.is_writable and is_shared_while_written(dataset)):
        return None
    facts: Facts = noted
    return facts


def _is_left(dataset: Any, args: Any) -> bool:
    """True where it takes but a look to see that a read is left to h5py."""
    facts = dataset.__dict__.get(_PLACE)
    if facts is _LEFT:
        return True
    item: Any = args if type(args) is not tuple else args[0] if args else ...
    kind = type(item)
    if facts is None:
        try:
            return _is_small(dataset, item)
        except _NO_DATASET:
            return True
    if kind is int:
        return bool(facts.row_bytes < _threshold)
    if kind is slice:
        start, stop = item.start, item.stop
        if type(stop) is not int or stop < 0:
            return False
        return bool((stop - (start if type(start) is int and start > 0 else 0)) * facts.row_bytes < _threshold)
    return kind is list or kind is np.ndarray


def _is_small(dataset: Any, item: Any) -> bool:
    """Of a dataset that nothing is known of: whether it is contiguous, or all of it would be too small."""
    is_whole = item is ... or (type(item) is slice and item.start is None and item.stop is None)
    if is_whole and dataset._id.get_storage_size() < _threshold // _MAX_RATIO:
        return True
    if dataset._id.get_offset() is None:
        return False
    dataset.__dict__[_PLACE] = _LEFT
    return True


def get(self: Any, args: Any, new_dtype: Any = None) -> Any:
    """`dataset[args]`."""
    if _is_left(self, args):
        return _get(self, args, new_dtype) if new_dtype is not None else _get(self, args)
    values = _taken(self, args if type(args) is tuple else (args,), new_dtype)
    if values is not None:
        return values
    return _get(self, args) if new_dtype is None else _get(self, args, new_dtype=new_dtype)


def _taken(dataset: Any, args: tuple[Any, ...], new_dtype: Any) -> Any:
    with phil:
        facts = _facts(dataset)
        if facts is None:
            return None
        shape = dataset.shape
        chosen = box_of(args, shape)
        if chosen is None:
            return None
        box, lengths = chosen
        if not _may_read(facts, box, shape):
            return None
        return _read_as(dataset, facts, box, shape, lengths, new_dtype)


def _may_read(facts: Facts, box: Box, shape: tuple[int, ...]) -> bool:
    if volume(box) * facts.dtype.itemsize < _threshold:
        return False
    reason = reading.is_worth_it(facts, box, shape)
    if not reason and facts.last_box:
        whole = touched(box, facts.chunk, shape)
        is_kept = volume(whole) * facts.dtype.itemsize <= facts.cache_bytes
        if is_kept and 2 * overlap(box, facts.last_box) > volume(box):
            reason = "read again: libhdf5 has it in its cache"
    facts.last_box = box
    if reason:
        tally.note_left(reason)
    return not reason


def _read_as(
    dataset: Any, facts: Facts, box: Box, shape: tuple[int, ...], lengths: tuple[int, ...], new_dtype: Any
) -> Any:
    dtype = facts.dtype if new_dtype is None else np.dtype(new_dtype)
    if not reading.can_give(facts, dtype):
        tally.note_left("conversion of elements")
        return None
    out = np.empty(lengths, dtype)
    if not _read_and_note(dataset, facts, box, shape, out):
        return None
    return out if lengths else out[()]  # of one element h5py gives no array


def _read_and_note(dataset: Any, facts: Facts, box: Box, shape: tuple[int, ...], out: np.ndarray[Any, Any]) -> bool:
    began = time.perf_counter()
    if not reading.read_as(dataset, facts, box, shape, out.reshape([stop - start for start, stop in box])):
        tally.note_left("something unusual in the file")
        return False
    tally.note(False, out.nbytes, time.perf_counter() - began)
    return True


def read_direct(self: Any, dest: Any, source_sel: Any = None, dest_sel: Any = None) -> None:
    """`dataset.read_direct(dest, source_sel, dest_sel)`."""
    is_ours = type(dest) is np.ndarray and dest.nbytes >= _threshold and dest_sel is None
    if not (is_ours and dest.flags.c_contiguous and dest.flags.writeable and _read_into(self, dest, source_sel)):
        _read_direct(self, dest, source_sel, dest_sel)


def _read_into(dataset: Any, dest: np.ndarray[Any, Any], selection: Any) -> bool:
    args = () if selection is None else selection if type(selection) is tuple else (selection,)
    if _is_left(dataset, args):
        return False
    with phil:
        facts = _facts(dataset)
        if facts is None or not reading.can_give(facts, dest.dtype):
            return False
        shape = dataset.shape
        chosen = box_of(args, shape)
        if chosen is None or chosen[1] != dest.shape or not _may_read(facts, chosen[0], shape):
            return False
        return _read_and_note(dataset, facts, chosen[0], shape, dest)


def put(self: Any, args: Any, val: Any) -> None:
    """`dataset[args] = val`."""
    is_ours = type(val) is np.ndarray and val.nbytes >= _threshold
    if not (is_ours and _write(self, args if type(args) is tuple else (args,), val)):
        _set(self, args, val)


def write_direct(self: Any, source: Any, source_sel: Any = None, dest_sel: Any = None) -> None:
    """`dataset.write_direct(source, source_sel, dest_sel)`."""
    is_ours = type(source) is np.ndarray and source.nbytes >= _threshold and source_sel is None
    args = () if dest_sel is None else dest_sel if type(dest_sel) is tuple else (dest_sel,)
    if not (is_ours and source.flags.c_contiguous and _write(self, args, source)):
        _write_direct(self, source, source_sel, dest_sel)


def _write(dataset: Any, args: tuple[Any, ...], data: np.ndarray[Any, Any]) -> bool:
    if dataset.__dict__.get(_PLACE) is _LEFT:
        return False
    with phil:
        facts = _facts(dataset)
        if facts is None:
            return False
        shape = dataset.shape
        chosen = box_of(args, shape)
        if chosen is None or chosen[1] != data.shape:
            return False
        reason = writing.reason_not_written(facts, chosen[0], shape)
        if not reason and not writing.can_convert(data.dtype, facts):
            reason = "conversion of elements"
        if reason:
            tally.note_left(reason)
            return False
        began = time.perf_counter()
        facts.last_box = ()
        writing.write_box(dataset, facts, chosen[0], data.reshape([stop - start for start, stop in chosen[0]]))
        tally.note(True, data.nbytes, time.perf_counter() - began)
        return True


def make(parent: Any, shape: Any = None, dtype: Any = None, data: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Stand in for `create_dataset`; `data` are written by `dataset[...] = data` where that is taken over."""
    is_ours = (
        type(data) is np.ndarray
        and data.nbytes >= _threshold
        and not data.dtype.hasobject
        and data.dtype.kind in "biufcSV"
        and data.shape
        and (shape is None or shape == data.shape)
        and (dtype is None or (isinstance(dtype, (str, type, np.dtype)) and np.dtype(dtype) == data.dtype))
        and (kwargs.get("compression") or kwargs.get("shuffle") or kwargs.get("fletcher32") or kwargs.get("dcpl"))
    )
    if not is_ours:
        return _make(parent, shape, dtype, data, *args, **kwargs)
    with phil:
        dataset = _make(parent, data.shape, data.dtype if dtype is None else dtype, None, *args, **kwargs)
        if not _write(h5py.Dataset(dataset), (), data):
            dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.asarray(data, order="C"))
    return dataset


REPLACED: tuple[tuple[Any, str, Any, _Method], ...] = (
    (h5py.Dataset, "__getitem__", _get, get),
    (h5py.Dataset, "__setitem__", _set, put),
    (h5py.Dataset, "read_direct", _read_direct, read_direct),
    (h5py.Dataset, "write_direct", _write_direct, write_direct),
    (h5py_dataset, "make_new_dset", _make, make),
)
for _, _, _own, _ours in REPLACED:
    _ours.__doc__, _ours.__name__ = _own.__doc__, _own.__name__  # type: ignore[attr-defined]
    _ours.__qualname__, _ours.__module__ = _own.__qualname__, _own.__module__  # type: ignore[attr-defined]
