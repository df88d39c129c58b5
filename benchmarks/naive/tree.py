"""A tree of groups, arrays and attributes by h5py, one call for each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py


def fill(group: h5py.Group, tree: Any) -> None:
    """One `create_dataset`, `create_group` or attribute after the other."""
    for name, value in tree.attrs.items():
        group.attrs[name] = value
    for name, node in tree.children.items():
        if hasattr(node, "children"):
            fill(group.create_group(name), node)
        else:
            text = h5py.string_dtype() if node.data.dtype == object else None
            dataset = group.create_dataset(name, data=node.data, dtype=text)
            for key, value in node.attrs.items():
                dataset.attrs[key] = value


def write(path: Path, tree: Any, fsync: bool = False) -> Path:
    """A new file; `fsync` to have it on the disk, as ours is."""
    with h5py.File(path, "w") as file:
        fill(file, tree)
    if fsync:
        with open(path, "rb") as stream:
            os.fsync(stream.fileno())
    return path


def read(path: Path) -> dict[str, Any]:
    """Every array and every attribute."""
    values: dict[str, Any] = {}

    def visit(name: str, node: h5py.Dataset | h5py.Group) -> None:
        values[name] = (node[()] if isinstance(node, h5py.Dataset) else None, dict(node.attrs))

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return values
