"""Batches run for real, with recordings that fail, hang, are killed and are stopped."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from h5burst import verify
from hdmea.batch import local
from hdmea.batch import run as run_module
from hdmea.batch.job import JobOptions, Status
from hdmea.batch.run import BatchResult, plan, run_batch
from hdmea.cli import main
from hdmea.pipeline import PipelineSession
from hdmea.utils.exceptions import ConfigurationError
from support import faulty
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

MakeManifest = Callable[..., Path]
Parameters = dict[str, dict[str, object]]


def test_every_recording_becomes_a_file(spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters) -> None:
    result = run_batch(spikes_manifest(3), tmp_path / "out", parameters=parameters, progress=False)
    assert (statuses(result), result.exit_code) == (["done"] * 3, 0)
    for outcome in result.outcomes:
        session = PipelineSession.load(outcome.output_path)
        assert session.unit_count == 4
        assert len(session.units["unit_001"]["spike_times_sectioned"]["window"]["trials_spike_times"]) == 3
        assert "baseline_127" in session.units["unit_001"]["features"]
        assert outcome.step_seconds.keys() >= {"load_spikes", "section_spike_times", "save"}
        assert Path(outcome.log_path).read_text().count("section_spike_times took") == 1
    summary = json.loads(result.summary_path.read_text())
    assert summary == result.summary
    assert summary["counts"]["done"] == 3
    assert summary["recordings"][0]["peak_memory_bytes"] is None or summary["recordings"][0]["peak_memory_bytes"] > 1e6
    assert not list((tmp_path / "out").glob(".*"))


def test_the_largest_recordings_are_started_first(
    spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters
) -> None:
    manifest = spikes_manifest(3, extra=("missing.h5,missing",))
    for name, more in (("rec1", 1_000_000), ("rec2", 1000)):
        with h5py.File(manifest.with_name(f"{name}.h5"), "a") as file:
            file["unused"] = np.zeros(more)
    result = run_batch(manifest, tmp_path / "out", parameters=parameters, jobs=1, progress=False)
    assert [outcome.dataset_id for outcome in result.outcomes] == ["rec0", "rec1", "rec2", "missing"]
    assert statuses(result) == ["done", "done", "done", "failed"]
    written = [(tmp_path / "out" / f"{name}.h5").stat().st_mtime_ns for name in ("rec1", "rec2", "rec0")]
    assert written == sorted(written)


def test_what_is_complete_is_skipped_and_the_rest_done(
    spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters
) -> None:
    manifest, out = spikes_manifest(3), tmp_path / "out"
    run_batch(manifest, out, parameters=parameters, progress=False)
    (out / "rec1.h5").unlink()
    before = (out / "rec0.h5").stat().st_mtime_ns
    result = run_batch(manifest, out, parameters=parameters, progress=False)
    assert statuses(result) == ["skipped", "done", "skipped"]
    assert (out / "rec0.h5").stat().st_mtime_ns == before
    assert statuses(run_batch(manifest, out, parameters=parameters, force=True, progress=False)) == ["done"] * 3


def test_other_parameters_or_damage_do_a_recording_again(
    spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters
) -> None:
    manifest, out = spikes_manifest(2), tmp_path / "out"
    run_batch(manifest, out, parameters=parameters, progress=False)
    content = bytearray((out / "rec1.h5").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (out / "rec1.h5").write_bytes(content)
    assert statuses(run_batch(manifest, out, parameters=parameters, progress=False)) == ["skipped", "done"]
    other = {"add_section_windows": {"length_s": 5.0}}
    assert statuses(run_batch(manifest, out, parameters=other, progress=False)) == ["done", "done"]


def test_a_failing_recording_does_not_stop_the_rest(
    spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters
) -> None:
    manifest = spikes_manifest(2, extra=("missing.h5,gone", "junk.h5,junk"))
    (manifest.parent / "junk.h5").write_bytes(b"no HDF5 at all")
    result = run_batch(manifest, tmp_path / "out", parameters=parameters, retries=1, progress=False)
    assert (statuses(result), result.exit_code) == (["done", "done", "failed", "failed"], 1)
    assert "FileNotFoundError" in result.outcomes[2].reason
    assert "missing.h5" in result.outcomes[2].reason
    assert "DataLoadError" in result.outcomes[3].reason
    assert "Traceback" in Path(result.outcomes[3].log_path).read_text()
    assert [outcome.attempts for outcome in result.outcomes] == [1, 1, 2, 2]


def test_too_many_failures_end_the_batch(spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters) -> None:
    extra = tuple(f"missing{i}.h5,gone{i}" for i in range(5))
    result = run_batch(
        spikes_manifest(0, extra), tmp_path / "out", parameters=parameters, jobs=1, max_failures=1, progress=False
    )
    assert statuses(result) == ["failed", "failed", "not started", "not started", "not started"]
    assert result.exit_code == 1


@needs_fifo
def test_a_killed_worker_is_one_failed_recording(
    spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters
) -> None:
    manifest, out = spikes_manifest(1), tmp_path / "out"
    add_hanging(manifest)
    process = command(manifest, "-o", out, "--set", "add_section_windows.length_s=10")
    wait_until_at_work(out, "hangs")
    os.kill(holding_process(out, "hangs"), signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, stderr
    outcomes = {o["dataset_id"]: o for o in json.loads((out / "batch_summary.json").read_text())["recordings"]}
    assert outcomes["rec0"]["status"] == "done"
    assert outcomes["hangs"]["status"] == "failed"
    assert "killed by SIGKILL" in outcomes["hangs"]["reason"]
    assert "hangs" in stdout


@needs_fifo
def test_a_killed_worker_is_tried_again(spikes_manifest: MakeManifest, tmp_path: Path) -> None:
    manifest, out = spikes_manifest(1), tmp_path / "out"
    directory = add_hanging(manifest)
    process = command(manifest, "-o", out, "--retries", "1", "--set", "add_section_windows.length_s=10")
    wait_until_at_work(out, "hangs")
    first = holding_process(out, "hangs")
    mend_hanging(directory, manifest.parent / "rec0.h5")
    os.kill(first, signal.SIGKILL)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    outcomes = {o["dataset_id"]: o for o in json.loads((out / "batch_summary.json").read_text())["recordings"]}
    assert (outcomes["hangs"]["status"], outcomes["hangs"]["attempts"]) == ("done", 2)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_batch_with_outputs_whole(
    spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters, number: signal.Signals, code: int
) -> None:
    manifest, out = spikes_manifest(12), tmp_path / "out"
    process = command(manifest, "-o", out, "--jobs", "1", "--set", "add_section_windows.length_s=10")
    wait_for(lambda: (out / "rec1.h5").exists())
    process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, stderr
    outcomes = json.loads((out / "batch_summary.json").read_text())["recordings"]
    kinds = {o["status"] for o in outcomes}
    assert kinds <= {"done", "interrupted", "not started"}
    assert "not started" in kinds
    left = {path.name for path in out.glob(".*")}  # a checkpoint, to go on from, of the one recording that was stopped
    interrupted = [o["dataset_id"] for o in outcomes if o["status"] == "interrupted"]
    assert left <= {f".{name}.h5burst-checkpoint" for name in interrupted}
    for path in out.glob("*.h5"):
        PipelineSession.load(path)
    result = run_batch(manifest, out, parameters=parameters, progress=False)
    assert result.exit_code == 0
    assert {"done", "skipped"} == set(statuses(result))
    assert not list(out.glob(".*"))


@pytest.mark.parametrize(
    ("code", "told", "status"),
    [
        (-signal.SIGTERM, True, Status.INTERRUPTED),
        (-signal.SIGINT, True, Status.INTERRUPTED),
        (-signal.SIGTERM, False, Status.FAILED),
        (-9, True, Status.FAILED),
        (1, True, Status.FAILED),
    ],
)
def test_a_worker_told_to_stop_before_it_listens_is_interrupted(
    spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters, code: int, told: bool, status: Status
) -> None:
    (job,) = plan(spikes_manifest(1), tmp_path, parameters=parameters)
    assert local._death(job, code, stop_requested=told).status is status


def test_a_stopped_recording_goes_on_from_its_checkpoint(
    spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters
) -> None:
    import threading

    from hdmea.batch.job import run_job

    manifest = spikes_manifest(1)
    (whole,) = plan(manifest, tmp_path / "whole", parameters=parameters)
    assert run_job(whole).status is Status.DONE
    for stop_at in [step.name for step in whole.steps][1:]:
        options = JobOptions(checkpoint_steps=True)
        (job,) = plan(manifest, tmp_path / stop_at, parameters=parameters, options=options)
        stop = threading.Event()

        def stop_before(dataset_id: str, step: str, stop: threading.Event = stop, stop_at: str = stop_at) -> None:
            if step == stop_at:
                stop.set()

        assert run_job(job, stop, stop_before).status in (Status.INTERRUPTED, Status.DONE)
        again = run_job(job)
        assert again.status in (Status.DONE, Status.SKIPPED)
        assert stop_at not in again.step_seconds
        assert same_trees(whole.output_path, job.output_path)
        assert not job.checkpoint_path.exists()


def test_two_batches_on_one_recording(spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters) -> None:
    from hdmea.batch.lock import holding

    manifest, out = spikes_manifest(2), tmp_path / "out"
    with holding(out / ".rec0.lock"):
        result = run_batch(manifest, out, parameters=parameters, progress=False)
    assert statuses(result) == ["locked", "done"]
    assert result.exit_code == 1
    assert f"locked by process {os.getpid()}" in result.outcomes[0].reason


def test_array_tasks_share_the_batch_and_give_the_same_files(
    spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters
) -> None:
    manifest = spikes_manifest(5)
    run_batch(manifest, tmp_path / "local", parameters=parameters, progress=False)
    tasks = [
        command(manifest, "-o", tmp_path / "array", "--set", "add_section_windows.length_s=10",
                SLURM_ARRAY_TASK_ID=str(task), SLURM_ARRAY_TASK_MIN="0", SLURM_ARRAY_TASK_COUNT="2")
        for task in range(2)
    ]  # fmt: skip
    for task in tasks:
        _, stderr = task.communicate(timeout=PATIENCE_S)
        assert task.returncode == 0, stderr
    for index in range(5):
        assert same_trees(tmp_path / "local" / f"rec{index}.h5", tmp_path / "array" / f"rec{index}.h5")
    assert len(list((tmp_path / "array").glob("batch_summary_*.json"))) == 2


def test_all_real_recordings_through_array_and_local(tmp_path: Path, test_data: Path) -> None:
    files = sorted((test_data / "retina_mea").glob("*.h5"))
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("spikes\n" + "".join(f"{path}\n" for path in files))
    local = run_batch(manifest, tmp_path / "local", progress=False)
    assert statuses(local) == ["done"] * 10, [outcome.reason for outcome in local.outcomes]
    some = files[::3]
    manifest.write_text("spikes\n" + "".join(f"{path}\n" for path in some))
    for task in range(2):
        run_batch(manifest, tmp_path / "array", array_task=task, array_count=2, progress=False)
    for path in some:
        assert same_trees(tmp_path / "local" / path.name, tmp_path / "array" / path.name)


def test_bad_requests_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    process = command(tmp_path / "none.csv", "-o", tmp_path)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "No such manifest" in stderr
    assert "Traceback" not in stderr


OWN_FEATURE = """
from hdmea.features import FeatureExtractor, FeatureRegistry


