"""Nodes into open HDF5 files through libhdf5: many small ones in a batch, large ones chunk by chunk.

What comes here has passed `validate`. h5py's lock is held for its calls alone, never while threads are waited for: the
garbage collector may end an h5py object in any of them, which needs the lock.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import h5py
import h5py.defs
import numpy as np
from h5py import h5a, h5d, h5p, h5s, h5t
from h5py._objects import phil

from h5burst import codecs
from h5burst._ext import h5batch
from h5burst.arrays import chunks
from h5burst.arrays.chunks import ChunkPlan
from h5burst.model.tree import (
    Array,
    BlockSource,
    Group,
    Node,
    Storage,
    UnsupportedValueError,
    escape_attribute,
    escape_link,
)

COMPACT_ATTRIBUTES = 32  # attributes that still lie in their object's header; above that libhdf5 indexes them
_OLD_ATTRIBUTE_LIMIT = 64_000  # bytes of an attribute in a header of version 1, less what describes it

_batch_works = functools.cache(lambda: h5batch.load(h5py.defs.__pyx_capi__))


def create(parent: h5py.Group, link: str, node: Node, *, storage: Storage | None, threads: int | None = None) -> None:
    """Create `node` in an open group under a link (a stored name) that is still free."""
    if isinstance(node, Group):
        fill(create_group(parent, link, len(node.children)), node, storage=storage, threads=threads)
    else:
        made = _create_array(parent, link, node, node.storage or storage or Storage(), threads)
        write_attributes(made, node.attrs)


def create_group(parent: h5py.Group, link: str, expected: int = 0) -> h5py.Group:
    """An empty group, its links in its header or indexed from the beginning, as suits the `expected` number."""
    creation = _group_list(expected <= h5batch.COMPACT_LINKS)
    return h5py.Group(h5py.h5g.create(parent.id, link.encode(), lcpl=_link_list(), gcpl=creation))


def fill(group: h5py.Group, node: Group, *, storage: Storage | None, threads: int | None = None) -> None:
    """Create everything that `node` holds in an open group that has nothing of it yet."""
    if not _batch_works():
        _fill_plainly(group, node, storage, threads)
        return
    with phil:
        batch = _batch(chunks.compact_limit(storage))
        batch.fill(group.id.id, node, ())
        nodes, attributes = batch.take_left()
    for path, child in nodes:
        create(_at(group, path[:-1]), escape_link(path[-1]), child, storage=storage, threads=threads)
    for path, name, value in attributes:
        _create_attribute(_at(group, path), name, value)


def _fill_plainly(group: h5py.Group, node: Group, storage: Storage | None, threads: int | None) -> None:
    for name, value in node.attrs.items():
        _create_attribute(group, name, value)
    for name, child in node.children.items():
        create(group, escape_link(name), child, storage=storage, threads=threads)


def _at(group: h5py.Group, path: tuple[str, ...]) -> Any:
    return group["/".join(map(escape_link, path))] if path else group


def write_attributes(target: h5py.HLObject, attrs: Mapping[str, Any]) -> None:
    """Create or replace attributes of an open object."""
    for name in attrs:
        stored = escape_attribute(name).encode()
        if h5a.exists(target.id, stored):
            h5a.delete(target.id, stored)
    left: Any = [((), name, value) for name, value in attrs.items()]
    if _batch_works():
        with phil:
            batch = _batch(chunks.COMPACT_LIMIT)
            batch.attributes(target.id.id, dict(attrs), ())
            left = batch.take_left()[1]
    for _, name, value in left:
        _create_attribute(target, name, value)


# ---------------------------------------------------------------- property lists


def _object_list(kind: Any) -> Any:
    made = h5p.create(kind)
    made.set_obj_track_times(False)
    made.set_attr_phase_change(COMPACT_ATTRIBUTES, COMPACT_ATTRIBUTES // 2)
    return made


@functools.cache
def _group_list(is_small: bool) -> Any:
    made = _object_list(h5p.GROUP_CREATE)
    if _batch_works():
        most = h5batch.COMPACT_LINKS if is_small else 0
        h5batch.set_link_phase_change(made.id, most, most // 2)
    return made


@functools.cache
def _link_list() -> Any:
    made = h5p.create(h5p.LINK_CREATE)
    made.set_char_encoding(h5t.CSET_UTF8)
    return made


def _dataset_list(plan: ChunkPlan | None, *, is_text: bool = False) -> Any:
    made = _object_list(h5p.DATASET_CREATE)
    if not is_text:  # HDF5 wants a fill value for references to text
        made.set_fill_time(h5d.FILL_TIME_NEVER)
    if plan is None:
        made.set_layout(h5d.COMPACT)
    elif plan.chunks:
        made.set_chunk(plan.chunks)
        codecs.prepare_libhdf5(plan.filters)
        for step in plan.filters:
            made.set_filter(step.id, step.flags, step.values)
    return made


@functools.lru_cache(maxsize=8)
def _batch(compact_limit: int) -> h5batch.Batch:
    """A batch for arrays so small; its types and property lists serve every file. Used under h5py's lock only."""
    group_lists = _group_list(True), _group_list(False)
    return h5batch.Batch(compact_limit, _dataset_list(None), group_lists, escape_link, escape_attribute)


