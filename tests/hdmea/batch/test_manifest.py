"""What a manifest and a recipe may say, and how they say no."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from h5burst.console import run
from hdmea.batch.command import read_settings
from hdmea.batch.manifest import Recording, read_manifest
from hdmea.batch.recipe import SPIKES_STEPS, STIMULUS_STEPS, read_parameters, recipe_hash, steps_for
from hdmea.cli import app
from hdmea.utils.exceptions import ConfigurationError


def test_csv_rows_become_recordings(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        'cmcr,cmtr,dataset_id,playlist,section_spike_times.pad_margin\na.cmcr,a.cmtr,x,full,"[0.1, 0]"\n'
    )
    (recording,) = read_manifest(manifest)
    assert recording.cmcr == (tmp_path / "a.cmcr").resolve()
    assert (recording.dataset_id, recording.playlist) == ("x", "full")
    assert recording.options == {"section_spike_times": {"pad_margin": [0.1, 0]}}


def test_json_lines_and_toml_say_the_same(tmp_path: Path) -> None:
    lines = tmp_path / "m.jsonl"
    lines.write_text('{"spikes": "a.h5", "add_section_windows": {"length_s": 5}}\n\n{"cmtr": "b-.cmtr"}\n')
    table = tmp_path / "m.toml"
    table.write_text(
        '[[recording]]\nspikes = "a.h5"\nadd_section_windows.length_s = 5\n[[recording]]\ncmtr = "b-.cmtr"\n'
    )
    assert read_manifest(lines) == read_manifest(table)
    assert [recording.dataset_id for recording in read_manifest(lines)] == ["a", "b"]


def test_a_directory_is_the_recordings_in_it(tmp_path: Path) -> None:
    for name in ("b.cmcr", "b.cmtr", "a.CMTR", "notes.txt"):
        (tmp_path / name).touch()
    with h5py.File(tmp_path / "waves.h5", "w") as file:
        file["spikes"], file["sCount"] = [0.5], [1]
    with h5py.File(tmp_path / "result.h5", "w") as file:
        file.create_group("units")
    (tmp_path / "damaged.h5").write_bytes(b"no HDF5")
    recordings = read_manifest(tmp_path)
    assert [(recording.cmcr, recording.cmtr, recording.spikes) for recording in recordings] == [
        (None, tmp_path / "a.CMTR", None),
        (tmp_path / "b.cmcr", tmp_path / "b.cmtr", None),
        (None, None, tmp_path / "damaged.h5"),
        (None, None, tmp_path / "waves.h5"),
    ]


def test_a_directory_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds no recording \(\.cmcr, \.cmtr, \.h5 of sorted spikes\)"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("options", [["--print-slurm"], ["--array-task", "0", "--array-count", "2"]])
def test_tasks_of_an_array_need_a_manifest(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.cmtr").touch()
    assert run(app, ["batch", str(tmp_path), "-o", str(tmp_path / "out"), *options]) != 0
    assert "need a manifest" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "spikes\n", "lists no recording"),
        ("m.csv", "dataset_id\nx\n", "row 2: give at least one of"),
        ("m.csv", "spikes,dataset_id\na.h5,x\nb.h5,x\n", "'x' stands there twice"),
        ("m.csv", "spikes,colour\na.h5,red\n", "unknown column 'colour'"),
        ("m.csv", "spikes,cmtr\na.h5,b.cmtr\n", "sorted elsewhere"),
        ("m.csv", "spikes\na.h5,extra\n", "line 2: more fields"),
        ("m.jsonl", "{\n", "line 1: not JSON"),
        ("m.jsonl", "[1]\n", "line 1: a recording is a JSON object"),
        ("m.toml", "recording = 1\n", r"\[\[recording\]\]"),
        ("m.toml", "= 1\n", "not TOML"),
        ("m.txt", "", "a manifest is one of"),
    ],
)
def test_a_bad_manifest_is_refused_with_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_manifest(path)


def test_a_missing_manifest_is_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"m\.csv"):
        read_manifest(tmp_path / "m.csv")


def test_the_usual_steps_follow_from_the_kind_of_recording() -> None:
    assert tuple(step.name for step in steps_for(Recording("x", spikes=Path("a.h5")))) == SPIKES_STEPS
    assert tuple(step.name for step in steps_for(Recording("x", cmtr=Path("a.cmtr")))) == STIMULUS_STEPS


def test_of_the_usual_steps_the_averages_are_left_out_without_a_noise_movie() -> None:
    recording = Recording("x", cmtr=Path("a.cmtr"))
    assert {step.name: step.arguments.get("optional") for step in steps_for(recording)}["compute_sta"] is True
    (asked_for,) = steps_for(recording, ["compute_sta"])  # what is asked for by name has to be done
    assert "optional" not in asked_for.arguments


def test_a_recordings_own_options_come_first() -> None:
    recording = Recording("x", spikes=Path("a.h5"), options={"add_section_windows": {"length_s": 5}})
    steps = steps_for(recording, ["add_section_windows"], {"add_section_windows": {"length_s": 60, "step_s": 30}})
    assert dict(steps[0].arguments) == {"length_s": 5, "step_s": 30}


@pytest.mark.parametrize(
    ("names", "parameters", "message"),
    [
        (["dance"], {}, "unknown steps dance"),
        (["compute_sta"], {"compute_sta": {"colour": 1}}, "compute_sta takes no colour"),
        (["compute_sta"], {"compute_sta": {"session": 1}}, "compute_sta takes no session"),
        (["compute_sta"], {"dance": {}}, "unknown steps dance"),
    ],
)
def test_a_bad_recipe_is_refused(names: list[str], parameters: dict[str, dict[str, object]], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        steps_for(Recording("x", cmtr=Path("a.cmtr")), names, parameters)


def test_the_recipe_hash_tells_parameters_apart() -> None:
    recording = Recording("x", spikes=Path("a.h5"))
    one = steps_for(recording, ["add_section_windows"], {"add_section_windows": {"length_s": 5}})
    other = steps_for(recording, ["add_section_windows"], {"add_section_windows": {"length_s": 6}})
    assert recipe_hash(one) == recipe_hash(list(one)) != recipe_hash(other)


def test_a_flow_file_names_steps_and_parameters(tmp_path: Path) -> None:
    flow = tmp_path / "flow.json"
    flow.write_text(
        '{"steps": ["load_recording", {"step": "add_section_windows", "arguments": {"length_s": 5}},'
        ' "section_spike_times", {"step": "compute_sta", "arguments": {"stimuli_dir": "movies"}}]}'
    )
    names, parameters = read_parameters(flow)
    assert names == ["load_recording", "add_section_windows", "section_spike_times", "compute_sta"]
    assert parameters["add_section_windows"] == {"length_s": 5}
    assert parameters["compute_sta"] == {"stimuli_dir": str(tmp_path / "movies")}


def test_a_flow_that_lists_a_step_twice_is_refused_by_a_batch(tmp_path: Path) -> None:
    flow = tmp_path / "flow.json"
    windows = '{"step": "add_section_windows", "arguments": {"length_s": 5, "name": "%s"}}'
    flow.write_text(f'{{"steps": ["load_spikes", {windows % "a"}, {windows % "b"}]}}')

    with pytest.raises(ConfigurationError, match="add_section_windows twice"):
        read_parameters(flow)


def test_a_flow_that_ships_is_known_by_its_name() -> None:
    names, _ = read_parameters("load")

    assert names == ["load_recording"]


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"steps": []}', '{"steps": [1]}', '{"steps": [{"arguments": {}}]}']
)
def test_a_bad_flow_file_is_refused(tmp_path: Path, content: str) -> None:
    flow = tmp_path / "flow.json"
    flow.write_text(content)
    with pytest.raises(ConfigurationError, match=r"flow\.json"):
        read_parameters(flow)


def test_settings_are_json_or_text() -> None:
    assert read_settings(["a.b=1", "a.c=[1]", "d.e=x"]) == {"a": {"b": 1, "c": [1]}, "d": {"e": "x"}}
    with pytest.raises(ConfigurationError, match=r"step\.parameter=value"):
        read_settings(["a=1"])
