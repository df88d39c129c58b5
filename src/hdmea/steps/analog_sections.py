"""Sections by the light itself: steps on the light channel that no frame of a movie marks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hdmea.session.session import PipelineSession
from hdmea.steps.frames import acquisition_rate_of
from hdmea.steps.run_step import AlreadyDoneError, Outcome, Target, run_step
from hdmea.steps.section_time import light_template
from hdmea.steps.section_windows import WINDOWS
from hdmea.utils.exceptions import ConfigurationError, InvalidValueError, MissingInputError

STEP = "add_section_time_analog"
CHANNEL = "raw_ch1"
MIN_PART_OF_DURATION = 0.8  # between onsets that count as two, where nothing else is said
AUTO_COMPARISON_S = 0.001  # over which a rise is measured with an automatic threshold
_BLOCK = 1 << 20  # samples of the trace at a time
_MAX_LEVELS = 1 << 16  # samples by which the two levels are told apart

Samples = npt.NDArray[np.int64]


def add_section_time_analog(
    hdf5_path: Target = None,
    threshold_value: float | Literal["auto"] = "auto",
    *,
    movie_name: str = "iprgc_test",
    plot_duration: float = 120.0,
    repeat: int | None = None,
    min_distance_s: float | None = None,
    after_last_frame: bool = False,
    force: bool = False,
    session: PipelineSession | None = None,
) -> bool | PipelineSession:
    """Sections of `plot_duration` seconds that begin where the light channel steps up.

    An onset is a sample of `light_reference/raw_ch1` that is higher than the one before by `threshold_value` or more.
    Stores `stimulus/section_time/{movie_name}` (n, 2) uint64 samples [onset, onset + duration), clipped to the trace,
    and the mean trace as `stimulus/light_template/{movie_name}`. `section_spike_times` takes each row as a trial.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    threshold_value
        ADC counts; "auto": half the distance of the trace's two levels (Otsu's split of them), compared over 1 ms.
    movie_name
        Of the section.
    plot_duration
        Seconds.
    repeat
        The first so many onsets only; fewer are a warning. Default all.
    min_distance_s
        Onsets closer than that to the last one count as the same; default 0.8 of the duration.
    after_last_frame
        Only onsets after the last frame pulse.
    force
        Make sections again that are there.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    bool or PipelineSession
        Whether there are sections of that name (False, with a warning, where no onset is found); or `session`.

    Raises
    ------
    ConfigurationError
        A number outside its range; for `threshold_value` and `plot_duration` a `ValueError` as well.
    FileExistsError
        Immediate mode, without `force`: there are sections of that name. With a session that is a warning.
    MissingInputError
        There is no light channel.

    Notes
    -----
    "auto" is the threshold of Otsu 1979, IEEE Trans. Syst. Man Cybern. 9:62.

    Examples
    --------
    >>> from hdmea.pipeline import PipelineSession, add_section_time_analog
    >>> session = PipelineSession.load("loaded.h5")
    >>> session = add_section_time_analog(plot_duration=1.0, after_last_frame=True, session=session)
    >>> session.stimulus["section_time"]["iprgc_test"]
    array([[34000, 35000], [36500, 37500]], dtype=uint64)
    """
    _check(threshold_value, plot_duration, repeat, min_distance_s)

    def step(recording: PipelineSession) -> Outcome[bool]:
        sections = recording.stimulus.get("section_time") or {}
        outcome = Outcome(True)
        if movie_name in sections and not force:
            raise AlreadyDoneError(f"{STEP} was done already ({movie_name})")
        light = (recording.stimulus.get("light_reference") or {}).get(CHANNEL)
        if light is None or not len(light):
            message = f"{STEP} needs stimulus/light_reference/{CHANNEL}: run load_recording first, with the .cmcr file"
            raise MissingInputError(message, STEP, CHANNEL)
        rate = acquisition_rate_of(recording, STEP)
        length = round(plot_duration * rate)
        first = _after_frames(recording) if after_last_frame else 0
        apart = round((MIN_PART_OF_DURATION * plot_duration if min_distance_s is None else min_distance_s) * rate)
        onsets = _drop_close(_onsets(light, threshold_value, rate, first), apart)
        if not len(onsets):
            outcome.warn(f"{STEP}: {CHANNEL} never rises by the threshold ({threshold_value}): no sections")
            outcome.result = False
            return outcome
        if repeat is not None and len(onsets) < repeat:
            outcome.warn(f"{STEP}: onsets found: {len(onsets)}, asked for: {repeat}")
        rows = _rows(onsets[:repeat], length, len(light), outcome)
        _store(recording, movie_name, rows, light, outcome)
        windows = {"threshold_value": threshold_value, "plot_duration": float(plot_duration), "by": STEP}
        recording.metadata[WINDOWS] = {**(recording.metadata.get(WINDOWS) or {}), movie_name: windows}
        outcome.changed.append(("metadata", WINDOWS))
        return outcome

    return run_step(STEP, step, hdf5_path, session)


def _check(threshold: Any, duration_s: float, repeat: int | None, min_distance_s: float | None) -> None:
    is_number = isinstance(threshold, (int, float, np.number)) and not isinstance(threshold, bool)
    if threshold != "auto" and not (is_number and 0 < threshold < float("inf")):
        raise InvalidValueError(f"threshold_value must be a positive number or 'auto', not {threshold!r}")
    if not 0 < duration_s < float("inf"):
        raise InvalidValueError(f"plot_duration must be a positive time in seconds, not {duration_s}")
    if repeat is not None and repeat < 1:
        raise ConfigurationError(f"repeat must be at least 1, not {repeat}")
    if min_distance_s is not None and not 0 <= min_distance_s < float("inf"):
        raise ConfigurationError(f"min_distance_s must not be negative, not {min_distance_s}")


def _after_frames(recording: PipelineSession) -> int:
    frames = recording.metadata.get("frame_timestamps")
    return 0 if frames is None or not len(frames) else int(np.asarray(frames)[-1]) + 1


# ---------------------------------------------------------------- onsets


def _onsets(light: Any, threshold: float | str, rate: float, first: int) -> Samples:
    """Samples at and after `first` at which the light has risen by the threshold, ascending."""
    if threshold == "auto":
        lag = max(1, round(AUTO_COMPARISON_S * rate))
        height = _half_distance(light, first)
        if not height > 0:
            return np.empty(0, np.int64)
    else:
        lag, height = 1, float(threshold)
    risen = [start + np.flatnonzero(rises >= height) for start, rises in _rises(light, lag, first)]
    rising = np.concatenate([*risen, np.empty(0, np.int64)]).astype(np.int64)
    # Compared over several samples, one step rises in as many: its first sample is the onset.
    new = np.diff(rising, prepend=-lag - 1) > (1 if lag == 1 else lag)
    return rising if lag == 1 else rising[new]


def _rises(light: Any, lag: int, first: int) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """From each block's first sample on, how much higher each sample is than the one `lag` before."""
    for start in range(max(first, lag), len(light), _BLOCK):
        stop = min(start + _BLOCK, len(light))
        block = np.asarray(light[start - lag : stop], np.float64)
        yield start, block[lag:] - block[:-lag]


