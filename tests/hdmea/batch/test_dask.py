"""The dask engine with a real scheduler and two real workers, one of which is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hdmea.batch.run import run_batch
from hdmea.simulate import SimulatedRecording
from hdmea.utils.exceptions import ConfigurationError
from support.batch_tools import (
    add_hanging,
    holding_process,
    mend_hanging,
    needs_fifo,
    same_trees,
    statuses,
    wait_for,
    wait_until_at_work,
)
from support.full_flow import full_manifest, parameters_of

pytest.importorskip("distributed", reason='the dask engine is an extra: pip install "h5burst[hpc]"')

Parameters = dict[str, dict[str, object]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Start a scheduler or a worker: the file by which they meet, and their own arguments."""
    processes = []

    def start(what: str, file: Path, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--scheduler-file", str(file)]
        processes.append(
            subprocess.Popen(
                [*command, "--no-dashboard", *arguments],
                env={**os.environ, **environment},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    yield start
    for process in reversed(processes):
        process.kill()
        process.wait()


def start_worker(start: Callable[..., None], file: Path) -> None:
    start("worker", file, "--no-nanny", "--nthreads", "1", "--local-directory", str(file.parent / "dask"))


@pytest.fixture
def scheduler_file(tmp_path: Path, start: Callable[..., None]) -> Path:
    path = tmp_path / "scheduler.json"
    start("scheduler", path, "--host", "127.0.0.1", "--port", "0")
    wait_for(path.exists)
    for _ in range(2):
        start_worker(start, path)
    return path


def test_dask_gives_the_same_files(
    spikes_manifest: Callable[..., Path], tmp_path: Path, parameters: Parameters, scheduler_file: Path
) -> None:
    manifest = spikes_manifest(4, extra=("missing.h5,gone",))
    local = run_batch(manifest, tmp_path / "local", parameters=parameters, progress=False)
    dask = run_batch(
        manifest, tmp_path / "dask-out", parameters=parameters, engine="dask", scheduler_file=str(scheduler_file),
        progress=False,
    )  # fmt: skip
    assert statuses(dask) == statuses(local) == ["done"] * 4 + ["failed"]
    assert dask.outcomes[4].reason == local.outcomes[4].reason
    for index in range(4):
        assert same_trees(tmp_path / "local" / f"rec{index}.h5", tmp_path / "dask-out" / f"rec{index}.h5")


def test_workers_in_another_directory_write_to_the_directory_of_the_command(
    spikes_manifest: Callable[..., Path],
    tmp_path: Path,
    parameters: Parameters,
    start: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "scheduler.json"
    start("scheduler", file, "--host", "127.0.0.1", "--port", "0")
    wait_for(file.exists)
    for place in ("here", "elsewhere"):
        (tmp_path / place).mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    start_worker(start, file)
    monkeypatch.chdir(tmp_path / "here")
    shutil.copy(spikes_manifest(2).parent / "rec0.h5", "rec0.h5")
    Path("manifest.csv").write_text("spikes\nrec0.h5\n")
    Path("animals.csv").write_text("recording,age\nrec0,12\n")
    result = run_batch(
        "manifest.csv", "results", steps=["load_spikes", "annotate"], parameters={"annotate": {"table": "animals.csv"}},
        engine="dask", scheduler_file=str(file), progress=False,
    )  # fmt: skip
    assert statuses(result) == ["done"], result.outcomes
    assert (tmp_path / "here" / "results" / "rec0.h5").is_file()
    assert list((tmp_path / "elsewhere").glob("**/*.h5")) == []


def test_the_flow_full_gives_the_same_files_and_figures(
    full_recording: SimulatedRecording, tmp_path: Path, scheduler_file: Path
) -> None:
    manifest, parameters = full_manifest(full_recording, tmp_path, "one", "two"), parameters_of(full_recording)
    options = {"flow": "full", "parameters": parameters, "progress": False}
    local = run_batch(manifest, tmp_path / "local", jobs=1, **options)
    dask = run_batch(manifest, tmp_path / "dask", engine="dask", scheduler_file=str(scheduler_file), **options)

    assert statuses(dask) == statuses(local) == ["done"] * 2, dask.outcomes
    for name in ("one.h5", "two.h5"):
        assert same_trees(tmp_path / "local" / name, tmp_path / "dask" / name)
    assert dask.figures_path.read_text(encoding="utf-8") == local.figures_path.read_text(encoding="utf-8")
    assert len(dask.figures_path.read_text(encoding="utf-8").splitlines()) == 3


@needs_fifo
@pytest.mark.parametrize("retries", [0, 1])
def test_a_killed_dask_worker_is_one_failed_recording(
    spikes_manifest: Callable[..., Path],
    tmp_path: Path,
    parameters: Parameters,
    scheduler_file: Path,
    retries: int,
) -> None:
    manifest, out = spikes_manifest(3), tmp_path / "out"
    directory = add_hanging(manifest)

    def kill() -> None:
        wait_until_at_work(out, "hangs")
        time.sleep(0.2)
        first = holding_process(out, "hangs")
        mend_hanging(directory, manifest.parent / "rec0.h5")
        os.kill(first, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    result = run_batch(
        manifest, out, parameters=parameters, engine="dask", scheduler_file=str(scheduler_file), retries=retries,
        progress=False,
    )  # fmt: skip
    killer.join()
    # What a dead worker had finished but not handed over is asked for again, and found complete.
    assert set(statuses(result)[:3]) <= {"done", "skipped"}
    if retries:
        assert statuses(result)[3] == "done"
    else:
        assert statuses(result)[3] == "failed"
        assert "dask worker died" in result.outcomes[3].reason


@needs_fifo
def test_recordings_that_waited_on_a_worker_that_died_are_asked_for_again(
    spikes_manifest: Callable[..., Path], tmp_path: Path, parameters: Parameters, start: Callable[..., None]
) -> None:
    """dask blames them all; only the one at work left its lock."""
    manifest, out, file = spikes_manifest(0), tmp_path / "out", tmp_path / "scheduler.json"
    add_hanging(manifest)
    rows = manifest.read_text().splitlines()
    manifest.write_text("\n".join([*rows, *spikes_manifest(3).read_text().splitlines()[1:]]) + "\n")
    start("scheduler", file, "--host", "127.0.0.1", "--port", "0", DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION="inf")
    wait_for(file.exists)
    start_worker(start, file)

    def kill() -> None:
        wait_until_at_work(out, "hangs")
        time.sleep(0.2)
        os.kill(holding_process(out, "hangs"), signal.SIGKILL)
        start_worker(start, file)

    killer = threading.Thread(target=kill)
    killer.start()
    result = run_batch(manifest, out, parameters=parameters, engine="dask", scheduler_file=str(file), progress=False)
    killer.join()
    assert statuses(result)[0] == "failed"
    assert set(statuses(result)[1:]) <= {"done", "skipped"}  # skipped: finished before, its result was not handed over
    assert "dask worker died" in result.outcomes[0].reason


def test_an_unknown_engine_is_refused(spikes_manifest: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="local, dask"):
        run_batch(spikes_manifest(1), tmp_path, engine="spark")


def test_a_scheduler_that_does_not_answer_is_an_error(spikes_manifest: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(OSError, match="9"):
        run_batch(spikes_manifest(1), tmp_path, engine="dask", scheduler="tcp://127.0.0.1:9", progress=False)
