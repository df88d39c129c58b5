"""Names of what there is not, in a run, a batch and a flow: refused before the first step, with what there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hdmea.cli
from h5burst.console import run
from hdmea.features import FeatureRegistry
from hdmea.features.base import FeatureExtractor
from hdmea.pipeline import run_batch, run_flow
from hdmea.simulate import SimulatedRecording
from hdmea.utils.choices import there_are
from hdmea.utils.exceptions import ConfigurationError

STEPS = ["load_recording", "add_section_time", "section_spike_times", "extract_features"]
NOISE = "perfect_dense_noise_15x15_15hz_r42_3min"
WRONG = [
    (
        "extract_features",
        {"features": ["frif", "frfi"]},
        ["extract_features.features", "'frfi'", "did you mean 'frif'?"],
    ),
    ("extract_features", {"features": ["nope"]}, ["'nope'; there are: baseline, baseline_127"]),
    ("extract_features", {"features": [f"{NOISE}@half"]}, [NOISE, "no block 'half'"]),
    ("section_spike_times", {"movie_names": ["step_up"]}, ["'step_up'", "did you mean 'step_up_5s_5i_b0_3x'?", NOISE]),
    ("section_spike_times", {"movie_nam": ["a"]}, ["takes no movie_nam", "did you mean 'movie_names'?"]),
]


def batch_row(made: SimulatedRecording, **more: Any) -> dict[str, Any]:
    files = {"playlist_file_path": made.playlist_path, "movie_length_file_path": made.movie_length_path}
    return {
        "cmcr": str(made.cmcr_path),
        "cmtr": str(made.cmtr_path),
        "playlist": made.playlist_name,
        **{f"add_section_time.{name}": str(path) for name, path in files.items()},
        "section_spike_times.config_dir": str(made.config_dir),
        **more,
    }


def manifest_of(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.mark.parametrize(("step", "arguments", "said"), WRONG, ids=[str(one[1]) for one in WRONG])
def test_a_batch_starts_nothing(
    small_recording: SimulatedRecording, tmp_path: Path, step: str, arguments: dict[str, Any], said: list[str]
) -> None:
    manifest = manifest_of(tmp_path / "m.jsonl", batch_row(small_recording, dataset_id="a"))
    with pytest.raises(ConfigurationError) as caught:
        run_batch(manifest, tmp_path / "out", steps=STEPS, parameters={step: arguments}, progress=False)
    assert [part for part in said if part not in str(caught.value)] == []
    assert list((tmp_path / "out").glob("**/*.h5")) == []


def test_the_recording_whose_row_is_wrong_is_named_and_the_sound_one_not_started(
    small_recording: SimulatedRecording, tmp_path: Path
) -> None:
    wrong = {"extract_features.features": ["frfi"], "find_waves.options": {"min_unit": 3}}
    steps = [*STEPS[:3], "find_waves", "extract_features"]
    rows = [batch_row(small_recording, dataset_id="sound"), batch_row(small_recording, dataset_id="wrong", **wrong)]
    with pytest.raises(ConfigurationError, match=r"2 things are wrong: wrong: .*min_units.*; wrong: .*frfi") as caught:
        run_batch(manifest_of(tmp_path / "m.jsonl", *rows), tmp_path / "out", steps=steps, progress=False)
    assert "sound" not in str(caught.value)
    assert list((tmp_path / "out").glob("**/*.h5")) == []


@pytest.mark.parametrize(("step", "arguments", "said"), WRONG, ids=[str(one[1]) for one in WRONG])
def test_a_run_loads_nothing(
    small_recording: SimulatedRecording, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    step: str, arguments: dict[str, Any], said: list[str],
) -> None:  # fmt: skip
    words = ["run", str(small_recording.cmcr_path.parent), "-o", str(tmp_path / "out"), "--steps", ",".join(STEPS)]
    for name, value in arguments.items():
        words += ["--set", f"{step}.{name}={json.dumps(value)}"]
    assert run(hdmea.cli.app, words) == 2
    error = capsys.readouterr().err
    assert [part for part in said if part not in error] == []
    assert "load_recording:" not in error, "the time of a step"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("step", "arguments", "said"), WRONG[:3], ids=[str(one[1]) for one in WRONG[:3]])
def test_a_flow_loads_nothing(
    small_recording: SimulatedRecording, tmp_path: Path, step: str, arguments: dict[str, Any], said: list[str]
) -> None:
    flow = tmp_path / "mine.json"
    steps = [{"step": name, "arguments": arguments if name == step else {}} for name in STEPS]
    flow.write_text(json.dumps({"steps": steps}), encoding="utf-8")
    files = (small_recording.cmcr_path, small_recording.cmtr_path)
    with pytest.raises(ConfigurationError) as caught:
        run_flow(flow, *files, output_dir=tmp_path / "out")
    assert [part for part in said if part not in str(caught.value)] == []
    assert not (tmp_path / "out").exists()
    code = run(hdmea.cli.app, ["run", str(files[0].parent), "-o", str(tmp_path / "out"), "--flow", str(flow)])
    assert (code, (tmp_path / "out").exists()) == (2, False)


def test_a_feature_of_the_users_own_module_is_known(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    module = tmp_path / "own_feature_of_choices.py"
    module.write_text(
        "from hdmea.features import FeatureRegistry\n"
        "from hdmea.features.frif import Frif\n"
        "FeatureRegistry.register('own_of_choices')(type('Own', (Frif,), {'__doc__': 'As frif.'}))\n"
    )
    words = ["run", str(small_recording.cmcr_path.parent), "-o", str(tmp_path / "out"), "--steps", ",".join(STEPS)]
    words += ["--set", 'extract_features.features=["own_of_choices"]']
    assert run(hdmea.cli.app, words) == 2
    assert run(hdmea.cli.app, [*words, "--import", str(module)]) == 0
    assert issubclass(FeatureRegistry.get("own_of_choices"), FeatureExtractor)


def test_a_movie_that_there_is_but_that_was_not_shown_is_the_steps_to_judge(
    small_recording: SimulatedRecording, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steps = [*STEPS[:3], "section_by_direction"]
    words = ["run", str(small_recording.cmcr_path.parent), "-o", str(tmp_path / "out"), "--steps", ",".join(steps)]
    words += ["--set", "section_by_direction.optional=true"]
    assert run(hdmea.cli.app, [*words, "--set", "section_by_direction.movie_name=moving_h_bar_s5_d8_3x"]) == 0
    assert "moving_h_bar_s5_d8_3x, which was not shown" in caplog.text
    assert run(hdmea.cli.app, [*words, "--overwrite", "--set", "section_by_direction.movie_name=moving_bars"]) == 2


def test_sections_that_a_step_before_makes_are_known(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    steps = ["load_recording", "add_section_time", "section_spike_times", "copy_section", "extract_features"]
    parameters = {"copy_section": {"source": "baseline_127", "target": "calm"}}
    row = batch_row(small_recording, dataset_id="a")
    manifest = manifest_of(tmp_path / "m.jsonl", {**row, "extract_features.features": ["baseline_127"]})
    result = run_batch(manifest, tmp_path / "out", steps=steps, parameters=parameters, progress=False)
    assert result.exit_code == 0, result.outcomes


@pytest.mark.parametrize(
    ("given", "said"),
    [("Full", "did you mean 'full'? there are: load"), ("loa", "did you mean 'load'? "), ("zebra", "there are: load")],
)
def test_what_is_meant(given: str, said: str) -> None:
    assert there_are(given, ["load", "full"]).startswith(said)
