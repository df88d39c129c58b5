"""A file as plain h5py reads it, and what it takes for a tree to be the same: the reference of every reader."""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np

from h5burst.model.tree import Array, Group, Node, unescape


def read_plainly(path: str | os.PathLike[str]) -> Group:
    """The whole file, object by object. Links that lead nowhere, and committed datatypes, are left out."""
    with h5py.File(path, "r") as file:
        return _group(file)


def _group(group: h5py.Group) -> Group:
    children: dict[str, Node] = {}
    for link in group:
        item = group.get(link)
        if isinstance(item, h5py.Group):
            children[unescape(link)] = _group(item)
        elif isinstance(item, h5py.Dataset):
            children[unescape(link)] = Array(_elements(item), _attributes(item))
    return Group(children, _attributes(group))


def _elements(dataset: h5py.Dataset) -> Any:
    if dataset.shape is None:
        return None
    text = h5py.check_string_dtype(dataset.dtype)
    if text is not None and text.length is None and text.encoding == "utf-8":
        return np.asarray(dataset.asstr()[...], dtype=object)
    return np.asarray(dataset[...])


def _attributes(item: h5py.HLObject) -> dict[str, Any]:
    return {unescape(name): _attribute(item, name) for name in item.attrs}


def _attribute(item: h5py.HLObject, name: str) -> Any:
    value = item.attrs[name]
    if isinstance(value, h5py.Empty):
        return None if value.dtype == np.float64 else value
    stored = item.attrs.get_id(name).dtype
    if isinstance(value, np.generic) and h5py.check_enum_dtype(stored):
        return np.array(value, stored)  # ours is an array without axes, which has the names
    text = h5py.check_string_dtype(stored)
    if isinstance(value, np.ndarray) and text is not None and text.length is None and text.encoding == "ascii":
        out = np.empty(value.shape, dtype=object)
        out[...] = [
            [part.encode() for part in row] if isinstance(row, list) else row.encode() for row in value.tolist()
        ]
        return out
    return value


def differences(found: Node, expected: Node, path: str = "") -> list[str]:
    """Where two trees are not the same: order of names, types, shapes, dtypes, bytes. Lazy arrays are read."""
    if type(found) is not type(expected):
        return [f"{path or '/'}: {type(found).__name__} for {type(expected).__name__}"]
    out = _attribute_differences(found.attrs, expected.attrs, path)
    if isinstance(found, Array) and isinstance(expected, Array):
        data = found.data if found.data is None else np.asarray(found.data)
        return out if same(data, expected.data) else [*out, f"{path}: {data!r} for {expected.data!r}"]
    assert isinstance(found, Group)
    assert isinstance(expected, Group)
    if list(found.children) != list(expected.children):
        return [*out, f"{path or '/'}: {list(found.children)} for {list(expected.children)}"]
    for name, child in expected.children.items():
        out += differences(found.children[name], child, f"{path}/{name}")
    return out


def _attribute_differences(found: dict[str, Any], expected: dict[str, Any], path: str) -> list[str]:
    if list(found) != list(expected):
        return [f"{path}: attributes {list(found)} for {list(expected)}"]
    return [
        f"{path}@{name}: {found[name]!r} for {value!r}"
        for name, value in expected.items()
        if not same(found[name], value)
    ]


def same(found: Any, expected: Any) -> bool:
    """Whether two values are of one type and, to the last bit, equal."""
    if type(found) is not type(expected):
        return False
    if isinstance(expected, np.ndarray):
        if found.dtype != expected.dtype or found.shape != expected.shape:
            return False
        if _metadata(found.dtype) != _metadata(expected.dtype):
            return False
        if found.dtype.hasobject:
            return all(same(a, b) for a, b in zip(found.ravel().tolist(), expected.ravel().tolist(), strict=True))
        return bool(found.tobytes() == expected.tobytes())
    if isinstance(expected, np.generic):
        return bool(found.dtype == expected.dtype and found.tobytes() == expected.tobytes())
    return bool(found == expected)


def _metadata(dtype: np.dtype[Any]) -> Any:
    """What h5py tells by a dtype's metadata, but for that an object stands for text."""
    return None if dtype.kind == "O" else dict(dtype.metadata or {})
