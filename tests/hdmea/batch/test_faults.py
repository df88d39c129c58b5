"""What may go wrong around a batch: names, requests, kills, features that abort, disks that are full."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hdmea.batch import local
from hdmea.batch.job import Job, JobOptions, is_marked, skipped
from hdmea.batch.manifest import read_manifest
from hdmea.batch.recipe import recipe_hash
from hdmea.batch.resources import Resources
from hdmea.batch.run import plan, run_batch
from hdmea.pipeline import PipelineSession
from hdmea.steps.step_call import StepCall
from hdmea.utils.exceptions import ConfigurationError
from support import faulty
from support.batch_tools import (
    HANGING_TABLE,
    PATIENCE_S,
    add_hanging,
    command,
    holder,
    mend_hanging,
    needs_fifo,
    statuses,
    wait_for,
    wait_until_at_work,
)

MakeManifest = Callable[..., Path]
Parameters = dict[str, dict[str, object]]
LOAD_ONLY = ["load_spikes"]


def test_a_recording_called_as_anothers_checkpoint_keeps_its_file(
    tmp_path: Path, spikes_manifest: MakeManifest
) -> None:
    manifest = spikes_manifest(1, extra=("rec0.h5,rec0.checkpoint", "rec0.h5,.rec0", "rec0.h5,rec0.lock"))
    out = tmp_path / "out"
    names = ["rec0", "rec0.checkpoint", ".rec0", "rec0.lock"]

    result = run_batch(manifest, out, steps=LOAD_ONLY, jobs=1, checkpoint_steps=True, progress=False)

    assert statuses(result) == ["done"] * 4
    for name in names:
        assert PipelineSession.load(out / f"{name}.h5").dataset_id == name
    assert {path.name for path in out.iterdir()} == {f"{name}.h5" for name in names} | {
        "logs",
        "batch_summary.json",
        "batch_figures.csv",
    }


def test_no_name_of_our_own_is_one_of_a_dataset_id(tmp_path: Path) -> None:
    for name in ("x", ".x", "x.checkpoint", "y" * 250):
        job = Job(dataset_id=name, steps=(), output_dir=tmp_path)
        for own in (job.checkpoint_path, job.lock_path):
            assert own.suffix != ".h5"
            assert len(os.fsencode(own.name)) <= 255
    one, other = (Job(dataset_id="x" * length, steps=(), output_dir=tmp_path) for length in (250, 249))
    assert one.lock_path != other.lock_path


# ---------------------------------------------------------------- requests


def test_everything_that_is_wrong_with_a_request_is_in_one_message(
    tmp_path: Path, spikes_manifest: MakeManifest
) -> None:
    with pytest.raises(ConfigurationError) as error:
        run_batch(
            spikes_manifest(2), tmp_path / "out", steps=["load_spikes", "nosuch"], compression="zip", jobs=0,
            engine="cloud", parameters={"load_spikes": {"wrong": 1}}, progress=False,
        )  # fmt: skip
    for part in ("unknown steps nosuch", "got 'zip'", "jobs must be", "cloud"):
        assert str(error.value).count(part) == 1
    assert not (tmp_path / "out").exists()


def test_every_bad_row_is_named_at_once(tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"dataset_id": "a"}\n{"spikes": "b.h5", "dataset_id": ["b"]}\n{"spikes": "c.h5"}\n')
    with pytest.raises(ConfigurationError, match=r"2 things are wrong: .*row 1.*row 2.*must be text"):
        read_manifest(manifest)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.csv", b"spikes,dataset_id\na.h5,caf\xe9\n", "line 2: not UTF-8"),
        ("m.csv", b"spikes,dataset_id\na.h5,x\0y\n", "line 2: a NUL"),
        ("m.csv", b"spikes,spikes\na.h5,b.h5\n", "'spikes' is there twice"),
        ("m.csv", b"spikes,dataset_id\n" + b'"' + b"x" * 200_000 + b'",a\n', "line 2: not CSV"),
        ("m.jsonl", b'{"spikes": "a.h5", "spikes": "b.h5"}\n', "'spikes' is there twice"),
        ("m.jsonl", b"{}\n" + b"[" * 100_000, "line 2: not JSON: nested too deep"),
        ("m.jsonl", b'{"spikes": "a.h5", "dataset_id": "\\ud800"}\n', "row 1: dataset_id has characters"),
        ("m.jsonl", b'{"spikes": "a.h5", "dataset_id": ["x"]}\n', "row 1: dataset_id must be text"),
        ("m.jsonl", b'{"spikes": "a.h5", "dataset_id": true}\n', "row 1: dataset_id must be text"),
        ("m.jsonl", b'{"spikes": {"a": 1}}\n', "row 1: spikes must be text"),
        ("m.toml", b'[[recording]]\nspikes = "a\xff.h5"\n', "line 2: not UTF-8"),
        ("m.toml", b"x = " + b"[" * 100_000, "not TOML"),
        ("m.toml", b"x = 1" + b"0" * 5000, "not TOML: it has a number of thousands of digits: write it as text"),
        (
            "m.jsonl",
            b'{}\n{"spikes": 1' + b"0" * 5000 + b"}",
            "line 2: not JSON: it has a number of thousands of digits",
        ),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said_with_its_place(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError) as error:
        read_manifest(tmp_path / name)
    assert said in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.jsonl", '\ufeff{"spikes": "a.h5", "dataset_id": "one\u2028two"}\n'),
        ("m.toml", '\ufeff[[recording]]\nspikes = "a.h5"\ndataset_id = "one\u2028two"\n'),
        ("m.csv", "\ufeffspikes,dataset_id\na.h5,one\u2028two\n"),
    ],
)
def test_byte_order_marks_and_unusual_line_ends_are_no_obstacle(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [recording.dataset_id for recording in read_manifest(tmp_path / name)] == ["one\u2028two"]


def test_a_thousand_rows_are_checked_in_steps_in_proportion(tmp_path: Path, spikes_manifest: MakeManifest) -> None:
    """All checks of a batch before its first recording; a step is a call of a function."""
    directory = spikes_manifest(1).parent
    called = 0

    def count_calls(frame: Any, event: str, arg: Any) -> None:
        nonlocal called
        called += event in ("call", "c_call")

    steps = {}
    for count in (100, 1000):
        manifest = directory / f"{count}.csv"
        manifest.write_text("spikes,dataset_id\n" + "".join(f"rec0.h5,r{number}\n" for number in range(count)))
        plan(manifest, tmp_path / "out", steps=LOAD_ONLY)  # what is imported and made once
        called = 0
        sys.setprofile(count_calls)
        try:
            jobs = plan(manifest, tmp_path / "out", steps=LOAD_ONLY)
        finally:
            sys.setprofile(None)
        assert [job.dataset_id for job in jobs] == [f"r{number}" for number in range(count)]
        steps[count] = called
    assert steps[1000] < 11 * steps[100], steps
    assert steps[1000] < 1000 * 800, steps
    printed = command(directory / "1000.csv", "-o", tmp_path / "out", "--print-slurm")
    script, _ = printed.communicate(timeout=PATIENCE_S)
    assert (printed.returncode, "#SBATCH" in script, (tmp_path / "out").exists()) == (0, True, False)


def test_sixty_is_sixty_wherever_it_comes_from() -> None:
    one, other = ([StepCall("a", {"length_s": number, "more": [number]})] for number in (60, 60.0))
    assert recipe_hash(one) == recipe_hash(other)
    assert recipe_hash(one) != recipe_hash([StepCall("a", {"length_s": 60.5, "more": [60]})])
    assert recipe_hash([StepCall("a", {"x": True})]) != recipe_hash([StepCall("a", {"x": 1})])


# ---------------------------------------------------------------- what is finished


def test_finished_recordings_need_no_process(
    tmp_path: Path, spikes_manifest: MakeManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, out = spikes_manifest(2), tmp_path / "out"
    assert statuses(run_batch(manifest, out, steps=LOAD_ONLY, progress=False)) == ["done", "done"]

    def start(*_: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(local, "_started", start)
    assert statuses(run_batch(manifest, out, steps=LOAD_ONLY, progress=False)) == ["skipped", "skipped"]
    assert statuses(run_batch(manifest, out, steps=LOAD_ONLY, by_mark=True, progress=False)) == ["skipped", "skipped"]


def test_finished_recordings_are_looked_at_in_steps_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ends for itself, as they do where files are large; a step is a call of a function."""
    called = 0

    def count_calls(frame: Any, event: str, arg: Any) -> None:
        nonlocal called
        called += event in ("call", "c_call")

    steps = {}
    for count in (50, 500):
        may_end: queue.SimpleQueue[None] = queue.SimpleQueue()

        def skip(job: Job, may_end: queue.SimpleQueue[None] = may_end) -> None:
            may_end.get(timeout=PATIENCE_S)

        monkeypatch.setattr(local, "skipped", skip)
        checks = local._Checks([Job(dataset_id=f"r{number}", steps=(), output_dir=Path()) for number in range(count)])
        called = 0
        for _ in range(count):
            may_end.put(None)
            sys.setprofile(count_calls)
            try:
                while not checks.collect():
                    pass
            finally:
                sys.setprofile(None)
        assert checks.are_done
        steps[count] = called
    assert steps[500] < 15 * steps[50], steps


