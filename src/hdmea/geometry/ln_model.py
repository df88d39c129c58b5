"""A linear-nonlinear model of a cell's response to white noise, judged on data that it was not fitted to.

The filter is one map in space (a Gaussian) times one course in time (whitened, because the movie holds each pattern);
the rate is a function of what it sees: an exponential, a logistic curve, or a histogram. The whole spike-triggered
average as a filter has a free number for each pixel and lag, and explains noise of its own making.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5burst import parallel_map
from h5burst._ext import fits as _ext
from hdmea.geometry.noise_movie import NoiseMovie
from hdmea.geometry.robust import Floats
from hdmea.geometry.separable import blurred, held_mean, separate

NAN = float("nan")
KINDS = ("exponential", "logistic", "histogram")
LARGEST_EXPONENT, SMALLEST_RATE = 30.0, 1e-9
MAX_STEPS = 60
NARROW_BINS = 1024
AVERAGES_BYTES = 64 << 20  # of averages in memory


# When a model is fitted, and constants of the fit.
MIN_Z = 5.0  # of the receptive field
MIN_SPIKES = 200  # in the movie
# what is added to the movie's autocorrelation when the time course is whitened: the larger of `ridge` and
# `ridge_spikes` over the training spikes (a course of few spikes is mostly noise)
RIDGE = 0.3
RIDGE_SPIKES = 400.0
MIN_GAIN = 0.005  # bits a spike by which a kind must be better than the exponential
SPIKES_A_BIN = 40  # of the histogram: spikes in a bin, and bounds of their number
BINS = (4, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class LNModel:
    """A fitted linear-nonlinear model; all NaN, with its reason, where none was fitted.

    g is what the filter sees, in its SD from its mean.

    Attributes
    ----------
    kind
        Of the rate's curve that predicts best: "exponential", "logistic" or "histogram".
    bits_per_spike, r_squared
        Of it on held-out frames, against the training frames' mean rate.
    bits, r_squareds
        The same of each kind.
    bits_in_sample
        Of the chosen kind on the frames that it was fitted to (not a measure of the fit).
    log_likelihood, null_log_likelihood
        Poisson, in nats, of held-out counts under the model and under the mean rate.
    n_frames, n_spikes
        Held-out ones.
    a, b
        Rate in Hz = exp(a · s + b), s being the filter's output in the movie's unit (s = g_mean + g_sd · g).
    a_norm
        The same slope for g.
    logistic_rate_hz, logistic_slope, logistic_midpoint
        Rate = top/(1 + exp(−slope (g − midpoint))).
    threshold_g
        Where the better of the two curves is half way between its values at the first and the last bin.
    rectification_index
        1 − (f(0) − f(−1))/(f(1) − f(0)) of that curve: 0 for a line, 1 for a half-wave rectifier, negative where it
        saturates.
    nonlinearity_index
        ln of its steepest slope within the bins over its slope at 0.
    g_bin_centers, rate_vs_g, g_bin_counts
        (bins,) mean g, rate in Hz and spikes of equally filled bins of all frames.
    g_mean, g_sd
        Of the filter's output, in the movie's unit.
    space
        (height, width), the filter in space, of norm 1.
    time
        (lags,), the filter in time, lag 0 first.
    dt
        Frame period in s.
    reason
        Why no model was fitted.

    References
    ----------
    Chichilnisky & Kalmar 2002, J. Neurosci. 22:2737 (after which the nonlinearity index is).

    Examples
    --------
    >>> import math
    >>> from hdmea.geometry import LNModel
    >>> math.isnan(LNModel(reason="too few spikes").bits_per_spike)
    True
    """

    kind: str = ""
    bits_per_spike: float = NAN
    r_squared: float = NAN
    bits: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, NAN))
    r_squareds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, NAN))
    bits_in_sample: float = NAN
    log_likelihood: float = NAN
    null_log_likelihood: float = NAN
    n_frames: int = 0
    n_spikes: int = 0
    a: float = NAN
    b: float = NAN
    a_norm: float = NAN
    logistic_rate_hz: float = NAN
    logistic_slope: float = NAN
    logistic_midpoint: float = NAN
    threshold_g: float = NAN
    rectification_index: float = NAN
    nonlinearity_index: float = NAN
    g_bin_centers: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    rate_vs_g: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    g_bin_counts: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    g_mean: float = NAN
    g_sd: float = NAN
    space: Floats = field(default_factory=lambda: np.empty((0, 0)), repr=False)
    time: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    dt: float = NAN
    reason: str = ""


def fit_ln_models(
    movie: NoiseMovie,
    trains: Sequence[NDArray[Any]],
    z_scores: Sequence[float],
    frame_period_s: float,
    *,
    threads: int | None = None,
) -> list[LNModel]:
    """Fit a linear-nonlinear model to each unit.

    Parameters
    ----------
    movie
        What `NoiseMovie.of` made of the movie.
    trains
        For each unit (spikes,) the frame of the movie in which each spike fell, integers from 0, in any order; those
        outside the movie do not count.
    z_scores
        Of the units' receptive fields.
    frame_period_s
        The real one.
    threads
        The result does not depend on it; default as many as the process may use.

    Returns
    -------
    list of LNModel
        For each unit one, without a fit where a condition (the constants of this module) is not met.

    Raises
    ------
    ValueError
        As many z-scores as trains are not given, the frame period is not positive, or frames are not integers.

    References
    ----------
    Chichilnisky 2001, Network: Comput. Neural Syst. 12:199. docs/geometry.md says what is different here.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import NoiseMovie, fit_ln_models
    >>> rng = np.random.default_rng(0)
    >>> frames = np.repeat(rng.integers(0, 2, (600, 5, 5), np.uint8) * 255, 4, axis=0)
    >>> spikes = 2 + np.repeat(np.arange(2400), rng.poisson(frames[:, 2, 2] / 255.0))
    >>> model, = fit_ln_models(NoiseMovie.of(frames), [spikes], [20.0], 1 / 60)
    >>> model.bits_per_spike > 0.3, int(model.space.argmax())  # pixel 12: row 2, column 2
    (True, 12)
    """
    if len(trains) != len(z_scores):
        raise ValueError(f"{len(trains)} trains and {len(z_scores)} z-scores: each unit has one of both")
    if not frame_period_s > 0:
        raise ValueError(f"frame_period_s must be positive, got {frame_period_s}")
    spikes = [np.asarray(train) for train in trains]
    for train in spikes:
        if train.size and train.dtype.kind not in "iu":
            raise ValueError(f"trains hold frame numbers, not {train.dtype}")
    reasons = [_unfit(movie, train, z) for train, z in zip(spikes, z_scores, strict=True)]
    models = [LNModel(reason=reason, dt=frame_period_s) for reason in reasons]
    fitted = [unit for unit, reason in enumerate(reasons) if not reason]
    at_once = max(1, AVERAGES_BYTES // movie.averages_bytes)
    for first in range(0, len(fitted), at_once):
        some = fitted[first : first + at_once]
        averages = movie.averages([spikes[unit] for unit in some], threads)
        units = [_Unit(movie, movie.counts(spikes[unit]), frame_period_s) for unit in some]
        models_of = parallel_map(lambda n: units[n].model(averages[n]), range(len(some)), threads)  # noqa: B023
        for unit, model in zip(some, models_of, strict=True):
            models[unit] = model
    return models


def _unfit(movie: NoiseMovie, train: NDArray[Any], z: float) -> str:
    if not z > MIN_Z:
        problem = "no receptive field was found" if np.isnan(z) else f"z {z:.2f} of the receptive field"
        return problem if np.isnan(z) else f"{problem} is not above {MIN_Z:g}"
    count = int(((train >= movie.plan.lags - 1) & (train < len(movie.shown))).sum())
    if count < MIN_SPIKES:
        return f"{count} {'spike' if count == 1 else 'spikes'} in the movie, at least {MIN_SPIKES} are needed"
    return ""


@lru_cache(maxsize=8)
def _autocorrelation(lags: int, hold: int) -> Floats:
    """Of a movie that holds independent patterns for `hold` frames: (lags, lags)."""
    apart = np.abs(np.subtract.outer(np.arange(lags), np.arange(lags)))
    return np.asarray(np.maximum(1 - apart / hold, 0), np.float64)


@dataclass(frozen=True, slots=True)
class _Filter:
    """space (height, width), time (lags,) lag 0 first; g: what it sees, in SD of the training frames."""

    space: Floats
    time: Floats
    mean: float
    sd: float
    g: Floats


@dataclass(frozen=True, slots=True)
class _Bins:
    """Frames by what the filter sees: lower edges, sums of g, spikes and frames of each bin, none of them empty."""

    edges: Floats
    sums: Floats
    spikes: Floats
    frames: Floats

    @classmethod
    def narrow(cls, g: Floats, counts: Floats) -> _Bins:
        """1024 bins of one width, so narrow (below 0.01 SD) that rates hardly change in one."""
        low, high = float(g.min()), float(g.max())
        width = max((high - low) / NARROW_BINS, 1e-12)
        bin_of = np.minimum(((g - low) / width).astype(np.int64), NARROW_BINS - 1)
        frames = np.bincount(bin_of, minlength=NARROW_BINS)
        used = frames > 0
        sums, spikes = (np.bincount(bin_of, part, NARROW_BINS).astype(np.float64)[used] for part in (g, counts))
        edges: Floats = low + width * np.flatnonzero(used).astype(np.float64)
        return cls(edges, sums, spikes, frames[used].astype(np.float64))

    def joined(self, bins: int) -> _Bins:
        """These bins joined to `bins` (or fewer) of nearly as many frames each."""
        before = np.cumsum(self.frames) - self.frames
        first = np.unique(np.searchsorted(before, np.arange(bins) / bins * self.frames.sum()))
        first = first[first < len(before)]
        sums, spikes, frames = (np.add.reduceat(part, first) for part in (self.sums, self.spikes, self.frames))
        return _Bins(self.edges[first], sums, spikes, frames)


@dataclass(frozen=True, slots=True)
class Curves:
    """The rates' curves fitted to some frames, per frame of g: parameters of each kind, and the histogram's bins.

    logistic is empty where its fit is not finite: the exponential then stands for it.
    """

    exponential: Floats
    logistic: Floats
    bins: _Bins
    heights: Floats

    def rate(self, kind: str, g: Floats) -> Floats:
        """Spikes a frame expected at g."""
        if kind == "histogram":
            return self.heights[np.maximum(np.searchsorted(self.bins.edges, g, "right") - 1, 0)]
        if kind == "exponential" or not len(self.logistic):
            p = self.exponential
            rate = np.exp(np.clip(p[0] + p[1] * g, -LARGEST_EXPONENT, LARGEST_EXPONENT))
        else:
            p = self.logistic
            rate = np.exp(p[0]) / (1 + np.exp(-np.clip(p[1] + p[2] * g, -LARGEST_EXPONENT, LARGEST_EXPONENT)))
        limited: Floats = np.maximum(rate, SMALLEST_RATE)
        return limited


def fit_curves(g: Floats, counts: Floats) -> Curves:
    """Rates of counts as functions of g: largest Poisson likelihood; (counts + 2 means)/(frames + 2) in bins."""
    mean = float(counts.mean())
    exponential = np.array([np.log(mean + 1e-9), 0.0])
    logistic = np.array([np.log(4 * mean + 1e-9), -1.0, 1.0])
    narrow = _Bins.narrow(g, counts)
    points = narrow.sums / narrow.frames, narrow.spikes, narrow.frames
    _ext.fit_rate(0, *points, exponential, MAX_STEPS)
    reached, _ = _ext.fit_rate(1, *points, logistic, MAX_STEPS)
    bins = narrow.joined(int(np.clip(counts.sum() / SPIKES_A_BIN, *BINS)))
    usable = np.isfinite(logistic).all() and np.isfinite(reached)
    heights = (bins.spikes + 2 * mean) / (bins.frames + 2)
    return Curves(exponential, logistic if usable else np.empty(0), bins, heights)


class _Unit:
    """One unit's counts and how its model is fitted."""

    def __init__(self, movie: NoiseMovie, counts: Floats, frame_period_s: float) -> None:
        self.movie, self.counts, self.frame_period_s = movie, counts, frame_period_s

    def model(self, averages: Floats) -> LNModel:
        """averages: (folds + 1, lags, pixels)."""
        held_out = self._held_out(averages)
        if isinstance(held_out, str):
            return LNModel(reason=held_out, dt=self.frame_period_s)
        whole = self._filter(averages[-1], self.movie.plan.folds)
        if whole is None:
            return LNModel(reason="what the filter sees does not vary", dt=self.frame_period_s)
        used = self.movie.training[-1]
        g, counts = whole.g[used], self.counts[used]
        curves = fit_curves(g, counts)
        kind = _chosen(held_out.bits, MIN_GAIN)
        return LNModel(
            kind=kind,
            bits_per_spike=held_out.bits[kind],
            r_squared=held_out.r_squareds[kind],
            bits=held_out.bits,
            r_squareds=held_out.r_squareds,
            bits_in_sample=_gain(curves.rate(kind, g), counts, np.full(len(g), counts.mean())) / _nats(counts),
            log_likelihood=held_out.null_log_likelihood + held_out.bits[kind] * _nats(held_out.counts),
            null_log_likelihood=held_out.null_log_likelihood,
            n_frames=len(held_out.counts),
            n_spikes=int(held_out.counts.sum()),
            g_mean=whole.mean,
            g_sd=whole.sd,
            space=whole.space,
            time=whole.time,
            dt=self.frame_period_s,
            **self._parameters(curves, whole),
            **self._curve(
                curves,
                "logistic" if held_out.bits["logistic"] > held_out.bits["exponential"] else "exponential",
            ),
        )

    def _filter(self, average: Floats, fold: int) -> _Filter | None:
        movie = self.movie
        average = average.reshape(len(average), *movie.frames.shape[1:])
        if not np.isfinite(average).all():
            return None
        smooth = np.abs(blurred(held_mean(average, movie.hold)))
        lag, row, column = (int(i) for i in np.unravel_index(smooth.argmax(), smooth.shape))
        parts = separate(average, (lag, row, column))  # the training frames' mean is its baseline
        spikes = float(self.counts[movie.training[fold]].sum())
        ridge = max(RIDGE, RIDGE_SPIKES / max(spikes, 1))
        whitening = _autocorrelation(len(average), movie.hold) + ridge * np.eye(len(average))
        kernel: Floats = np.linalg.solve(whitening, parts.time[::-1]).astype(np.float64)
        drive = movie.drive(parts.weights, kernel)
        training = drive[movie.training[fold]]
        mean, sd = float(training.mean()), float(training.std())
        return _Filter(parts.weights, kernel, mean, sd, (drive - mean) / sd) if sd > 0 else None

    def _held_out(self, averages: Floats) -> _HeldOut | str:
        counts, nulls = [], []
        rates: dict[str, list[Floats]] = {kind: [] for kind in KINDS}
        for fold in range(self.movie.plan.folds):
            filtered = self._filter(averages[fold], fold)
            if filtered is None:
                return "a fold has no spikes, or what its filter sees does not vary"
            training, tested = self.movie.training[fold], self.movie.tested[fold]
            curves = fit_curves(filtered.g[training], self.counts[training])
            counts.append(self.counts[tested])
            nulls.append(np.full(int(tested.sum()), self.counts[training].mean()))
            for kind in KINDS:
                rates[kind].append(curves.rate(kind, filtered.g[tested]))
        return _HeldOut.of(
            np.concatenate(counts), np.concatenate(nulls), {k: np.concatenate(v) for k, v in rates.items()}
        )

    def _parameters(self, curves: Curves, filtered: _Filter) -> dict[str, Any]:
        period = np.log(self.frame_period_s)
        intercept, slope = curves.exponential.tolist()
        named = {
            "a": slope / filtered.sd,
            "b": intercept - slope * filtered.mean / filtered.sd - period,
            "a_norm": slope,
        }
        if len(curves.logistic):
            top, middle, steep = curves.logistic.tolist()
            named |= {
                "logistic_rate_hz": float(np.exp(top - period)),
                "logistic_slope": steep,
                "logistic_midpoint": -middle / steep if steep else NAN,
            }
        return named

    def _curve(self, curves: Curves, kind: str) -> dict[str, Any]:
        bins = curves.bins
        centers, rates = bins.sums / bins.frames, bins.spikes / (bins.frames * self.frame_period_s)
        shape = describe_curve(lambda at: curves.rate(kind, at), float(centers[0]), float(centers[-1]))
        return {"g_bin_centers": centers, "rate_vs_g": rates, "g_bin_counts": bins.spikes, **shape}


