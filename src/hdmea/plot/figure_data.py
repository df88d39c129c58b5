"""Numbers behind the pictures of a recording: of a session, or of a file that is read lazily. No matplotlib here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hdmea.features.intervals import VIOLATION_S
from hdmea.features.trials import Windows, read_windows
from hdmea.features.trials import sections_of as section_rows
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import IMAGE, feature_data, get_nested, image_scale, number, pitch_um

Floats: TypeAlias = npt.NDArray[np.float64]
Data: TypeAlias = PipelineSession | str | Path
Unit: TypeAlias = Mapping[str, Any]

STA_PREFIX = "sta_"
READ_AT_ONCE = 4_000_000  # samples of a light reference
_UNREADABLE = (TypeError, ValueError, OverflowError)


def opened(data: Data) -> PipelineSession:
    """The session itself, or the one in a file, read as it is used. Raises what `PipelineSession.load` does."""
    return data if isinstance(data, PipelineSession) else PipelineSession.load(data, lazy=True)


def unit_of(session: PipelineSession, unit: str) -> Unit:
    """One unit. Raises `KeyError` that names some that are there."""
    if unit not in session.units:
        some = ", ".join(list(session.units)[:5]) or "none"
        raise KeyError(
            f"no unit {unit!r} in {session.dataset_id!r}; there are: {some}{', …' * (session.unit_count > 5)}"
        )
    record: Unit = session.units[unit]
    return record


def value(values: Any, *path: str) -> float:
    """A single number at a path of keys; NaN where there is none."""
    leaf = get_nested(values, *path)
    if isinstance(leaf, Mapping) or np.size(leaf) != 1:
        return float("nan")
    try:
        return number(leaf)
    except _UNREADABLE:
        return float("nan")


def rate_of(session: PipelineSession) -> float:
    """Samples a second; NaN where the recording does not say."""
    return value(session.metadata, "acquisition_rate")


def array(stored: Any, dimensions: int) -> Floats | None:
    """Return a stored value as numbers, if it has so many dimensions and something in it."""
    if stored is None or isinstance(stored, (Mapping, str)) or np.ndim(stored) != dimensions or np.size(stored) == 0:
        return None
    try:
        return np.asarray(stored, np.float64)
    except _UNREADABLE:
        return None


# ---------------------------------------------------------------- spike trains


def spikes_s(session: PipelineSession, unit: Unit) -> Floats:
    """Times of a unit's spikes in seconds, sorted; empty without spikes or without a rate."""
    train = array(unit.get("spike_times"), 1)
    rate = rate_of(session)
    return np.empty(0) if train is None or not rate > 0 else np.sort(train) / rate


def isi_histogram(times_s: Floats, longest_ms: float = 100.0, bin_ms: float = 1.0) -> tuple[Floats, Floats]:
    """Counts (bins,) of intervals and the edges (bins + 1,) in ms. Longer intervals are not counted."""
    edges = np.arange(0, longest_ms + bin_ms / 2, bin_ms)
    return np.histogram(_ms(np.diff(times_s)), edges)[0].astype(np.float64), edges


def _ms(intervals_s: Floats) -> Floats:
    """In ms, rounded, so that an interval of whole samples that is a bin's edge falls into the bin that it begins."""
    return np.asarray(np.round(intervals_s * 1000, 6))


def autocorrelogram(times_s: Floats, longest_ms: float = 50.0, bin_ms: float = 1.0) -> tuple[Floats, Floats]:
    """Pairs of spikes per bin of their distance, both signs, (bins,), and the edges (bins + 1,) in ms."""
    count = round(longest_ms / bin_ms)
    edges = np.arange(count + 1) * bin_ms
    counts, shift = np.zeros(count), 1
    while shift < len(times_s):
        lags = _ms(times_s[shift:] - times_s[:-shift])
        near = lags < edges[-1]
        if not near.any():
            break
        counts += np.histogram(lags[near], edges)[0]
        shift += 1
    return np.concatenate([counts[::-1], counts]), np.concatenate([-edges[:0:-1], edges])


def waveform_of(session: PipelineSession, unit: Unit) -> tuple[Floats, Floats] | None:
    """Times in ms from the trough, and the waveform in the file's unit; of several channels the largest."""
    stored = unit.get("waveform")
    wave = array(stored, 1)
    if wave is None and (many := array(stored, 2)) is not None:
        wave = many[int(np.argmax(np.ptp(many, axis=1)))]
    rate = rate_of(session)
    if wave is None or not rate > 0 or not np.isfinite(wave).any():
        return None
    return (np.arange(len(wave)) - int(np.nanargmin(wave))) / rate * 1000, wave


