"""Results of other inputs than those of today are not taken for today's, whole files and checkpoints alike."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from hdmea.batch import identity
from hdmea.batch.job import Status, run_job
from hdmea.batch.run import plan, run_batch
from hdmea.pipeline import PipelineSession
from hdmea.simulate import SimulatedRecording
from hdmea.steps.step_call import StepCall
from hdmea.utils import file_identity
from support.batch_tools import statuses, write_spikes

MakeManifest = Callable[..., Path]
LOAD_ONLY = ["load_spikes"]


def sort_again(manifest: Path, units: int, name: str = "rec0") -> Path:
    return write_spikes(manifest.parent / f"{name}.h5", seed=99, units=units)


def units_of(path: Path) -> int:
    with h5py.File(path) as file:
        return len(file["units"])


def test_a_recording_that_was_sorted_again_is_done_again(tmp_path: Path, spikes_manifest: MakeManifest) -> None:
    manifest, out = spikes_manifest(2), tmp_path / "out"
    run_batch(manifest, out, steps=LOAD_ONLY, progress=False)
    sort_again(manifest, units=7)

    for by_mark in (True, False):
        result = run_batch(manifest, out, steps=LOAD_ONLY, by_mark=by_mark, progress=False)
        assert statuses(result) == (["done", "skipped"] if by_mark else ["skipped", "skipped"])
        if by_mark:
            assert "done again: " in result.outcomes[0].reason
            assert f"{manifest.parent / 'rec0.h5'} is different" in result.outcomes[0].reason
    assert units_of(out / "rec0.h5") == 7


def test_a_checkpoint_of_another_input_is_not_gone_on_from(tmp_path: Path, spikes_manifest: MakeManifest) -> None:
    manifest, out = spikes_manifest(1), tmp_path / "out"
    (job,) = plan(manifest, out, parameters={"add_section_windows": {"length_s": 10}})
    stop = threading.Event()

    def stop_before(dataset_id: str, step: str) -> None:
        if step == "section_spike_times":
            stop.set()

    assert run_job(job, stop, stop_before).status is Status.INTERRUPTED
    assert job.checkpoint_path.exists()
    sort_again(manifest, units=7)

    outcome = run_job(job)
    assert outcome.status is Status.DONE
    assert "rec0.h5 is different" in outcome.reason
    assert units_of(out / "rec0.h5") == 7
    assert set(outcome.step_seconds) >= {"load_spikes", "section_spike_times"}  # all steps were run


def test_a_checkpoint_of_another_version_is_not_gone_on_from(
    tmp_path: Path, spikes_manifest: MakeManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, out = spikes_manifest(1), tmp_path / "out"
    (job,) = plan(manifest, out, parameters={"add_section_windows": {"length_s": 10}})
    stop = threading.Event()
    assert run_job(job, stop, lambda dataset_id, step: stop.set()).status is Status.INTERRUPTED
    monkeypatch.setattr(identity, "_versions", lambda: {"hdmea": "99"})
    outcome = run_job(job)
    assert "the checkpoint was made by hdmea" in outcome.reason
    assert "load_spikes" in outcome.step_seconds


def test_a_finished_file_of_another_version_is_skipped_and_says_so(
    tmp_path: Path, spikes_manifest: MakeManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, out = spikes_manifest(1), tmp_path / "out"
    (job,) = plan(manifest, out, steps=LOAD_ONLY)
    run_job(job)
    monkeypatch.setattr(identity, "_versions", lambda: {"hdmea": "99"})
    outcome = run_job(job)
    assert outcome.status is Status.SKIPPED
    assert "already complete, by hdmea 0" in outcome.reason
    assert "--force" in outcome.reason


def test_a_module_of_ones_own_that_was_edited_makes_another_result(
    tmp_path: Path, spikes_manifest: MakeManifest
) -> None:
    manifest, out, module = spikes_manifest(1), tmp_path / "out", tmp_path / "of_my_own_identity.py"
    module.write_text("VERSION = 1\n")
    run_batch(manifest, out, steps=LOAD_ONLY, imports=[str(module)], progress=False)
    again = run_batch(manifest, out, steps=LOAD_ONLY, imports=[str(module)], progress=False)
    assert statuses(again) == ["skipped"]
    module.write_text("VERSION = 2\n")
    result = run_batch(manifest, out, steps=LOAD_ONLY, imports=[str(module)], progress=False)
    assert statuses(result) == ["done"]
    assert "of_my_own_identity.py is different" in result.outcomes[0].reason


def test_an_input_that_is_gone_or_copied_with_its_content_is_not_different(
    tmp_path: Path, spikes_manifest: MakeManifest
) -> None:
    manifest, out = spikes_manifest(2), tmp_path / "out"
    run_batch(manifest, out, steps=LOAD_ONLY, progress=False)
    first, second = (manifest.parent / f"rec{index}.h5" for index in range(2))
    os.utime(first, (1, 1))
    second.unlink()  # archived
    assert statuses(run_batch(manifest, out, steps=LOAD_ONLY, progress=False)) == ["skipped", "skipped"]


def test_an_output_that_does_not_say_what_it_was_made_of_is_compared_by_time(
    tmp_path: Path, spikes_manifest: MakeManifest
) -> None:
    manifest, out = spikes_manifest(1), tmp_path / "out"
    (job,) = plan(manifest, out, steps=LOAD_ONLY)
    run_job(job)
    with h5py.File(job.output_path, "r+") as file:  # as an earlier version wrote it
        del file["batch"].attrs["inputs"]
    assert run_job(job).status is Status.SKIPPED
    later = job.output_path.stat().st_mtime + 5
    os.utime(manifest.parent / "rec0.h5", (later, later))
    outcome = run_job(job)
    assert outcome.status is Status.DONE
    assert "rec0.h5 is newer" in outcome.reason


def test_an_input_that_changes_while_it_is_worked_on_is_no_result(
    tmp_path: Path, spikes_manifest: MakeManifest
) -> None:
    manifest, out = spikes_manifest(1), tmp_path / "out"
    (job,) = plan(manifest, out, steps=LOAD_ONLY)
    outcome = run_job(job, report=lambda dataset_id, step: sort_again(manifest, units=7) and None)
    assert outcome.status is Status.FAILED
    assert "was changed meanwhile" in outcome.reason
    assert not job.output_path.exists()
    assert run_job(job).status is Status.DONE
    assert units_of(job.output_path) == 7


# ---------------------------------------------------------------- what counts as another input


def test_large_files_differ_by_head_tail_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "large.cmcr"
    content = np.random.default_rng(0).integers(0, 256, 3 << 20, np.uint8)
    content.tofile(path)
    known = file_identity.identity_of(path)
    steps = [StepCall("load_recording", {"cmcr_path": str(path)})]
    before = identity.identities(steps, ())
    assert identity.differences(before, identity.identities(steps, ())) == []
    assert known is not None
    written = path.stat().st_mtime_ns
    for change, place in (("head", 10), ("tail", -10)):
        other = content.copy()
        other[place] ^= 1
        other.tofile(path)
        os.utime(path, ns=(written, written))
        file_identity._of_file.cache_clear()
        assert identity.differences(before, identity.identities(steps, ())), change
    content.tofile(path)
    os.utime(path, ns=(written, written + 1))
    assert identity.differences(before, identity.identities(steps, ()))


def test_of_a_sorters_directory_every_file_counts_but_logs(tmp_path: Path) -> None:
    directory = tmp_path / "phy"
    directory.mkdir()
    np.save(directory / "spike_times.npy", np.arange(5))
    steps = [StepCall("load_spikes", {"path": str(directory)})]
    before = identity.identities(steps, ())
    (directory / "phy.log").write_text("opened")
    (directory / ".phy").mkdir()
    (directory / ".phy" / "state.json").write_text("{}")
    assert identity.differences(before, identity.identities(steps, ())) == []
    (directory / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tnoise\n")
    assert identity.differences(before, identity.identities(steps, ()))


def test_of_tables_and_directories_only_what_the_recording_uses_counts(
    tmp_path: Path, full_recording: SimulatedRecording
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    playlist = Path(shutil.copy(full_recording.playlist_path, own))
    lengths = Path(shutil.copy(full_recording.movie_length_path, own))
    stimuli = Path(shutil.copytree(full_recording.stimuli_dir, own / "stimuli"))
    configs = Path(shutil.copytree(full_recording.config_dir, own / "configs"))
    section = {
        "playlist_name": full_recording.playlist_name,
        "playlist_file_path": str(playlist),
        "movie_length_file_path": str(lengths),
    }
    steps = [
        StepCall("add_section_time", section),
        StepCall("section_spike_times", {"config_dir": str(configs)}),
        StepCall("compute_sta", {"stimuli_dir": str(stimuli)}),
    ]

    def changed() -> list[str]:
        return identity.differences(before, identity.identities(steps, ()))

    before = identity.identities(steps, ())
    with playlist.open("a") as stream:
        stream.write("another,\"['other_movie']\"\n")
    with lengths.open("a") as stream:
        stream.write("other_movie,100\n")
    np.save(stimuli / "other_movie.npy", np.zeros((2, 3, 3), np.uint8))
    (configs / "other_movie.json").write_text("{}")
    assert changed() == []

    movie = full_recording.movies[0]
    text = lengths.read_text()
    lines = [f"{movie},7" if line.startswith(f"{movie},") else line for line in text.splitlines()]
    lengths.write_text("\n".join(lines) + "\n")
    assert [line.split()[0] for line in changed()] == ["playlist"]
    lengths.write_text(text)
    for path in (stimuli / f"{movie}.npy", configs / f"{movie}.json"):
        content, written = path.read_bytes(), path.stat().st_mtime_ns
        path.write_bytes(content + b" ")
        assert [line.split()[0] for line in changed()] == [str(path)]
        path.write_bytes(content)
        os.utime(path, ns=(written, written))
    assert changed() == []


def test_the_output_keeps_what_it_was_made_of(tmp_path: Path, spikes_manifest: MakeManifest) -> None:
    manifest, out = spikes_manifest(1), tmp_path / "out"
    run_batch(manifest, out, steps=LOAD_ONLY, progress=False)
    attrs = PipelineSession.load(out / "rec0.h5").extra_nodes["batch"].attrs
    assert f'"bytes": {(manifest.parent / "rec0.h5").stat().st_size}' in attrs["inputs"]
