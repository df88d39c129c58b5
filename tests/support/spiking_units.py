"""Units with known responses, for tests of the features: rates over frames, turned into spikes of a made-up recording.

Shares no code, constant or time base with hdmea: rates are given per second over the frames of a trial, spikes are
drawn in the seconds that the frame clock of the recording really takes for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rate = Callable[[Floats], Floats]  # frames from the trial's start -> spikes a second

PARTS = 4  # pieces of a frame in which the rate is constant


class Clock:
    """Frame pulses of a recording.

    Their mean rate, the jitter of intervals, and frames that were shown twice as long.
    """

    def __init__(self, hz: float, frames: int, seed: int, jitter_s: float = 2e-4, dropped: Sequence[int] = ()) -> None:
        intervals = 1 / hz + np.random.default_rng([seed, 1]).normal(0, jitter_s, frames)
        intervals[list(dropped)] *= 2
        self.sampling = 20_000.0
        self.pulses = np.rint((0.25 + np.concatenate([[0.0], np.cumsum(intervals)])) * self.sampling).astype(np.int64)

    @property
    def metadata(self) -> dict[str, Any]:
        return {
            "acquisition_rate": self.sampling,
            "frame_timestamps": self.pulses.astype(np.uint64),
            "recording_duration_s": float(self.pulses[-1]) / self.sampling,
        }

    def samples_at(self, frame: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Samples of (fractional) frames."""
        return np.rint(np.interp(frame, np.arange(len(self.pulses)), self.pulses)).astype(np.int64)


def poisson_train(clock: Clock, start: int, length: int, rate: Rate, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Samples of the spikes of one trial that begins at a frame."""
    edges = start + np.arange(length * PARTS + 1) / PARTS
    last = start + length + 1
    at = np.interp(edges, np.arange(start, last), clock.pulses[start:last])
    middle = (np.arange(length * PARTS) + 0.5) / PARTS
    expected = np.broadcast_to(rate(middle), middle.shape) * np.diff(at) / clock.sampling
    counts = rng.poisson(expected)
    piece = np.repeat(np.arange(len(counts)), counts)
    where = at[piece] + rng.random(len(piece)) * np.diff(at)[piece]
    return np.sort(np.floor(where).astype(np.int64))


def bursting_train(
    clock: Clock,
    start: int,
    length: int,
    rate_hz: float,
    burst: int,
    rng: np.random.Generator,
    rate: Rate | None = None,
) -> npt.NDArray[np.int64]:
    """As `poisson_train`, each spike being the first of a burst of `burst` on average, 4 to 12 ms apart."""
    shape = rate or (lambda frames: np.full(len(frames), 1.0))
    first = poisson_train(clock, start, length, lambda frames: rate_hz / burst * shape(frames), rng)
    trains = [first]
    sizes = rng.geometric(1 / burst, len(first)) - 1
    for spike, size in zip(first.tolist(), sizes.tolist(), strict=True):
        trains.append(spike + np.rint(np.cumsum(rng.uniform(0.004, 0.012, size)) * clock.sampling).astype(np.int64))
    return np.sort(np.concatenate(trains))


def sectioned(
    clock: Clock, movie: str, starts: Sequence[int], length: int, trains: Sequence[npt.NDArray[np.int64]]
) -> dict[str, Any]:
    """A unit as the pipeline hands it to features: these trains as its trials, of `length` frames from `starts` on."""
    windows = np.array([[clock.pulses[start], clock.pulses[start + length]] for start in starts], np.int64).reshape(
        -1, 2
    )
    inside = [train[(train >= a) & (train < b)] for train, (a, b) in zip(trains, windows.tolist(), strict=True)]
    whole = np.sort(np.concatenate([*inside, np.empty(0, np.int64)]))
    section = {"trials_spike_times": dict(enumerate(inside)), "trials_start_end": windows}
    return {"spike_times": whole.astype(np.uint64), "spike_times_sectioned": {movie: section}, "features": {}}


def unit_of(
    clock: Clock,
    movie: str,
    length: int,
    rates: Sequence[Rate],
    rng: np.random.Generator,
    first: int = 100,
    pause: int = 0,
) -> dict[str, Any]:
    """A Poisson unit: one rate a trial, trials one after the other with `pause` frames between."""
    starts = [first + trial * (length + pause) for trial in range(len(rates))]
    trains = [poisson_train(clock, start, length, rate, rng) for start, rate in zip(starts, rates, strict=True)]
    return sectioned(clock, movie, starts, length, trains)


def bump(frames: Floats, centre: float, width: float) -> Floats:
    """A Gaussian of height one."""
    return np.asarray(np.exp(-0.5 * ((frames - centre) / width) ** 2))


class Field:
    """A cell of the bar stimulus: 8 slots of 550 frames after 60; in a slot five lanes, each passed in 110 frames.

    place: pixels from the screen's centre. The bar reaches it 52 + (x cos a + y sin a) / 5 frames into the pass of the
    lane that holds it.
    """

    def __init__(self, x: float, y: float, width_frames: float = 9.0) -> None:
        self.x, self.y, self.width = x, y, width_frames

    def rate(self, quiet_hz: float, peak_hz: Sequence[float]) -> Rate:
        """peak_hz: of the eight directions."""

        def of(frames: Floats) -> Floats:
            total = np.full(len(frames), float(quiet_hz))
            for k, height in enumerate(peak_hz):
                angle = k * np.pi / 4
                lane = int(np.clip((-self.x * np.sin(angle) + self.y * np.cos(angle)) / 50 + 2.5, 0, 4.999))
                passes = 52 + (self.x * np.cos(angle) + self.y * np.sin(angle)) / 5
                total += height * bump(frames, 60 + 550 * k + 110 * lane + passes, self.width)
            return total

        return of


def tuned(dsi: float, preferred_deg: float, mean: float) -> Floats:
    """Eight responses of that mean, direction selectivity index and preferred direction.

    Exp(kappa cos), by bisection.
    """
    offsets = np.deg2rad(np.arange(8) * 45.0 - preferred_deg)
    low, high = 0.0, 50.0
    for _ in range(60):
        kappa = (low + high) / 2
        shape = np.exp(kappa * (np.cos(offsets) - 1))
        reached = abs((shape * np.exp(1j * offsets)).sum()) / shape.sum()
        low, high = (kappa, high) if reached < dsi else (low, kappa)
    return np.asarray(shape / shape.mean() * mean)