# ---------------------------------------------------------------- responses to stimuli


def windows_of(session: PipelineSession, unit: Unit, movie: str) -> Windows | None:
    """The spikes in each trial of a section; None where the unit has none of it or the recording has no rate."""
    return (
        read_windows(unit, movie, session.metadata, section_rows(session.stimulus, movie))
        if rate_of(session) > 0
        else None
    )


@dataclass(frozen=True, slots=True)
class Psth:
    """edges_s (bins + 1,) from a trial's start; mean and sd over trials (bins,) in spikes/s; sd NaN with one trial."""

    edges_s: Floats
    mean: Floats
    sd: Floats
    trials: int


def psth_of(windows: Windows, bin_s: float) -> Psth | None:
    """The mean over trials, as far as the shortest trial goes; None without a whole bin."""
    shortest = float(windows.durations_s.min()) if len(windows) else 0.0
    count = int(shortest / bin_s + 1e-9)
    if count < 1:
        return None
    edges: Floats = np.arange(count + 1).astype(np.float64) * bin_s
    # A spike at the very sample at which a bin begins is in that bin, whatever the rounding.
    bins = [
        np.floor(windows.of(trial) / (bin_s * windows.rate) + 1e-9).astype(np.int64) for trial in range(len(windows))
    ]
    counts = [np.bincount(one[one < count], minlength=count) for one in bins]
    rates: Floats = np.stack(counts) / bin_s
    sd = rates.std(axis=0, ddof=1) if len(rates) > 1 else np.full(count, np.nan)
    return Psth(edges, np.asarray(rates.mean(axis=0)), np.asarray(sd), len(rates))


def bin_for(windows: Windows) -> float:
    """A bin for a section's PSTH in seconds: the least of 20 ms, 50 ms, 100 ms, … of which a trial has at most 400."""
    least = float(windows.durations_s.max()) / 400 if len(windows) else 0.0
    steps = (step * 10.0**power for power in range(-2, 9) for step in (1, 2, 5))
    return next(step for step in steps if step >= max(0.02, least))


Z95 = 1.96  # standard errors of a 95 % interval of a normal variable


@dataclass(frozen=True, slots=True)
class Tuning:
    """A direction tuning: directions in degrees and responses in spikes/s; NaN for a figure that is not stored."""

    feature: str
    directions_deg: Floats
    response: Floats
    preferred_deg: float
    preferred_se_deg: float
    dsi: float
    p_value: float
    preferred_ci95_deg: float
    dsi_low: float
    dsi_high: float

    @property
    def half_width_deg(self) -> float:
        """Of the 95 % interval of the direction: of few trials as stored, of earlier versions 1.96 standard errors."""
        stored = self.preferred_ci95_deg
        return float(min(stored if np.isfinite(stored) else Z95 * self.preferred_se_deg, 180.0))


def tunings_of(unit: Unit) -> Iterator[Tuning]:
    """Of every feature of a unit that has a tuning curve with directions."""
    for name, feature in (unit.get("features") or {}).items():
        values = get_nested(feature, "data")
        angles, curve = array(get_nested(values, "directions_deg"), 1), array(get_nested(values, "tuning_curve"), 1)
        if angles is not None and curve is not None and len(angles) == len(curve):
            names = ("preferred_direction", "preferred_direction_se", "dsi", "dsi_p_value", "preferred_direction_ci95")
            yield Tuning(
                str(name), angles, curve, *(value(values, one) for one in (*names, "dsi_cv_low", "dsi_cv_high"))
            )


@dataclass(frozen=True, slots=True)
class Ellipse:
    """Centre x, y, half axes (one SD), angle in degrees from x towards y."""

    x: float
    y: float
    half_major: float
    half_minor: float
    angle_deg: float


def field_names(unit: Unit) -> list[str]:
    """The features of a unit that are spike-triggered averages of a movie."""
    return [
        str(name)
        for name in unit.get("features") or {}
        if str(name).startswith(STA_PREFIX) and np.ndim(feature_data(unit, name)) == 3
    ]


