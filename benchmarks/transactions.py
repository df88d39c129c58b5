"""Transactions beside h5py and the naive way: alternating rounds, medians.

    python benchmarks/transactions.py [--objects 1000000]

Times are of the wall and of the processor; on a machine that does other things, look at the latter.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

import h5burst
from h5burst import Array, Group

ROUNDS = 5
UNITS = 300


def sections() -> Group:
    """Of one unit: 7 movies of 10 datasets each."""
    movies = {}
    for movie in range(7):
        trials = {str(trial): Array(np.arange(movie + trial, dtype=np.int64)) for trial in range(9)}
        movies[f"m{movie}"] = Group({"trials": Group(trials), "full": Array(np.arange(20))}, {"n_trials": 9})
    return Group(movies)


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


def one_attribute(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.set_attributes(("units",), {"reviewed": True})


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds of the wall, and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def median(times: list[tuple[float, float]]) -> str:
    wall, processor = (statistics.median(column) for column in zip(*times, strict=True))
    return f"{wall * 1e3:9.2f} ms wall {processor * 1e3:9.2f} ms processor"


def recording(path: Path, large_bytes: int = 0) -> None:
    units = {
        f"unit_{number:03d}": Group({"spike_times": Array(np.arange(500, dtype=np.uint64))}, {"row": number})
        for number in range(UNITS)
    }
    large = {"large": Array(np.zeros(large_bytes // 8))} if large_bytes else {}
    h5burst.write_tree(path, Group({"units": Group(units), **large}), overwrite=True)


def many_datasets(directory: Path) -> None:
    recording(directory / "base.h5")
    print(
        "the first edit of a file that somebody else wrote:",
        median([timed(lambda: one_attribute(directory / "base.h5"))]),
    )
    added = {f"unit_{number:03d}": sections() for number in range(UNITS)}
    times: dict[str, list[tuple[float, float]]] = {"transaction": [], "h5py": []}
    for _ in range(ROUNDS):
        for name, work in (("transaction", by_transaction), ("h5py", by_h5py)):
            target = Path(shutil.copy2(directory / "base.h5", directory / "target.h5"))
            times[name].append(timed(lambda work=work, target=target: work(target, added)))  # type: ignore[misc]
    print(f"{UNITS * 70} datasets below {UNITS} groups of a file")
    for name, found in times.items():
        print(f"  {name:12} {median(found)}")
    for column, name in ((0, "wall"), (1, "processor")):
        ours, theirs = (statistics.median(each[column] for each in times[key]) for key in ("transaction", "h5py"))
        print(f"  ratio by {name}: {theirs / ours:.1f}")


def small_change_of_a_large_file(directory: Path) -> None:
    recording(directory / "large.h5", 600 << 20)
    times = [timed(lambda: one_attribute(directory / "large.h5")) for _ in range(4 * ROUNDS)]
    print("one attribute in a file of 600 MB", median(times), "(flushes included in wall)")


def by_number_of_objects(directory: Path, most: int) -> None:
    print("one attribute and one new link, by the objects of the file, after the first edit")
    count = 100
    while count <= most:
        flat = Group({f"n{number}": Group() for number in range(count)})
        nested = Group({f"g{k}": Group({str(n): Group() for n in range(100)}) for k in range(count // 100)})
        for name, tree in (("flat", flat), ("nested", nested)):
            path = directory / f"{name}.h5"
            h5burst.write_tree(path, Group({"units": tree}), overwrite=True)
            first = timed(lambda path=path: add_one(path, "first"))  # type: ignore[misc]
            size = path.stat().st_size
            times = [timed(lambda path=path, n=n: add_one(path, f"new {n}")) for n in range(2 * ROUNDS)]  # type: ignore[misc]
            grown = (path.stat().st_size - size) / len(times)
            print(f"  {count:8} {name:6} {median(times)}, {grown:8.0f} bytes; first edit {first[1] * 1e3:.1f} ms")
            path.unlink()
        count *= 10


def add_one(path: Path, name: str) -> None:
    with h5burst.edit(path) as tx:
        tx.put(("units", name), Group())
        tx.set_attributes(("units",), {"last": name})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000, help="of the largest file")
    objects = parser.parse_args().objects
    with tempfile.TemporaryDirectory() as directory:
        many_datasets(Path(directory))
        small_change_of_a_large_file(Path(directory))
        by_number_of_objects(Path(directory), objects)


if __name__ == "__main__":
    main()
