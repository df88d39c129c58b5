"""Arrays of nested dicts within a budget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from h5burst.memory import spill
from h5burst.memory.accounting import resident_bytes, spilled_bytes
from h5burst.memory.scratch import Scratch, ScratchArray, ScratchView
from h5burst.memory.spill import SpillManager, min_budget


@pytest.fixture
def manager(tmp_path: Path):  # type: ignore[no-untyped-def]
    made: list[SpillManager] = []

    def make(budget: int) -> SpillManager:
        made.append(SpillManager(budget, lambda: Scratch(tmp_path, "data")))
        return made[-1]

    yield make
    for item in made:
        item.close()


MakeManager = Callable[[int], SpillManager]
MIB = 1 << 20


def copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return np.array(value) if isinstance(value, np.ndarray) else value


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "dtype"):
        return one.dtype == other.dtype and one.shape == other.shape and bool(np.array_equal(one, other))
    return bool(one == other)


def test_what_fits_stays(manager: MakeManager, tmp_path: Path) -> None:
    values = {"a": np.zeros(MIB)}
    assert manager(16 * MIB).enforce(values) == 0
    assert isinstance(values["a"], np.ndarray)
    assert not list(tmp_path.iterdir())


def test_the_largest_moves_first(manager: MakeManager) -> None:
    values = {"a": np.zeros(MIB // 8), "b": {"c": [np.arange(2 * MIB)]}, "d": np.zeros(MIB // 8)}
    before = copied(values)
    assert manager(8 * MIB).enforce(values) == 16 * MIB
    assert isinstance(values["b"]["c"][0], ScratchArray)
    assert isinstance(values["a"], np.ndarray)
    assert same(values, before)
    assert (resident_bytes([values]), spilled_bytes([values])) == (2 * MIB, 16 * MIB)


def test_of_like_size_the_oldest_moves_first(manager: MakeManager) -> None:
    kept = manager(8 * MIB)
    values = {"new": None, "old": np.zeros(5 * MIB // 8)}
    kept.enforce(values)
    values["new"] = np.zeros(5 * MIB // 8)
    kept.enforce(values)
    assert isinstance(values["old"], ScratchArray)
    assert isinstance(values["new"], np.ndarray)


def test_views_move_with_their_buffer(manager: MakeManager) -> None:
    buffer = np.arange(2 * MIB)
    values = {"all": buffer, "part": buffer[10:20], "unsigned": buffer[5:9].view(np.uint64), "none": buffer[3:3]}
    before = copied(values)
    assert manager(8 * MIB).enforce(values) == buffer.nbytes
    assert all(isinstance(value, ScratchView) for value in values.values())
    assert same(values, before)
    assert spilled_bytes([values]) == buffer.nbytes


def test_strided_views_move_as_they_are(manager: MakeManager) -> None:
    buffer = np.arange(2 * MIB).reshape(1024, -1)
    values = {"columns": buffer[:, ::2], "few": buffer[:3, 5]}
    before = copied(values)
    manager(8 * MIB).enforce(values)
    assert same(values, before)
    assert resident_bytes([values]) < MIB


def test_many_small_arrays_move_in_bundles(manager: MakeManager) -> None:
    values = {i: np.full(1000, i) for i in range(2000)}
    before = copied(values)
    kept = manager(min_budget())
    kept.enforce(values)
    assert resident_bytes([values]) <= kept.budget
    assert same(values, before)


def test_a_stream_goes_straight_to_scratch_when_it_does_not_fit(manager: MakeManager) -> None:
    class Rows:
        shape, dtype = (4 * MIB,), np.dtype("f4")
        most = 0

        def read(self, start: int, stop: int) -> np.ndarray:
            self.most = max(self.most, stop - start)
            return np.arange(start, stop).astype("f4")

    rows = Rows()
    placed = manager(8 * MIB).stream(rows, [])
    assert isinstance(placed, ScratchArray)
    assert rows.most <= MIB
    assert np.array_equal(placed[-5:], np.arange(4 * MIB - 5, 4 * MIB).astype("f4"))
    assert manager(32 * MIB).stream(Rows(), []) is None


def test_a_budget_below_one_block_is_refused_with_the_least_that_works(manager: MakeManager) -> None:
    with pytest.raises(ValueError, match=str(min_budget())):
        manager(min_budget() - 1)


@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_are_the_same_afterwards(tmp_path: Path, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    bases = [
        rng.integers(0, 9, data.draw(st.integers(0, 200_000))).astype(
            data.draw(st.sampled_from(["u1", "i8", "f4", ">i2"]))
        )
        for _ in range(data.draw(st.integers(1, 6)))
    ]
    values: dict[str, Any] = {}
    for index in range(data.draw(st.integers(1, 12))):
        base = data.draw(st.sampled_from(bases))
        start, stop = sorted(data.draw(st.tuples(st.integers(0, len(base)), st.integers(0, len(base)))))
        step = data.draw(st.sampled_from([1, 1, 2, -1]))
        values[str(index)] = data.draw(
            st.sampled_from([base, base[start:stop:step], [base[start:stop]], (base,), 5, "x"])
        )
    before = copied(values)
    made = SpillManager(min_budget(), lambda: Scratch(tmp_path, "x"))
    made.budget = data.draw(st.integers(1, 500_000))
    try:
        made.enforce(values)
        assert same(values, before)
    finally:
        made.close()


def test_nothing_is_kept_of_what_came_and_went(manager: MakeManager) -> None:
    kept = manager(16 * MIB)
    kept.enforce({"a": np.zeros(10)})
    kept.enforce({})
    assert kept._first_seen == {}
    assert spill.resident_bytes([()]) == 0
