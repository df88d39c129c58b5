"""The printed script, submitted to a real Slurm of one node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hdmea.batch.run import run_batch
from support.batch_tools import command, same_trees

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


def test_the_printed_script_runs_and_gives_the_same_files(
    spikes_manifest: Callable[..., Path],
    tmp_path: Path,
    parameters: dict[str, dict[str, object]],
    slurm: dict[str, str],
) -> None:
    if shutil.which("hdmea", path=os.path.dirname(sys.executable)) is None:
        pytest.skip("the hdmea command is not installed beside this Python")
    manifest, out = spikes_manifest(4), tmp_path / "out"
    arguments = (manifest, "-o", out, "--set", "add_section_windows.length_s=10", "--memory-budget", "256MiB")
    printed = command(*arguments, "--threads", "1", "--print-slurm", "--slurm-tasks", "2")
    script, stderr = printed.communicate(timeout=60)
    assert printed.returncode == 0, stderr
    (tmp_path / "job.sh").write_text(script)
    done = subprocess.run(
        ["sbatch", "--wait", "job.sh"],
        cwd=tmp_path,
        env=slurm,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    logs = "\n".join(path.read_text() for path in tmp_path.glob("hdmea-batch-*.log"))
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{logs}"
    run_batch(manifest, tmp_path / "local", parameters=parameters, progress=False)
    for index in range(4):
        assert same_trees(tmp_path / "local" / f"rec{index}.h5", out / f"rec{index}.h5")
    assert len(list(out.glob("batch_summary_*.json"))) == 2
