"""Widths, counts and lengths that the format encodes by classes of size: below, at and above each threshold."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from h5burst import Group
from h5burst.store import read_tree, write_tree
from support.foreign_files import refused

# What decides: 64 KiB messages, lengths of two or three bytes in heap IDs (2^16), blocks of the heap (2^17 … 2^19).
BYTES = sorted(
    size
    for limit in [1 << 12, 65_400, 65_472, 65_500, 1 << 16, 131_008, 1 << 17, 1 << 18, 1 << 19]
    for size in [limit - 8, limit, limit + 8]
)


@pytest.mark.parametrize("others", [0, 40])
def test_sizes_of_attributes(others: int, tmp_path: Path) -> None:
    tree = Group({f"{size}": Group(attrs={"a": np.arange(size // 8) * 0.5}) for size in BYTES})
    for child in tree.children.values():
        child.attrs |= {f"other {number}": number for number in range(others)}
    ours, theirs = tmp_path / "ours.h5", tmp_path / "theirs.h5"
    write_tree(ours, tree)
    with h5py.File(theirs, "w", libver="latest") as file:
        for name, child in tree.children.items():
            for key, value in child.attrs.items():
                file.require_group(name).attrs[key] = value

    for path in (ours, theirs):
        assert refused(path) == {}
        read = read_tree(path)
        for size in BYTES:
            np.testing.assert_array_equal(read[f"{size}"].attrs["a"], np.arange(size // 8) * 0.5)
