"""The benchmark suite's short form: a few of its rows on this machine, both sides by turns in one run."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from h5burst.copying.repacking import repack
from h5burst.model.tree import Array, Group, Storage
from h5burst.read.files import read_tree
from h5burst.runtime import durable
from h5burst.write.whole_file import write_tree

_SMALL, _LARGE = 3000, (4000, 500)  # datasets of a tree; shape of a table
_ROUNDS = 3


@dataclass(frozen=True)
class Measured:
    """One row: medians of the seconds that both sides took, in turns."""

    work: str
    other: str
    ours_s: float
    other_s: float

    @property
    def ratio(self) -> float:
        """Speed of this package over that of the other."""
        return self.other_s / self.ours_s


def measure(directory: Path | None = None) -> Iterator[Measured]:
    """Measure each work of the short form in a temporary directory (below `directory`), one after another.

    Yields
    ------
    Measured
        As soon as it is known.
    """
    with durable.temporary_directory("h5burst-bench-", directory) as workspace:
        random = np.random.default_rng(0)
        small = {f"g{k // 100}/d{k}": random.normal(size=60) for k in range(_SMALL)}
        yield from _of_trees(workspace, small)
        table = random.normal(size=_LARGE)
        yield from _of_tables(workspace, "digits in full", table)
        yield from _of_tables(workspace, "two decimals", table.round(2))
        yield from _of_repacking(workspace, table.round(2))


def _versus(work: str, other: str, ours: Callable[[], Any], theirs: Callable[[], Any]) -> Measured:
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for side, run in enumerate((ours, theirs)):
            start = time.perf_counter()
            run()
            seconds[side].append(time.perf_counter() - start)
    return Measured(work, other, statistics.median(seconds[0]), statistics.median(seconds[1]))


def _of_trees(directory: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> Iterator[Measured]:
    tree = Group()
    for name, data in arrays.items():
        group, leaf = name.split("/")
        parent = tree.children.setdefault(group, Group())
        assert isinstance(parent, Group)
        parent.children[leaf] = Array(data)
    path, reference = directory / "tree.h5", directory / "tree_h5py.h5"

    def by_h5py() -> None:
        with h5py.File(reference, "w") as file:
            for name, data in arrays.items():
                file.create_dataset(name, data=data)

    def read_by_h5py() -> None:
        with h5py.File(path, "r") as file:
            for group in file.values():
                for dataset in group.values():
                    dataset[...]

    def read_ours() -> None:
        read_tree(path)

    yield _versus(f"write {_SMALL} small datasets", "h5py", lambda: write_tree(path, tree, overwrite=True), by_h5py)
    yield _versus(f"read {_SMALL} small datasets", "h5py", read_ours, read_by_h5py)


def _of_tables(directory: Path, kind: str, table: np.ndarray[Any, Any]) -> Iterator[Measured]:
    path, reference = directory / "table.h5", directory / "table_h5py.h5"
    tree = Group({"x": Array(table, storage=Storage("gzip", 4))})

    def by_h5py() -> None:
        with h5py.File(reference, "w") as file:
            file.create_dataset("x", data=table, compression="gzip", compression_opts=4, shuffle=True, fletcher32=True)

    def read_by_h5py() -> None:
        with h5py.File(path, "r") as file:
            file["x"][...]

    size = f"{table.nbytes // 1_000_000} MB, {kind}"
    yield _versus(f"write gzip ({size})", "h5py", lambda: write_tree(path, tree, overwrite=True), by_h5py)
    yield _versus(f"read gzip ({size})", "h5py", lambda: read_tree(path), read_by_h5py)


def _of_repacking(directory: Path, table: np.ndarray[Any, Any]) -> Iterator[Measured]:
    program = shutil.which("h5repack")
    if program is None:
        return
    source, ours, theirs = directory / "plain.h5", directory / "ours.h5", directory / "theirs.h5"
    with h5py.File(source, "w") as file:
        file["x"] = table

    def by_h5repack() -> None:
        subprocess.run([program, "-f", "SHUF", "-f", "GZIP=4", source, theirs], check=True, capture_output=True)

    def by_us() -> None:
        repack(source, ours, compression="gzip", compression_opts=4, overwrite=True)

    yield _versus(f"repack to gzip ({table.nbytes // 1_000_000} MB)", "h5repack", by_us, by_h5repack)