@FeatureRegistry.register("spikes_in_all")
class SpikesInAll(FeatureExtractor):
    required_inputs = ("spike_times",)
    output_schema = {"count": "spikes"}

    def extract(self, unit_data, stimulus_data, config=None, metadata=None):
        return {"count": len(unit_data["spike_times"])}
"""


def test_workers_know_the_features_of_an_imported_module(
    spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters
) -> None:
    (tmp_path / "own_feature.py").write_text(OWN_FEATURE)
    manifest = spikes_manifest(2)
    own = ("--set", 'extract_features.features=["spikes_in_all"]', "--set", "add_section_windows.length_s=10")
    done = command(manifest, "-o", tmp_path / "out", *own, "--import", str(tmp_path / "own_feature.py"))
    told = done.communicate(timeout=60)
    assert done.returncode == 0, told
    for name in ("rec0", "rec1"):
        unit = PipelineSession.load(tmp_path / "out" / f"{name}.h5").units["unit_001"]
        assert unit["features"]["spikes_in_all"]["data"]["count"] == len(unit["spike_times"])


OWN_CODEC = """
import bz2

from h5burst import codecs


class Bzip2(codecs.Codec):
    name = filter_name = "bz"
    filter_id = 307
    default_level = 9
    levels = range(1, 10)

    def client_values(self, level, itemsize, chunk_bytes):
        return (level,)

    def encode(self, data, values, layout, hint=None):
        packed = bz2.compress(data.tobytes(), values[0])
        return packed if len(packed) < data.size else None

    def decode(self, data, values, size, *, is_exact=True):
        return bz2.decompress(data.tobytes())
