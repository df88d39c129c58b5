"""The printed script, submitted to a real Slurm of one node."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hdmea.batch.run import run_batch
from hdmea.simulate import SimulatedRecording
from support.batch_tools import PATIENCE_S, command, same_trees
from support.full_flow import full_manifest, parameters_of
from support.hdmea_trees import file_content

CLUSTER = Path(__file__).parents[2] / "slurm" / "cluster.sh"


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands find the cluster."""
    if missing := [tool for tool in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(tool) is None]:
        pytest.skip(f"{', '.join(missing)} not installed (Debian: slurm-wlm, munge)")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started as root")
    done = subprocess.run(["bash", CLUSTER, "start", tmp_path / "slurm"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"Slurm did not start: {done.stderr}")
    yield {**os.environ, "SLURM_CONF": done.stdout.strip().splitlines()[-1]}
    subprocess.run(["bash", CLUSTER, "stop", tmp_path / "slurm"], check=True)


def submit(directory: Path, slurm: dict[str, str], *arguments: str | Path) -> None:
    """Print the script of this `hdmea batch`, submit it, and wait for all its tasks."""
    if shutil.which("hdmea", path=os.path.dirname(sys.executable)) is None:
        pytest.skip("the hdmea command is not installed beside this Python")
    printed = command(*arguments, "--print-slurm")
    script, stderr = printed.communicate(timeout=PATIENCE_S)
    assert printed.returncode == 0, stderr
    (directory / "job.sh").write_text(script)
    job = answer_of(["sbatch", "--parsable", "job.sh"], directory, slurm).strip()
    deadline = time.monotonic() + PATIENCE_S  # sbatch --wait looks after 2, 10 and 42 seconds only
    states: set[str] = set()
    while not states or states & {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING"}:
        assert time.monotonic() < deadline, states
        time.sleep(0.5)
        states = set(re.findall(r"JobState=(\w+)", answer_of(["scontrol", "show", "job", job], directory, slurm)))
    logs = "\n".join(path.read_text() for path in directory.glob("hdmea-batch-*.log"))
    assert states == {"COMPLETED"}, f"{states}{logs}"


def answer_of(words: list[str], directory: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        words, cwd=directory, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def test_the_printed_script_runs_and_gives_the_same_files(
    spikes_manifest: Callable[..., Path],
    tmp_path: Path,
    parameters: dict[str, dict[str, object]],
    slurm: dict[str, str],
) -> None:
    manifest, out = spikes_manifest(4), tmp_path / "out"
    arguments = (manifest, "-o", out, "--set", "add_section_windows.length_s=10", "--memory-budget", "256MiB")
    submit(tmp_path, slurm, *arguments, "--threads", "1", "--slurm-tasks", "2")
    run_batch(manifest, tmp_path / "local", parameters=parameters, progress=False)
    for index in range(4):
        assert same_trees(tmp_path / "local" / f"rec{index}.h5", out / f"rec{index}.h5")
    assert len(list(out.glob("batch_summary_*.json"))) == 2


def test_the_flow_full_in_an_array_gathers_the_figures_of_all_recordings(
    full_recording: SimulatedRecording, tmp_path: Path, slurm: dict[str, str]
) -> None:
    manifest, out = full_manifest(full_recording, tmp_path, "one", "two"), tmp_path / "out"
    files = ("--playlist-file", full_recording.playlist_path, "--movie-lengths", full_recording.movie_length_path)
    files += ("--stimuli", full_recording.stimuli_dir, "--configs", full_recording.config_dir)
    settings = ("--flow", "full", "--set", "add_section_time_analog.plot_duration=3.0", "--threads", "1")
    submit(tmp_path, slurm, manifest, "-o", out, *settings, *files)

    local = run_batch(
        manifest, tmp_path / "local", flow="full", parameters=parameters_of(full_recording), jobs=1, progress=False
    )
    gathered = (out / "batch_figures.csv").read_text(encoding="utf-8")
    assert gathered == local.figures_path.read_text(encoding="utf-8")
    assert [line.split(",")[:3] for line in gathered.splitlines()[1:]] == [["one", "done", "6"], ["two", "done", "6"]]
    for task in range(2):
        own = (out / f"batch_figures_{task:04d}.csv").read_text(encoding="utf-8").splitlines()
        assert own == [gathered.splitlines()[0], gathered.splitlines()[1 + task]]
    for name in ("one.h5", "two.h5"):
        assert results_of(tmp_path / "local" / name) == results_of(out / name)


def results_of(path: Path) -> dict[str, Any]:
    """What a file holds but the recipe, which says how parameters were written."""
    content = file_content(path)
    return {name: value for name, value in content.items() if not name.startswith("/batch")}
