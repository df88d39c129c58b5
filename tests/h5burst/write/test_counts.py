"""How often things are done: a file is opened, and what one array's storage is computed from."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, Storage
from support.openings import counting_opens


@contextmanager
def counting_calls() -> Iterator[Counter[str]]:
    """Calls of the package's own Python functions, by name."""
    counter: Counter[str] = Counter()
    own = os.path.dirname(h5burst.__file__)

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(own):
            counter[frame.f_code.co_qualname if hasattr(frame.f_code, "co_qualname") else frame.f_code.co_name] += 1

    sys.setprofile(note)
    try:
        yield counter
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("codec", [None, "gzip", "lzf", "zstd", "blosc"])
def test_what_one_array_needs_is_computed_at_most_twice(tmp_path: Path, codec: str | None) -> None:
    """Checks come before the first byte, so a thing may be asked for then and at the write; work by chunk is more."""
    tree = Group({"x": Array(np.arange(300_000.0))})
    with counting_calls() as calls:
        h5burst.write_tree(tmp_path / "a.h5", tree, storage=Storage(codec), threads=1)
    for name in ("filters_for", "plan", "compact_limit", "encode_filters", "encoding_hint", "is_threaded"):
        assert calls[name] <= 2, name
    assert calls["filters_for"] > 0


def test_arrays_of_one_shape_are_planned_once(tmp_path: Path) -> None:
    tree = Group({str(i): Array(np.full(20_000, float(i))) for i in range(20)})
    with counting_calls() as calls:
        h5burst.write_tree(tmp_path / "a.h5", tree, storage=Storage("gzip"))
    assert calls["filters_for"] <= 2
    assert calls["client_values"] + calls["Gzip.client_values"] <= 2


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    arrays = {str(i): Array(np.full(2000, float(i))) for i in range(30)}
    path = tmp_path / "stored.h5"
    h5burst.write_tree(path, Group({"below": Group(arrays), "one": Array(np.arange(9))}))
    return path


def test_a_lazy_tree_is_saved_with_one_opening_of_its_file(stored: Path, tmp_path: Path) -> None:
    with counting_opens() as opens:
        tree = h5burst.read_tree(stored, lazy=True)
    assert opens["stored.h5"] == 1
    list(tree.walk())
    with counting_opens() as opens:
        h5burst.write_tree(tmp_path / "copy.h5", tree)
    assert opens["stored.h5"] == 1
    assert np.array_equal(h5burst.read_tree(tmp_path / "copy.h5")["below/7"].data, np.full(2000, 7.0))  # type: ignore[union-attr]


def test_a_file_is_kept_open_for_the_block_alone(stored: Path) -> None:
    tree = h5burst.read_tree(stored, lazy=True)
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    with counting_opens() as opens, h5burst.keeping_open(), h5burst.keeping_open():
        for _, node in tree.walk():
            if isinstance(node, Array):
                np.asarray(node.data)
    assert opens["stored.h5"] == 1
    with counting_opens() as opens:
        np.asarray(tree["one"].data)  # type: ignore[union-attr]
    assert opens["stored.h5"] == 1
    if before:
        assert set(os.listdir("/proc/self/fd")) == before


def other_file(path: Path) -> None:
    """Another file takes its place."""
    h5burst.write_tree(path, Group({"one": Array(np.arange(3))}), overwrite=True)


def other_bytes(path: Path) -> None:
    """The same file is written to."""
    with open(path, "r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"\0")


@pytest.mark.parametrize("change", [other_file, other_bytes])
def test_a_file_that_changes_within_the_block_is_stale(stored: Path, change: Callable[[Path], None]) -> None:
    tree = h5burst.read_tree(stored, lazy=True)
    data = tree["one"].data  # type: ignore[union-attr]
    with h5burst.keeping_open():
        assert np.asarray(data).size == 9
        change(stored)
        with pytest.raises(h5burst.StaleFileError):
            np.asarray(data)


def test_a_whole_tree_is_read_without_python_calls_for_each_array(tmp_path: Path) -> None:
    """In their header, or in one chunk with a checksum: what a session consists of, read by compiled code alone."""
    arrays = {f"{length} {i}": Array(np.full(length, i)) for length in (10, 10_000) for i in range(50)}
    h5burst.write_tree(tmp_path / "a.h5", Group({"units": Group(arrays, {"n": 1})}))
    with counting_calls() as calls:
        tree = h5burst.read_tree(tmp_path / "a.h5")
    assert calls.total() > 0
    assert {name: count for name, count in calls.items() if count >= 50} == {}
    assert np.array_equal(tree["units/10000 7"].data, np.full(10_000, 7))  # type: ignore[union-attr]