def field_ellipse(unit: Unit, feature: str) -> Ellipse | None:
    """The fitted receptive field at one SD in pixels of the movie; None where no fit holds."""
    record = get_nested(unit, "features", feature, "sta_geometry")
    names = ("center_col", "center_row", "sigma_major", "sigma_minor")
    figures = [value(record, name) for name in names]
    if not np.isfinite(figures).all() or min(figures[2:]) <= 0:
        return None
    x, y, major, minor = figures
    theta = value(record, "theta")  # degrees; NaN for a field that is round
    return Ellipse(x, y, major, minor, theta if np.isfinite(theta) else 0.0)


@dataclass(frozen=True, slots=True)
class Field:
    """An average at its peak's lag (height, width) and its time course there (lags,), both in the file's unit.

    lags: (lags,) of each frame from the spike, negative before it, in `lag_unit`: "ms" where the file tells how long a
    frame is, else "frames"; numbers of the frames within the window, in "frame of the window", where it does not say
    how the window is placed.
    """

    average: Floats
    peak_frame: int
    space: Floats
    time_course: Floats
    lags: Floats
    lag_unit: str
    ellipse: Ellipse | None
    significant: bool

    @property
    def colour_range(self) -> tuple[float, float]:
        """The mean of the average, and its largest distance from it: what colours are centred on and reach to."""
        middle = float(np.nanmean(self.average))
        return middle, float(np.nanmax(np.abs(self.average - middle))) or 1.0


def field_of(unit: Unit, feature: str) -> Field | None:
    """The stored average, at the lag and pixel of its fit, or of its largest deviation from the mean without one."""
    average = array(feature_data(unit, feature), 3)
    if average is None or not np.isfinite(average).any():
        return None
    record = get_nested(unit, "features", feature, "sta_geometry")
    away = np.nan_to_num(np.abs(average - np.nanmean(average)))
    lag, row, column = (int(i) for i in np.unravel_index(int(np.argmax(away)), average.shape))
    stored = [value(record, name) for name in ("peak_frame", "peak_row", "peak_col")]
    if np.isfinite(stored).all() and all(0 <= s < n for s, n in zip(stored, average.shape, strict=True)):
        lag, row, column = (round(s) for s in stored)
    seen = value(record, "significant") == 1
    lags = _lags(unit, feature, len(average))
    return Field(average, lag, average[lag], average[:, row, column], *lags, field_ellipse(unit, feature), seen)


def _lags(unit: Unit, feature: str, length: int) -> tuple[Floats, str]:
    """Lags of the frames of an average, and their unit."""
    begins = np.asarray(get_nested(unit, "features", feature, "metadata", "cover_range")).ravel()
    numbers = np.arange(length, dtype=np.float64)
    if begins.dtype.kind not in "if" or len(begins) != 2 or begins[1] - begins[0] != length:
        return numbers, "frame of the window"
    record = get_nested(unit, "features", feature, "sta_geometry")
    frame_ms = value(record, "peak_lag_ms") / (value(record, "peak_lag_frames") or np.nan)
    if not frame_ms > 0:
        return numbers + float(begins[0]), "frames"
    return np.asarray((numbers + float(begins[0])) * frame_ms), "ms"


# ---------------------------------------------------------------- the chip


def chip_position(unit: Unit) -> tuple[float, float] | None:
    """x, y in electrodes from 0: the fitted soma, else the electrode that the sorter names; None where neither is."""
    record = get_nested(unit, "features", IMAGE, "geometry")
    xy = value(record, "center_col"), value(record, "center_row")
    if np.isfinite(xy).all():
        return xy
    electrode = value(unit, "col") - 1, value(unit, "row") - 1
    return electrode if np.isfinite(electrode).all() and min(electrode) >= 0 else None


@dataclass(frozen=True, slots=True)
class Image:
    """An electrical image: peak-to-peak (rows, columns), soma and axon (n, 2) as x, y in electrodes from 0."""

    average: Floats
    peak_to_peak: Floats
    times_ms: Floats
    soma: tuple[float, float] | None
    axon: Floats
    pitch_um: float


