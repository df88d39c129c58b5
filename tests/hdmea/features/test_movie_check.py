"""The comparison of a stimulus config with its movie: silent where they agree, and it says what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hdmea.features import FeatureRegistry
from hdmea.features.movie_check import movie_problems
from hdmea.io.stimulus_config import load_stimulus_config
from hdmea.simulate.stimuli import render

Frames = npt.NDArray[np.uint8]
STEP, COLOURS, CHIRP, BAR = "step_up_5s_5i_b0_3x", "green_blue_3s_3i_3x", "freq_step_5st_3x", "moving_h_bar_s5_d8_3x"


def problems(directory: Path, movie: str, frames: Frames, **parameters: Any) -> list[str]:
    """What is found of a movie that is shown as `movie`, with parameters other than the config's."""
    path = directory / f"{movie}.npy"
    np.save(path, frames)
    extractor = FeatureRegistry.get(movie)()
    return movie_problems(path, extractor.settings(parameters, movie), extractor.check_movie)


def full_field(levels: npt.ArrayLike) -> Frames:
    return np.broadcast_to(np.asarray(levels, np.uint8)[:, None, None], (len(np.asarray(levels)), 4, 5)).copy()


def steps(first: int = 300, last: int = 600) -> Frames:
    levels = np.zeros(2040)
    for trial in range(3):
        levels[600 * trial + first : 600 * trial + last] = 200
    return full_field(levels)


def test_step_that_is_where_the_config_says_is_no_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, STEP, steps()) == []


def test_step_without_its_lead_is_told_with_where_it_is(tmp_path: Path) -> None:
    found = problems(tmp_path, STEP, steps(), lead_frames=0)
    assert "trial 0: no rise of intensity at frame 0 of the trial, but at frame 60" in found[0]


def test_step_of_another_length_is_told(tmp_path: Path) -> None:
    found = problems(tmp_path, STEP, steps(last=570))
    assert any("between frames 60 and 360" in problem for problem in found)
    assert len(found) == 3


def test_movie_that_is_too_short_is_told(tmp_path: Path) -> None:
    assert problems(tmp_path, STEP, steps()[:2000]) == ["the movie has 2000 frames, and the config's trials take 2040"]


def test_what_is_no_movie_is_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.npy"
    path.write_bytes(b"none")
    extractor = FeatureRegistry.get(STEP)()
    (found,) = movie_problems(path, extractor.settings({}, STEP), extractor.check_movie)
    assert "cannot be read" in found
    assert "shape (2040,)" in problems(tmp_path, STEP, np.zeros(2040, np.uint8))[0]


def colours(blue: int = 540) -> Frames:
    levels = np.zeros(6960)
    for trial in range(9):
        start = 120 + 720 * trial + 180 * (trial // 3)
        for onset in (60, blue - 120):
            levels[start + onset : start + onset + 180] = 127
    return full_field(levels)


def test_colours(tmp_path: Path) -> None:
    assert problems(tmp_path, COLOURS, colours()) == []
    found = problems(tmp_path, COLOURS, colours(blue=560))
    assert "no rise of intensity at frame 420 of the trial, but at frame 440" in found[0]


def flicker(lead: int = 30, hz: tuple[float, ...] = (0.5, 1, 2, 4, 10), step: int = 240) -> Frames:
    levels = np.full(4530, 127.0)
    for trial in range(3):
        for n, frequency in enumerate(hz):
            start = 30 + 1500 * trial + lead + 300 * n
            shown = levels[start : start + step]
            shown[:] = 127 + 120 * np.sin(2 * np.pi * frequency / 60 * np.arange(len(shown)))
    return full_field(np.rint(levels))


def test_flicker(tmp_path: Path) -> None:
    assert problems(tmp_path, CHIRP, flicker()) == []
    assert "1 Hz" in problems(tmp_path, CHIRP, flicker(hz=(1, 1, 2, 4, 10)))[0]
    assert "gap" in problems(tmp_path, CHIRP, flicker(step=270))[0]
    assert problems(tmp_path, CHIRP, flicker(lead=90)) != []


def bar(first: int = 120, slot: int = 550, turn: int = 1) -> Frames:
    """A square of ten pixels that moves a pixel a frame, five lanes a slot, on a field of 60."""
    frames = np.zeros((13_620, 60, 60), np.uint8)
    rows, columns = np.mgrid[:60, :60] - 29.5
    for k in range(8):
        angle = turn * k * np.pi / 4
        along = columns * np.cos(angle) + rows * np.sin(angle)
        across = rows * np.cos(angle) - columns * np.sin(angle)
        for frame in range(min(slot, 550)):
            lane, since = divmod(frame, 110)
            inside = (np.abs(along - (since - 52)) < 5) & (np.abs(across - 10 * (lane - 2)) < 5)
            for trial in range(3):
                frames[4520 * trial + first + slot * k + frame] = 255 * inside
    return frames


@pytest.fixture(scope="module")
def true_bar() -> Frames:
    return bar()


def test_bar_that_moves_as_the_config_says_is_no_problem(tmp_path: Path, true_bar: Frames) -> None:
    assert problems(tmp_path, BAR, true_bar) == []


def test_bar_whose_rows_count_upwards_is_no_problem(tmp_path: Path, true_bar: Frames) -> None:
    assert problems(tmp_path, BAR, true_bar[:, ::-1]) == []


def test_slots_of_another_length_are_told(tmp_path: Path, true_bar: Frames) -> None:
    (first, *_) = problems(tmp_path, BAR, true_bar, direction_frames=565, lead_frames=0)
    assert "the bar moves at" in first
    assert problems(tmp_path, BAR, true_bar, lead_frames=0) != []


def test_other_directions_are_told(tmp_path: Path, true_bar: Frames) -> None:
    found = problems(tmp_path, BAR, true_bar, directions_deg=[0, 90, 45, 135, 180, 225, 270, 315])
    assert any("slot 1 (90 deg)" in problem for problem in found)


def test_slots_that_do_not_fit_and_a_movie_without_a_bar_are_told(tmp_path: Path, true_bar: Frames) -> None:
    assert "do not fit" in problems(tmp_path, BAR, true_bar, lead_frames=500)[0]
    assert "no bar moves" in problems(tmp_path, BAR, np.zeros((13_620, 6, 6), np.uint8))[0]


class Rendered:
    """A simulated movie, frame by frame."""

    def __init__(self, name: str) -> None:
        self.movie = render(load_stimulus_config(name), (15, 15))
        self.ndim = 3

    def __len__(self) -> int:
        return self.movie.length

    def __getitem__(self, frame: int) -> Frames:
        return self.movie.frames(int(frame), int(frame) + 1)[0]


@pytest.mark.parametrize("name", [STEP, COLOURS, CHIRP, BAR, "step_up_5s_5i_3x", "green_blue_3s_3i_3x_64_128_255"])
def test_shipped_configs_agree_with_the_simulated_movies(name: str) -> None:
    """The simulator's timing stands in the simulator alone."""
    frames: Any = Rendered(name)
    extractor = FeatureRegistry.get(name)()
    assert extractor.check_movie(frames, extractor.settings({}, name)) == []
