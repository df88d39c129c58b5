"""What nested dicts hold, counted once by one traversal, whatever they hold it in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from h5burst.memory.accounting import buffers, resident_bytes, spilled_bytes
from h5burst.memory.scratch import Scratch, ScratchArray
from h5burst.memory.spill import SpillManager, min_budget

KIB = 1024


def test_every_buffer_counts_once_at_any_depth() -> None:
    whole = np.zeros(KIB, np.uint8)
    held = {"a": whole, "b": [whole[10:20], (whole.reshape(32, 32), {"c": np.ones(KIB, np.uint8)})]}
    assert resident_bytes([held, held]) == 2 * KIB
    assert spilled_bytes([held]) == 0


def test_arrays_in_tuples_count_and_are_let_alone(tmp_path: Path) -> None:
    held = {"a": (np.zeros(KIB, np.uint8), np.zeros(KIB, np.uint8))}
    assert resident_bytes([held]) == 2 * KIB
    assert not any(buffer.is_movable for buffer in buffers([held]).values())


def test_masked_arrays_count_with_their_mask() -> None:
    masked = np.ma.masked_array(np.zeros(KIB), mask=np.zeros(KIB, bool))
    assert resident_bytes([{"a": masked}]) == 9 * KIB


def test_a_container_that_holds_itself_is_counted_once_and_kept_within_its_budget(tmp_path: Path) -> None:
    held: dict[str, Any] = {"a": np.zeros(min_budget(), np.uint8)}
    held["self"] = held
    held["list"] = [held, held]
    assert resident_bytes([held]) == min_budget()
    manager = SpillManager(min_budget(), lambda: Scratch(tmp_path, "data"))
    held["b"] = np.ones(min_budget(), np.uint8)
    assert manager.enforce(held) == min_budget()
    assert spilled_bytes([held]) + resident_bytes([held]) == 2 * min_budget()
    manager.close()


def test_what_memory_shows_of_foreign_buffers_counts() -> None:
    raw = bytearray(KIB)
    assert resident_bytes([{"a": np.frombuffer(raw, np.uint8, 16)}]) == KIB


def test_arrays_that_cannot_be_stored_stay_and_the_others_move_for_them(tmp_path: Path) -> None:
    size = min_budget()
    objects = np.empty(100, object)
    objects[:] = "text"
    held = {
        "masked": np.ma.masked_array(np.zeros(size // 8), mask=[False] * (size // 8)),
        "objects": objects,
        "strings": np.array(["a", "b"] * 10_000, dtype=np.dtypes.StringDType()),
        "structured": np.array([(1, "a")] * 10_000, dtype=[("n", "i8"), ("o", object)]),
        "plain": np.zeros(size, np.uint8),
    }
    manager = SpillManager(size, lambda: Scratch(tmp_path, "data"))
    manager.enforce(held)
    assert {name for name, array in held.items() if isinstance(array, ScratchArray)} == {"plain"}
    assert isinstance(held["masked"], np.ma.MaskedArray)
    manager.close()


def test_a_base_that_does_not_show_its_memory_counts_once() -> None:
    class Owner:
        def __init__(self) -> None:
            self.kept = np.arange(10.0)
            self.__array_interface__ = self.kept.__array_interface__

    array = np.asarray(Owner())
    assert isinstance(array.base, Owner)
    assert resident_bytes([array, array[2:4]]) == 80