@dataclass(frozen=True, slots=True)
class _HeldOut:
    counts: Floats
    null_log_likelihood: float
    bits: dict[str, float]
    r_squareds: dict[str, float]

    @classmethod
    def of(cls, counts: Floats, nulls: Floats, rates: dict[str, Floats]) -> _HeldOut:
        from scipy.special import gammaln

        null = float((counts * np.log(nulls) - nulls - gammaln(counts + 1)).sum())
        bits = {kind: _gain(rate, counts, nulls) / _nats(counts) for kind, rate in rates.items()}
        return cls(counts, null, bits, {kind: _squared_correlation(rate, counts) for kind, rate in rates.items()})


def _gain(rates: Floats, counts: Floats, nulls: Floats) -> float:
    """Log likelihood in nats above that of the rates `nulls`."""
    seen = counts > 0
    return float((counts[seen] * np.log(rates[seen] / nulls[seen])).sum() - (rates - nulls).sum())


def _nats(counts: Floats) -> float:
    """Nats of one bit a spike."""
    total = float(counts.sum()) * np.log(2)
    return float(total) if total > 0 else NAN


def _squared_correlation(rates: Floats, counts: Floats) -> float:
    a, b = rates - rates.mean(), counts - counts.mean()
    product = float((a * a).sum() * (b * b).sum())
    return float((a * b).sum()) ** 2 / product if product > 0 else NAN


