"""Stimuli that are shown: those that the simulator knows by name, and those of a known family by their configs.

The timing of a known stimulus stands here, in frames of the movie, and nowhere else in this package: that the shipped
configs say the same is a matter for tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from hdmea.io.stimulus_config import StimulusConfig
from hdmea.simulate.bars import bar_movie
from hdmea.simulate.movies import GREY, WHITE, Dense, Event, Floats, Movie, Uniform

DEFAULT_GRID = (15, 15)
DIRECTIONS_DEG = (0, 45, 90, 135, 180, 225, 270, 315)
FREQUENCIES_HZ = (0.5, 1.0, 2.0, 4.0, 10.0)
NOMINAL_HZ = 60.0  # frequencies of stimuli are made of frames of this rate


def grid_of(configs: Sequence[StimulusConfig]) -> tuple[int, int]:
    """Height and width of the stimulus in pixels: that of the noise movie, if there is one."""
    for config in configs:
        if config.family == "dense_noise":
            return int(config.parameters.get("height", 15)), int(config.parameters.get("width", 15))
    return DEFAULT_GRID


def render(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    """The movie of that name; one that is not known by name is made from its config's family and parameters.

    `ValueError` for a family that is not known here.
    """
    if config.movie in _KNOWN:
        return _KNOWN[config.movie](config.movie, grid)
    renderer = _FAMILIES.get(config.family or "")
    if renderer is None:
        families = ", ".join(_FAMILIES)
        raise ValueError(f"{config.movie}: cannot draw a stimulus of family {config.family!r}; known are {families}")
    return renderer(config, grid)


# ---------------------------------------------------------------- kinds of stimuli, in frames of the movie


def constant(name: str, grid: tuple[int, int], length: int, luminance: int) -> Movie:
    """One luminance throughout."""
    return _full_field(name, grid, np.full(length, luminance), None, luminance, [])


def steps(
    name: str, grid: tuple[int, int], length: int, onsets: Sequence[int], on_frames: int, luminance: int, dark: int
) -> Movie:
    """Steps of light from `dark` to `luminance` at those frames."""
    trace = np.full(length, dark)
    for onset in onsets:
        trace[onset : onset + on_frames] = luminance
    events = [Event("light", onset, onset + on_frames, luminance) for onset in onsets]
    return _full_field(name, grid, trace, None, dark, events)


def colours(
    name: str,
    grid: tuple[int, int],
    length: int,
    onsets: Sequence[int],
    flash: int,
    gap: int,
    luminances: Sequence[int],
    dark: int,
) -> Movie:
    """A green flash at each onset and, after a gap, a blue one; luminances: one for each onset."""
    green, blue = np.full(length, dark), np.full(length, dark)
    events = []
    for onset, luminance in zip(onsets, luminances, strict=True):
        for kind, trace, start in (("green", green, onset), ("blue", blue, onset + flash + gap)):
            trace[start : start + flash] = luminance
            events.append(Event(kind, start, start + flash, luminance))
    return _full_field(name, grid, green, blue, dark, events)


def frequencies(
    name: str,
    grid: tuple[int, int],
    length: int,
    onsets: Sequence[int],
    frequencies_hz: Sequence[float],
    step: int,
    gap: int,
    grey: int,
) -> Movie:
    """At each onset a row of sinusoids about `grey`, `step` frames each and a gap after it."""
    trace = np.full(length, grey, np.float64)
    events = []
    for onset in onsets:
        for n, frequency_hz in enumerate(frequencies_hz):
            start = onset + n * (step + gap)
            wave = grey + GREY * np.sin(2 * np.pi * frequency_hz / NOMINAL_HZ * np.arange(step))
            part = trace[start : start + step]
            part[:] = wave[: len(part)]
            events.append(Event("frequency", start, start + len(part), frequency_hz))
    return _full_field(name, grid, np.clip(np.rint(trace), 0, WHITE), None, grey, events)


def noise(name: str, grid: tuple[int, int], length: int, hold: int, seed: int) -> Movie:
    """Black and white pixels, drawn anew every `hold` frames."""
    rng = np.random.default_rng(seed)
    patterns = Dense(rng.integers(0, 2, (-(-length // hold), *grid), dtype=np.uint8) * np.uint8(WHITE))
    return Movie(name, patterns, patterns, np.arange(length) // hold, GREY, grid)


def _full_field(
    name: str,
    grid: tuple[int, int],
    green: npt.NDArray[np.int64] | Floats,
    blue: npt.NDArray[np.int64] | None,
    background: int,
    events: list[Event],
) -> Movie:
    if blue is None:
        levels, shown = np.unique(green, return_inverse=True)
        uniform = Uniform(levels.astype(np.uint8))
        return Movie(name, uniform, uniform, shown.ravel(), background, grid, tuple(events))
    pairs, shown = np.unique(np.stack([green, blue], axis=1), axis=0, return_inverse=True)
    sides = [Uniform(np.ascontiguousarray(side, np.uint8)) for side in pairs.T]
    return Movie(name, sides[0], sides[1], shown.ravel(), background, grid, tuple(events))


# ---------------------------------------------------------------- the stimuli that are known by name

_STEP_ONSETS = range(300, 10**6, 600)
_COLOUR_ONSETS = range(180, 10**6, 720)
_GROUPED_ONSETS = [180 + 720 * n + 180 * (n // 3) for n in range(9)]

_KNOWN: dict[str, Callable[[str, tuple[int, int]], Movie]] = {
    "baseline_127": lambda name, grid: constant(name, grid, 180, 127),
    "step_up_5s_5i_b0_3x": lambda name, grid: steps(name, grid, 2100, _STEP_ONSETS[:3], 300, 255, 0),
    "step_up_5s_5i_b0_30x": lambda name, grid: steps(name, grid, 18300, _STEP_ONSETS[:30], 300, 255, 0),
    "step_up_5s_5i_3x": lambda name, grid: steps(name, grid, 2100, _STEP_ONSETS[:3], 300, 255, 127),
    "green_blue_3s_3i_3x": lambda name, grid: colours(name, grid, 2340, _COLOUR_ONSETS[:3], 180, 180, [255] * 3, 0),
    "green_blue_3s_3i_3x_64_128_255": lambda name, grid: colours(
        name, grid, 6960, _GROUPED_ONSETS, 180, 180, [64] * 3 + [128] * 3 + [255] * 3, 0
    ),
    "freq_step_5st_3x": lambda name, grid: frequencies(
        name, grid, 4560, (60, 1560, 3060), FREQUENCIES_HZ, 240, 60, GREY
    ),
    "moving_h_bar_s5_d8_3x": lambda name, grid: bar_movie(
        name, 13560, [4520 * repetition + 120 for repetition in range(3)], DIRECTIONS_DEG, 550, WHITE
    ),
    "perfect_dense_noise_15x15_15hz_r42_3min": lambda name, grid: noise(name, (15, 15), 10800, 4, 42),
}


# ---------------------------------------------------------------- stimuli by family and parameters


def _onsets(config: StimulusConfig) -> list[int]:
    lead = int(config.parameters.get("lead_frames", 0))
    return [int(start) + lead for start in config.section.trial_starts()]


def _constant(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    return constant(config.movie, grid, config.section.frame_count, int(config.parameters.get("luminance", GREY)))


def _steps(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    p = config.parameters
    on_frames, luminance = int(p.get("on_frames", 300)), int(p.get("luminance", WHITE))
    length, dark = config.section.frame_count, int(p.get("background", 0))
    return steps(config.movie, grid, length, _onsets(config), on_frames, luminance, dark)


def _colours(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    p = config.parameters
    onsets, given = _onsets(config), list(p.get("luminances", [WHITE]))
    luminances = [int(given[min(n // config.section.repeat, len(given) - 1)]) for n in range(len(onsets))]
    flash, gap, dark = int(p.get("flash_frames", 180)), int(p.get("gap_frames", 180)), int(p.get("background", 0))
    return colours(config.movie, grid, config.section.frame_count, onsets, flash, gap, luminances, dark)


def _frequencies(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    p = config.parameters
    step, gap, grey = int(p.get("step_frames", 240)), int(p.get("gap_frames", 60)), int(p.get("background", GREY))
    rates_hz = [float(rate) for rate in p.get("frequencies_hz", FREQUENCIES_HZ)]
    return frequencies(config.movie, grid, config.section.frame_count, _onsets(config), rates_hz, step, gap, grey)


def _bars(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    p = config.parameters
    angles = [float(angle) for angle in p.get("directions_deg", DIRECTIONS_DEG)]
    slot, luminance = int(p.get("direction_frames", 550)), int(p.get("luminance", WHITE))
    return bar_movie(config.movie, config.section.frame_count, _onsets(config), angles, slot, luminance)


def _dense_noise(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    p = config.parameters
    shape = int(p.get("height", grid[0])), int(p.get("width", grid[1]))
    if shape != grid:
        raise ValueError(f"{config.movie}: noise of {shape} pixels on a grid of {grid}: one grid a playlist")
    hold = max(1, int(p.get("pattern_frames", 4)))
    return noise(config.movie, shape, config.section.frame_count, hold, int(p.get("seed", 42)))


_FAMILIES: dict[str, Callable[[StimulusConfig, tuple[int, int]], Movie]] = {
    "baseline": _constant,
    "on_off": _steps,
    "chromatic": _colours,
    "chirp": _frequencies,
    "moving_bar": _bars,
    "dense_noise": _dense_noise,
}
