"""What is done again: the check of every byte of a session, and a batch whose recordings are finished."""

from __future__ import annotations

import csv
import os
import shutil
import statistics
import subprocess
import sys
import time

import pytest
import workloads
from harness import ROUNDS, alone, limit, versus

from h5burst import read_tree, verify

RECORDINGS = int(os.environ.get("H5BURST_BENCH_RECORDINGS", "10"))
STARTS_WITHIN_S = 1.0
BARE = [sys.executable, "-c", "import numpy, h5py, typer, rich.console"]


def test_verify_against_reading(benchmark):
    """A session of 20 000 datasets: every checksum, against reading every array."""
    path = workloads.saved(workloads.simulated(0))
    problems = []

    def checked():
        problems[:] = verify(path)

    versus(
        benchmark,
        checked,
        lambda: read_tree(path),
        other_name="reading it",
        same=None,
        target_ratio=0.5,
        MB=path.stat().st_size / 1e6,
    )
    assert problems == []


@pytest.fixture(scope="module")
def batch():
    """A manifest of simulated recordings, and the command that makes all of them."""
    directory = workloads.directory() / "finished"
    directory.mkdir()
    recording = workloads.simulated(0)
    rows = []
    for number in range(RECORDINGS):  # of the same files: what differs costs nothing here
        rows.append({"dataset_id": f"recording_{number}", "playlist": "simulated"})
        rows[-1] |= {suffix: str(recording.file(suffix)) for suffix in ("cmcr", "cmtr")}
    with open(directory / "recordings.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    command = [sys.executable, "-c", "import sys; from hdmea.cli import main; sys.exit(main())", "batch"]
    command += [str(directory / "recordings.csv"), "-o", str(directory / "out")]
    for option, name in (
        ("--playlist-file", "playlist.csv"),
        ("--movie-lengths", "movie_length.csv"),
        ("--stimuli", "stimuli"),
        ("--configs", "configs"),
    ):
        command += [option, str(recording.path / name)]
    yield command, directory / "out"
    shutil.rmtree(directory)


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_first_recording_starts(benchmark, batch):
    """From the command to the log of the first recording; the batch is ended then."""
    command, output = batch
    seconds = []

    def started():
        shutil.rmtree(output, ignore_errors=True)
        began = time.perf_counter()
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not any((output / "logs").glob("*")) if (output / "logs").is_dir() else True:
                assert running.poll() is None, "the batch ended before it began"
                time.sleep(0.01)
            seconds.append(time.perf_counter() - began)
        finally:
            running.terminate()
            running.wait()

    benchmark.pedantic(started, rounds=min(ROUNDS, 3))
    benchmark.extra_info.update(ours_s=statistics.median(seconds), target_s=STARTS_WITHIN_S)
    what = "two interpreters, one after the other, with numpy, h5py, typer and rich"
    limit(benchmark, what, lambda: run(BARE), times=2)


@pytest.mark.parametrize("by_mark", [False, True], ids=["every byte", "by mark"])
def test_finished_recordings(benchmark, batch, by_mark):
    """The command that made them, once more: nothing is left to do."""
    command, output = batch
    run(command)
    before = os.times()
    again = [*command, *(["--skip-by-mark"] if by_mark else [])]
    alone(benchmark, lambda: run(again), rounds=min(ROUNDS, 3), warmup=False, target_s=3.0)
    after, rounds = os.times(), min(ROUNDS, 3)
    files = list(output.glob("*.h5"))
    assert len(files) == RECORDINGS
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    benchmark.extra_info.update(
        ours_cpu_s=spent / rounds, recordings=RECORDINGS, MB=sum(path.stat().st_size for path in files) / 1e6
    )
    if not by_mark:
        what = "an interpreter with numpy, h5py, typer and rich; every byte of the files read by one thread"
        limit(benchmark, what, lambda: (run(BARE), [read_bytes(path) for path in files]))


def read_bytes(path):
    buffer = bytearray(8 << 20)
    with open(path, "rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass
