"""Every byte that an emitted file is read by is under a checksum, text in the global heap aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from h5burst.format.references import MARK_BYTES
from h5burst.model.tree import Array, Group, Storage
from h5burst.write import native
from reference.hdf5_tree import content

REFUSALS = (OSError, RuntimeError, KeyError, ValueError)


def after_flip(data: bytes, at: int, bit: int, path: Path) -> dict[str, Any] | None:
    """What the file reads as with one bit the other way; None when HDF5 refuses it."""
    damaged = bytearray(data)
    damaged[at] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        return content(path)
    except REFUSALS:
        return None


def test_a_flip_of_any_byte_of_small_objects_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    attrs = {"row": 3, "scale": 2.5, "on": True, "shape": np.arange(3), "nothing": None}
    tree = Group(
        {
            "array": Array(np.arange(20, dtype="u8"), {"unit": np.bytes_(b"s")}),
            "group": Group({"flags": Array(np.array([True, False])), "null": Array(None)}, attrs),
        }
    )
    native.write(tmp_path / "whole.h5", tree)
    data = (tmp_path / "whole.h5").read_bytes()
    for at in range(len(data) - MARK_BYTES):  # the mark is behind the end of the file, where no reader looks
        assert after_flip(data, at, int(rng.integers(8)), tmp_path / "damaged.h5") is None, at


@pytest.mark.parametrize("kind", ["dense links", "dense attributes", "chunks", "paged index"])
def test_flips_in_large_structures_are_refused_or_change_nothing(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    trees = {
        "dense links": Group({f"link {i}": Group() for i in range(700)}),
        "dense attributes": Group(attrs={"large": rng.normal(size=12_000), "small": 5}),
        "chunks": Group({"x": Array(rng.normal(size=(200, 100)), storage=Storage("gzip", 4, chunks=(16, 100)))}),
        "paged index": Group({"x": Array(np.arange(3000, dtype="u1"), storage=Storage(chunks=(2,)))}),
    }
    native.write(tmp_path / "whole.h5", trees[kind])
    expected = content(tmp_path / "whole.h5")
    data = (tmp_path / "whole.h5").read_bytes()
    refused = 0
    for at in rng.integers(0, len(data) - MARK_BYTES, 60):
        found = after_flip(data, int(at), int(rng.integers(8)), tmp_path / "damaged.h5")
        assert found is None or found == expected, at
        refused += found is None
    assert refused > 30


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    native.write(tmp_path / "whole.h5", Group({"x": Array(np.arange(30_000)), "y": Array(np.arange(30))}))
    data = (tmp_path / "whole.h5").read_bytes()
    for length in range(0, len(data), 4096):
        (tmp_path / "cut.h5").write_bytes(data[:length])
        with pytest.raises(OSError):
            h5py.File(tmp_path / "cut.h5")
