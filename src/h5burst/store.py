"""Trees to HDF5 files and back: the one place in the product that creates or reads datasets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from h5burst import durable
from h5burst.tree import (
    Array,
    BlockSource,
    Group,
    Node,
    Storage,
    UnsupportedValueError,
    escape_attribute,
    escape_link,
    unescape,
)

LIBVER = ("v110", "v110")  # version 2 object headers: every header and index carries a checksum


def write_tree(
    path: str | os.PathLike[str],
    tree: Group,
    *,
    storage: Storage | None = None,
    overwrite: bool = False,
    threads: int | None = None,
) -> None:
    """Write `tree` as a new HDF5 file that appears under `path` only when it is complete and on disk.

    storage: for arrays that name none themselves (None: uncompressed). Raises `UnsupportedValueError` before the
    first byte for what HDF5 cannot hold, `FileExistsError` for an existing file without `overwrite`, `OSError` with
    the path when writing fails; the file that was there is then untouched.
    """
    with durable.replacing(Path(path), overwrite=overwrite) as temporary, h5py.File(temporary, "w", libver=LIBVER) as f:
        for name, value in tree.attrs.items():
            _write_attribute(f, name, value)
        for name, node in tree.children.items():
            graft(f, (name,), node, storage=storage)


def graft(parent: h5py.Group, path: tuple[str, ...], node: Node, *, storage: Storage | None = None) -> None:
    """Create `node` below an open group, replacing what is there; missing groups on the way are made."""
    for name in path[:-1]:
        parent = parent.require_group(escape_link(name))
    link = escape_link(path[-1])
    if link in parent:
        del parent[link]
    if isinstance(node, Group):
        made = parent.create_group(link)
        for name, child in node.children.items():
            graft(made, (name,), child, storage=storage)
    else:
        made = _write_array(parent, link, node, node.storage or storage or Storage())
    for name, value in node.attrs.items():
        _write_attribute(made, name, value)


def _text_dtype(data: np.ndarray[Any, Any]) -> np.dtype[Any]:
    if all(isinstance(item, str) for item in data.flat):
        return h5py.string_dtype("utf-8")
    if all(isinstance(item, bytes) for item in data.flat):
        return h5py.string_dtype("ascii")
    raise TypeError("an object array must hold only str or only bytes")


def _write_array(parent: h5py.Group, link: str, node: Array, storage: Storage) -> h5py.Dataset:
    if node.data is None:
        return parent.create_dataset(link, data=h5py.Empty("f8"))
    if isinstance(node.data, BlockSource) and not isinstance(node.data, np.ndarray):
        dataset = parent.create_dataset(link, node.data.shape, node.data.dtype)
        for start in range(0, node.data.shape[0], 65536):
            stop = min(start + 65536, node.data.shape[0])
            dataset[start:stop] = node.data.read(start, stop)
        return dataset
    data = np.asarray(node.data)
    options: dict[str, Any] = {}
    if data.size and data.ndim and storage.codec == "gzip":
        options = {"compression": "gzip", "compression_opts": storage.level, "shuffle": True}
    try:
        if data.dtype == object:
            return parent.create_dataset(link, data=data, dtype=_text_dtype(data))
        return parent.create_dataset(link, data=data, **options)
    except TypeError as error:
        raise UnsupportedValueError(str(error), f"{parent.name}/{link}") from error


def _write_attribute(target: h5py.HLObject, name: str, value: Any) -> None:
    if value is None:
        value = h5py.Empty("f8")
    elif isinstance(value, np.ndarray) and value.dtype == object:
        target.attrs.create(escape_attribute(name), value, dtype=_text_dtype(value))
        return
    target.attrs[escape_attribute(name)] = value


def read_tree(path: str | os.PathLike[str], *, lazy: bool = False) -> Group:
    """The whole file as a tree; with `lazy`, arrays read themselves on access.

    Variable-length text comes as object arrays of `str`, scalar text attributes as `str`, other scalar attributes as
    numpy scalars, a null dataspace as None.
    """
    with h5py.File(path, "r") as f:
        return _read_group(f)


def _read_group(group: h5py.Group) -> Group:
    children: dict[str, Node] = {}
    for link, item in group.items():
        children[unescape(link)] = _read_group(item) if isinstance(item, h5py.Group) else _read_array(item)
    return Group(children, _read_attributes(group))


def _read_array(dataset: h5py.Dataset) -> Array:
    data: Any
    if dataset.shape is None:
        data = None
    elif h5py.check_string_dtype(dataset.dtype) is not None and dataset.dtype == object:
        data = np.asarray(dataset.asstr()[()], dtype=object)
    else:
        data = np.asarray(dataset[()])
    return Array(data, _read_attributes(dataset))


def _read_attributes(target: h5py.HLObject) -> dict[str, Any]:
    return {
        unescape(name): None if isinstance(value, h5py.Empty) else value for name, value in target.attrs.items()
    }
