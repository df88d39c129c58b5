"""What other programs' files hold, as h5py reads it, beside what our reader makes of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (h5py then knows its filters)
import numpy as np
import pytest

from h5burst import Array, Group, Reference, read_tree


def refused(path: Path, *, attributes: bool = True) -> dict[str, str]:
    """Compare all that a file holds with what h5py reads, eagerly and lazily.

    Gives the objects that our reader refuses, by path, with its words; AssertionError, with the path, for a difference.
    """
    lazy = read_tree(path, lazy=True)
    found: dict[str, str] = {}
    with h5py.File(path, "r") as file:
        _compare(lazy, file, found, attributes)
        if found:
            with pytest.raises(OSError, match=re.escape(str(path))) as caught:
                read_tree(path)
            unnamed = [name for name in found if name not in str(caught.value)]
            assert not unnamed, (str(caught.value)[:300], unnamed[:10])
        else:
            _compare(read_tree(path), file, found, attributes)
            assert not found, list(found)[:10]
    return found


def _compare(node: Array | Group, item: Any, found: dict[str, str], attributes: bool) -> None:
    where = item.name
    if attributes:
        assert set(node.attrs) == set(item.attrs), where
        for name in item.attrs:
            assert_same(node.attrs[name], _expected_attribute(item, name), item, f"{where}@{name}")
    if isinstance(item, h5py.Dataset):
        assert isinstance(node, Array), where
        try:
            data = node.data if node.data is None or isinstance(node.data, h5py.Empty) else np.asarray(node.data)
        except OSError as error:
            found[where] = str(error)
            return
        assert_same(data, expected_elements(item), item, where)
        return
    assert isinstance(node, Group), where
    names = [name for name in item if _leads_somewhere(item, name)]
    assert list(node.children) == names, (where, set(node.children) ^ set(names))
    for name in names:
        _compare(node.children[name], item[name], found, attributes)


def _leads_somewhere(group: h5py.Group, name: str) -> bool:
    try:
        return isinstance(group[name], (h5py.Group, h5py.Dataset))
    except (KeyError, OSError):
        return False


def expected_elements(dataset: h5py.Dataset) -> Any:
    if dataset.shape is None:
        return h5py.Empty(dataset.dtype)
    text = h5py.check_string_dtype(dataset.dtype)
    if text is not None and text.length is None and text.encoding == "utf-8":
        return np.asarray(dataset.asstr(errors="surrogateescape")[()], dtype=object)
    return np.asarray(dataset[()], dtype=object if text is not None and text.length is None else None)


def _expected_attribute(item: Any, name: str) -> Any:
    return item.attrs[name]


def assert_same(ours: Any, theirs: Any, item: Any, where: str) -> None:
    if isinstance(theirs, h5py.Empty):
        assert ours is None or ours.dtype == theirs.dtype, where
        return
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, (where, ours.shape, theirs.shape)
    if theirs.dtype.kind in "OU":
        for mine, other in zip(ours.ravel().tolist(), theirs.ravel().tolist(), strict=True):
            _assert_same_object(mine, other, item, where)
        return
    if theirs.dtype.names and theirs.dtype.hasobject:
        assert ours.dtype.names == theirs.dtype.names, where
        for name in theirs.dtype.names:
            assert_same(ours[name], theirs[name], item, f"{where}.{name}")
        return
    assert ours.dtype == theirs.dtype, (where, ours.dtype, theirs.dtype)
    np.testing.assert_array_equal(ours, theirs, err_msg=where)
    assert h5py.check_enum_dtype(ours.dtype) == h5py.check_enum_dtype(theirs.dtype), where


def _assert_same_object(ours: Any, theirs: Any, item: Any, where: str) -> None:
    if isinstance(theirs, (h5py.Reference, h5py.RegionReference)):
        name = h5py.h5r.get_name(theirs, item.id) if theirs else None
        is_region = isinstance(theirs, h5py.RegionReference)
        assert ours == Reference(name.decode() if name else "", is_region), (where, ours, name)
    elif isinstance(theirs, (np.ndarray, list)):
        assert_same(ours, theirs, item, where)
    elif isinstance(theirs, bytes) and isinstance(ours, str):
        assert ours == theirs.decode("utf-8", "surrogateescape"), where
    elif isinstance(theirs, str) and isinstance(ours, bytes):
        assert ours == theirs.encode("utf-8", "surrogateescape"), where
    else:
        assert ours == theirs, where