"""


def test_workers_know_what_an_installed_package_brings_by_entry_points(
    spikes_manifest: MakeManifest, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    (site / "of_others-1.0.dist-info").mkdir(parents=True)
    (site / "of_others-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: of-others\nVersion: 1.0\n")
    (site / "of_others-1.0.dist-info" / "entry_points.txt").write_text(
        "[hdmea.features]\nspikes_in_all = others_feature:SpikesInAll\n\n[h5burst.codecs]\nbz = others_codec:Bzip2\n"
    )
    (site / "others_feature.py").write_text(OWN_FEATURE)
    (site / "others_codec.py").write_text(OWN_CODEC)
    own = ("--set", 'extract_features.features=["spikes_in_all"]', "--set", "add_section_windows.length_s=10")
    batch = (spikes_manifest(2), "-o", tmp_path / "out", "--jobs", "2", "--compression", "bz", *own)
    without = command(*batch)
    _, stderr = without.communicate(timeout=PATIENCE_S)
    assert without.returncode == 2
    assert "compression must be one of 'gzip'" in stderr
    assert "got 'bz'" in stderr
    done = command(*batch, PYTHONPATH=str(site))
    told = done.communicate(timeout=60)
    assert done.returncode == 0, told
    for name in ("rec0", "rec1"):
        unit = PipelineSession.load(tmp_path / "out" / f"{name}.h5").units["unit_001"]
        assert unit["features"]["spikes_in_all"]["data"]["count"] == len(unit["spike_times"])
    again = command(*batch, PYTHONPATH=str(site))
    assert again.communicate(timeout=PATIENCE_S)[0].count("skipped") >= 2
    assert again.returncode == 0


def test_module_that_cannot_be_imported_ends_the_batch_before_it_starts(
    spikes_manifest: MakeManifest, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="no_such_module"):
        run_batch(spikes_manifest(1), tmp_path / "out", imports=["no_such_module"], progress=False)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_its_own_batch_did(
    spikes_manifest: MakeManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another batch into the same directory may have replaced the summary by then."""

    def overtaken(*arguments: Any, **options: Any) -> BatchResult:
        result = run_batch(*arguments, **options)
        result.summary_path.write_text("{}")
        return result

    words = [spikes_manifest(1), "-o", tmp_path / "out", "--set", "add_section_windows.length_s=10", "--json"]
    monkeypatch.setattr(run_module, "run_batch", overtaken)
    monkeypatch.setattr(sys, "argv", ["hdmea", "batch", *map(str, words)])
    assert main() == 0
    assert [one["status"] for one in json.loads(capsys.readouterr().out)["recordings"]] == ["done"]


