"""What work costs as it grows, as a table and as a plot: a super-linear cost shows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import workloads
from figures import seconds

import h5burst
from h5burst.model.tree import Array, Group, Storage
from h5burst.runtime.threads import thread_count
from hdmea.features import compute_sta
from hdmea.io import add_section_time, section_spike_times
from hdmea.pipeline import PipelineSession

ROUNDS = 3
UNITS, SPIKES = 50, 2000  # of the smallest session
FACTORS = (1, 2, 4, 8, 16)
SIDES = (15, 30, 60, 120)  # pixels of the movie


@dataclass
class Growth:
    """Seconds of several kinds of work (lines) at each size."""

    title: str
    unit: str
    sizes: list[int]
    lines: dict[str, list[float]]

    def exponents(self) -> dict[str, float]:
        """How each cost grows between the largest two sizes: 1 is linear, above it super-linear."""
        step = np.log(self.sizes[-1] / self.sizes[-2])
        return {name: float(np.log(times[-1] / times[-2]) / step) for name, times in self.lines.items()}


def median_seconds(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measured(title: str, unit: str, sizes: list[int], jobs: Callable[[int], dict[str, Callable[[], Any]]]) -> Growth:
    """jobs: for a size, the work of each line."""
    growth = Growth(title, unit, sizes, {})
    for size in sizes:
        for name, work in jobs(size).items():
            growth.lines.setdefault(name, []).append(median_seconds(work))
    return growth


# ---------------------------------------------------------------- the pipeline


class Bench:
    """A recording's frames and sections, to be filled with as many units and spikes as wanted."""

    def __init__(self) -> None:
        self.recording = workloads.simulated(0, units=2, duration_s=1000.0)
        self.output = workloads.directory() / "scaling"
        session = workloads.loaded(self.recording, self.output)
        del session.stimulus["light_reference"]
        add_section_time(
            playlist_name="simulated",
            playlist_file_path=self.recording.path / "playlist.csv",
            movie_length_file_path=self.recording.path / "movie_length.csv",
            session=session,
        )
        self.stimulus, self.metadata, self.steps = session.stimulus, session.metadata, session.completed_steps

    def session(self, units: int, spikes: int) -> PipelineSession:
        rng = np.random.default_rng(0)
        session = PipelineSession("scaling", output_dir=self.output)
        trains = np.sort(rng.integers(0, 1000 * 20_000, (units, spikes)), axis=1).astype(np.uint64)
        session.add_units(
            {f"unit_{n:03d}": {"spike_times": train, "features": {}} for n, train in enumerate(trains, 1)}
        )
        session.add_metadata(self.metadata)
        session.add_stimulus(self.stimulus)
        session.completed_steps |= self.steps
        session.stage1_timestamp = "2000-01-01T00:00:00+00:00"
        return session

    def jobs(self, units: int, spikes: int, side: int = 15) -> dict[str, Callable[[], Any]]:
        session, movies = self.session(units, spikes), self.movies(side)
        return {
            "sections": lambda: section_spike_times(
                config_dir=self.recording.path / "configs", session=session, force=True
            ),
            "STA": lambda: compute_sta(stimuli_dir=movies, session=session, force=True),
            "save": lambda: session.save(overwrite=True),
            "load": lambda: PipelineSession.load(session.hdf5_path),
        }

    def movies(self, side: int) -> Path:
        """The directory of a noise movie of that many pixels a side."""
        made = self.output / f"movie_{side}"
        made.mkdir(parents=True, exist_ok=True)
        frames = len(np.load(self.recording.path / "stimuli" / f"{workloads.NOISE}.npy", mmap_mode="r"))
        noise = np.random.default_rng(0).integers(0, 2, (frames, side, side), dtype=np.uint8) * np.uint8(255)
        np.save(made / f"{workloads.NOISE}.npy", noise)
        return made


def tree_jobs(datasets: int) -> dict[str, Callable[[], Any]]:
    """Groups of up to a hundred arrays of ten numbers."""
    groups = max(1, datasets // 100)
    data = np.arange(10)
    tree = Group(
        {f"g{n}": Group({f"d{m}": Array(data) for m in range(min(datasets, 100))}, {"n": n}) for n in range(groups)}
    )
    path = workloads.directory() / "many.h5"
    return {
        "write": lambda: h5burst.write_tree(path, tree, overwrite=True),
        "read": lambda: h5burst.read_tree(path),
        "open lazily": lambda: h5burst.read_tree(path, lazy=True),
    }


def thread_jobs(threads: int) -> dict[str, Callable[[], Any]]:
    from hdmea.kernels import sta

    rng = np.random.default_rng(0)
    movie = rng.integers(0, 256, (10_800, 30, 30), dtype=np.uint8)
    spikes = np.sort(rng.integers(60, 10_800, (100, 2000)), axis=1)
    offsets = np.arange(101) * 2000
    dense = np.where(rng.random((2000, 4000)) < 0.6, 0, rng.random((2000, 4000)))
    tree = Group({"data": Array(dense, storage=Storage("gzip", 4))})
    path = workloads.directory() / "threads.h5"
    return {
        "STA kernel": lambda: sta.triggered_average(movie, spikes.ravel(), offsets, (-60, 0), threads=threads),
        "gzip 4 save": lambda: h5burst.write_tree(path, tree, overwrite=True, threads=threads),
    }


# ---------------------------------------------------------------- table and plot


def table(growth: Growth) -> str:
    names = list(growth.lines)
    rows = [f"| {growth.unit} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for position, size in enumerate(growth.sizes):
        rows.append(f"| {size:,} | " + " | ".join(seconds(growth.lines[name][position]) for name in names) + " |")
    powers = " | ".join(f"{power:.2f}" for power in growth.exponents().values())
    return "\n".join([f"### {growth.title}", "", *rows, f"| growth of the last step (1: linear) | {powers} |", ""])


def plot(growth: Growth, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.5))
    for name, times in growth.lines.items():
        axes.loglog(growth.sizes, times, "o-", label=name)
    axes.set(xlabel=growth.unit, ylabel="seconds", title=growth.title)
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


KINDS = ("units", "spikes", "movie", "threads", "datasets")


def growth(kind: str) -> Growth:
    """Measure one of `KINDS`."""
    if kind == "threads":
        return measured("Threads", "threads", list(range(1, max(thread_count(), 2) + 1)), thread_jobs)
    if kind == "datasets":
        return measured("Datasets", "datasets", [10**power for power in range(2, 7)], tree_jobs)
    bench = Bench()
    if kind == "units":
        sizes = [UNITS * factor for factor in FACTORS]
        return measured("Units", f"units of {SPIKES} spikes", sizes, lambda n: bench.jobs(n, SPIKES))
    if kind == "spikes":
        sizes = [SPIKES * factor for factor in FACTORS]
        return measured("Spikes", f"spikes of each of {UNITS} units", sizes, lambda n: bench.jobs(UNITS, n))
    if kind == "movie":
        sizes = [side * side for side in SIDES]
        return measured("Movie", "pixels", sizes, lambda pixels: bench.jobs(UNITS, SPIKES, isqrt(pixels)))
    raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