def test_a_damaged_file_is_skipped_by_its_mark_only_when_that_is_wished(
    tmp_path: Path, spikes_manifest: MakeManifest
) -> None:
    manifest, out = spikes_manifest(1), tmp_path / "out"
    run_batch(manifest, out, steps=LOAD_ONLY, progress=False)
    path = out / "rec0.h5"
    spikes = PipelineSession.load(path).units["unit_001"]["spike_times"].tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(spikes) + 3] ^= 0xFF
    path.write_bytes(content)
    for by_mark in (False, True):
        (job,) = plan(manifest, out, steps=LOAD_ONLY, options=JobOptions(by_mark=by_mark))
        assert is_marked(job)
        assert (skipped(job) is not None) == by_mark


# ---------------------------------------------------------------- processes


FEATURE = """
import os, signal
from hdmea.features import FeatureExtractor, FeatureRegistry


@FeatureRegistry.register("fatal")
class Fatal(FeatureExtractor):
    def extract(self, unit_data, stimulus_data, config=None, metadata=None):
        {what}
"""


def test_a_feature_that_aborts_or_eats_memory_is_one_failed_recording(
    tmp_path: Path, spikes_manifest: MakeManifest
) -> None:
    manifest = tmp_path / "input" / "m.csv"
    spikes_manifest(2)
    manifest.write_text(
        'spikes,dataset_id,extract_features.features\nrec0.h5,aborts,"[""fatal""]"\nrec1.h5,hungry,"[""hungry""]"\nrec1.h5,healthy,[]\n'
    )
    (tmp_path / "own.py").write_text(
        FEATURE.format(what="os.abort()")
        + FEATURE.format(what="return {'x': float(len(bytearray(1 << 50)))}")
        .replace("Fatal", "Hungry")
        .replace('"fatal"', '"hungry"')
    )
    result = run_batch(
        manifest, tmp_path / "out", steps=["load_spikes", "extract_features"], imports=[str(tmp_path / "own.py")],
        parameters={"extract_features": {"config_overrides": {}}}, jobs=1, progress=False,
    )  # fmt: skip
    assert statuses(result) == ["failed", "failed", "done"]
    assert "SIGABRT" in result.outcomes[0].reason
    assert "MemoryError" in result.outcomes[1].reason
    assert os.listdir(tmp_path / "out").count("healthy.h5") == 1


