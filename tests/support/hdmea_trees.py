"""Whole files compared: groups, datasets, dtypes, attributes, values; the contract's time stamps aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from h5burst import read_tree
from h5burst.model.tree import Array, Node

TIME_STAMPS = frozenset({"created_at", "updated_at", "saved_at", "extracted_at", "stage1_timestamp"})


def file_content(path: Path) -> dict[str, Any]:
    """Everything in a file: object path -> its kind, dtype, shape, bytes and attributes, read with plain h5py."""
    content: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        content["/"] = ("group", _attributes(file))
        file.visititems(lambda name, item: content.__setitem__(name, _described(item)))
    return content


def _described(item: h5py.HLObject) -> tuple[Any, ...]:
    if isinstance(item, h5py.Group):
        return ("group", _attributes(item))
    return ("dataset", *_value(item.dtype, item.shape, None if item.shape is None else item[()]), _attributes(item))


def _attributes(item: h5py.HLObject) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for name in item.attrs:
        if name in TIME_STAMPS:
            described[name] = "time stamp"
            continue
        raw = item.attrs.get_id(name)
        value = item.attrs[name]
        described[name] = _value(raw.dtype, raw.shape, None if isinstance(value, h5py.Empty) else value)
    return described


def _value(dtype: np.dtype[Any], shape: Any, value: Any) -> tuple[Any, ...]:
    if value is None:
        return (str(dtype), None, None)
    array = np.asarray(value)
    content = array.tolist() if array.dtype == object or isinstance(value, str) else array.tobytes()
    return (str(dtype), str(h5py.check_string_dtype(dtype)), shape, content)


def assert_same_files(ours: Path, theirs: Path) -> None:
    """Both files hold the same; the difference is named otherwise."""
    one, other = file_content(ours), file_content(theirs)
    assert sorted(one) == sorted(other), sorted(set(one) ^ set(other))[:10]
    different = [name for name in one if one[name] != other[name]]
    assert not different, [(name, one[name], other[name]) for name in different[:2]]


def assert_same_values(one: Any, other: Any, where: str = "") -> None:
    """Python values are equal, with types, dtypes and shapes; dicts by content, whatever their order."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        assert isinstance(one, np.ndarray), (where, type(one))
        assert isinstance(other, np.ndarray), (where, type(other))
        assert (one.dtype, one.shape) == (other.dtype, other.shape), where
        np.testing.assert_array_equal(one, other, err_msg=where)
        return
    assert type(one) is type(other), (where, type(one), type(other))
    if isinstance(one, dict):
        assert set(one) == set(other), where
        for key in one:
            assert_same_values(one[key], other[key], f"{where}/{key!r}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same_values(left, right, f"{where}[{index}]")
    else:
        assert one == other or (one != one and other != other), (where, one, other)


def assert_same_trees(ours: Path, theirs: Path) -> None:
    """As `assert_same_files`, by the package's own reader: fast enough for large files, blind to how text is stored."""
    one, other = (dict(read_tree(path).walk()) for path in (ours, theirs))
    assert sorted(one) == sorted(other), sorted(set(one) ^ set(other))[:10]
    for path, node in one.items():
        same = other[path]
        assert type(node) is type(same), path
        assert _plain_attributes(node) == _plain_attributes(same), path
        if isinstance(node, Array) and isinstance(same, Array):
            assert _plain_value(node.data) == _plain_value(same.data), path


def _plain_attributes(node: Node) -> dict[str, Any]:
    return {name: "time stamp" if name in TIME_STAMPS else _plain_value(value) for name, value in node.attrs.items()}


def _plain_value(value: Any) -> tuple[Any, ...]:
    array = np.asarray(value)
    return (str(array.dtype), array.shape, array.tolist() if array.dtype == object else array.tobytes())
