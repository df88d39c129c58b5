"""Array sources: three members are enough, wherever data are taken."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst.model.source import BufferedSource, MemoryArray, as_source, is_source, read_whole


class ThreeMembers:
    """All that a source of a user has to have."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.shape, self.dtype = values.shape, values.dtype
        self.values = values
        self.asked: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        self.asked.append((start, stop))
        return np.ascontiguousarray(self.values[start:stop])


VALUES = np.arange(600_000, dtype=np.int32).reshape(-1, 3)


def test_three_members_are_written_rows_once_and_in_order(tmp_path: Path) -> None:
    source = ThreeMembers(VALUES)
    h5burst.write_tree(tmp_path / "a.h5", h5burst.Group({"x": h5burst.Array(source)}))
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.array_equal(file["x"][:], VALUES)
    assert source.asked[0][0] == 0
    assert all(stop == start for (_, stop), (start, _) in pairwise(source.asked))
    assert source.asked[-1][1] == len(VALUES)


def test_three_members_are_grafted_appended_and_put(tmp_path: Path) -> None:
    path = tmp_path / "b.h5"
    with h5py.File(path, "w") as file:
        h5burst.graft(file, ("x",), h5burst.Array(ThreeMembers(VALUES)))
    grows = h5burst.Storage(maxshape=(None, 3))
    with h5burst.edit(path) as changes:
        changes.put(("y",), h5burst.Array(ThreeMembers(VALUES[:5]), storage=grows))
    with h5burst.edit(path) as changes:
        changes.append(("y",), ThreeMembers(VALUES[5:]))
    with h5py.File(path) as file:
        assert np.array_equal(file["x"][:], VALUES)
        assert np.array_equal(file["y"][:], VALUES)


def test_three_members_are_values_of_a_dict_and_blocks_to_read_ahead() -> None:
    node = h5burst.encode_value({"x": ThreeMembers(VALUES)})
    assert isinstance(node, h5burst.Group)
    assert is_source(node.children["x"].data)  # type: ignore[union-attr]
    blocks = [block for _, block in h5burst.read_ahead(ThreeMembers(VALUES), 70_000)]
    assert np.array_equal(np.concatenate(blocks), VALUES)


@pytest.mark.parametrize(
    "value",
    [
        VALUES,
        np.float64(1),
        1,
        "text",
        None,
        [1],
        {"read": 1},
        np.rec.array([(1,)], dtype=[("read", "i4")]),
        ThreeMembers,
    ],
)
def test_what_is_no_source_is_not_taken_for_one(value: object) -> None:
    assert not is_source(value)


def test_an_array_in_memory_is_read_without_a_copy() -> None:
    source = as_source(VALUES)
    assert isinstance(source, MemoryArray)
    assert np.shares_memory(source.read(3, 9), VALUES)
    assert np.array_equal(source.read(3, 9), VALUES[3:9])
    assert read_whole(VALUES) is VALUES
    assert not isinstance(source, BufferedSource)


def test_what_is_neither_an_array_nor_a_source_is_refused() -> None:
    with pytest.raises(TypeError, match="not list"):
        as_source([1, 2])  # type: ignore[arg-type]


def test_the_earlier_name_is_the_same_protocol() -> None:
    assert h5burst.BlockSource is h5burst.ArraySource
