"""A session within its memory budget: when arrays move to the scratch file, and how a save promotes that file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from h5burst import (
    ArraySource,
    Group,
    NeedsLibhdf5Error,
    Node,
    Scratch,
    SpillManager,
    Storage,
    memory_budget,
    resident_bytes,
    scratch_directory,
    spilled_bytes,
    write_tree,
    write_tree_into_scratch,
)
from hdmea.session.data import SessionContent

MAX_UNUSED_FRACTION = 0.1  # of a scratch file that becomes the output


class SessionMemory:
    """Keeps one session's arrays within its budget.

    budget: bytes or text with a unit; None: `H5BURST_MEMORY_BUDGET`, else most of what the process may use.
    output_path: where the session will probably be saved; the scratch file is beside it. Raises ValueError for a
    budget smaller than one block.
    """

    def __init__(self, budget: int | str | None, output_path: Path) -> None:
        self.is_explicit = budget is not None or bool(os.environ.get("H5BURST_MEMORY_BUDGET", "").strip())
        self._spill = SpillManager(
            memory_budget(budget), lambda: Scratch(scratch_directory(output_path.parent), output_path.stem)
        )

    @property
    def budget(self) -> int:
        """Bytes that the session's arrays may take."""
        return self._spill.budget

    def block_budget(self, *values: Any) -> int | None:
        """Bytes that a step's blocks and accumulators may take beside the arrays in `values`; None: need not count."""
        if not self.is_explicit:
            return None
        return max(self.budget - resident_bytes(values), self.budget // 2)

    def stream(self, source: ArraySource, loaded: tuple[Any, ...] = ()) -> Any:
        """A stream of blocks in the scratch file; None when it fits into memory beside `loaded`."""
        return self._spill.stream(source, loaded)

    def take(self, source: ArraySource, session: SessionContent) -> Any:
        """A stream of blocks as an array.

        In memory when it fits there beside the session's, else in the scratch file.
        """
        stored = self._spill.stream(source, _values(session))
        return source.read(0, source.shape[0]) if stored is None else stored

    def enforce(self, *values: Any, beside: int = 0) -> None:
        """Move what is too much to the scratch file; beside: bytes of the budget that a step's accumulators take."""
        # Arrays in memory are part of the process: as long as the whole fits they need not be counted one by one.
        if _process_bytes() > self.budget - beside:
            self._spill.enforce(*values, reserved_bytes=beside)

    def enforce_session(self, session: SessionContent) -> None:
        self.enforce(*_values(session))

    @staticmethod
    def resident_bytes(session: SessionContent) -> int:
        return resident_bytes(_values(session))

    @staticmethod
    def spilled_bytes(session: SessionContent) -> int:
        return spilled_bytes(_values(session))

    @property
    def has_scratch(self) -> bool:
        return self._spill.scratch is not None

    def write(self, path: Path, tree: Group, *, storage: Storage | None, overwrite: bool) -> None:
        """Write a tree as `write_tree` does; where it can, by making the scratch file the output."""
        scratch = self._spill.scratch
        if scratch is not None and (storage is None or storage.codec is None) and _can_become(scratch, path, tree):
            try:
                write_tree_into_scratch(path, tree, scratch, overwrite=overwrite)
                return
            except NeedsLibhdf5Error:
                pass  # only libhdf5 can write this tree
        write_tree(path, tree, storage=storage, overwrite=overwrite)

    def close(self) -> None:
        """Remove the scratch file."""
        self._spill.close()


def _values(session: SessionContent) -> tuple[Any, ...]:
    return session.units, session.metadata, session.stimulus


def _can_become(scratch: Scratch, path: Path, tree: Group) -> bool:
    """True where the scratch file is in the output's file system and holds little but what the tree needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not scratch.path.exists() or scratch.path.stat().st_dev != path.parent.stat().st_dev:
        return False
    return scratch.bytes_among(_data_of(tree)) >= (1 - MAX_UNUSED_FRACTION) * scratch.size


def _data_of(node: Node) -> Iterator[Any]:
    if isinstance(node, Group):
        for child in node.children.values():
            yield from _data_of(child)
    else:
        yield node.data


def _process_bytes() -> float:
    """Resident bytes of this process; infinite where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, AttributeError):
        return float("inf")
