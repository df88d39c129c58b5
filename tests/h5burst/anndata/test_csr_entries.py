"""Entries of some columns: as the reference finds them, of all kinds of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from h5burst._ext import csr_entries
from reference.csr_entries import chosen


@given(st.data(), st.sampled_from(["i4", "i8", "u4", "u8"]), st.sampled_from([np.uint16, np.uint32]))
def test_entries_are_those_of_the_reference(data: st.DataObject, index: str, room: Any) -> None:
    places = data.draw(st.lists(st.integers(-1, 65_535), min_size=1, max_size=9))
    lengths = data.draw(st.lists(st.integers(0, 6), max_size=8))
    count = sum(lengths)
    found = data.draw(st.lists(st.integers(0, len(places) - 1), min_size=count, max_size=count))
    counts, is_left, placed = np.full(len(lengths), -7, np.int64), np.full(count, 9, np.uint8), np.zeros(count, room)
    edges = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    left = csr_entries.choose(np.array(found, index), np.array(places, np.int32), edges, counts, is_left, placed)
    expected = chosen(found, places, lengths)
    assert (counts.tolist(), is_left.astype(bool).tolist(), placed[:left].tolist()) == expected
    for kind in ("u1", "u2", "u4", "u8"):
        values = np.arange(count).astype(kind)
        out = np.zeros(count, kind)
        assert csr_entries.compress(values, is_left, out) == left
        assert out[:left].tolist() == values[is_left.astype(bool)].tolist()


@pytest.mark.parametrize("wrong", [-1, 2, 2**31 - 1])
def test_columns_that_there_are_not(wrong: int) -> None:
    arrays = np.zeros(1, np.int64), np.zeros(3, np.uint8), np.zeros(3, np.uint16)
    edges = np.array([0, 3], np.int64)
    assert csr_entries.choose(np.array([0, wrong, 1], np.int32), np.array([0, 1], np.int32), edges, *arrays) == -1