@needs_fifo
def test_parent_and_workers_killed_together_leave_what_the_next_batch_needs(
    tmp_path: Path, spikes_manifest: MakeManifest
) -> None:
    manifest, out = spikes_manifest(1), tmp_path / "out"
    directory = add_hanging(manifest)
    batch = command(manifest, "-o", out, "--steps", "load_spikes", "--jobs", "1")
    wait_until_at_work(out, "hangs")
    worker = holder(out, "hangs")
    assert worker is not None
    for pid in (worker, batch.pid):
        os.kill(pid, signal.SIGKILL)
    batch.communicate()
    assert (out / ".hangs.lock").exists()
    mend_hanging(directory, manifest.parent / "rec0.h5")

    result = run_batch(manifest, out, steps=LOAD_ONLY, progress=False)

    assert statuses(result) == ["skipped", "done"]
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@needs_fifo
def test_a_second_signal_ends_a_batch_at_once_and_the_worker_by_itself(
    tmp_path: Path, spikes_manifest: MakeManifest
) -> None:
    manifest, out = spikes_manifest(0), tmp_path / "out"
    directory = add_hanging(manifest)
    batch = command(manifest, "-o", out, "--steps", "load_spikes,extract_features", "--jobs", "1")
    wait_until_at_work(out, "hangs")
    batch.send_signal(signal.SIGTERM)
    time.sleep(0.2)  # two signals at the same moment are one
    batch.send_signal(signal.SIGTERM)
    assert batch.wait(timeout=PATIENCE_S) in (-signal.SIGTERM, 128 + signal.SIGTERM)
    assert holder(out, "hangs") is not None
    with open(directory / HANGING_TABLE, "wb"):  # the worker reads an empty table, fails, and has nobody to tell
        pass
    wait_for(lambda: holder(out, "hangs") is None)
    batch.communicate()


