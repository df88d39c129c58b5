"""The movies: that they show what is published of the stimuli, that shipped configs say the same, and their files.

The truth here is the stimuli's description: where trials are comes from the configs, what a trial shows from the
numbers below, and what is shown from the files that a recording has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hdmea.io.stimulus_config import SectionKwargs, StimulusConfig, load_stimulus_config, save_stimulus_config
from hdmea.simulate import DEFAULT_PLAYLIST, FULL_PLAYLIST, simulate_recording
from hdmea.simulate.movies import Movie
from hdmea.simulate.stimuli import grid_of, render

BAR = "moving_h_bar_s5_d8_3x"
COLOURS = "green_blue_3s_3i_3x"
CHIRP = "freq_step_5st_3x"
NOISE = "perfect_dense_noise_15x15_15hz_r42_3min"
# Frames, counted in a laboratory's recordings.
REAL_LENGTHS = {
    "baseline_127": 180,
    "step_up_5s_5i_b0_3x": 2100,
    "step_up_5s_5i_3x": 2100,
    "step_up_5s_5i_b0_30x": 18300,
    COLOURS: 2340,
    CHIRP: 4560,
    BAR: 13560,
    NOISE: 10800,
}
LEAD = {"step_up_5s_5i_b0_3x": 60, "step_up_5s_5i_b0_30x": 60, "step_up_5s_5i_3x": 60, COLOURS: 60, BAR: 60, CHIRP: 30}


def movie_of(name: str) -> Movie:
    return render(load_stimulus_config(name), (15, 15))


def saved(name: str, directory: Path, colour: str = "") -> npt.NDArray[Any]:
    movie_of(name).save(directory)
    frames: npt.NDArray[Any] = np.load(directory / f"{name}{colour}.npy", mmap_mode="r")
    return frames


@pytest.fixture(scope="module")
def bar(tmp_path_factory: pytest.TempPathFactory) -> npt.NDArray[Any]:
    """The moving bar's file."""
    return saved(BAR, tmp_path_factory.mktemp("bar"))


# ---------------------------------------------------------------- all movies


@pytest.mark.parametrize("name", [*FULL_PLAYLIST, "step_up_5s_5i_3x", "green_blue_3s_3i_3x_64_128_255"])
def test_movies_hold_all_trials_of_their_configs(name: str) -> None:
    section = load_stimulus_config(name).section
    # The bar's third trial ends 60 frames after its movie, as on the laboratory's chip.
    assert movie_of(name).length >= section.frame_count - (60 if name == BAR else 0)


@pytest.mark.parametrize(("name", "frames"), REAL_LENGTHS.items())
def test_movies_are_as_long_as_real_ones(name: str, frames: int) -> None:
    assert movie_of(name).length == frames


@pytest.mark.parametrize("playlist", [DEFAULT_PLAYLIST, FULL_PLAYLIST])
def test_named_playlists_have_their_configs(playlist: tuple[str, ...]) -> None:
    assert grid_of([load_stimulus_config(movie) for movie in playlist]) == (15, 15)


@pytest.mark.parametrize("name", list(LEAD))
def test_configs_and_movies_have_the_same_lead(name: str) -> None:
    config = load_stimulus_config(name)
    starts = {event.start for event in movie_of(name).events}
    assert config.parameters["lead_frames"] == LEAD[name]
    assert all(int(start) + LEAD[name] in starts for start in config.section.trial_starts())


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("step_up_5s_5i_b0_3x", 0, 255), ("step_up_5s_5i_3x", 127, 255), ("step_up_5s_5i_b0_30x", 0, 255)],
)
def test_steps_lie_a_lead_after_each_trials_start(name: str, low: int, high: int, tmp_path: Path) -> None:
    light = saved(name, tmp_path).mean(axis=(1, 2))
    rises = np.flatnonzero(np.diff(light) > 0) + 1
    np.testing.assert_array_equal(rises, load_stimulus_config(name).section.trial_starts() + 60)
    np.testing.assert_array_equal(np.flatnonzero(np.diff(light) < 0) + 1, rises + 300)
    assert set(light) == {low, high}