# ---------------------------------------------------------------- one array


def _create_array(parent: h5py.Group, link: str, node: Array, storage: Storage, threads: int | None) -> h5py.Dataset:
    data = node.data
    if data is None or isinstance(data, h5py.Empty):
        return _create_dataset(parent, link, _null_type(data), h5s.create(h5s.NULL), h5p.DEFAULT)
    if not isinstance(data, np.ndarray) and (isinstance(data, np.generic) or not isinstance(data, BlockSource)):
        data = np.asarray(data)
    shape = tuple(data.shape)
    is_text = data.dtype.kind == "O"
    plan = chunks.plan_text(shape) if is_text else chunks.plan(shape, data.dtype, storage)
    dtype, memory = _types(data)
    made = _create_dataset(parent, link, dtype, _space(shape), _dataset_list(plan, is_text=is_text))
    if 0 in shape:
        return made
    if is_text:
        made.id.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(data), mtype=memory)
    elif plan is None or not plan.chunks:
        whole = data if isinstance(data, np.ndarray) else data.read(0, shape[0])
        made.id.write(h5s.ALL, h5s.ALL, np.asarray(whole, order="C"), mtype=memory)
    else:
        for _, offset, mask, payload in chunks.encode(data, plan, threads):
            made.id.write_direct_chunk(offset, payload, mask)
    return made


def _create_dataset(parent: h5py.Group, link: str, dtype: Any, space: Any, creation: Any) -> h5py.Dataset:
    return h5py.Dataset(h5d.create(parent.id, link.encode(), dtype, space, creation, _link_list()))


def _space(shape: tuple[int, ...]) -> Any:
    return h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)


def _types(data: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """The datatype in the file and in memory; an object array is text, UTF-8 for `str`, ASCII for `bytes`."""
    if data.dtype.kind != "O":
        stored = h5t.py_create(data.dtype, logical=True)
        return stored, stored
    is_bytes = bool(data.size) and isinstance(data.flat[0], bytes)
    dtype = h5py.string_dtype("ascii" if is_bytes else "utf-8")
    return h5t.py_create(dtype, logical=True), h5t.py_create(dtype)


def _null_type(value: h5py.Empty | None) -> Any:
    """The type of a null dataspace, which holds nothing and has a type all the same."""
    return h5t.py_create(np.dtype("f8") if value is None else value.dtype, logical=True)


# ---------------------------------------------------------------- one attribute


def _create_attribute(target: h5py.HLObject, name: str, value: Any) -> None:
    stored = escape_attribute(name).encode()
    if value is None or isinstance(value, h5py.Empty):
        h5a.create(target.id, stored, _null_type(value), h5s.create(h5s.NULL))
        return
    is_text = isinstance(value, str) or type(value) is bytes
    data = np.asarray(value, dtype=object if is_text else None)
    dtype, memory = _types(data)
    try:
        made = h5a.create(target.id, stored, dtype, _space(data.shape))
    except (OSError, RuntimeError, ValueError) as error:
        if data.nbytes < _OLD_ATTRIBUTE_LIMIT:
            raise
        message = f"an attribute of {data.nbytes} bytes needs a file of the 1.8 format or later"
        raise UnsupportedValueError(message, f"{target.name}@{name}") from error
    if data.size:
        made.write(np.asarray(data, order="C"), mtype=memory)