@needs_fifo
@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_terminal_that_is_closed_ends_a_batch_as_sigterm_does(
    tmp_path: Path, spikes_manifest: MakeManifest, is_ignored: bool
) -> None:
    """It tells the command and all workers; with nohup nobody minds."""
    manifest, out = spikes_manifest(0), tmp_path / "out"
    directory = add_hanging(manifest)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
    try:
        batch = command(manifest, "-o", out, "--steps", "load_spikes", "--jobs", "1", "--json", is_group=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_until_at_work(out, "hangs")
    os.killpg(batch.pid, signal.SIGHUP)
    time.sleep(0.5)
    with open(directory / HANGING_TABLE, "wb"):  # the worker reads an empty table, and fails
        pass
    stdout, stderr = batch.communicate(timeout=PATIENCE_S)
    assert batch.returncode == (1 if is_ignored else 128 + signal.SIGHUP), stderr
    told = [one["status"] for one in json.loads(stdout)["recordings"]]
    assert told == ["failed"]
    assert [path for path in out.iterdir() if path.name.startswith(".")] == []


@needs_fifo
def test_workers_that_die_unseen_do_not_hang_the_batch(
    tmp_path: Path, spikes_manifest: MakeManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_JOIN_S", 0.1)
    manifest, out = spikes_manifest(0), tmp_path / "out"
    add_hanging(manifest)
    (job,) = plan(manifest, out, steps=LOAD_ONLY)
    pool = local._Pool(Resources(1, 1, 1 << 28), lambda *_: None, warm=False, preload=job.PRELOAD)
    pool.start(job, 1)
    wait_until_at_work(out, "hangs")
    (connection,) = pool.running
    worker = pool.running[connection]
    receiver, sender = pool._context.Pipe(duplex=False)  # a pipe that somebody holds open: its end never comes
    pool.running = {receiver: worker}
    os.kill(worker.process.pid, signal.SIGKILL)  # type: ignore[arg-type]
    ended: list[Any] = []
    wait_for(lambda: bool(ended.extend(pool.collect()) or ended))
    assert ended[0][2].status.value == "failed"
    sender.close()


CHECKPOINT = """
import ctypes, json, os, sys
from pathlib import Path
import numpy as np
from hdmea.pipeline import PipelineSession
directory = Path(sys.argv[1])
faults = ctypes.CDLL(None)
faults.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int]
path = directory / ".a.h5burst-checkpoint"

def session(generation):
    made = PipelineSession("a", output_dir=directory)
    made.add_units({"unit_001": {"spike_times": np.arange(generation, dtype=np.uint64), "row": 0, "col": 0}})
    return made

session(1).checkpoint(path)
faults.fault_arm(str(directory).encode(), 0, -1, 0)
session(1).checkpoint(path)
operations = faults.fault_count()
faults.fault_arm(b"", 0, -1, 0)
seen = set()
for kind in (1, 2, 3):
    for at in range(operations + 1):
        child = os.fork()
        if child == 0:
            faults.fault_arm(str(directory).encode(), kind, at, 28)
            try:
                session(2).checkpoint(path)
            except OSError as error:
                os._exit(0 if str(path) in str(error) else 9)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert ended in (0, -9), (kind, at, ended)
        seen.add(len(PipelineSession.load(path).units["unit_001"]["spike_times"]))
        session(1).checkpoint(path)
        assert os.listdir(directory) == [path.name], (kind, at, os.listdir(directory))
print(json.dumps([operations, sorted(seen)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="preloads a library")
def test_a_checkpoint_is_whole_whatever_interrupts_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHECKPOINT, tmp_path],
        env=faulty.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    operations, seen = json.loads(done.stdout)
    assert operations >= 4
    assert seen == [1, 2]
