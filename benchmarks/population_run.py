"""A population whose types are known, from the recordings' files to types, mosaics and matches.

`python benchmarks/population_run.py DIRECTORY` simulates 20 recordings of 150 units of twelve types, runs the flow
`full` on each (`hdmea run`), and brings them together (`hdmea population`): at once; by two workers of dask; and killed
twice on the way, among the recordings and among the fits of types, and called again. All must give the same tables. It
prints times, memory and how well the types agree with the truth. Recordings that are there already are not made again;
it takes half an hour of two processors and 15 GB, sensor data being removed as soon as they were read.

The first three recordings are of one chip (`--chip`), the others of one each.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from hdmea.simulate import FULL_PLAYLIST, REALISTIC, TWELVE_TYPES, LightStepOptions, simulate_recording

CHIP = 3  # recordings of one chip
TABLES = ("cells", "types", "mosaics", "areas", "matches")


def main() -> None:
    """The whole run, or what its child processes do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--recordings", type=int, default=20)
    parser.add_argument("--units", type=int, default=150)
    parser.add_argument("--max-types", type=int, default=20)
    parser.add_argument("--simulate", type=int, help="only simulate the recording of that number")
    given = parser.parse_args()
    if given.simulate is not None:
        simulate(given.directory, given.simulate, given.units)
        return
    results = given.directory / "results"
    make_recordings(given.directory, results, given.recordings, given.units)
    names = sorted(path.stem for path in results.glob("retina_*.h5"))[: given.recordings]
    words = [str(results / f"{name}.h5") for name in names]
    words += ["--max-types", str(given.max_types), "--chip", f"chip={','.join(names[:CHIP])}"]
    whole = measured("population", [*words, "-o", str(given.directory / "population")])
    describe(whole, given.directory)
    out = given.directory / "through_dask"
    with workers() as address:
        measured("population", [*words, "-o", str(out), "--engine", "dask", "--scheduler", address])
    print("dask: same tables", same(out, given.directory / "population"))
    out = given.directory / "killed"
    parts = out / "parts"
    killed([*words, "-o", str(out)], lambda: len(list(parts.glob("*.json"))) > len(names) // 2)
    killed([*words, "-o", str(out)], lambda: bool(list(parts.glob("types_*.json"))))
    measured("population", [*words, "-o", str(out)])
    print("killed twice: same tables", same(out, given.directory / "population"))


# ---------------------------------------------------------------- recordings


def simulate(directory: Path, number: int, units: int) -> None:
    """The files of one recording in a directory of its own."""
    options = replace(
        REALISTIC,
        light_steps=LightStepOptions(count=3, on_s=30.0, off_s=95.0),
        types=TWELVE_TYPES,
        retina_seed=0 if number < CHIP else number,
    )
    name = f"retina_{number:02d}"
    simulate_recording(
        directory / name, name=name, n_units=units, patch=(65, 65), playlist=FULL_PLAYLIST, sensor_duration_s=6.0,
        cutout_samples=16, seed=number, options=options, overwrite=True,
    )  # fmt: skip


def make_recordings(directory: Path, results: Path, count: int, units: int) -> None:
    """Simulate and analyse what is not there yet, two at a time; only the results and the truth stay."""
    results.mkdir(parents=True, exist_ok=True)

    def make(number: int) -> None:
        name = f"retina_{number:02d}"
        if (results / f"{name}.h5").exists():
            return
        measured("simulate", [str(directory), "--simulate", str(number), "--units", str(units)], [__file__])
        measured("run", [str(directory / name), "--flow", "full", "--dataset-id", name, "-o", str(results)])
        (directory / name / f"{name}_truth.json").rename(results / f"{name}_truth.json")
        shutil.rmtree(directory / name)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(make, range(count)))


# ---------------------------------------------------------------- processes and what they take


