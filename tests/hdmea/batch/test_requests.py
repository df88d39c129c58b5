"""What is wrong with a request is said before the first recording."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hdmea.batch.manifest import read_manifest
from hdmea.batch.run import plan, run_batch
from hdmea.io.playlists import read_movie_lengths, read_playlist
from hdmea.report.directory import _key_figures, _states
from hdmea.steps.flow_file import read_flow
from hdmea.utils.exceptions import ConfigurationError

MakeManifest = Callable[..., Path]


@pytest.mark.parametrize("value", [-5, 0, "30", None, [30], 1e308, float("inf"), 10**400, True])
def test_a_length_that_cannot_be_is_refused_by_name(
    spikes_manifest: MakeManifest, tmp_path: Path, value: object
) -> None:
    with pytest.raises(ConfigurationError, match=r"add_section_windows\.length_s must be"):
        plan(spikes_manifest(1), tmp_path / "out", parameters={"add_section_windows": {"length_s": value}})


@pytest.mark.parametrize(
    ("step", "argument", "value"),
    [
        ("compute_sta", "cover_range", "abc"),
        ("compute_sta", "cover_range", [1]),
        ("compute_sta", "use_multiprocessing", 1),
        ("section_spike_times", "trial_repeats", 2.5),
        ("section_spike_times", "movie_names", "one_movie"),
        ("compute_sta", "optional", "yes"),
    ],
)
def test_values_of_another_kind_are_refused_by_name(
    full_manifest_of: Callable[..., Path], tmp_path: Path, step: str, argument: str, value: object
) -> None:
    steps = ["load_recording", "section_spike_times", "compute_sta"]
    with pytest.raises(ConfigurationError, match=rf"{step}\.{argument} must be"):
        plan(full_manifest_of(), tmp_path / "out", steps=steps, parameters={step: {argument: value}})


@pytest.fixture
def full_manifest_of(tmp_path: Path) -> Callable[..., Path]:
    def make() -> Path:
        (tmp_path / "m.csv").write_text("cmcr,cmtr\na.cmcr,a.cmtr\n")
        return tmp_path / "m.csv"

    return make


@pytest.mark.parametrize("value", [60, 60.0, 0.5])
def test_numbers_are_numbers(spikes_manifest: MakeManifest, tmp_path: Path, value: float) -> None:
    plan(spikes_manifest(1), tmp_path / "out", parameters={"add_section_windows": {"length_s": value}})


def test_a_movie_or_playlist_of_two_meanings_is_refused(tmp_path: Path) -> None:
    lengths, playlists = tmp_path / "lengths.csv", tmp_path / "playlist.csv"
    lengths.write_text("movie_name,movie_length\na,10\na,20\n")
    with pytest.raises(ConfigurationError, match="a stands there twice, with 10 and 20 frames"):
        read_movie_lengths(lengths)
    lengths.write_text("movie_name,movie_length\na,10\na,10\n")
    assert read_movie_lengths(lengths) == {"a": 10}
    lengths.write_text(f"movie_name,movie_length\na,{'9' * 4000}\n")
    with pytest.raises(ConfigurationError, match="too large"):
        read_movie_lengths(lengths)
    playlists.write_text("playlist_name,movie_names\np,\"['a']\"\np,\"['b']\"\n")
    with pytest.raises(ConfigurationError, match="'p' stands twice"):
        read_playlist("p", playlists)


def test_a_flow_with_steps_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    path.write_text('{"steps": ["load_spikes"], "steps": ["load_recording"]}')
    with pytest.raises(ConfigurationError, match="'steps' is there twice"):
        read_flow(path)


def test_a_flow_with_keys_that_it_does_not_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    path.write_text('{"steps": ["load_spikes"], "stpes": [], "_note": 1, "description": "of mine"}')
    with pytest.raises(ConfigurationError, match=r"keys that a flow does not have: stpes; it has steps, stages, "):
        read_flow(path)
    path.write_text('{"steps": ["load_spikes"], "stages": {"load_recording": {}}}')
    with pytest.raises(ConfigurationError, match="both `steps` and `stages`"):
        read_flow(path)


def test_a_dataset_id_too_long_for_a_file_is_refused_with_its_row(
    tmp_path: Path, spikes_manifest: MakeManifest
) -> None:
    manifest = spikes_manifest(1, extra=(f"rec0.h5,{'x' * 300}",))
    with pytest.raises(ConfigurationError, match="dataset_id 'xxx"):
        run_batch(manifest, tmp_path / "out", steps=["load_spikes"], progress=False)


def test_links_give_their_own_name_as_dataset_id(tmp_path: Path, spikes_manifest: MakeManifest) -> None:
    directory = spikes_manifest(1).parent
    for name in ("mouse1.h5", "mouse2.h5"):
        os.symlink(directory / "rec0.h5", directory / name)
    (directory / "links.csv").write_text("spikes\nmouse1.h5\nmouse2.h5\n")
    assert [one.dataset_id for one in read_manifest(directory / "links.csv")] == ["mouse1", "mouse2"]


def test_a_foreign_summary_is_said_before_the_work(tmp_path: Path, spikes_manifest: MakeManifest) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "batch_summary_0007.json").write_text("{}")
    for options in ({"report": True}, {"array_task": 0, "array_count": 1}):
        with pytest.raises(ConfigurationError, match=r"batch_summary_0007\.json is not the summary"):
            run_batch(spikes_manifest(1), out, steps=["load_spikes"], progress=False, **options)
    assert not list(out.glob("*.h5"))


def test_a_recording_called_index_gets_no_page_under_the_index(tmp_path: Path, spikes_manifest: MakeManifest) -> None:
    manifest = spikes_manifest(1, extra=("rec0.h5,index",))
    with pytest.raises(ConfigurationError, match="called index"):
        run_batch(manifest, tmp_path / "out", steps=["load_spikes"], report=True, progress=False)


def test_the_index_knows_recordings_by_the_names_of_their_files(tmp_path: Path) -> None:
    one = {"dataset_id": "a/b", "status": "done"}
    (tmp_path / "batch_summary.json").write_text(json.dumps({"recordings": [one]}))
    with (tmp_path / "batch_figures.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [("dataset_id", "status", "units", "warnings", "axons_seen"), ("a/b", "done", 4, 0, 2)]
        )
    assert list(_states(tmp_path)) == ["a%2Fb"]
    assert _key_figures(tmp_path) == {"a%2Fb": {"axons_seen": "2"}}


def test_a_manifest_may_begin_with_blank_lines_and_have_spaces_in_its_header(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("\n\nspikes, dataset_id\na.h5,one\n")
    assert [one.dataset_id for one in read_manifest(tmp_path / "m.csv")] == ["one"]
    (tmp_path / "m.csv").write_text("\nspikes,dataset_id\na.h5,one,more\n")
    with pytest.raises(ConfigurationError, match="line 3: more fields"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize("package", ["hdmea", "h5burst", "scptensor"])
@pytest.mark.parametrize("option", ["-h", "--version"])
def test_packages_are_commands(package: str, option: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", package, option], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "h5burst" in done.stdout or "Usage" in done.stdout
