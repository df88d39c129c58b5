"""Commits and earlier states beside versioned-hdf5, HDF5's SWMR, a lock around h5py, and h5diff.

H5BURST_BENCH_VERSIONS (1 100) is the number of versions, and the scale of the others.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from harness import limit_seconds

import h5burst
from h5burst import Array, Group, Storage

VERSIONS = int(os.environ.get("H5BURST_BENCH_VERSIONS", "1100"))
OBJECTS = 100_000


def median_of(work: Callable[[], object], rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


class Flushes:
    """Seconds that flushes of this process took."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spent = 0.0
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._timed(getattr(os, name)))

    def _timed(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def flush(descriptor: int) -> None:
            started = time.perf_counter()
            real(descriptor)
            self.spent += time.perf_counter() - started

        return flush


def bare_flushes(directory: Path) -> float:
    """Seconds of two flushes here: of bytes behind the end, then of 48 at the beginning. No commit takes less."""
    at = 1 << 16
    with (directory / "bare").open("wb", buffering=0) as file:
        file.write(bytes(at))
        os.fsync(file.fileno())

        def flush() -> None:
            nonlocal at
            for place, size in ((at, 4000), (0, 48)):
                os.pwrite(file.fileno(), bytes(size), place)
                os.fdatasync(file.fileno())
            at += 4000

        return median_of(flush, 30)


# ---------------------------------------------------------------- versions


def rows(version: int) -> np.ndarray:
    """Of one version: another block of the same dataset."""
    return np.random.default_rng(version).random(1000)


def test_1_100_versions_beside_versioned_hdf5(benchmark, tmp_path, monkeypatch):
    """A dataset of 10 000 numbers, a tenth of it another one in each version; both sides flush each version."""
    versioned = pytest.importorskip("versioned_hdf5")
    ours, theirs = tmp_path / "ours.h5", tmp_path / "theirs.h5"
    start = np.zeros(10_000)
    h5burst.write_tree(ours, Group({"values": Group({str(n): Array(start[:1000]) for n in range(10)})}))
    with h5py.File(theirs, "w") as file, versioned.VersionedHDF5File(file).stage_version("0") as group:
        group.create_dataset("values", data=start, chunks=(1000,), maxshape=(None,))

    def our_version(version: int) -> None:
        with h5burst.edit(ours, f"version {version}") as tx:
            tx.put(f"values/{version % 10}", Array(rows(version)))

    def their_version(version: int) -> None:
        start = 1000 * (version % 10)
        with h5py.File(theirs, "r+") as file:
            with versioned.VersionedHDF5File(file).stage_version(str(version)) as group:
                group["values"][start : start + 1000] = rows(version)
            file.flush()
            _flush(theirs)

    _versions_in_turn(benchmark, tmp_path, Flushes(monkeypatch), our_version, their_version)
    for number in (1, VERSIONS // 2, VERSIONS):
        with h5burst.file_at(ours, number) as stream, h5py.File(stream) as mine, h5py.File(theirs) as file:
            other = versioned.VersionedHDF5File(file)[str(number)]["values"][:]
            assert np.array_equal(np.concatenate([mine[f"values/{n}"][:] for n in range(10)]), other)
    benchmark.extra_info.update(
        other=f"versioned-hdf5 {versioned.__version__}",
        ours_MB=ours.stat().st_size / 1e6,
        theirs_MB=theirs.stat().st_size / 1e6,
    )
    _opening(benchmark, ours, theirs, versioned)


def test_1_100_versions_that_append_to_three_columns(benchmark, tmp_path, monkeypatch):
    """The work of "mostly appends, sparse" of versioned-hdf5's own performance tests, with its chunks of 4 096."""
    versioned = pytest.importorskip("versioned_hdf5")
    ours, theirs, columns = tmp_path / "ours.h5", tmp_path / "theirs.h5", ("key0", "key1", "val")
    storage = Storage(None, chunks=(4096,), maxshape=(None,))
    start = np.zeros(1000)
    h5burst.write_tree(ours, Group({name: Array(start, storage=storage) for name in columns}))
    with h5py.File(theirs, "w") as file, versioned.VersionedHDF5File(file).stage_version("0") as group:
        for name in columns:
            group.create_dataset(name, data=start, chunks=(4096,), maxshape=(None,))

    def our_version(version: int) -> None:
        with h5burst.edit(ours, f"version {version}") as tx:
            for name in columns:
                tx.append(name, rows(version))

    def their_version(version: int) -> None:
        with h5py.File(theirs, "r+") as file:
            with versioned.VersionedHDF5File(file).stage_version(str(version)) as group:
                for name in columns:
                    data = group[name]
                    data.resize((1000 * (version + 1),))
                    data[1000 * version :] = rows(version)
            file.flush()
            _flush(theirs)

    _versions_in_turn(benchmark, tmp_path, Flushes(monkeypatch), our_version, their_version)
    with h5burst.file_at(ours, VERSIONS // 2) as stream, h5py.File(stream) as mine, h5py.File(theirs) as file:
        version = versioned.VersionedHDF5File(file)[str(VERSIONS // 2)]
        assert all(np.array_equal(mine[name][:], version[name][:]) for name in columns)
    benchmark.extra_info.update(
        other=f"versioned-hdf5 {versioned.__version__}",
        ours_MB=ours.stat().st_size / 1e6,
        theirs_MB=theirs.stat().st_size / 1e6,
    )


def _versions_in_turn(
    benchmark, directory: Path, flushes: Flushes, ours: Callable[[int], None], theirs: Callable[[int], None]
) -> None:
    """Each version by us, then by them: with the flushes of the disk, without them, and what the flushes took."""
    spent: dict[str, list[tuple[float, float]]] = {"ours": [], "other": []}
    bare: list[float] = []

    def all_versions() -> None:
        for version in range(1, VERSIONS + 1):
            for side, make in (("ours", ours), ("other", theirs)):
                started, flushed = time.perf_counter(), flushes.spent
                make(version)
                spent[side].append((time.perf_counter() - started, flushes.spent - flushed))
        bare.append(bare_flushes(directory))

    benchmark.pedantic(all_versions, rounds=1, iterations=1)
    few = max(1, VERSIONS // 20)
    whole = {side: statistics.median(a for a, _ in found[-few:]) for side, found in spent.items()}
    without = {side: statistics.median(a - b for a, b in found[-few:]) for side, found in spent.items()}
    flush = {side: statistics.median(b for _, b in found[-few:]) for side, found in spent.items()}
    benchmark.extra_info.update(
        ours_s=whole["ours"],
        other_s=whole["other"],
        ratio=whole["other"] / whole["ours"],
        target_ratio=30,
        ratio_without_flushes=without["other"] / without["ours"],
        first_without_flush_s=statistics.median(a - b for a, b in spent["ours"][:few]),
        last_without_flush_s=without["ours"],
        their_first_without_flush_s=statistics.median(a - b for a, b in spent["other"][:few]),
        their_last_without_flush_s=without["other"],
        flushes_s=flush["ours"],
        their_flush_s=flush["other"],
    )
    limit_seconds(benchmark, "two flushes of the disk, and nothing else", bare[0])


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _opening(benchmark, ours: Path, theirs: Path, versioned) -> None:
    """open(at=) and h5py.File(file_at) in turn with h5py.File(path), the least and the most of several states."""

    def their_open() -> None:
        with h5py.File(theirs) as file:
            versioned.VersionedHDF5File(file)[str(VERSIONS // 2)]

    def at(number: int) -> None:
        h5burst.open(ours, at=number).close()

    def file_at(number: int) -> None:
        with h5burst.file_at(ours, number) as stream, h5py.File(stream):
            pass

    found: dict[str, list[float]] = {}
    states = (0, 1, VERSIONS // 2, VERSIONS - 1, VERSIONS)
    works: dict[str, Callable[[], object]] = {
        "h5py": lambda: h5py.File(ours).close(),
        "open": lambda: h5burst.open(ours).close(),
        **{f"at {n}": lambda n=n: at(n) for n in states},
        **{f"file_at {n}": lambda n=n: file_at(n) for n in states},
    }
    for _ in range(400):  # one after the other, as programs do: nobody finds all his own in the cache
        for name, work in works.items():
            found.setdefault(name, []).append(median_of(work, 1))
    middle = {name: statistics.median(values) for name, values in found.items()}
    worst_at = max(middle[f"at {n}"] for n in states)
    worst_file = max(middle[f"file_at {n}"] for n in states)
    benchmark.extra_info.update(
        h5py_open_us=1e6 * middle["h5py"],
        open_us=1e6 * middle["open"],
        open_at_us=f"{1e6 * min(middle[f'at {n}'] for n in states):.0f}-{1e6 * worst_at:.0f}",
        file_at_us=f"{1e6 * min(middle[f'file_at {n}'] for n in states):.0f}-{1e6 * worst_file:.0f}",
        open_at_over_h5py=worst_at / middle["h5py"],
        open_at_over_open=worst_at / middle["open"],
        file_at_over_h5py=worst_file / middle["h5py"],
        their_open_us=1e6 * median_of(their_open, 10),
    )


# ---------------------------------------------------------------- rows that are visible


@contextlib.contextmanager
def watching(path: Path, how: str) -> Iterator[list[float]]:
    """Another process that looks every 2 ms how many rows there are; it gives the delays after the rows' own times."""
    program = (
        "import sys, time, h5py, h5burst\n"
        "path, how = sys.argv[1:]\n"
        "seen, delays = 0, []\n"
        "file = h5py.File(path, 'r', swmr=True) if how == 'swmr' else h5burst.open(path)\n"
        "data = file['rows']\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    try:\n"
        "        data.refresh(); count = data.shape[0]; stamp = data[-1, 0] if count > seen else 0\n"
        "    except h5burst.StaleFileError:\n"
        "        continue\n"
        "    if stamp < 0:\n"
        "        break\n"
        "    if count > seen:\n"
        "        delays.append(time.time() - stamp); seen = count\n"
        "    time.sleep(0.002)\n"
        "print(*delays)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(path), how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    delays: list[float] = []
    yield delays
    delays += [float(one) for one in process.stdout.read().split()]
    assert process.wait() == 0


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("row_bytes", [1000, 30_000, 1_000_000])
def test_rows_that_are_visible_beside_swmr(benchmark, tmp_path, row_bytes, flushed):
    """Rows are appended and made visible one by one, without flushes to the disk and with them.

    Ours by the commits of one transaction, which keeps the file open as their writer does; `edits_s`: an edit for each.
    """
    numbers, count = row_bytes // 8, max(20, min(VERSIONS // 4, 40_000_000 // row_bytes))

    def row(is_last: bool = False) -> np.ndarray:
        found = np.zeros((1, numbers))
        found[0, 0] = -1 if is_last else time.time()
        return found

    def new_file() -> Path:
        path = tmp_path / "ours.h5"
        storage = Storage(None, chunks=(1, numbers), maxshape=(None, numbers))
        h5burst.write_tree(path, Group({"rows": Array(np.zeros((0, numbers)), storage=storage)}), overwrite=True)
        return path

    def edits() -> tuple[float, list[float]]:
        path = new_file()

        def append(is_last: bool = False) -> None:
            with h5burst.edit(path, history=False, flush=flushed) as tx:
                tx.append("rows", row(is_last))

        return timed(append, path, "ours")

    def ours() -> tuple[float, list[float]]:
        path = new_file()
        with h5burst.edit(path, history=False, flush=flushed) as tx:

            def append(is_last: bool = False) -> None:
                tx.append("rows", row(is_last))
                tx.commit()

            return timed(append, path, "ours")

    def theirs() -> tuple[float, list[float]]:
        path = tmp_path / "theirs.h5"
        with h5py.File(path, "w", libver="latest") as file:
            data = file.create_dataset("rows", (0, numbers), float, chunks=(1, numbers), maxshape=(None, numbers))
            file.swmr_mode = True

            def append(is_last: bool = False) -> None:
                data.resize(len(data) + 1, axis=0)
                data[-1] = row(is_last)[0]
                data.flush()
                if flushed:
                    _flush(path)

            return timed(append, path, "swmr")

    def timed(append: Callable[..., None], path: Path, how: str) -> tuple[float, list[float]]:
        started = time.perf_counter()
        for _ in range(count):
            append()
        seconds = time.perf_counter() - started
        with watching(path, how) as delays:
            for _ in range(30):
                time.sleep(0.01)
                append()
            time.sleep(0.05)
            append(True)
        return seconds, delays

    results: dict[str, list[tuple[float, list[float]]]] = {"ours": [], "edits": [], "other": []}

    def all_of_them() -> None:
        results["other"].append(theirs())
        results["ours"].append(ours())
        results["edits"].append(edits())

    benchmark.pedantic(all_of_them, rounds=2, iterations=1)
    seconds = {side: statistics.median(one for one, _ in found) / count for side, found in results.items()}
    delay = {side: statistics.median(one for _, many in found for one in many) for side, found in results.items()}
    benchmark.extra_info.update(
        other=f"SWMR of HDF5 {h5py.version.hdf5_version}",
        ours_s=seconds["ours"],
        other_s=seconds["other"],
        edits_s=seconds["edits"],
        ratio=seconds["other"] / seconds["ours"],
        ratio_of_edits=seconds["other"] / seconds["edits"],
        target_ratio=0.5 if flushed else 1,
        ours_delay_ms=1e3 * delay["ours"],
        edits_delay_ms=1e3 * delay["edits"],
        other_delay_ms=1e3 * delay["other"],
    )
    if flushed:
        limit_seconds(benchmark, "two flushes of the disk, and nothing else", bare_flushes(tmp_path))


# ---------------------------------------------------------------- several writers


def by_lock(path: Path, name: str, flush: bool) -> None:
    """What a laboratory does instead: a lock file around h5py."""
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with h5py.File(path, "a", libver="latest") as file:
            file[name] = np.arange(3)
            file.flush()
            if flush:
                _flush(path)


def by_edit(path: Path, name: str, flush: bool) -> None:
    with h5burst.edit(path, wait=600, flush=flush) as tx:
        tx.put(name, Array(np.arange(3)))


def writing(
    path: Path, processes: int, count: int, put: Callable[[Path, str, bool], None], flush: bool
) -> tuple[float, float]:
    """Seconds in all, and the longest that anybody waited."""
    started, pipes = time.perf_counter(), []
    for process in range(processes):
        reading, writing = os.pipe()
        if os.fork() == 0:
            longest = 0.0
            for number in range(count):
                began = time.perf_counter()
                put(path, f"p{process}_{number}", flush)
                longest = max(longest, time.perf_counter() - began)
            os.write(writing, str(longest).encode())
            os._exit(0)
        os.close(writing)
        pipes.append(reading)
    waits = [float(os.read(pipe, 100)) for pipe in pipes]
    for pipe in pipes:
        os.close(pipe)
        os.wait()
    return time.perf_counter() - started, max(waits)


@pytest.mark.parametrize("flushed", [False, True])
def test_puts_of_eight_processes_beside_a_lock(benchmark, tmp_path, flushed):
    """Each of eight processes puts so many small datasets into one file, one by one; flushed: to the disk, by both."""
    count = max(5, VERSIONS // 11)
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "other": []}

    def both() -> None:
        for side, put in (("other", by_lock), ("ours", by_edit)):
            path = tmp_path / f"{side}.h5"
            path.unlink(missing_ok=True)
            if side == "ours":
                h5burst.save(path, {})
            found[side].append(writing(path, 8, count, put, flushed))
            with h5py.File(path) as file:
                assert len(file) == 8 * count

    benchmark.pedantic(both, rounds=2, iterations=1)
    seconds = {side: statistics.median(one for one, _ in runs) for side, runs in found.items()}
    benchmark.extra_info.update(
        other="flock and h5py.File",
        ours_s=seconds["ours"],
        other_s=seconds["other"],
        ratio=seconds["other"] / seconds["ours"],
        target_ratio=5,
        puts=8 * count,
        longest_wait_s=max(wait for _, wait in found["ours"]),
        other_longest_wait_s=max(wait for _, wait in found["other"]),
    )
    if flushed:
        limit_seconds(benchmark, "two flushes a put, and nothing else", 8 * count * bare_flushes(tmp_path))


# ---------------------------------------------------------------- what has changed


@pytest.mark.parametrize("kind", ["nested", "flat"])
def test_changes_of_one_put_beside_h5diff(benchmark, tmp_path, kind):
    """One object of 100 000, in groups of a hundred, or in one group after its first edit."""
    if shutil.which("h5diff") is None:
        pytest.skip("needs h5diff (Debian: hdf5-tools)")
    path, before = tmp_path / "file.h5", tmp_path / "before.h5"
    if kind == "flat":
        below = {f"n{number}": Array(np.array(number)) for number in range(OBJECTS)}
    else:
        below = {f"g{k}": Group({f"n{n}": Array(np.array(n)) for n in range(100)}) for k in range(OBJECTS // 100)}
    h5burst.write_tree(path, Group({"all": Group(below)}))
    del below
    changed = "all/n77" if kind == "flat" else "all/g77/n7"
    for value in (1, 2):
        shutil.copyfile(path, before)
        with h5burst.edit(path) as tx:
            tx.put(changed, Array(np.array(-value)))
    assert [change.path for change in h5burst.changes(path, since=-2)] == [f"/{changed}"]
    ours = median_of(lambda: h5burst.changes(path, since=-2), 30)
    started = time.perf_counter()
    done = subprocess.run(["h5diff", "-q", before, path], check=False)
    theirs = time.perf_counter() - started
    assert done.returncode == 1
    benchmark.pedantic(lambda: h5burst.changes(path, since=-2), rounds=5, iterations=1)
    version = subprocess.run(["h5diff", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    benchmark.extra_info.update(
        other=f"h5diff {version}", ours_s=ours, other_s=theirs, ratio=theirs / ours, target_ratio=1000, target_s=0.005
    )


# ---------------------------------------------------------------- size


@pytest.mark.parametrize("kind", ["one group", "10 x 100"])
def test_size_of_1_000_commits(benchmark, tmp_path, kind):
    """One attribute a commit, records included, without the reserve."""
    path, count = tmp_path / "file.h5", min(1000, VERSIONS)
    if kind == "one group":
        places = [f"all/n{number}" for number in range(1000)]
    else:
        places = [f"all/g{number // 100}/n{number % 100}" for number in range(1000)]
    h5burst.write_tree(path, Group())
    with h5burst.edit(path) as tx:
        for place in places:
            tx.put(place, Array(np.array(1.0)))
    size = h5burst.info(path).bytes

    def all_commits() -> None:
        for number in range(count):
            with h5burst.edit(path, f"commit {number}") as tx:
                tx.set_attributes(places[number], {"reviewed": True})

    benchmark.pedantic(all_commits, rounds=1, iterations=1)
    grown = (h5burst.info(path).bytes - size) / count
    benchmark.extra_info.update(
        ours_s=benchmark.stats.stats.median / count, bytes_a_commit=grown, target_bytes_a_commit=6000
    )
