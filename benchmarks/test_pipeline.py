"""One recording, and the batch: load, sections, STA, features, save; deferred, immediate, naive."""

from __future__ import annotations

import gc
import os
import shutil
import time
from pathlib import Path

import pytest
import workloads
from harness import ROUNDS, Versus, alone, disk_write_bandwidth, limit_seconds, memcpy_bandwidth, peak_memory, versus
from naive import pipeline as naive
from naive import tree
from workloads import NOISE, Recording, assert_same

from hdmea.features import compute_sta
from hdmea.io import section_spike_times
from hdmea.pipeline import PipelineSession

RECORDINGS = int(os.environ.get("H5BURST_BENCH_RECORDINGS", "10"))
SIDES = {"deferred": workloads.deferred, "immediate": workloads.immediate, "naive": workloads.naively}


# ---------------------------------------------------------------- sections, STA and save of one recording


def test_sections_sta_save(benchmark):
    """From units in memory to one complete file of 20 000 datasets, without the light traces."""
    recording, output = workloads.simulated(0), workloads.directory() / "one"
    session = workloads.with_sections(recording)
    values = naive.load_recording(recording.file("cmcr"), recording.file("cmtr"))
    naive.add_section_time(values, list(workloads.FULL_PLAYLIST), recording.path / "movie_length.csv")
    del values["light_reference"], values["light_template"]
    output.mkdir()

    def ours() -> Path:
        section_spike_times(config_dir=recording.path / "configs", session=session, force=True)
        compute_sta(stimuli_dir=recording.path / "stimuli", session=session, force=True)
        return session.save(output / "ours.h5", overwrite=True)

    def other() -> Path:
        for unit in values["units"].values():
            unit.pop("sectioned", None)
        naive.section_spikes(values, recording.path / "configs")
        naive.compute_sta(values, NOISE, recording.path / "stimuli")
        naive.save(values, output / "naive.h5")
        return output / "naive.h5"

    versus(
        benchmark,
        ours,
        other,
        other_name="numpy, h5py",
        same=lambda got, expected: assert_same(got, expected, all_of_path=False) > 19_000,
        before=os.sync if hasattr(os, "sync") else None,
        rounds=min(ROUNDS, 3),
        target_ratio=35,
    )
    size = (output / "ours.h5").stat().st_size
    benchmark.extra_info.update(MB=size / 1e6)
    limit_seconds(benchmark, "writing the file's bytes and flushing them", size / disk_write_bandwidth(str(output)))


def test_load_session_eager(benchmark):
    """The whole recording's session file (with light) back into memory, every array."""
    path = workloads.saved(workloads.simulated(0))
    versus(
        benchmark,
        lambda: PipelineSession.load(path),
        lambda: tree.read(path),
        other_name="h5py visit",
        same=None,
        rounds=min(ROUNDS, 3),
        target_s=0.4,
        target_ratio=8,
        MB=path.stat().st_size / 1e6,
    )
    rate = path.stat().st_size / benchmark.extra_info["ours_s"]
    benchmark.extra_info["share_of_memcpy"] = rate / memcpy_bandwidth()


def test_load_session_lazy(benchmark):
    path = workloads.saved(workloads.simulated(0))
    alone(benchmark, lambda: PipelineSession.load(path, lazy=True), target_s=0.02)


# ---------------------------------------------------------------- the batch


class Batch:
    """Wall and CPU seconds and bytes of every recording, by side."""

    def __init__(self, recordings: list[Recording], output: Path) -> None:
        self.wall: dict[str, list[float]] = {side: [] for side in SIDES}
        self.cpu: dict[str, list[float]] = {side: [] for side in SIDES}
        self.bytes: dict[str, int] = dict.fromkeys(SIDES, 0)
        self.arrays = 0
        for position, recording in enumerate(recordings):
            self._run(recording, position, output)

    def _run(self, recording: Recording, position: int, output: Path) -> None:
        names = list(SIDES)
        paths = {}
        for name in names[position % 3 :] + names[: position % 3]:  # none is always the first to touch the input
            shutil.rmtree(output / name, ignore_errors=True)
            gc.collect()
            if hasattr(os, "sync"):
                os.sync()
            wall, cpu = time.perf_counter(), time.process_time()
            paths[name] = SIDES[name](recording, output / name)
            self.wall[name].append(time.perf_counter() - wall)
            self.cpu[name].append(time.process_time() - cpu)
            self.bytes[name] += paths[name].stat().st_size
        assert_same(paths["deferred"], paths["immediate"])
        self.arrays += assert_same(paths["deferred"], paths["naive"], all_of_path=False)

    def versus(self, ours: str, other: str, **extra: object) -> Versus:
        return Versus(self.wall[ours], self.wall[other], other, extra)


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    """Every side on each recording in turn: first each kind once untimed, then all of them."""
    simulated = [workloads.simulated(seed) for seed in range(RECORDINGS)]
    groups = {"simulated": simulated, "real": workloads.real()[:RECORDINGS]}
    output = tmp_path_factory.mktemp("batch")
    made = {}
    for name, recordings in groups.items():
        if recordings:
            Batch(recordings[:1], output)
            made[name] = Batch(recordings, output)
    yield made
    shutil.rmtree(output, ignore_errors=True)


@pytest.mark.parametrize("kind", ["simulated", "real"])
@pytest.mark.parametrize(
    ("ours", "other", "target"),
    [("deferred", "immediate", 1.25), ("immediate", "naive", 4.0), ("deferred", "naive", 8.0)],
)
def test_batch(benchmark, batches, kind, ours, other, target):
    """Whole batch: 20 % faster means 1.25 times as fast."""
    if kind not in batches:
        pytest.skip(f"no real recordings: set {workloads.DATA_VARIABLE}")
    batch = batches[kind]
    seconds = iter([sum(batch.wall[ours])])
    benchmark.pedantic(lambda: next(seconds), rounds=1)
    figures = batch.versus(ours, other).as_json()
    wall_ours, wall_other = sum(batch.wall[ours]), sum(batch.wall[other])
    figures.update(ours_s=wall_ours, other_s=wall_other, ratio=wall_other / wall_ours)
    figures.update(
        recordings=len(batch.wall[ours]),
        arrays=batch.arrays,
        MB_written=batch.bytes[ours] / 1e6,
        MB_other=batch.bytes[other] / 1e6,
        ours_cpu_s=sum(batch.cpu[ours]),
        other_cpu_s=sum(batch.cpu[other]),
    )
    figures["target_ratio"] = target
    benchmark.extra_info.update(figures)
    if (ours, other) == ("deferred", "naive"):
        rate = disk_write_bandwidth(str(workloads.directory()))
        limit_seconds(benchmark, "writing the files' bytes and flushing them", batch.bytes[ours] / rate)


@pytest.mark.parametrize("side", ["deferred", "immediate", "naively"])
def test_peak_memory(benchmark, side):
    """Resident memory of the whole pipeline of one recording beyond what the modules take, in a process of its own."""
    recording, output = workloads.simulated(0), workloads.directory() / f"memory_{side}"
    setup = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import workloads; from pathlib import Path"
    )
    work = f"workloads.{side}(workloads.Recording(Path({str(recording.path)!r})), Path({str(output)!r}))"
    measured: dict[str, int] = {}
    alone(benchmark, lambda: measured.update(peak_memory(setup, work)), rounds=1, warmup=False)
    benchmark.extra_info["peak_MB"] = (measured["peak"] - measured["before"]) / 1e6
    shutil.rmtree(output, ignore_errors=True)
