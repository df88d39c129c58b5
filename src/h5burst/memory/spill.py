"""Keeping the arrays of nested dicts within a memory budget: what is too much moves to a scratch file.

Arrays are exchanged in place, in the dicts and lists that hold them, for lazy ones that read the same elements. Views
of a common buffer move together and stay views of one array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from h5burst.arrays.chunks import CHUNK_BYTES
from h5burst.memory.budget import format_bytes
from h5burst.memory.scratch import Scratch, ScratchArray, ScratchView
from h5burst.model.tree import BlockSource
from h5burst.runtime import threads

SMALL_BYTES = 64 << 10  # buffers below this move in bundles
BUNDLE_BYTES = 8 << 20
_TINY_BYTES = 256  # not worth an entry in a table

Array = np.ndarray[Any, Any]


def least_budget() -> int:
    """The smallest budget that works: a block for each thread, one that is being read and one that is written."""
    return (threads.thread_count() + 2) * CHUNK_BYTES


@dataclass
class _Buffer:
    """Memory that one or more arrays look at, and where these arrays are held: (container, key, array)."""

    base: Array
    places: list[tuple[Any, Any, Array]] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        return self.base.nbytes


class Keeper:
    """Keeps arrays within `budget` bytes; `make_scratch` is called when the first of them has to move.

    Raises ValueError for a budget smaller than `least_budget()`.
    """

    def __init__(self, budget: int, make_scratch: Callable[[], Scratch]) -> None:
        if budget < least_budget():
            raise ValueError(
                f"a memory budget of {format_bytes(budget)} is smaller than the blocks that work needs: "
                f"at least {least_budget()} bytes ({format_bytes(least_budget())}) with {threads.thread_count()} threads"
            )
        self.budget = budget
        self._make_scratch = make_scratch
        self._scratch: Scratch | None = None
        self._round = 0
        self._last_new: dict[int, int] = {}  # buffer -> the round in which it came

    @property
    def scratch(self) -> Scratch | None:
        """The scratch file that takes arrays now, if there is one."""
        return self._scratch if self._scratch is not None and not self._scratch.adopted else None

    def close(self) -> None:
        """Remove the scratch file."""
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    def stream(self, source: BlockSource, values: Iterable[Any]) -> ScratchArray | None:
        """A stream of blocks in the scratch file; None when it fits into memory beside the arrays in `values`."""
        size = int(np.prod(source.shape, dtype=np.int64)) * source.dtype.itemsize
        if size < SMALL_BYTES or resident_bytes(values) + size <= self.budget:
            return None
        return self._scratch_file().store(source)

    def enforce(self, *values: Any, beside: int = 0) -> int:
        """Move arrays until those in `values` fit: the largest first, of like size the oldest. Bytes that moved.

        beside: bytes of the budget that somebody else uses now.
        """
        buffers = _buffers(values)
        excess = sum(buffer.nbytes for buffer in buffers.values()) - max(self.budget - beside, 0)
        self._round += 1
        self._last_new = {key: self._last_new.get(key, self._round) for key in buffers}
        if excess <= 0:
            return 0
        ranked = sorted(buffers.items(), key=lambda item: (-item[1].nbytes.bit_length(), self._last_new[item[0]]))
        moved = 0
        small: list[_Buffer] = []
        for _, buffer in ranked:
            if moved >= excess:
                return moved
            if buffer.nbytes < SMALL_BYTES:
                small.append(buffer)
            else:
                moved += self._move(buffer)
        return moved + self._move_bundles(small, excess - moved)

    def _scratch_file(self) -> Scratch:
        if self.scratch is None:
            self._scratch = self._make_scratch()
        assert self._scratch is not None
        return self._scratch

    def _move(self, buffer: _Buffer) -> int:
        views = [array for _, _, array in buffer.places]
        if len(views) == 1 and views[0].nbytes == buffer.nbytes:
            container, key, array = buffer.places[0]
            container[key] = self._scratch_file().store(array)
        elif _is_sliced(buffer):
            whole = self._scratch_file().store(buffer.base.reshape(-1))
            _exchange(buffer, whole, 0)
        else:
            for container, key, array in buffer.places:
                if array.nbytes >= SMALL_BYTES:
                    container[key] = self._scratch_file().store(array)
                else:
                    container[key] = array.copy()
        return buffer.nbytes

    def _move_bundles(self, buffers: list[_Buffer], excess: int) -> int:
        moved = 0
        waiting: dict[np.dtype[Any], list[_Buffer]] = {}
        for buffer in buffers:
            if moved >= excess:
                break
            if buffer.nbytes < _TINY_BYTES or not _is_sliced(buffer):
                continue
            bundle = waiting.setdefault(buffer.base.dtype, [])
            bundle.append(buffer)
            moved += buffer.nbytes
            if sum(item.nbytes for item in bundle) >= BUNDLE_BYTES:
                self._move_bundle(waiting.pop(buffer.base.dtype))
        for bundle in waiting.values():
            self._move_bundle(bundle)
        return moved

    def _move_bundle(self, bundle: list[_Buffer]) -> None:
        joined = np.concatenate([buffer.base.reshape(-1) for buffer in bundle], dtype=bundle[0].base.dtype)
        whole = self._scratch_file().store(joined)
        first = 0
        for buffer in bundle:
            _exchange(buffer, whole, first)
            first += buffer.base.size


def _exchange(buffer: _Buffer, whole: ScratchArray, first: int) -> None:
    """Put views of `whole`, in which the buffer starts at element `first`, in place of the arrays."""
    start = buffer.base.__array_interface__["data"][0]
    for container, key, array in buffer.places:
        offset = (array.__array_interface__["data"][0] - start) // array.itemsize if array.size else 0
        container[key] = ScratchView(whole, first + offset, array.shape, array.dtype)


def _is_sliced(buffer: _Buffer) -> bool:
    """Whether all arrays are consecutive elements of the buffer, so that they can be views of it elsewhere, too."""
    base = buffer.base
    return bool(base.flags.c_contiguous) and all(
        array.flags.c_contiguous and array.itemsize == base.itemsize for _, _, array in buffer.places
    )


# ---------------------------------------------------------------- what dicts hold


def resident_bytes(values: Iterable[Any]) -> int:
    """Bytes of the arrays in memory at any depth, each buffer counted once."""
    return sum(buffer.nbytes for buffer in _buffers(values).values())


def spilled_bytes(values: Iterable[Any]) -> int:
    """Bytes of the arrays in scratch files at any depth, each counted once."""
    found = {}
    for _, _, array in _arrays(values):
        whole = array.whole if isinstance(array, ScratchView) else array
        if isinstance(whole, ScratchArray):
            found[id(whole)] = whole.nbytes
    return sum(found.values())


def _buffers(values: Iterable[Any]) -> dict[int, _Buffer]:
    buffers: dict[int, _Buffer] = {}
    for container, key, array in _arrays(values):
        if isinstance(array, np.ndarray) and array.dtype != object and container is not None:
            base = _owner(array)
            buffers.setdefault(id(base), _Buffer(base)).places.append((container, key, array))
    return buffers


def _owner(array: Array) -> Array:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _arrays(values: Iterable[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Every array at any depth with what holds it; None holds those in tuples, which cannot be exchanged."""
    waiting: list[tuple[Any, Any, Any]] = [(None, None, value) for value in values]
    while waiting:
        container, key, value = waiting.pop()
        if isinstance(value, (np.ndarray, ScratchArray, ScratchView)):
            yield container, key, value
        elif isinstance(value, dict):
            waiting.extend((value, name, item) for name, item in value.items())
        elif isinstance(value, list):
            waiting.extend((value, index, item) for index, item in enumerate(value))
        elif isinstance(value, tuple):
            waiting.extend((None, None, item) for item in value)
