"""The same batch through every engine: how long each takes, and whether all give the same files.

python benchmarks/batch_engines.py [--directory DIRECTORY]

The recordings of `H5BURST_TEST_DATA` (`retina_mea/*.h5`), where that is set, and ten simulated ones. Needs the extras
`test` and `hpc`. Slurm is tried where its daemons are installed and the command runs as root.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from hdmea.batch.run import run_batch
from hdmea.simulate import simulate_recording
from support.batch_tools import same_trees, wait_for

TESTS = Path(__file__).resolve().parent.parent / "tests"
PLAYLIST = ["perfect_dense_noise_15x15_15hz_r42_3min", "baseline_127"]
ARRAY_TASKS = 3


def recordings(directory: Path) -> list[dict[str, Any]]:
    """Rows of a manifest."""
    data = os.environ.get("H5BURST_TEST_DATA")
    real = sorted(Path(data, "retina_mea").glob("*.h5")) if data else []
    rows: list[dict[str, Any]] = [{"spikes": path, "dataset_id": path.stem} for path in real]
    for seed in range(10):
        name = f"simulated_{seed}"
        made = simulate_recording(
            directory / name, name=name, n_units=12, playlist=PLAYLIST, sensor_duration_s=0, seed=seed, cutout_samples=8
        )
        rows.append(
            {
                "cmcr": made.cmcr_path,
                "cmtr": made.cmtr_path,
                "dataset_id": name,
                "playlist": made.playlist_name,
                "add_section_time.playlist_file_path": made.playlist_path,
                "add_section_time.movie_length_file_path": made.movie_length_path,
                "section_spike_times.config_dir": made.config_dir,
                "compute_sta.stimuli_dir": made.stimuli_dir,
                "extract_features.features": '["frif", "baseline_127"]',
            }
        )
    return rows


@contextmanager
def dask(directory: Path) -> Iterator[Path]:
    """A scheduler with two workers of one thread each; its file."""
    file, quiet = directory / "scheduler.json", {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = [
        "dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    ]
    worker = ["dask_worker", "--scheduler-file", str(file), "--no-nanny", "--nthreads", "1", "--no-dashboard"]
    worker += ["--local-directory", str(directory / "dask")]
    running = []
    try:
        for module, *arguments in (scheduler, worker, worker):
            running.append(
                subprocess.Popen([sys.executable, "-m", f"distributed.cli.{module}", *arguments], **quiet)  # type: ignore[call-overload]
            )
            wait_for(file.exists)
        yield file
    finally:
        for process in running:
            process.kill()
            process.wait()


def slurm(manifest: Path, output: Path, directory: Path) -> None:
    """The printed script, submitted to a cluster of this one node."""
    cluster = ["bash", str(TESTS / "slurm" / "cluster.sh")]
    started = subprocess.run([*cluster, "start", str(directory / "slurm")], capture_output=True, text=True, check=True)
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "SLURM_CONF": started.stdout.strip().splitlines()[-1], "PATH": paths}
    try:
        command = ["hdmea", "batch", str(manifest), "-o", str(output), "--threads", "1", "--memory-budget", "1GiB"]
        command += ["--print-slurm", "--slurm-tasks", "2"]
        script = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
        (directory / "job.sh").write_text(script, encoding="utf-8")
        subprocess.run(["sbatch", "--wait", "job.sh"], cwd=directory, env=environment, capture_output=True, check=True)
    finally:
        subprocess.run([*cluster, "stop", str(directory / "slurm")], capture_output=True, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--directory", type=Path, help="for inputs and outputs; default the system's for such files")
    with tempfile.TemporaryDirectory(prefix="h5burst_batch_", dir=parser.parse_args().directory) as name:
        directory = Path(name)
        rows = recordings(directory)
        manifest, outputs = directory / "manifest.csv", directory / "outputs"
        with open(manifest, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, sorted({key for row in rows for key in row}))
            writer.writeheader()
            writer.writerows(rows)

        def run(output: str, **options: Any) -> None:
            result = run_batch(manifest, outputs / output, progress=False, **options)
            assert result.exit_code == 0, f"{output}: {result.outcomes}"

        print(f"{len(rows)} recordings\n| engine | seconds | files |\n| --- | --- | --- |")
        ways: dict[str, Callable[[], Any]] = {
            "local, 1 job": lambda: run("local, 1 job", jobs=1, threads=1),
            "local, 2 jobs": lambda: run("local, 2 jobs", jobs=2, threads=1),
            f"array, {ARRAY_TASKS} tasks in turn, 2 jobs each": lambda: [
                run(f"array, {ARRAY_TASKS} tasks in turn, 2 jobs each", array_task=task, array_count=ARRAY_TASKS)
                for task in range(ARRAY_TASKS)
            ],
        }
        with dask(directory) as file:
            ways["dask, 2 workers"] = lambda: run("dask, 2 workers", engine="dask", scheduler_file=str(file))
            if shutil.which("slurmctld") and getattr(os, "geteuid", lambda: 1)() == 0:
                ways["Slurm, 2 array tasks"] = lambda: slurm(manifest, outputs / "Slurm, 2 array tasks", directory)
            same = True
            for way, go in ways.items():
                began = time.perf_counter()
                go()
                seconds = time.perf_counter() - began
                names = [f"{row['dataset_id']}.h5" for row in rows]
                like_first = all(same_trees(outputs / "local, 1 job" / name, outputs / way / name) for name in names)
                same &= like_first
                print(f"| {way} | {seconds:.1f} | {'the same' if like_first else 'DIFFERENT'} |", flush=True)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
