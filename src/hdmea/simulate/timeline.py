"""Timeline of a session's frames: movies in order, padded, on a display's clock; light steps after them.

The order of frames is that of `add_section_time`: each movie takes `pad + length + 1 + pad` frames, and the first four
pulses that a recording holds are not counted. The display refreshes at an almost regular clock; now and then a refresh
shows no new frame ("a dropped frame"), so that the one before it lasts twice as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hdmea.simulate.movies import GREY, Floats, Movie
from hdmea.simulate.options import CLOCK_RANGE_HZ, ClockOptions, LightStepOptions

UNCOUNTED_PULSES = 4
LEAD_S = 0.5
TAIL_S = 1.0
_WANDER_S = 300.0  # period of the clock's slow change

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A session's frames on the sample clock.

    refresh_samples: (refreshes,) first sample of each refresh of the display; after its last frame they go on, without
    pulses. shown_frame: (refreshes,) which frame each shows, uncounted ones included; -1 after the last. shown: (movie,
    first frame) of each presentation, in counted frames. light_steps: (n, 2) samples [on, off) of the other source.
    refresh_hz: the clock's mean rate.
    """

    refresh_samples: Ints
    shown_frame: Ints
    shown: tuple[tuple[Movie, int], ...]
    light_steps: Ints
    refresh_hz: float
    sampling_rate: float
    sample_count: int

    @property
    def pulse_samples(self) -> Ints:
        """First sample of each frame (pulses,), uncounted ones included."""
        is_new = np.diff(self.shown_frame, prepend=-1) > 0
        return self.refresh_samples[is_new]

    @property
    def counted_frame(self) -> Ints:
        """Counted frame that each refresh shows (refreshes,); negative for uncounted frames and after the last."""
        return np.where(self.shown_frame < 0, -1, self.shown_frame - UNCOUNTED_PULSES)

    @property
    def frame_count(self) -> int:
        """Counted frames."""
        return max(0, int(self.shown_frame.max(initial=-1)) + 1 - UNCOUNTED_PULSES)

    @property
    def frame_samples(self) -> Ints:
        """First sample of each counted frame (frame_count,)."""
        return self.pulse_samples[UNCOUNTED_PULSES:]

    @property
    def dropped_frames(self) -> Ints:
        """Counted frames that stayed for two refreshes, since no new one came."""
        repeated = (np.diff(self.shown_frame, prepend=-1) == 0) & (self.shown_frame >= 0)
        return np.asarray(self.shown_frame[repeated] - UNCOUNTED_PULSES)

    def by_refresh(self, of_frames: Floats, dark: float | Floats, lit: float | Floats) -> Floats:
        """Values of counted frames (frames, ...) as values of refreshes; uncounted frames are dark.

        After the last frame: `lit` where the other source is on, else `dark`.
        """
        number = self.counted_frame
        values = np.empty((len(number), *of_frames.shape[1:]))
        counted = number >= 0
        values[counted] = of_frames[number[counted]]
        values[~counted] = dark
        for on, off in self.light_steps:
            values[(self.shown_frame < 0) & (self.refresh_samples >= on) & (self.refresh_samples < off)] = lit
        return values

    def mean_luminance(self) -> Floats:
        """The photodiode's view of each counted frame (frame_count,); a movie's pads show its background."""
        trace = self.backgrounds().astype(np.float64)
        for movie, start in self.shown:
            trace[start : start + movie.length] = movie.mean_luminance()
        return trace

    def backgrounds(self) -> Ints:
        """The background luminance of the movie that each counted frame belongs to (frame_count,)."""
        trace = np.full(self.frame_count, GREY, np.int64)
        begin = 0
        for movie, start in self.shown:
            pad = start - begin
            trace[begin : start + movie.length + 1 + pad] = movie.background
            begin = start + movie.length + 1 + pad
        if self.shown:
            trace[begin:] = trace[begin - 1]
        return trace


def arrange(
    movies: Sequence[Movie],
    *,
    sampling_rate: float,
    pad_frames: int,
    repeats: int,
    duration_s: float | None,
    clock: ClockOptions | None = None,
    light_steps: LightStepOptions | None = None,
    rng: np.random.Generator | None = None,
) -> Timeline:
    """Movies in order, `repeats` times over, from `LEAD_S` on, and light steps where there are any.

    Without light steps frames go on until the recording ends, with them until `TAIL_S` after the last movie.
    duration_s: of the recording; None: until `TAIL_S` after the last movie or step. `ValueError` where it is too short.
    """
    clock, steps = clock or ClockOptions(), light_steps or LightStepOptions()
    rng = np.random.default_rng(0) if rng is None else rng
    shown: list[tuple[Movie, int]] = []
    count = 0
    for movie in list(movies) * repeats:
        shown.append((movie, count + pad_frames))
        count += 2 * pad_frames + movie.length + 1
    rate_hz = clock.rate_hz if clock.rate_hz is not None else float(rng.uniform(*CLOCK_RANGE_HZ))
    steps_s = steps.count * (steps.on_s + steps.off_s) + (steps.delay_s if steps.count else 0.0)
    # Dropped frames make a playlist longer by an amount that is only drawn below: five SDs of it are allowed for.
    dropped = count / rate_hz * clock.dropped_per_minute / 60
    slack_s = (dropped + 5 * np.sqrt(dropped)) / rate_hz + (0.1 if clock.wander else 0.0)
    min_s = LEAD_S + (UNCOUNTED_PULSES + count) / rate_hz + slack_s + TAIL_S + steps_s
    if duration_s is None:
        duration_s = min_s
    elif duration_s < min_s and movies:
        raise ValueError(f"duration_s={duration_s:g}: this playlist takes {min_s:.2f} s")
    refreshes = max(0, int((duration_s - LEAD_S) * rate_hz))
    samples = _refresh_samples(refreshes, rate_hz, clock, rng, sampling_rate)
    is_new = rng.random(refreshes) >= clock.dropped_per_minute / 60 / rate_hz
    is_new[: UNCOUNTED_PULSES + 1] = True
    shown_frame = np.cumsum(is_new) - 1
    lit = np.empty((0, 2), np.int64)
    if steps.count:
        last = min(UNCOUNTED_PULSES + count + int(TAIL_S * rate_hz), int(shown_frame.max(initial=-1)))
        shown_frame[shown_frame > last] = -1
        end_s = samples[np.argmax(shown_frame)] / sampling_rate if refreshes else LEAD_S
        on_s = end_s + steps.delay_s + np.arange(steps.count) * (steps.on_s + steps.off_s)
        lit = np.rint(np.stack([on_s, on_s + steps.on_s], axis=1) * sampling_rate).astype(np.int64)
    total = round(duration_s * sampling_rate)
    inside = samples < total
    return Timeline(samples[inside], shown_frame[inside], tuple(shown), lit, rate_hz, sampling_rate, total)


def _refresh_samples(
    count: int, rate_hz: float, clock: ClockOptions, rng: np.random.Generator, sampling_rate: float
) -> Ints:
    """First sample of each refresh: a regular clock, a slow change of its rate, and independent jitter."""
    seconds = np.arange(count) / rate_hz
    phase = rng.uniform(0, 2 * np.pi)
    turn = 2 * np.pi / _WANDER_S
    seconds = seconds + clock.wander / turn * (np.cos(phase) - np.cos(turn * seconds + phase))
    jitter = np.clip(rng.standard_normal(count), -3, 3) * clock.jitter_s
    return np.asarray(np.rint((LEAD_S + seconds + jitter) * sampling_rate), np.int64)