def measured(what: str, words: list[str], program: list[str] | None = None) -> float:
    """Run `hdmea WHAT WORDS`, or a program; print the clock, the processors' time and the most memory; seconds."""
    command = [sys.executable, *(program or ["-m", "hdmea", what]), *words]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    most = [0]
    watch = threading.Thread(target=_watch, args=(process, most), daemon=True)
    watch.start()
    said = process.communicate()[1]
    watch.join()
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: {process.returncode}\n{said}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = used.ru_utime + used.ru_stime
    print(
        f"{what}: {seconds:.0f} s, all so far {total:.0f} s of processors, {most[0] / 2**30:.2f} GiB at most",
        flush=True,
    )
    return seconds


def _watch(process: subprocess.Popen[str], most: list[int]) -> None:
    """The proportional memory of a process and all that it started, at its highest."""
    while process.poll() is None:
        most[0] = max(most[0], sum(_memory(pid) for pid in _family(process.pid)))
        time.sleep(0.2)


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield from _family(int(child))
    except OSError:
        return


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def killed(words: list[str], when: Callable[[], bool]) -> None:
    """Run `hdmea population` and kill it, workers too, as soon as that is so."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hdmea", "population", *words], start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not when() and process.poll() is None:
        time.sleep(0.05)
    if process.poll() is not None:
        raise SystemExit("it ended before it was killed")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def workers() -> Iterator[str]:
    """The address of a dask cluster of two workers."""
    import distributed

    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield str(cluster.scheduler_address)


# ---------------------------------------------------------------- results and the truth


def same(one: Path, other: Path) -> bool:
    """Whether all tables are equal, numbers but for rounding."""
    for name in TABLES:
        first, second = (pl.read_parquet(directory / f"{name}.parquet") for directory in (one, other))
        try:
            assert_frame_equal(first, second, rel_tol=0, abs_tol=1e-9)
        except AssertionError:
            return False
    return True


def describe(seconds: float, directory: Path) -> None:
    """How the types, groups and matches agree with the truth."""
    from sklearn.metrics import adjusted_rand_score

    cells = with_truth(pl.read_parquet(directory / "population" / "cells.parquet"), directory / "results")
    print(cells.group_by("true").agg(pl.len(), *_counts(cells)).sort("true"))
    for what, some in (("all", cells), ("not silent", cells.filter(~pl.col("silent")))):
        typed = some.filter(pl.col("type").is_not_null())
        score = adjusted_rand_score(typed["true"].to_list(), typed["type"].to_list())
        stable = typed.filter(pl.col("type_stability") >= 0.75)
        of_stable = adjusted_rand_score(stable["true"].to_list(), stable["type"].to_list()) if len(stable) else np.nan
        print(f"{what}: {len(typed)} of {len(some)} cells have a type, adjusted Rand index {score:.3f};", end=" ")
        print(f"of {len(stable)} cells of stable types {of_stable:.3f}")
    matches = pl.read_parquet(directory / "population" / "matches.parquet")
    pairs = [own["key"].to_list() for _, own in matches.group_by("cell") if len(own) > 1]
    right = sum(len({key.rpartition("_unit_")[2] for key in keys}) == 1 for keys in pairs)
    print(f"{len(pairs)} cells found in two recordings or three of the chip, {right} of them rightly")
    print(f"{len(cells)} cells in {seconds:.0f} s")


def _counts(cells: pl.DataFrame) -> list[pl.Expr]:
    return [(pl.col("group") == group).sum().alias(group) for group in sorted(set(cells["group"]))]


def with_truth(cells: pl.DataFrame, results: Path) -> pl.DataFrame:
    """The cells with the name of their true type, and whether they are silent."""
    rows = []
    for name in cells["recording"].unique(maintain_order=True):
        truth = json.loads((results / f"{name}_truth.json").read_text())
        names = [TWELVE_TYPES[n].name for n in truth["cell_type"]]
        keys = [f"{name}_{unit}" for unit in truth["unit_ids"]]
        rows.append(pl.DataFrame({"key": keys, "true": names, "silent": truth["irregularities"]["is_silent"]}))
    return cells.join(pl.concat(rows), on="key", how="left", maintain_order="left")


if __name__ == "__main__":
    main()
