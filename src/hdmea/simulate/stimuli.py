"""Movies rendered from their stimulus configs: what the simulated retina is shown, frame by frame at 60 Hz."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hdmea.io.stimulus_config import FRAME_RATE_HZ, StimulusConfig

DEFAULT_GRID = (15, 15)
WHITE = 255
GREY = 127

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Movie:
    """One rendered stimulus.

    green, blue: luminance (frames, height, width), or (frames, 1, 1) for a full field; uint8. direction_deg: (frames,)
    the direction a bar moves in, NaN where nothing moves. background: luminance of the frames around the movie.
    """

    name: str
    green: Frames
    blue: Frames
    direction_deg: npt.NDArray[np.float64]
    background: int

    @property
    def length(self) -> int:
        """Frames."""
        return len(self.green)

    def grey(self, grid: tuple[int, int]) -> Frames:
        """Mean luminance of both colours on the whole grid (frames, height, width), uint8; a view where it can be."""
        mean = self.green if self.blue is self.green else ((self.green.astype(np.uint16) + self.blue) // 2).astype("u1")
        return np.broadcast_to(mean, (self.length, *grid))

    def mean_luminance(self) -> npt.NDArray[np.float64]:
        """What a photodiode sees of each frame (frames,)."""
        return np.asarray((self.green.mean(axis=(1, 2)) + self.blue.mean(axis=(1, 2))) / 2)


def grid_of(configs: list[StimulusConfig]) -> tuple[int, int]:
    """Height and width of the stimulus in pixels: that of the noise movie, if there is one."""
    for config in configs:
        if config.family == "dense_noise":
            return int(config.parameters.get("height", 15)), int(config.parameters.get("width", 15))
    return DEFAULT_GRID


def render(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    """The movie that a config describes. `ValueError` for a family that is not known here."""
    renderer = _RENDERERS.get(config.family or "")
    if renderer is None:
        known = ", ".join(_RENDERERS)
        raise ValueError(f"{config.movie}: cannot draw a stimulus of family {config.family!r}; known are {known}")
    return renderer(config, grid)


def _full_field(config: StimulusConfig, green: npt.ArrayLike, blue: npt.ArrayLike | None, background: int) -> Movie:
    green_frames = np.asarray(green, np.uint8).reshape(-1, 1, 1)
    blue_frames = green_frames if blue is None else np.asarray(blue, np.uint8).reshape(-1, 1, 1)
    return Movie(config.movie, green_frames, blue_frames, np.full(green_frames.shape[0], np.nan), background)


def _blank(config: StimulusConfig, background: int) -> npt.NDArray[np.float64]:
    return np.full(config.section.frame_count, background, np.float64)


def _constant(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    luminance = int(config.parameters.get("luminance", GREY))
    return _full_field(config, _blank(config, luminance), None, luminance)


def _steps(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    parameters = config.parameters
    background = int(parameters.get("background", 0))
    trace = _blank(config, background)
    for start in config.section.trial_starts():
        trace[start : start + int(parameters.get("on_frames", 300))] = int(parameters.get("luminance", WHITE))
    return _full_field(config, trace, None, background)


def _colours(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    parameters = config.parameters
    background = int(parameters.get("background", 0))
    flash, gap = int(parameters.get("flash_frames", 180)), int(parameters.get("gap_frames", 180))
    luminances = parameters.get("luminances", [WHITE])
    green, blue = _blank(config, background), _blank(config, background)
    for trial, start in enumerate(config.section.trial_starts()):
        luminance = luminances[min(trial // config.section.repeat, len(luminances) - 1)]
        green[start : start + flash] = luminance
        blue[start + flash + gap : start + 2 * flash + gap] = luminance
    return _full_field(config, green, blue, background)


def _frequencies(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    parameters = config.parameters
    background = int(parameters.get("background", GREY))
    step, gap = int(parameters.get("step_frames", 240)), int(parameters.get("gap_frames", 60))
    trace = _blank(config, background)
    seconds = np.arange(step) / FRAME_RATE_HZ
    for trial_start in config.section.trial_starts():
        for n, frequency_hz in enumerate(parameters.get("frequencies_hz", [0.5, 1, 2, 4, 10])):
            start = trial_start + n * (step + gap)
            trace[start : start + step] = background + GREY * np.sin(2 * np.pi * frequency_hz * seconds)
    return _full_field(config, np.clip(np.rint(trace), 0, WHITE), None, background)


def bar_frames(
    direction_deg: float, frames: int, grid: tuple[int, int], width: float, background: int, luminance: int
) -> Frames:
    """One crossing of a bar (frames, height, width), uint8; 0 deg is rightwards, 90 deg upwards (to smaller rows).

    The bar's centre runs at constant speed along a line through the grid's centre, from wholly outside to wholly
    outside, by the same way in every direction.
    """
    height, width_px = grid
    rows, columns = np.mgrid[:height, :width_px]
    angle = np.deg2rad(direction_deg)
    along = (columns - (width_px - 1) / 2) * np.cos(angle) - (rows - (height - 1) / 2) * np.sin(angle)
    reach = np.hypot(height, width_px) / 2 + width / 2
    position = np.linspace(-reach, reach, frames)[:, None, None]
    cover = np.clip(width / 2 + 0.5 - np.abs(along - position), 0, 1)
    return np.asarray(np.rint(background + (luminance - background) * cover), np.uint8)


def _bars(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    parameters = config.parameters
    background = int(parameters.get("background", 0))
    frames = np.full((config.section.frame_count, *grid), background, np.uint8)
    direction = np.full(len(frames), np.nan)
    length = int(parameters.get("direction_frames", 565))
    for n, angle in enumerate(parameters.get("directions_deg", range(0, 360, 45))):
        crossing = bar_frames(
            angle, length, grid, parameters.get("bar_width", 3.0), background, parameters.get("luminance", WHITE)
        )
        for trial_start in config.section.trial_starts():
            start = trial_start + n * length
            frames[start : start + length] = crossing
            direction[start : start + length] = angle
    return Movie(config.movie, frames, frames, direction, background)


def _dense_noise(config: StimulusConfig, grid: tuple[int, int]) -> Movie:
    parameters = config.parameters
    shape = int(parameters.get("height", grid[0])), int(parameters.get("width", grid[1]))
    if shape != grid:
        raise ValueError(f"{config.movie}: noise of {shape} pixels on a grid of {grid}: one grid a playlist")
    length = config.section.frame_count
    hold = max(1, round(FRAME_RATE_HZ / parameters.get("pattern_hz", 15)))
    rng = np.random.default_rng(int(parameters.get("seed", 42)))
    patterns = rng.integers(0, 2, (-(-length // hold), *grid), dtype=np.uint8) * np.uint8(WHITE)
    frames = np.repeat(patterns, hold, axis=0)[:length]
    return Movie(config.movie, frames, frames, np.full(length, np.nan), GREY)


_RENDERERS: dict[str, Callable[[StimulusConfig, tuple[int, int]], Movie]] = {
    "baseline": _constant,
    "on_off": _steps,
    "chromatic": _colours,
    "chirp": _frequencies,
    "moving_bar": _bars,
    "dense_noise": _dense_noise,
}
