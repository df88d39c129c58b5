"""An electrical image made ready: common mode removed, the noise of each electrode, and which electrodes are bad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from h5burst._ext import electrode_images as _ext
from hdmea.geometry.robust import MAD_TO_SD, Bools, Floats, masked_median

Image: TypeAlias = NDArray[np.float32]

BEFORE_MS, AFTER_MS = 0.5, 2.0  # of the spike, that an image must cover


@dataclass(frozen=True, slots=True)
class ImageScale:
    """Scale of the axes of an electrical image.

    Attributes
    ----------
    sampling_rate_hz
        Samples a second.
    spike_sample
        Index of the sample of the spike.
    pitch_um
        Distance of neighbouring electrodes.

    Examples
    --------
    >>> from hdmea.geometry import ImageScale
    >>> ImageScale(sampling_rate_hz=20_000, spike_sample=10, pitch_um=16).samples(0.5)
    10
    """

    sampling_rate_hz: float
    spike_sample: int
    pitch_um: float

    def __post_init__(self) -> None:
        for name in ("sampling_rate_hz", "pitch_um"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, got {value}")
        if self.spike_sample < 0:
            raise ValueError(f"spike_sample must be an index into the window, got {self.spike_sample}")

    @property
    def samples_per_ms(self) -> float:
        """Samples in a millisecond."""
        return self.sampling_rate_hz / 1000

    def samples(self, ms: float) -> int:
        """A time in whole samples."""
        return round(ms * self.samples_per_ms)


# When an electrode is bad.
BAD_LINE = 2.5  # a column or row is bad whose median noise is so many times that of all electrodes
SUSPECT = 4.0  # an electrode is suspect whose noise is so many times that of all, and of its good neighbours
SUSPECT_NEIGHBOURS = 3.0
SAME_TRACE = 0.8  # but not if its trace correlates so well with one of them (then it is signal)


@dataclass(frozen=True, slots=True)
class CleanImage:
    """An electrical image without its common mode.

    Attributes
    ----------
    traces
        float32 (samples, rows, columns), the source's unit; 0 where an electrode is not finite.
    noise_sd
        float64 (rows, columns).
    typical_noise
        Their median over electrodes that are finite and not flat.
    bad
        bool (rows, columns): not finite, flat, in a bad line, or suspect.
    scale
        What the axes mean.
    reason
        Why there is nothing to compute with, empty where there is.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import ImageScale, clean_image
    >>> noise = np.random.default_rng(0).normal(size=(50, 8, 8))
    >>> noise[:, 2, 3] *= 20
    >>> np.argwhere(clean_image(noise, ImageScale(20_000, 10, 16)).bad)
    array([[2, 3]])
    """

    traces: Image
    noise_sd: Floats
    typical_noise: float
    bad: Bools
    scale: ImageScale
    reason: str = ""


def clean_image(image: NDArray[Any], scale: ImageScale) -> CleanImage:
    """Remove the median over good electrodes at each sample, and judge every electrode by its noise.

    The SD of an electrode's noise is 1.4826 · median |second difference over time| / √6: it hardly sees signals, which
    are slow and short. Of white noise it is the SD.

    Parameters
    ----------
    image
        (samples, rows, columns), real numbers: what each electrode records, on average, around a unit's spikes.
    scale
        What its axes mean.

    Returns
    -------
    CleanImage
        With the noise of every electrode.

    Raises
    ------
    ValueError
        `image` does not have three axes or no electrode, or `spike_sample` is outside it.

    Notes
    -----
    docs/geometry.md says how the limits were chosen. Electrical images: Litke et al. 2004, IEEE Trans. Nucl. Sci.
    51:1434.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import ImageScale, clean_image
    >>> noise = np.random.default_rng(0).normal(0, 3, (50, 8, 8))
    >>> round(clean_image(noise, ImageScale(20_000, 10, 16)).typical_noise, 1)
    2.9
    """
    image = np.asarray(image)
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"an electrical image has axes (samples, rows, columns), got shape {image.shape}")
    if scale.spike_sample >= len(image):
        raise ValueError(f"spike_sample {scale.spike_sample} is outside the image's {len(image)} samples")
    finite = np.isfinite(image).all(axis=0)
    traces = np.ascontiguousarray(image if finite.all() else np.where(finite, image, 0), np.float32)
    reason = _too_short(len(image), scale)
    usable = finite & (traces.max(axis=0) > traces.min(axis=0))
    if not usable.any():
        reason = reason or "no electrode has a finite trace that varies"
    if reason:
        nothing = np.full(usable.shape, np.nan)
        return CleanImage(traces, nothing, float("nan"), ~usable, scale, reason)
    noise = _noise_sd(traces)
    typical = float(np.median(noise[usable]))
    bad = ~usable | _bad_lines(noise, usable, typical, BAD_LINE)
    suspect = _suspects(noise, bad, typical)
    used = bad | suspect if not (bad | suspect).all() else ~usable
    traces = traces - _medians(traces, ~used)[:, None, None]
    bad = bad | _without_signals(suspect, traces, bad | suspect, SAME_TRACE)
    return CleanImage(traces, noise, typical, bad, scale, "every electrode is bad" if bad.all() else "")


def _too_short(samples: int, scale: ImageScale) -> str:
    before, after = scale.spike_sample, samples - scale.spike_sample
    if before >= scale.samples(BEFORE_MS) and after >= scale.samples(AFTER_MS):
        return ""
    covered = [-before / scale.samples_per_ms, after / scale.samples_per_ms]
    return f"the window must cover -{BEFORE_MS:g} to {AFTER_MS:g} ms, and covers {covered[0]:g} to {covered[1]:g} ms"


def _noise_sd(traces: Image) -> Floats:
    medians = np.empty(traces[0].size, np.float32)
    _ext.second_difference_medians(traces.reshape(len(traces), -1), medians)
    noise: Floats = medians.reshape(traces.shape[1:]).astype(np.float64) * (MAD_TO_SD / np.sqrt(6))
    return noise


def _medians(traces: Image, used: Bools) -> Image:
    """The median over the used electrodes at each sample."""
    medians = np.empty(len(traces), np.float32)
    _ext.row_medians(traces.reshape(len(traces), -1), used.ravel().view(np.uint8), medians)
    return medians


def _bad_lines(noise: Floats, usable: Bools, typical: float, limit: float) -> Bools:
    columns = masked_median(noise, usable, axis=0) > limit * typical
    rows = masked_median(noise, usable, axis=1) > limit * typical
    return columns[None, :] | rows[:, None]


def _around(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The eight neighbours (n, 8, 2) of places (n, 2)."""
    steps = np.array([(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if r or c])
    around: NDArray[np.int64] = places[:, None, :] + steps[None]
    return around


def _on_chip(places: NDArray[np.int64], shape: tuple[int, ...]) -> tuple[NDArray[np.int64], Bools]:
    """Places moved onto the chip, and which were there."""
    moved = np.clip(places, 0, np.array(shape) - 1)
    return moved, (moved == places).all(axis=-1)


def _suspects(noise: Floats, bad: Bools, typical: float) -> Bools:
    """Single electrodes that are much noisier than all and than their good neighbours."""
    suspect = np.zeros(noise.shape, np.bool_)
    places = np.argwhere((noise > SUSPECT * typical) & ~bad)
    if len(places):
        around, inside = _on_chip(_around(places), noise.shape)
        rows, columns = around[..., 0], around[..., 1]
        ring = masked_median(noise[rows, columns], inside & ~bad[rows, columns], axis=1)
        noise_of = noise[places[:, 0], places[:, 1]]
        quieter = ~(ring > noise_of / SUSPECT_NEIGHBOURS)  # also where there is no good neighbour
        suspect[places[quieter, 0], places[quieter, 1]] = True
    return suspect


def _without_signals(suspect: Bools, traces: Image, bad: Bools, limit: float) -> Bools:
    """Those of the suspects whose traces are not like a good neighbour's."""
    places = np.argwhere(suspect)
    if not len(places):
        return suspect
    around, inside = _on_chip(_around(places), suspect.shape)
    rows, columns = around[..., 0], around[..., 1]
    own_traces = _centred(traces[:, places[:, 0], places[:, 1]])
    near = _centred(traces[:, rows, columns])
    products = np.einsum("tn,tnk->nk", own_traces, near)
    norms = np.sqrt(
        np.einsum("tn,tn->n", own_traces, own_traces)[:, None] * np.einsum("tnk,tnk->nk", near, near) + 1e-30
    )
    alike = ((products / norms > limit) & inside & ~bad[rows, columns]).any(axis=1)
    left: Bools = suspect.copy()
    left[places[alike, 0], places[alike, 1]] = False
    return left


def _centred(traces: NDArray[Any]) -> Floats:
    centred: Floats = traces.astype(np.float64) - np.median(traces, axis=0)
    return centred


def filtered_in_time(traces: Image, weights: Image, gain: Image) -> Image:
    """gain[e] · Σ_j weights[t, j] · traces[t + j − reach, e]; weights (samples, 2 · reach + 1), gain (electrodes,).

    Returns (samples, rows, columns) float32.
    """
    out = np.empty_like(traces)
    shape = len(traces), traces[0].size
    if weights.shape[0] != shape[0] or weights.shape[1] % 2 == 0 or gain.size != shape[1]:
        raise ValueError(f"weights {weights.shape} and gain {gain.shape} do not fit traces {traces.shape}")
    _ext.filtered(traces.reshape(shape), weights, gain.ravel(), out.reshape(shape))
    return out


@dataclass(frozen=True, slots=True)
class RaySums:
    """For each angle the largest sum along its rays, and which ray's: indices of curvature, delay, velocity, step."""

    best: Image
    where: NDArray[np.int32]


def best_rays(image: Image, paths: NDArray[np.int32], times: NDArray[np.int32], min_steps: int) -> RaySums:
    """The largest running sums of an image along rays, each over √max(steps that count, min_steps).

    Parameters
    ----------
    image
        (samples, rows, columns).
    paths
        (angles, curvatures, steps): index of an electrode (row · columns + column), −1 where a step does not count.
    times
        (delays, velocities, steps): sample, −1 from the step on at which the window ends.
    """
    samples, electrodes = len(image), image[0].size
    if paths.shape[2] != times.shape[2] or paths.max(initial=-1) >= electrodes or times.max(initial=-1) >= samples:
        raise ValueError("paths and times must have as many steps, and are within the image")
    by_electrode = np.ascontiguousarray(image.reshape(samples, electrodes).T)
    best, where = np.empty(len(paths), np.float32), np.empty((len(paths), 4), np.int32)
    _ext.best_rays(by_electrode, paths, times, min_steps, best, where)
    return RaySums(best, where)
