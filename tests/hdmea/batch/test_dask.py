"""The dask engine with a real scheduler and two real workers, one of which is killed."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from h5burst import thread_count
from hdmea.batch import dask_engine
from hdmea.batch.resources import Resources
from hdmea.batch.run import run_batch
from hdmea.pipeline import PipelineSession
from hdmea.simulate import SimulatedRecording
from hdmea.utils.exceptions import ConfigurationError
from support.batch_tools import (
    PATIENCE_S,
    add_hanging,
    command,
    holding_process,
    mend_hanging,
    needs_fifo,
    same_trees,
    statuses,
    wait_for,
    wait_until_at_work,
)
from support.full_flow import full_manifest, parameters_of

distributed = pytest.importorskip("distributed", reason='the dask engine is an extra: pip install "h5burst[hpc]"')

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
    options = {"flow": "full", "parameters": parameters_of(full_recording), "progress": False}
    local = run_batch(full_manifest(full_recording, tmp_path, "one"), tmp_path / "local", jobs=1, **options)
    manifest = full_manifest(full_recording, tmp_path, "one", "two")
    dask = run_batch(manifest, tmp_path / "dask", engine="dask", scheduler_file=str(scheduler_file), **options)

    assert statuses(local) == ["done"], local.outcomes
    assert statuses(dask) == ["done"] * 2, dask.outcomes
    assert same_trees(tmp_path / "local" / "one.h5", tmp_path / "dask" / "one.h5")
    head, one = local.figures_path.read_text(encoding="utf-8").splitlines()
    assert dask.figures_path.read_text(encoding="utf-8").splitlines() == [head, one, f"two{one.removeprefix('one')}"]


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


WAITING = """
import os, time
from hdmea.steps import load_spikes as module

load = module.load_spikes

def load_spikes(*arguments, **options):
    while not os.path.exists(GATE):
        time.sleep(0.05)
    return load(*arguments, **options)