def _half_distance(light: Any, first: int) -> float:
    """Half the distance of two levels: medians of the two parts that Otsu's threshold splits the trace into.

    Source: Otsu 1979, IEEE Trans. Syst. Man Cybern. 9:62. NaN where the trace is flat, and where noise parts it (the
    distance is then less than six times the spread within the parts).
    """
    every = max(1, (len(light) - first) // _MAX_LEVELS)
    blocks = [np.asarray(light[start : start + _BLOCK])[::every] for start in range(first, len(light), _BLOCK)]
    levels = np.sort(np.concatenate([np.empty(0), *blocks]).astype(np.float64))
    if len(levels) < 2 or levels[0] == levels[-1]:
        return float("nan")
    below = np.arange(1, len(levels))
    sums = np.cumsum(levels)[:-1]
    means_below, means_above = sums / below, (levels.sum() - sums) / (len(levels) - below)
    between = below * (len(levels) - below) * (means_above - means_below) ** 2
    split = int(between.argmax()) + 1
    lower, upper = levels[:split], levels[split:]
    distance = float(np.median(upper) - np.median(lower))
    spread = 1.4826 * max(float(np.median(np.abs(part - np.median(part)))) for part in (lower, upper))
    return distance / 2 if distance > 6 * spread else float("nan")


def _drop_close(onsets: Samples, distance: int) -> Samples:
    """The first onset, and each that is at least `distance` samples after the last one kept."""
    kept: list[int] = []
    at = 0
    while at < len(onsets):
        kept.append(int(onsets[at]))
        at = int(np.searchsorted(onsets, kept[-1] + max(distance, 1)))
    return np.array(kept, np.int64)


# ---------------------------------------------------------------- sections


def _rows(onsets: Samples, length: int, end: int, outcome: Outcome[bool]) -> npt.NDArray[np.uint64]:
    rows = np.stack([onsets, onsets + length], axis=1)
    if late := int((rows[:, 1] > end).sum()):
        outcome.warn(f"{STEP}: {late} sections reach beyond the trace's end and are cut there")
    return np.minimum(rows, end).astype(np.uint64)


def _store(
    recording: PipelineSession, movie: str, rows: npt.NDArray[np.uint64], light: Any, outcome: Outcome[bool]
) -> None:
    for field, value in (("section_time", rows), ("light_template", light_template(light, rows))):
        recording.stimulus[field] = {**(recording.stimulus.get(field) or {}), movie: value}
        outcome.changed.append(("stimulus", field, movie))