def _chosen(bits: dict[str, float], min_gain: float) -> str:
    """The kind with most bits; the exponential unless another is better by more than `min_gain`."""
    best = max(KINDS, key=lambda kind: bits[kind] if np.isfinite(bits[kind]) else -np.inf)
    return best if bits[best] > bits["exponential"] + min_gain else "exponential"


def describe_curve(rate: Any, lowest: float, highest: float) -> dict[str, float]:
    """`threshold_g`, `rectification_index` and `nonlinearity_index` of a rising curve between two values of g."""
    low, middle, high = (float(rate(np.array([at]))[0]) for at in (-1.0, 0.0, 1.0))
    at = np.linspace(lowest, highest, 401)
    values = rate(at)
    slopes = np.gradient(values, at) if highest > lowest else np.zeros_like(at)
    at_zero = float(rate(np.array([0.01]))[0] - rate(np.array([-0.01]))[0]) / 0.02
    half = (values[0] + values[-1]) / 2
    rises = values[-1] > values[0]
    steepest = float(slopes.max())
    return {
        "threshold_g": float(np.interp(half, values, at)) if rises else NAN,
        "rectification_index": 1 - (middle - low) / (high - middle) if high > middle else NAN,
        "nonlinearity_index": float(np.log(steepest / at_zero)) if at_zero > 0 and steepest > 0 else NAN,
    }