@pytest.mark.skipif(sys.platform != "linux", reason="preloads a library into processes")
@pytest.mark.parametrize("locks", ["enosys", "granted"])
def test_two_batches_at_once_where_locks_do_not_work(
    spikes_manifest: MakeManifest, tmp_path: Path, parameters: Parameters, locks: str
) -> None:
    manifest, out = spikes_manifest(2), tmp_path / "out"
    words = (manifest, "-o", out, "--jobs", "1", "--set", "add_section_windows.length_s=10", "--json")
    both = [command(*words, LD_PRELOAD=str(faulty.library()), FAULT_FLOCK=locks) for _ in range(2)]
    told = [process.communicate(timeout=PATIENCE_S) for process in both]
    assert {process.returncode for process in both} <= {0, 1}, told  # 1: the other was still at work on a recording
    seen: dict[str, set[str]] = {}
    for stdout, _ in told:
        for one in json.loads(stdout)["recordings"]:
            seen.setdefault(one["dataset_id"], set()).add(one["status"])
            assert one["status"] == "done" or one["reason"].startswith(("locked by process", "already complete")), one
    assert all("done" in statuses_ and statuses_ <= {"done", "skipped", "locked"} for statuses_ in seen.values()), seen
    alone = run_batch(manifest, tmp_path / "alone", parameters=parameters, progress=False)
    assert [outcome.dataset_id for outcome in alone.outcomes if outcome.dataset_id not in seen] == []
    for name in ("rec0", "rec1"):
        assert same_trees(tmp_path / "alone" / f"{name}.h5", out / f"{name}.h5")
        assert not verify(out / f"{name}.h5")
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    again = run_batch(manifest, out, parameters=parameters, progress=False)
    assert statuses(again) == ["skipped"] * 2


def test_the_log_does_not_warn_of_the_batch_own_checkpoints(tmp_path: Path, spikes_manifest: MakeManifest) -> None:
    manifest, out = spikes_manifest(1), tmp_path / "out"
    for force in (False, True):
        result = run_batch(
            manifest, out, steps=["load_spikes"], checkpoint_steps=True, force=force, jobs=1, progress=False
        )
        assert result.exit_code == 0
    text = Path(result.outcomes[0].log_path).read_text(encoding="utf-8")
    assert "saved" in text
    assert "WARNING" not in text
