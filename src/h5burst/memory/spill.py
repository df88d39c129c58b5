"""Keeping the arrays of nested dicts within a memory budget: arrays over it are spilled to a scratch file.

Arrays are exchanged in place, in the dicts and lists that hold them, for lazy ones that read the same elements. Views
of a common buffer move together and stay views of one array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from h5burst.arrays.chunks import CHUNK_BYTES
from h5burst.memory.accounting import Buffer, buffers, resident_bytes
from h5burst.memory.budget import format_bytes
from h5burst.memory.scratch import Scratch, ScratchArray, ScratchView
from h5burst.model.source import ArraySource
from h5burst.runtime import threads

SMALL_BYTES = 64 << 10  # buffers below this move in bundles
BUNDLE_BYTES = 8 << 20
_TINY_BYTES = 256  # not worth an entry in a table


def min_budget() -> int:
    """The smallest budget that works: a block for each thread, one that is being read and one that is written."""
    return (threads.thread_count() + 2) * CHUNK_BYTES


class SpillManager:
    """Keeps arrays within a budget.

    Parameters
    ----------
    budget : int
        Bytes of arrays in memory.
    make_scratch : callable
        Called without arguments when the first array has to move; gives the `Scratch`.

    Raises
    ------
    ValueError
        For a budget smaller than the blocks that work needs.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from h5burst import Scratch, SpillManager
    >>> manager = SpillManager(1 << 30, lambda: Scratch(Path("."), "example"))
    >>> manager.enforce({"a": np.zeros(1000)})
    0
    """

    def __init__(self, budget: int, make_scratch: Callable[[], Scratch]) -> None:
        if budget < min_budget():
            raise ValueError(
                f"a memory budget of {format_bytes(budget)} is smaller than the blocks that work needs: "
                f"at least {min_budget()} bytes ({format_bytes(min_budget())}) "
                f"with {threads.thread_count()} threads"
            )
        self.budget = budget
        self._make_scratch = make_scratch
        self._scratch: Scratch | None = None
        self._round = 0
        self._first_seen: dict[int, int] = {}  # buffer -> the round in which it came

    @property
    def scratch(self) -> Scratch | None:
        """The scratch file that takes arrays of this process now, if there is one."""
        scratch = self._scratch
        return scratch if scratch is not None and scratch.is_ours and not scratch.is_promoted else None

    def close(self) -> None:
        """Remove the scratch file."""
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    def stream(self, source: ArraySource, values: Iterable[Any]) -> ScratchArray | None:
        """A stream of blocks in the scratch file.

        Parameters
        ----------
        source : ArraySource
            The stream.
        values : iterable
            What else is in memory: arrays, and containers of them.

        Returns
        -------
        ScratchArray or None
            None when the stream fits into memory beside the arrays in `values`; nothing is read then.
        """
        size = int(np.prod(source.shape, dtype=np.int64)) * source.dtype.itemsize
        if size < SMALL_BYTES or resident_bytes(values) + size <= self.budget:
            return None
        return self._scratch_file().store(source)

    def enforce(self, *values: Any, reserved_bytes: int = 0) -> int:
        """Move arrays until those in `values` fit: the largest first, of like size the oldest.

        Parameters
        ----------
        *values : dict or list
            Containers, in which lazy arrays replace those that move.
        reserved_bytes : int
            Bytes of the budget that somebody else uses now.

        Returns
        -------
        int
            Bytes that moved.
        """
        pieces = buffers(values)
        excess = sum(buffer.nbytes for buffer in pieces.values()) - max(self.budget - reserved_bytes, 0)
        self._round += 1
        self._first_seen = {key: self._first_seen.get(key, self._round) for key in pieces}
        if excess <= 0:
            return 0
        movable = [(key, buffer) for key, buffer in pieces.items() if buffer.is_movable]
        ranked = sorted(movable, key=lambda item: (-item[1].nbytes.bit_length(), self._first_seen[item[0]]))
        moved = 0
        small: list[Buffer] = []
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

    def _move(self, buffer: Buffer) -> int:
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

    def _move_bundles(self, small: list[Buffer], excess: int) -> int:
        moved = 0
        waiting: dict[np.dtype[Any], list[Buffer]] = {}
        for buffer in small:
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

    def _move_bundle(self, bundle: list[Buffer]) -> None:
        joined = np.concatenate([buffer.base.reshape(-1) for buffer in bundle], dtype=bundle[0].base.dtype)
        whole = self._scratch_file().store(joined)
        first = 0
        for buffer in bundle:
            _exchange(buffer, whole, first)
            first += buffer.base.size


def _exchange(buffer: Buffer, whole: ScratchArray, first: int) -> None:
    """Put views of `whole`, in which the buffer starts at element `first`, in place of the arrays."""
    start = buffer.base.__array_interface__["data"][0]
    for container, key, array in buffer.places:
        offset = (array.__array_interface__["data"][0] - start) // array.itemsize if array.size else 0
        container[key] = ScratchView(whole, first + offset, array.shape, array.dtype)


def _is_sliced(buffer: Buffer) -> bool:
    """True where all arrays are consecutive elements of the buffer, so that they can be views of it elsewhere, too."""
    base = buffer.base
    return bool(base.flags.c_contiguous) and all(
        array.flags.c_contiguous and array.itemsize == base.itemsize for _, _, array in buffer.places
    )