@pytest.mark.parametrize(
    ("name", "luminances"),
    [(COLOURS, [255] * 3), ("green_blue_3s_3i_3x_64_128_255", [64] * 3 + [128] * 3 + [255] * 3)],
)
def test_colours_take_turns_a_lead_after_each_trials_start(name: str, luminances: list[int], tmp_path: Path) -> None:
    grey = saved(name, tmp_path)[:, 0, 0]
    green, blue = (np.load(tmp_path / f"{name}_{colour}.npy")[:, 0, 0].astype(int) for colour in ("green", "blue"))
    starts = load_stimulus_config(name).section.trial_starts() + 60
    for trace, first in ((green, 0), (blue, 360)):
        np.testing.assert_array_equal(np.flatnonzero(np.diff(trace) > 0) + 1, starts + first)
        np.testing.assert_array_equal(np.flatnonzero(np.diff(trace) < 0) + 1, starts + first + 180)
        np.testing.assert_array_equal(trace[starts + first], luminances)
    np.testing.assert_array_equal(grey, (green + blue) // 2)


def test_flicker_has_its_frequencies_a_lead_after_each_trials_start(tmp_path: Path) -> None:
    light = saved(CHIRP, tmp_path)[:, 0, 0].astype(float)
    for start in load_stimulus_config(CHIRP).section.trial_starts() + 30:
        for n, frequency_hz in enumerate((0.5, 1, 2, 4, 10)):
            step = light[start + 300 * n : start + 300 * n + 240]
            spectrum = np.abs(np.fft.rfft(step - 127))
            assert spectrum.argmax() == frequency_hz * 4  # cycles in 240 frames of 1/60 s
            assert np.ptp(step) > 200
            assert set(light[start + 300 * n + 240 : start + 300 * n + 300][:30]) == {127}


def test_noise_holds_each_pattern_for_four_frames(tmp_path: Path) -> None:
    frames = saved(NOISE, tmp_path)
    assert (frames.shape, frames.dtype) == ((10800, 15, 15), np.uint8)
    held = frames.reshape(2700, 4, 15, 15)
    assert np.all(held == held[:, :1])
    assert set(np.unique(frames)) == {0, 255}
    assert np.abs(frames.mean(axis=0) - 127.5).max() < 15


# ---------------------------------------------------------------- the bar


def test_bar_is_dark_in_the_lead_and_alike_in_each_repetition(bar: npt.NDArray[Any]) -> None:
    assert (bar.shape[1:], bar.dtype) == ((300, 300), np.uint8)
    for repetition in range(3):
        first = 4520 * repetition
        assert not bar[first : first + 120].any()
        for frame in (150, 1000, 2345, 4519):
            np.testing.assert_array_equal(bar[first + frame], bar[frame])
    assert not bar[3 * 4520 :].any()


@pytest.mark.parametrize("direction", range(8))
def test_bars_pass_each_place_when_they_should(bar: npt.NDArray[Any], direction: int) -> None:
    """Two bars of 100 x 50 pixels, at frame f of pass p: lanes [-50 (p + 1), -50 p] and [175 - 50 p, 225 - 50 p]."""
    angle = np.deg2rad(45 * direction)
    slot = bar[120 + 550 * direction : 120 + 550 * (direction + 1)]
    rng = np.random.default_rng(direction)
    for row, column in rng.integers(0, 300, (60, 2)):
        x, y = column - 149.5, row - 149.5
        along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
        frame = np.arange(550) % 110
        number = np.arange(550) // 110
        inside = np.abs(along - 5 * (frame - 55.5)) - 50
        lanes = [(-50 * (number + 1), -50 * number), (175 - 50 * number, 225 - 50 * number)]
        apart = [np.maximum(inside, np.maximum(low - across, across - high)) for low, high in lanes]
        distance = np.minimum(*apart)  # to the nearest edge of a bar, negative within it
        sure = np.abs(distance) > 1  # edges are smooth
        np.testing.assert_array_equal(slot[sure, row, column] == 255, distance[sure] < 0)
        np.testing.assert_array_equal(slot[sure, row, column] == 0, distance[sure] > 0)


def test_bars_file_takes_less_space_than_its_length(tmp_path: Path) -> None:
    saved(BAR, tmp_path)
    status = (tmp_path / f"{BAR}.npy").stat()
    assert status.st_size > 1.2e9
    if not hasattr(status, "st_blocks") or status.st_blocks * 512 >= status.st_size:
        pytest.skip("this file system keeps no holes")
    assert status.st_blocks * 512 < 0.7e9


@pytest.mark.parametrize("name", [BAR, COLOURS, NOISE])
def test_frames_in_memory_are_those_of_the_file(name: str, tmp_path: Path) -> None:
    movie, file = movie_of(name), saved(name, tmp_path)
    for start in (0, 200, 700, 2300):
        np.testing.assert_array_equal(movie.frames(start, start + 7), file[start : start + 7])


@pytest.mark.parametrize("name", [BAR, NOISE, COLOURS])
def test_photodiode_sees_the_mean_of_each_frame(name: str) -> None:
    movie = movie_of(name)
    light = movie.mean_luminance()
    assert light.shape == (movie.length,)
    for frame in (0, 130, 400, 2300):
        both = [movie.frames(frame, frame + 1, colour=colour).astype(float) for colour in ("green", "blue")]
        assert light[frame] == pytest.approx(np.mean(both), abs=1e-9)


# ---------------------------------------------------------------- stimuli of one's own


def test_stimulus_of_a_config_of_ones_own(tmp_path: Path) -> None:
    parameters = {"on_frames": 30, "background": 0, "lead_frames": 5}
    mine = StimulusConfig("mine", SectionKwargs(10, 60, 2), "on_off", parameters)
    save_stimulus_config(mine, tmp_path)
    made = simulate_recording(
        tmp_path / "out", n_units=1, patch=(2, 2), playlist=["mine"], config_dir=tmp_path, sensor_duration_s=0
    )
    frames = np.load(made.stimuli_dir / "mine.npy")[:, 0, 0]
    np.testing.assert_array_equal(np.flatnonzero(frames), [*range(15, 45), *range(75, 105)])


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("baseline", {"luminance": 40}),
        ("chromatic", {"flash_frames": 20, "gap_frames": 10, "luminances": [9]}),
        ("chirp", {"frequencies_hz": [5], "step_frames": 40, "gap_frames": 10}),
        ("moving_bar", {"directions_deg": [45], "direction_frames": 55}),
        ("dense_noise", {"height": 15, "width": 15, "pattern_frames": 2, "seed": 1}),
    ],
)
def test_every_family_can_be_drawn_from_its_config(family: str, parameters: dict[str, Any]) -> None:
    movie = render(StimulusConfig("own", SectionKwargs(3, 60, 2), family, parameters), (15, 15))
    assert movie.length == 123
    assert len(np.unique(movie.mean_luminance())) == (1 if family == "baseline" else pytest.approx(100, abs=98))


def test_unknown_family_is_refused(tmp_path: Path) -> None:
    save_stimulus_config(StimulusConfig("odd", SectionKwargs(0, 60, 1), "juggling"), tmp_path)
    with pytest.raises(ValueError, match="juggling"):
        simulate_recording(tmp_path / "out", playlist=["odd"], config_dir=tmp_path)


def test_noise_of_another_grid_than_the_playlists_is_refused() -> None:
    config = StimulusConfig("own", SectionKwargs(0, 60, 1), "dense_noise", {"height": 4, "width": 4})
    with pytest.raises(ValueError, match="grid"):
        render(config, (15, 15))
