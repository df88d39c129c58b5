"""Edits of a file that is there: transactions beside h5py, and what a commit costs in files of any size.

H5BURST_BENCH_OBJECTS (100 000) is the number of objects of the largest file.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
from harness import ROUNDS, Versus, alone, versus

import h5burst
from h5burst import Array, Group, Storage

UNITS = 300
COMMITS, AT_ONCE = 3000, 1000
COUNTS = [10**power for power in range(2, 7) if 10**power <= int(os.environ.get("H5BURST_BENCH_OBJECTS", "100000"))]


def sections() -> Group:
    """Of one unit: 7 movies of 10 datasets each."""
    movies = {}
    for movie in range(7):
        trials = {str(trial): Array(np.arange(movie + trial, dtype=np.int64)) for trial in range(9)}
        movies[f"m{movie}"] = Group({"trials": Group(trials), "full": Array(np.arange(20))}, {"n_trials": 9})
    return Group(movies)


def recording(path: Path, large_bytes: int = 0) -> Path:
    units = {
        f"unit_{number:03d}": Group({"spike_times": Array(np.arange(500, dtype=np.uint64))}, {"row": number})
        for number in range(UNITS)
    }
    large = {"large": Array(np.zeros(large_bytes // 8))} if large_bytes else {}
    h5burst.write_tree(path, Group({"units": Group(units), **large}))
    return path


def by_transaction(path: Path, added: dict[str, Group]) -> None:
    with h5burst.edit(path) as tx:
        for unit, node in added.items():
            tx.put(("units", unit, "sections"), node)


def by_h5py(path: Path, added: dict[str, Group]) -> None:
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        for unit, node in added.items():
            top = file["units"][unit].create_group("sections")
            for where, child in node.walk():
                if isinstance(child, Array):
                    top.create_dataset("/".join(where), data=child.data)
                else:
                    top.require_group("/".join(where)).attrs.update(child.attrs)


def datasets(path: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()].tolist()}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def test_21_000_datasets_into_a_file(benchmark, tmp_path):
    """Below 300 groups of a file; ours flushes twice, h5py does not."""
    base, target = recording(tmp_path / "base.h5"), tmp_path / "target.h5"
    added = {f"unit_{number:03d}": sections() for number in range(UNITS)}
    made = []
    for side in (by_transaction, by_h5py):
        shutil.copyfile(base, target)
        side(target, added)
        made.append(datasets(target))
    assert made[0] == made[1]
    assert len(made[0]) == UNITS * 71
    versus(
        benchmark,
        lambda: by_transaction(target, added),
        lambda: by_h5py(target, added),
        other_name="h5py create_dataset",
        same=None,
        before=lambda: shutil.copyfile(base, target),
        target_ratio=60,
    )


@pytest.fixture
def flushing(monkeypatch):
    """Seconds that every flush took so far."""
    spent: list[float] = []

    def timed(flush, descriptor):
        started = time.perf_counter()
        flush(descriptor)
        spent.append(time.perf_counter() - started)

    for name in ("fsync", "fdatasync"):
        if hasattr(os, name):
            monkeypatch.setattr(os, name, partial(timed, getattr(os, name)))
    return spent


def test_one_attribute_in_a_file_of_600_MB(benchmark, tmp_path, flushing):
    """Without the time of its two flushes, which is told beside it."""
    path, times = recording(tmp_path / "large.h5", 600 << 20), []

    def work() -> None:
        del flushing[:]
        started = time.perf_counter()
        with h5burst.edit(path) as tx:
            tx.set_attributes(("units",), {"reviewed": True})
        times.append((time.perf_counter() - started - sum(flushing), sum(flushing)))
        assert len(flushing) == 2

    alone(benchmark, work, rounds=4 * ROUNDS, target_s=0.005)
    ours, flushes = (statistics.median(column) for column in zip(*times, strict=True))
    benchmark.extra_info.update(ours_s=ours, flushes_s=flushes)


def add_one(path: Path, name: str) -> None:
    with h5burst.edit(path) as tx:
        tx.put(("units", name), Group())
        tx.set_attributes(("units",), {"last": name})


@pytest.mark.parametrize("objects", COUNTS)
@pytest.mark.parametrize("kind", ["flat", "nested"])
def test_one_link_in_a_file_of(benchmark, kind, objects, tmp_path):
    """One new group and one attribute beside all objects in one group, or in groups of a hundred."""
    path = tmp_path / "file.h5"
    if kind == "flat":
        below = {f"n{number}": Group() for number in range(objects)}
    else:
        below = {f"g{k}": Group({str(n): Group() for n in range(100)}) for k in range(objects // 100)}
    h5burst.write_tree(path, Group({"units": Group(below)}))
    del below
    started = time.process_time()
    add_one(path, "first")  # turns a large group into the form whose unchanged parts are kept
    first_cpu_s, size, names = time.process_time() - started, path.stat().st_size, iter(range(1000))
    alone(benchmark, lambda: add_one(path, f"new {next(names)}"), rounds=2 * ROUNDS)
    grown = (path.stat().st_size - size) / (2 * ROUNDS + 1)
    with h5py.File(path) as file:
        assert len(file["units"]) == (objects if kind == "flat" else objects // 100) + 2 * ROUNDS + 2
    benchmark.extra_info.update(bytes_a_commit=grown, first_edit_cpu_s=first_cpu_s, file_MB=size / 1e6)


def test_the_last_thousand_of_3000_commits(benchmark, tmp_path):
    """A log of rows and a link each; against the first thousand of the same file."""
    path = tmp_path / "log.h5"
    log = Array(np.zeros((1, 4)), storage=Storage(maxshape=(None, 4), chunks=(256, 4)))
    h5burst.write_tree(path, Group({"log": log, "runs": Group()}))
    cpu: list[float] = []

    def all_of_them() -> None:
        for number in range(COMMITS):
            started = time.process_time()
            with h5burst.edit(path) as tx:
                tx.append(("log",), np.full((10, 4), float(number)))
                tx.put(("runs", f"run {number}"), Array(np.array(number)))
            cpu.append(time.process_time() - started)

    benchmark.pedantic(all_of_them, rounds=1)
    with h5py.File(path) as file:
        assert file["log"].shape == (1 + 10 * COMMITS, 4)
        assert (file["log"][1:, 0] == np.repeat(np.arange(COMMITS), 10)).all()
        assert len(file["runs"]) == COMMITS
    first, last = (np.array(part) for part in (cpu[:AT_ONCE], cpu[-AT_ONCE:]))
    result = Versus([float(np.median(last))], [float(np.median(first))], "the first thousand")
    found = h5burst.info(path, "/runs")
    benchmark.extra_info.update(
        result.as_json(), ours_cpu_s=result.ours[0], file_MB=found.bytes / 1e6, dead_MB=(found.dead_bytes or 0) / 1e6
    )
