"""Nodes into open HDF5 files, through h5py. For many objects, or where the process may be killed, use `edit`.

h5py's lock is held for its calls alone, never while threads are waited for: the
garbage collector may end an h5py object in any of them, which needs the lock.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import threading
from collections.abc import Mapping
from typing import Any, cast

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5p, h5s, h5t

from h5burst import codecs
from h5burst.arrays import chunks
from h5burst.arrays.chunks import ChunkPlan
from h5burst.model.source import ArraySource, is_source, read_whole
from h5burst.model.tree import (
    NULL_DTYPE,
    Array,
    ExternalLink,
    Group,
    Node,
    Storage,
    UnsupportedValueError,
    escape_attribute,
    escape_link,
    path_names,
    storage_of,
)
from h5burst.runtime import durable
from h5burst.runtime.threads import thread_count
from h5burst.write.preflight import check_attributes, validated

COMPACT_ATTRIBUTES = 32  # attributes that are stored in their object's header; above that libhdf5 indexes them
_ORDERED = h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED
_OLD_ATTRIBUTE_LIMIT = 64_000  # bytes of an attribute in a header of version 1, less what describes it

_changing = threading.RLock()  # one change of an open file at a time; h5py's own lock must not be held so long


def graft(
    parent: h5py.Group,
    path: str | tuple[str, ...],
    node: Node,
    *,
    storage: Storage | None = None,
    threads: int | None = None,
) -> None:
    """Create a node below an open group, replacing what is there; missing groups on the way are made.

    For who holds an open file; `edit` is many times faster, and whole when the process dies. What is made gets its
    name when it is complete: a graft that fails leaves nothing that can be read.

    Parameters
    ----------
    parent : h5py.Group
        Open for writing.
    path : str or tuple of str
        One text, as stored, or logical names one by one; at least one name.
    node : Group or Array
        What shall be there.
    storage : Storage, optional
        For arrays that name none themselves; None: uncompressed.
    threads : int, optional
        For the filters of large arrays.

    Raises
    ------
    UnsupportedValueError
        Before anything is changed, for what HDF5 cannot hold.
    ValueError
        For an empty path, and less than one thread.
    OSError
        A dataset is in the way, or writing fails.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("grafted.h5", {}, overwrite=True)
    >>> with h5burst.open_file("grafted.h5", "r+") as file:
    ...     h5burst.graft(file, ("units", "unit_001"), h5burst.Array(np.arange(3)))
    ...     list(file["units"])
    ['unit_001']
    """
    thread_count(threads)  # a number that cannot be is refused before anything is done
    above, path = _names(parent), path_names(path)
    if not path:
        raise ValueError("graft needs the name of the node: the path is empty")
    node = validated(node, storage=storage, path=(*above, *path), target=parent.file.filename)
    with _changing, durable.annotating_oserror(parent.file.filename, "change"):
        group, missing = _deepest(parent, path[:-1])
        for name in reversed(path[len(path) - len(missing) :]):
            node = Group({name: node})
        link = escape_link(path[len(path) - 1 - len(missing)])
        # Not as an object without a name: libhdf5 2.0 loses the header of one while much text is written into it.
        unfinished = f".h5burst-unfinished-{secrets.token_hex(8)}"
        try:
            fill(group, Group({unfinished: node}), storage=storage, threads=threads)
            _unlink(group, link)
            group.id.links.move(unfinished.encode(), group.id, link.encode(), lcpl=_link_list())
        except BaseException:
            with contextlib.suppress(OSError, RuntimeError, KeyError, ValueError):
                _unlink(group, unfinished)
            raise


def set_attributes(parent: h5py.Group, path: str | tuple[str, ...], attrs: Mapping[str, Any]) -> None:
    """Create or replace attributes of the object at a path of an open group; others stay.

    Parameters
    ----------
    parent : h5py.Group
        Open for writing.
    path : str or tuple of str
        One text, as stored, or logical names one by one; () for `parent` itself.
    attrs : mapping of str to object
        As of `Group.attrs`.

    Raises
    ------
    KeyError
        There is no such object.
    UnsupportedValueError
        Before anything is changed, for what HDF5 cannot hold.

    Examples
    --------
    >>> import h5burst
    >>> h5burst.save("marked.h5", {"a": [1, 2]}, overwrite=True)
    >>> with h5burst.open_file("marked.h5", "r+") as file:
    ...     h5burst.set_attributes(file, (), {"reviewed": True})
    """
    above, path = _names(parent), path_names(path)
    check_attributes(attrs, (*above, *path))
    with _changing, durable.annotating_oserror(parent.file.filename, "change"):
        target = parent["/".join(map(escape_link, path))] if path else parent
        write_attributes(target, attrs)


def remove(parent: h5py.Group, path: str | tuple[str, ...]) -> bool:
    """Remove the object at a path of an open group, with everything below it.

    Parameters
    ----------
    parent : h5py.Group
        Open for writing.
    path : str or tuple of str
        One text, as stored, or logical names one by one; at least one name.

    Returns
    -------
    bool
        False where there was none.

    Raises
    ------
    ValueError
        For an empty path.

    Examples
    --------
    >>> import h5burst
    >>> h5burst.save("removed.h5", {"a": [1, 2], "b": [3]}, overwrite=True)
    >>> with h5burst.open_file("removed.h5", "r+") as file:
    ...     h5burst.remove(file, ("a",)), h5burst.remove(file, ("a",))
    (True, False)
    """
    _, path = _names(parent), path_names(path)
    if not path:
        raise ValueError("remove needs the name of the node: the path is empty")
    with _changing:
        group: Any = parent
        for name in path[:-1]:
            group = group.get(escape_link(name)) if _linked(group, escape_link(name)) else None
            if not isinstance(group, h5py.Group):
                return False
        return _unlink(group, escape_link(path[-1]))


def _names(parent: h5py.Group) -> tuple[str, ...]:
    if not isinstance(parent, h5py.HLObject):
        kind = type(parent).__name__
        raise TypeError(f"an open h5py.Group is needed, not {kind}: h5burst.edit(path) changes a file by its path")
    return path_names(parent.name or "")


def _linked(group: h5py.Group, link: str) -> bool:
    return bool(group.id.links.exists(link.encode()))


def _unlink(group: h5py.Group, link: str) -> bool:
    member = _linked(group, link)
    if member:
        group.id.unlink(link.encode())
    return member


def _deepest(parent: h5py.Group, path: tuple[str, ...]) -> tuple[h5py.Group, tuple[str, ...]]:
    """The last group on a path that is there, and the names that are missing below it."""
    for number, name in enumerate(path):
        link = escape_link(name)
        if not _linked(parent, link):
            return parent, path[number:]
        child = parent[link]
        if not isinstance(child, h5py.Group):
            where = f"{parent.name}/{link}".replace("//", "/")
            raise OSError(f"{where} in {parent.file.filename} is a dataset, not a group: remove it first")
        parent = child
    return parent, ()


def fill(group: h5py.Group, node: Group, *, storage: Storage | None, threads: int | None = None) -> None:
    """Create everything that `node` holds in an open group that has nothing of it yet."""
    for name, value in node.attrs.items():
        _create_attribute(group, name, value)
    for name, child in node.children.items():
        link = escape_link(name)
        if isinstance(child, Group):
            creation = _group_list(child.track_order)
            below = h5py.Group(h5g.create(group.id, link.encode(), lcpl=_link_list(), gcpl=creation))
            fill(below, child, storage=storage, threads=threads)
        else:
            dataset_or_group = _create_array(
                group, link, child, storage_of(child.storage, storage) or Storage(), threads
            )
            write_attributes(dataset_or_group, child.attrs)
    for name, target in node.links.items():
        if isinstance(target, ExternalLink):
            group.id.links.create_external(escape_link(name).encode(), target.file.encode(), target.path.encode())
        elif isinstance(target, str):
            group[escape_link(name)] = h5py.SoftLink(target)


def write_attributes(target: h5py.HLObject, attrs: Mapping[str, Any]) -> None:
    """Create or replace attributes of an open object."""
    for name, value in attrs.items():
        stored = escape_attribute(name).encode()
        if h5a.exists(target.id, stored):
            h5a.delete(target.id, stored)
        _create_attribute(target, name, value)


# ---------------------------------------------------------------- property lists


def _object_list(kind: Any, ordered: bool = False) -> Any:
    creation = h5p.create(kind)
    creation.set_obj_track_times(False)
    if ordered:
        creation.set_attr_creation_order(_ORDERED)
    creation.set_attr_phase_change(COMPACT_ATTRIBUTES, COMPACT_ATTRIBUTES // 2)
    return creation


@functools.cache
def _group_list(ordered: bool = False) -> Any:
    creation = _object_list(h5p.GROUP_CREATE, ordered)
    if ordered:
        creation.set_link_creation_order(_ORDERED)
    return creation


@functools.cache
def _link_list() -> Any:
    creation = h5p.create(h5p.LINK_CREATE)
    creation.set_char_encoding(h5t.CSET_UTF8)
    return creation


def _dataset_list(plan: ChunkPlan | None, storage: Storage, dtype: np.dtype[Any], *, is_text: bool = False) -> Any:
    creation = _object_list(h5p.DATASET_CREATE, storage.track_order)
    if storage.fillvalue is not None:
        text = h5py.check_string_dtype(dtype)
        # Text of fixed length as text of any: h5py takes the bytes of the other for an address.
        kind = dtype if text is None else h5py.string_dtype(text.encoding)
        creation.set_fill_value(np.array(storage.fillvalue, kind))
    if not is_text and storage.maxshape is None:  # HDF5 wants a fill value for references to text
        creation.set_fill_time(h5d.FILL_TIME_NEVER)
    if plan is None:
        creation.set_layout(h5d.COMPACT)
    elif plan.chunks:
        creation.set_chunk(plan.chunks)
        codecs.prepare_libhdf5(plan.filters)
        for step in plan.filters:
            creation.set_filter(step.id, step.flags, step.values)
    return creation


# ---------------------------------------------------------------- one array


def _create_array(
    parent: h5py.Group, link: str | None, node: Array, storage: Storage, threads: int | None
) -> h5py.Dataset:
    data = node.data
    if data is None or isinstance(data, h5py.Empty):
        creation = _object_list(h5p.DATASET_CREATE, storage.track_order)
        null = _null_type(storage.null_dtype if data is None else data.dtype)
        return _create_dataset(parent, link, null, h5s.create(h5s.NULL), creation)
    if not is_source(data):
        data = np.asarray(data)
    shape = tuple(data.shape)
    is_text = data.dtype.hasobject
    dtype, memory = _types(data)
    # References are 16 bytes in the file and 8 in memory, as objects are.
    plan = (
        chunks.plan_text(shape, 2 * data.dtype.itemsize, storage)
        if is_text
        else chunks.plan(shape, data.dtype, storage)
    )
    if plan is not None and plan.chunks and not is_text and storage.maxshape is None:
        data, plan = chunks.fitted(data, plan)
    creation = _dataset_list(plan, storage, _text_dtype(read_whole(data)) if is_text else data.dtype, is_text=is_text)
    dataset = _create_dataset(parent, link, dtype, _space(shape, storage.maxshape), creation)
    if 0 in shape:
        return dataset
    if is_text:
        dataset.id.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(data), mtype=memory)
    elif plan is None or not plan.chunks:
        dataset.id.write(h5s.ALL, h5s.ALL, np.asarray(read_whole(data), order="C"), mtype=memory)
    else:
        for _, offset, mask, payload in chunks.encode(data, plan, threads):
            dataset.id.write_direct_chunk(offset, payload, mask)
    return dataset


def _create_dataset(parent: h5py.Group, link: str | None, dtype: Any, space: Any, creation: Any) -> h5py.Dataset:
    if link is None:
        return h5py.Dataset(h5d.create(parent.id, None, dtype, space, creation))
    return h5py.Dataset(h5d.create(parent.id, link.encode(), dtype, space, creation, _link_list()))


def _space(shape: tuple[int, ...], largest: tuple[int | None, ...] | None = None) -> Any:
    if not shape:
        return h5s.create(h5s.SCALAR)
    limits = None if largest is None else tuple(h5s.UNLIMITED if limit is None else limit for limit in largest)
    return h5s.create_simple(shape, limits)


def _types(data: np.ndarray[Any, Any] | ArraySource) -> tuple[Any, Any]:
    """The datatype in the file and in memory; objects are text, UTF-8 for `str`, ASCII for `bytes`."""
    if not data.dtype.hasobject:
        stored = h5t.py_create(data.dtype, logical=True)
        return stored, stored
    dtype = _text_dtype(read_whole(data))
    return h5t.py_create(dtype, logical=True), h5t.py_create(dtype)


def _text_dtype(data: np.ndarray[Any, Any]) -> np.dtype[Any]:
    """The dtype by which h5py knows variable-length text, in a compound as well."""
    if data.dtype.names is None:
        said = None if data.size else h5py.check_string_dtype(data.dtype)
        is_bytes = said.encoding == "ascii" if said else bool(data.size) and isinstance(data.flat[0], bytes)
        text: np.dtype[Any] = h5py.string_dtype("ascii" if is_bytes else "utf-8")
        return text
    fields = data.dtype.fields or {}
    kinds = {name: field[0] for name, field in fields.items()}
    formats = [
        np.dtype((_text_dtype(data[name]), kind.shape)) if kind.hasobject else kind for name, kind in kinds.items()
    ]
    described: Any = {
        "names": list(fields),
        "formats": formats,
        "offsets": [field[1] for field in fields.values()],
        "itemsize": data.dtype.itemsize,
    }
    return cast(np.dtype[Any], np.dtype(described))


def _null_type(dtype: np.dtype[Any] | None) -> Any:
    """The type of a null dataspace, which holds nothing and has a type all the same."""
    return h5t.py_create(NULL_DTYPE if dtype is None else dtype, logical=True)


# ---------------------------------------------------------------- one attribute


def _create_attribute(target: h5py.HLObject, name: str, value: Any) -> None:
    stored = escape_attribute(name).encode()
    if value is None or isinstance(value, h5py.Empty):
        h5a.create(target.id, stored, _null_type(None if value is None else value.dtype), h5s.create(h5s.NULL))
        return
    is_text = isinstance(value, str) or type(value) is bytes
    data = np.asarray(value, dtype=object if is_text else None)
    dtype, memory = _types(data)
    try:
        attribute = h5a.create(target.id, stored, dtype, _space(data.shape))
    except (OSError, RuntimeError, ValueError) as error:
        if data.nbytes < _OLD_ATTRIBUTE_LIMIT:
            raise
        message = f"an attribute of {data.nbytes} bytes needs a file of the 1.8 format or later"
        raise UnsupportedValueError(message, f"{target.name}@{name}") from error
    if data.size:
        attribute.write(np.asarray(data, order="C"), mtype=memory)