module.load_spikes = load_spikes
"""


def test_a_stopped_batch_checkpoints_on_its_workers_and_says_what_was_not_started(
    spikes_manifest: Callable[..., Path], tmp_path: Path, scheduler_file: Path
) -> None:
    manifest, out, gate, module = spikes_manifest(6), tmp_path / "out", tmp_path / "gate", tmp_path / "waiting_load.py"
    module.write_text(f"GATE = {str(gate)!r}\n{WAITING}")
    words = ("--set", "add_section_windows.length_s=10", "--engine", "dask", "--import", module)
    batch = command(manifest, "-o", out, *words, "--scheduler-file", scheduler_file, "--json")
    wait_for(lambda: len(list(out.glob(".rec*.lock"))) == 2)
    at_work = {path.name.split(".")[1] for path in out.glob(".rec*.lock")}
    for name in at_work:
        wait_until_at_work(out, name)
    batch.send_signal(signal.SIGTERM)
    time.sleep(1)  # until the workers know
    gate.touch()  # now the first step ends
    stdout, stderr = batch.communicate(timeout=PATIENCE_S)
    told = {one["dataset_id"]: (one["status"], one["reason"]) for one in json.loads(stdout)["recordings"]}
    assert batch.returncode == 128 + signal.SIGTERM, stderr
    for name, said in told.items():
        if name in at_work:
            assert said == ("interrupted", "checkpointed after load_spikes")
            assert (out / f".{name}.h5burst-checkpoint").exists()
        else:
            assert said[0] == "not started"
    assert list(out.glob("*.h5")) == []


def test_a_worker_uses_what_it_has_or_what_the_batch_gives(
    spikes_manifest: Callable[..., Path],
    tmp_path: Path,
    start: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PipelineSession, "save", PipelineSession.save)  # the module below replaces it here, too
    file, module = tmp_path / "scheduler.json", tmp_path / "tells_limits.py"
    start("scheduler", file, "--host", "127.0.0.1", "--port", "0")
    wait_for(file.exists)
    own = ("--nthreads", "2", "--memory-limit", "1200MiB", "--local-directory", str(tmp_path / "dask"))
    start("worker", file, "--no-nanny", *own)
    with distributed.Client(scheduler_file=str(file)) as client:
        client.wait_for_workers(1, timeout=PATIENCE_S)
    module.write_text(
        "from h5burst import thread_count\n"
        "from hdmea.session.session import PipelineSession\n"
        "before = PipelineSession.save\n"
        "def save(self, *args, **options):\n"
        "    self.metadata['limits'] = [thread_count(), self.memory.budget]\n"
        "    return before(self, *args, **options)\n"
        "PipelineSession.save = save\n"
    )
    shared = {"engine": "dask", "scheduler_file": str(file), "progress": False, "imports": [str(module)]}
    before = thread_count()
    for name, given, limits in (
        ("own", {}, [1, (int(0.8 * (1200 << 20)) - (256 << 20)) // 2]),
        ("given", {"threads": 3, "memory_budget": "64MiB"}, [3, 64 << 20]),
    ):
        result = run_batch(spikes_manifest(2), tmp_path / name, steps=["load_spikes"], **shared, **given)
        assert statuses(result) == ["done", "done"], result.outcomes
        assert result.resources == Resources(2, *limits)
        for index in range(2):
            found = PipelineSession.load(tmp_path / name / f"rec{index}.h5").metadata["limits"]
            assert [int(one) for one in found] == limits
    assert thread_count() == before


def test_recordings_in_threads_of_one_worker_have_logs_of_their_own(
    spikes_manifest: Callable[..., Path], tmp_path: Path, parameters: Parameters, start: Callable[..., None]
) -> None:
    file = tmp_path / "scheduler.json"
    start("scheduler", file, "--host", "127.0.0.1", "--port", "0")
    wait_for(file.exists)
    start("worker", file, "--no-nanny", "--nthreads", "3", "--local-directory", str(tmp_path / "dask"))
    result = run_batch(
        spikes_manifest(6), tmp_path / "out", parameters=parameters, engine="dask", scheduler_file=str(file),
        progress=False,
    )  # fmt: skip
    assert statuses(result) == ["done"] * 6
    for outcome in result.outcomes:
        said = Path(outcome.log_path).read_text(encoding="utf-8")
        assert f"{outcome.dataset_id}: save" in said
        assert not [other for other in range(6) if f"rec{other}" != outcome.dataset_id and f"rec{other}: " in said]
        assert outcome.peak_memory_bytes is None  # of the worker, not of a recording


def test_a_scheduler_of_many_is_left_as_it_was(
    spikes_manifest: Callable[..., Path], tmp_path: Path, scheduler_file: Path
) -> None:
    def allowed(dask_scheduler: Any = None) -> Any:
        return dask_scheduler.allowed_failures, [name for name in vars(dask_scheduler) if "hdmea" in name]

    with distributed.Client(scheduler_file=str(scheduler_file)) as client:
        before = client.run_on_scheduler(allowed)
        run_batch(
            spikes_manifest(1), tmp_path, steps=["load_spikes"], engine="dask", scheduler_file=str(scheduler_file),
            progress=False,
        )  # fmt: skip
        assert client.run_on_scheduler(allowed) == before


def test_an_unknown_engine_is_refused(spikes_manifest: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="local, dask"):
        run_batch(spikes_manifest(1), tmp_path, engine="spark")


def test_a_scheduler_that_does_not_answer_is_an_error(spikes_manifest: Callable[..., Path], tmp_path: Path) -> None:
    patience = importlib.import_module("dask.config").set({"distributed.comm.timeouts.connect": "2s"})
    with patience, pytest.raises(OSError, match="9"):
        run_batch(spikes_manifest(1), tmp_path, engine="dask", scheduler="tcp://127.0.0.1:9", progress=False)


def test_a_scheduler_file_that_nobody_writes_is_an_error(
    spikes_manifest: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_engine, "_FILE_S", 0.3)
    with pytest.raises(FileNotFoundError, match=r"no scheduler has written .*nobody\.json"):
        run_batch(spikes_manifest(1), tmp_path, engine="dask", scheduler_file=tmp_path / "nobody.json", progress=False)


def test_a_batch_that_waits_for_a_schedulers_file_is_ended_by_a_signal(
    spikes_manifest: Callable[..., Path], tmp_path: Path
) -> None:
    batch = command(
        spikes_manifest(1), "-o", tmp_path / "out", "--engine", "dask", "--scheduler-file", tmp_path / "nobody.json"
    )
    wait_for((tmp_path / "out").exists)
    time.sleep(0.5)
    batch.send_signal(signal.SIGTERM)
    assert batch.communicate(timeout=20)[1].endswith("ended by SIGTERM\n")
    assert batch.returncode == 128 + signal.SIGTERM