def image_of(session: PipelineSession, unit: Unit) -> Image | None:
    """A unit's electrical image; None where there is none, or it was averaged over no spike."""
    average = array(feature_data(unit, IMAGE), 3)
    if average is None or not np.isfinite(average).any():
        return None
    scale = image_scale(session, unit)
    record = get_nested(unit, "features", IMAGE, "geometry")
    soma = value(record, "center_col"), value(record, "center_row")
    times_ms = (np.arange(len(average)) - scale.spike_sample) / scale.sampling_rate_hz * 1000
    peak_to_peak = np.nanmax(np.nan_to_num(average), axis=0) - np.nanmin(np.nan_to_num(average), axis=0)
    seen = soma if np.isfinite(soma).all() else None
    return Image(average, peak_to_peak, times_ms, seen, axon_of(unit), pitch_um(session))


def middle_of(image: Image) -> tuple[int, int]:
    """Row and column of the electrode at the soma, or of the largest amplitude where no soma was fitted."""
    rows, columns = image.peak_to_peak.shape
    row, column = divmod(int(np.argmax(image.peak_to_peak)), columns)
    if image.soma is not None:
        column, row = (round(one) for one in image.soma)
    return min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)


def axon_of(unit: Unit) -> Floats:
    """A unit's axon (n, 2) as x, y in electrodes from 0, where it was seen."""
    path = array(get_nested(unit, "features", "ap_tracking", "post_processed_data", "axon_centroids"), 2)
    if path is None or path.shape[1] < 3:
        return np.empty((0, 2))
    return path[np.isfinite(path[:, 1:3]).all(axis=1), 1:3]


# ---------------------------------------------------------------- the recording


@dataclass(frozen=True, slots=True)
class Trace:
    """The lowest and highest sample (bins,) within each of the bins that begin at times_s."""

    times_s: Floats
    low: Floats
    high: Floats
    name: str


def light_of(session: PipelineSession, bins: int = 1500) -> Trace | None:
    """The first light channel in so many bins: that of 10 Hz where there is one, else the raw one, read in blocks."""
    channels = get_nested(session.stimulus, "light_reference") or {}
    rates = {"10hz_": 10.0, "1khz_": 1000.0, "raw_": rate_of(session)}
    for prefix, rate in rates.items():
        for name in sorted(one for one in channels if str(one).startswith(prefix)):
            if np.ndim(channels[name]) == 1 and np.size(channels[name]) and rate > 0:
                return _reduced(channels[name], rate, bins, str(name))
    return None


def _reduced(stored: Any, rate: float, bins: int, name: str) -> Trace:
    length = int(np.size(stored))
    width = -(-length // bins)
    step = max(width, READ_AT_ONCE // width * width)
    low, high = [], []
    for start in range(0, length, step):
        block = np.asarray(stored[start : min(start + step, length)], np.float64)
        begins = np.arange(0, len(block), width)
        low.append(np.minimum.reduceat(block, begins))
        high.append(np.maximum.reduceat(block, begins))
    times = np.arange(0, length, width) / rate
    return Trace(times, np.concatenate(low), np.concatenate(high), name)


def sections_of(session: PipelineSession) -> dict[str, Floats]:
    """Start and end in seconds (trials, 2) of each section, by name, the earliest first."""
    rate = rate_of(session)
    bounds_s = {}
    for name, stored in (get_nested(session.stimulus, "section_time") or {}).items():
        bounds = array(stored, 2)
        if bounds is not None and bounds.shape[1] == 2 and rate > 0:
            bounds_s[str(name)] = bounds / rate
    return dict(sorted(bounds_s.items(), key=lambda item: float(item[1].min())))


def duration_of(session: PipelineSession) -> float:
    """Length of the recording in seconds; NaN where nothing tells it, or what would is damaged."""
    try:
        return session.duration_s()
    except (*_UNREADABLE, OSError):
        return float("nan")


def violations(times_s: Floats) -> float:
    """Percentage of intervals below the refractory period; NaN without intervals. times_s: (spikes,) sorted."""
    return float(100 * np.mean(_ms(np.diff(times_s)) < VIOLATION_S * 1000)) if len(times_s) > 1 else float("nan")


def quality_of(session: PipelineSession) -> dict[str, Floats]:
    """By measure, a value for every unit (units,): `count`, `rate` (spikes/s), `violations` (% of intervals)."""
    trains = (spikes_s(session, unit) for unit in session.units.values())
    count, below = np.array([(len(times), violations(times)) for times in trains], np.float64).reshape(-1, 2).T
    length = duration_of(session)
    return {"count": count, "rate": count / (length if length > 0 else np.nan), "violations": below}
