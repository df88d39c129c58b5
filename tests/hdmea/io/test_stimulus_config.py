"""Stimulus configs: what loads, and the one error that lists all that does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdmea.io.stimulus_config import (
    SHIPPED_CONFIG_DIR,
    SectionKwargs,
    StimulusConfig,
    has_stimulus_config,
    inherited_stimulus_config,
    load_stimulus_config,
    load_stimulus_configs,
    save_stimulus_config,
)

GOOD = {"start_frame": 240, "trial_length_frame": 600, "repeat": 3}

# name: family, start, length, repeat, groups, gap
TABLE = {
    "baseline_127": ("baseline", 0, 180, 1, 1, 0),
    "step_up_5s_5i_b0_3x": ("on_off", 240, 600, 3, 1, 0),
    "step_up_5s_5i_b0_30x": ("on_off", 240, 600, 30, 1, 0),
    "step_up_5s_5i_3x": ("on_off", 240, 600, 3, 1, 0),
    "green_blue_3s_3i_3x": ("chromatic", 120, 720, 3, 1, 0),
    "green_blue_3s_3i_3x_64_128_255": ("chromatic", 120, 720, 3, 3, 180),
    "freq_step_5st_3x": ("chirp", 30, 1500, 3, 1, 0),
    "moving_h_bar_s5_d8_3x": ("moving_bar", 60, 4520, 3, 1, 0),
    "perfect_dense_noise_15x15_15hz_r42_3min": ("dense_noise", 0, 10800, 1, 1, 0),
}


# Frames of the movies that a laboratory shows, counted in its recordings (36 of them; +- 2 frames).
REAL_LENGTHS = {
    "baseline_127": 180,
    "step_up_5s_5i_b0_3x": 2100,
    "step_up_5s_5i_3x": 2100,
    "step_up_5s_5i_b0_30x": 18300,
    "green_blue_3s_3i_3x": 2340,
    "freq_step_5st_3x": 4560,
    "moving_h_bar_s5_d8_3x": 13560,
    "perfect_dense_noise_15x15_15hz_r42_3min": 10800,
}


def write(directory: Path, movie: str, content: Any) -> None:
    (directory / f"{movie}.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_shipped_configs_are_those_of_the_table() -> None:
    assert {path.stem for path in SHIPPED_CONFIG_DIR.glob("*.json")} == set(TABLE)
    for movie, (family, start, length, repeat, groups, gap) in TABLE.items():
        config = load_stimulus_config(movie)
        assert config.family == family
        assert config.section == SectionKwargs(start, length, repeat, groups, gap)


@pytest.mark.parametrize(("movie", "frames"), REAL_LENGTHS.items())
def test_trials_of_shipped_configs_lie_in_the_sections_of_real_movies(movie: str, frames: int) -> None:
    section = load_stimulus_config(movie).section
    after_the_movie = 121  # a section's last frame, with the margin that sections are made with
    assert frames - section.trial_length_frame < section.frame_count <= frames + after_the_movie


def test_trials_start_where_the_formula_says() -> None:
    section = SectionKwargs(start_frame=120, trial_length_frame=720, repeat=3, group_count=2, group_gap=180)
    expected = [120 + n * 720 + (n // 3) * 180 for n in range(6)]
    np.testing.assert_array_equal(section.trial_starts(), expected)
    assert section.trial_count == 6
    assert section.frame_count == expected[-1] + 720


def test_one_error_lists_every_missing_and_invalid_config(tmp_path: Path) -> None:
    write(tmp_path, "good", {"section_kwargs": GOOD})
    write(tmp_path, "negative", {"section_kwargs": GOOD | {"start_frame": -1}})
    write(tmp_path, "text", {"section_kwargs": GOOD | {"repeat": "3"}})
    write(tmp_path, "broken", "{")
    with pytest.raises(ValueError) as caught:
        load_stimulus_configs(["good", "absent", "negative", "gone", "text", "broken"], tmp_path)
    for name in ("absent", "gone", "negative", "text", "broken", "start_frame", "repeat"):
        assert name in str(caught.value)
    assert "good" not in str(caught.value)
    write(tmp_path, "another", {"section_kwargs": GOOD})
    with pytest.raises(ValueError, match=r"missing: absent\.json; there are: another, broken, negative, text"):
        load_stimulus_configs(["good", "absent"], tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([], "object"),
        ({}, "section_kwargs is missing"),
        ({"section_kwargs": [1]}, "section_kwargs must be an object"),
        ({"section_kwargs": {"start_frame": 0, "repeat": 1}}, "lacks trial_length_frame"),
        ({"section_kwargs": GOOD | {"trial_length_frame": 0}}, "trial_length_frame must be at least 1"),
        ({"section_kwargs": GOOD | {"repeat": 0}}, "repeat must be at least 1"),
        ({"section_kwargs": GOOD | {"repeat": True}}, "repeat must be an int"),
        ({"section_kwargs": GOOD | {"start_frame": 1.0}}, "start_frame must be an int"),
        ({"section_kwargs": GOOD | {"group_count": 0}}, "group_count must be at least 1"),
        ({"section_kwargs": GOOD | {"group_gap": -1}}, "group_gap must be at least 0"),
        ({"section_kwargs": GOOD, "family": 3}, "family must be text"),
        ({"section_kwargs": GOOD, "parameters": [1]}, "parameters must be an object"),
    ],
)
def test_invalid_config_is_refused_with_its_reason(tmp_path: Path, content: Any, complaint: str) -> None:
    write(tmp_path, "movie", content)
    with pytest.raises(ValueError, match=complaint):
        load_stimulus_config("movie", tmp_path)


def test_environment_names_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "mine", {"section_kwargs": GOOD})
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
    assert load_stimulus_config("mine").section.repeat == 3
    with pytest.raises(ValueError, match="baseline_127"):
        load_stimulus_config("baseline_127")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a\\b", ""])
def test_name_that_leaves_the_directory_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path, "outside", {"section_kwargs": GOOD})
    assert not has_stimulus_config(name, tmp_path / "in")
    with pytest.raises(ValueError, match="cannot be a file name"):
        load_stimulus_config(name, tmp_path / "in")


def test_saved_config_loads_as_it_was(tmp_path: Path) -> None:
    config = StimulusConfig("short", SectionKwargs(1, 2, 3, 4, 5), "on_off", {"on_frames": 1})
    save_stimulus_config(config, tmp_path)
    assert has_stimulus_config("short", tmp_path)
    assert load_stimulus_config("short", tmp_path) == config


# ---------------------------------------------------------------- what ships


@pytest.mark.parametrize(
    ("movie", "parameters"),
    [
        ("step_up_5s_5i_b0_3x", {"lead_frames": 60, "on_frames": 300}),
        ("step_up_5s_5i_b0_30x", {"lead_frames": 60, "on_frames": 300}),
        ("step_up_5s_5i_3x", {"lead_frames": 60, "on_frames": 300}),
        ("green_blue_3s_3i_3x", {"lead_frames": 60, "flash_frames": 180, "gap_frames": 180}),
        ("green_blue_3s_3i_3x_64_128_255", {"lead_frames": 60, "luminances": [64, 128, 255]}),
        ("freq_step_5st_3x", {"lead_frames": 30, "step_frames": 240, "gap_frames": 60, "nominal_frame_rate_hz": 60}),
        ("moving_h_bar_s5_d8_3x", {"lead_frames": 60, "direction_frames": 550}),
    ],
)
def test_shipped_configs_say_all_timing(movie: str, parameters: dict[str, Any]) -> None:
    shipped = load_stimulus_config(movie).parameters
    assert {name: shipped[name] for name in parameters} == parameters


def test_config_inherits_what_it_does_not_say_from_the_one_that_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
    movie = "step_up_5s_5i_b0_3x"
    shipped = inherited_stimulus_config(movie)
    assert shipped is not None
    assert shipped.section == SectionKwargs(240, 600, 3)
    save_stimulus_config(StimulusConfig(movie, SectionKwargs(240, 600, 5), None, {"on_frames": 200}), tmp_path)
    own = inherited_stimulus_config(movie)
    assert own is not None
    assert (own.family, own.section.repeat) == ("on_off", 5)
    assert (own.parameters["on_frames"], own.parameters["lead_frames"]) == (200, 60)


def test_config_that_cuts_other_trials_inherits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
    movie = "step_up_5s_5i_b0_3x"
    save_stimulus_config(StimulusConfig(movie, SectionKwargs(300, 600, 3), "on_off", {"on_frames": 300}), tmp_path)
    own = inherited_stimulus_config(movie)
    assert own is not None
    assert own.parameters == {"on_frames": 300}
    assert inherited_stimulus_config("no_such_movie") is None
    save_stimulus_config(StimulusConfig("mine", SectionKwargs(0, 10, 1)), tmp_path)
    mine = inherited_stimulus_config("mine")
    assert mine is not None
    assert mine.parameters == {}
