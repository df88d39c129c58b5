"""Electrical images: what every electrode of the chip records, on average, around a unit's spikes.

The image shows where a cell's soma is and how its axon runs (Litke et al., IEEE Trans. Nucl. Sci. 51, 1434, 2004).
The
sensor stream is filtered by a Butterworth high-pass without phase shift and averaged while it is read, so that no more
than two blocks of it are in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from h5burst import ArraySource, format_bytes
from hdmea.kernels import eimage

FEATURE = "eimage_sta"
MIN_BLOCK_FRAMES = 64  # reading less at once costs more than it saves
MAX_ORDERS = 2 * eimage.MAX_SECTIONS

Feature = dict[str, Any]
Progress = Callable[[int, int], None]


@dataclass
class EImageSTA:
    """Electrical images by unit, each a feature `{"data": …, "metadata": {…}}`, in the order of the units.

    data: float32 (window, rows, columns), the unit of the source (ADC counts), all NaN for the units named in
    `without_spikes`. metadata: `n_spikes` (averaged over), `n_spikes_excluded`, `cutoff_hz`, `filter_order`,
    `pre_samples`, `post_samples`, `sampling_rate`, `spike_limit`, `skip_highpass`. filter_seconds: time that filtering
    and averaging took, waiting for the file not counted.
    """

    features: dict[str, Feature]
    filter_seconds: float = 0.0
    without_spikes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class EImageOptions:
    """Options of electrical images; `compute_eimage_sta` says what each option means. ValueError names a bad one."""

    sampling_rate: float
    duration_s: float = 120.0
    spike_limit: int | None = 10_000
    window_range: tuple[int, int] = (-10, 40)
    cutoff_hz: float = 100.0
    filter_order: int = 2
    skip_highpass: bool = False
    chunk_duration_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("sampling_rate", "duration_s", "chunk_duration_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, got {value}")
        lo, hi = self.window_range
        if lo != int(lo) or hi != int(hi) or lo >= hi:
            raise ValueError(f"window_range must be whole samples (lo, hi) with lo < hi, got {self.window_range}")
        if self.spike_limit is not None and self.spike_limit < 1:
            raise ValueError(f"spike_limit must be at least 1, or None for all spikes, got {self.spike_limit}")
        nyquist = self.sampling_rate / 2
        if not self.skip_highpass and not 0 < self.cutoff_hz < nyquist:
            raise ValueError(
                f"cutoff_hz must be between 0 and half the sampling rate ({nyquist:g} Hz), got {self.cutoff_hz}"
            )
        if not self.skip_highpass and (
            int(self.filter_order) != self.filter_order or not 1 <= self.filter_order <= MAX_ORDERS
        ):
            raise ValueError(f"filter_order must be a whole number from 1 to {MAX_ORDERS}, got {self.filter_order}")

    @property
    def window(self) -> tuple[int, int]:
        return int(self.window_range[0]), int(self.window_range[1])

    @property
    def samples(self) -> int:
        """Length of the analysed part, where the recording is as long."""
        return round(self.duration_s * self.sampling_rate)

    @property
    def block_frames(self) -> int:
        """Most frames to read at once."""
        return min(eimage.BLOCK_FRAMES, max(1, round(self.chunk_duration_s * self.sampling_rate)))

    def sections(self) -> npt.NDArray[np.float64] | None:
        """The filter as second-order sections, None for no filter."""
        if self.skip_highpass:
            return None
        from scipy.signal import butter

        sections: npt.NDArray[np.float64] = butter(
            int(self.filter_order), self.cutoff_hz, "highpass", fs=self.sampling_rate, output="sos"
        )
        return sections

    def metadata(self) -> dict[str, Any]:
        lo, hi = self.window
        return {
            "cutoff_hz": float(self.cutoff_hz),
            "filter_order": int(self.filter_order),
            "pre_samples": -lo,
            "post_samples": hi,
            "sampling_rate": float(self.sampling_rate),
            "spike_limit": self.spike_limit,
            "skip_highpass": bool(self.skip_highpass),
        }


def compute_eimage_sta(
    source: ArraySource,
    spikes_by_unit: Mapping[str, npt.ArrayLike],
    *,
    sampling_rate: float,
    duration_s: float = 120.0,
    spike_limit: int | None = 10_000,
    window_range: tuple[int, int] = (-10, 40),
    cutoff_hz: float = 100.0,
    filter_order: int = 2,
    skip_highpass: bool = False,
    chunk_duration_s: float = 10.0,
    budget_bytes: int | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> EImageSTA:
    """The electrical image of every unit, in one pass over the recording.

    Parameters
    ----------
    source
        (frames, rows, columns) int16 or float32; read in ascending order.
    spikes_by_unit
        Samples of each unit's spikes, in any order.
    sampling_rate
        Hz.
    duration_s
        Analyse only the recording's first so many seconds. Spikes after them take no part.
    spike_limit
        Average over each unit's first so many spikes whose window is inside the analysed part; None for all. The
        number of those whose window does not is `n_spikes_excluded`.
    window_range
        (lo, hi): the window of a spike at sample t is the samples [t + lo, t + hi).
    cutoff_hz, filter_order
        The high-pass, run forwards and backwards over the analysed part as `scipy.signal.sosfiltfilt` does.
    skip_highpass
        Subtract each electrode's mean over the analysed part instead.
    chunk_duration_s
        Read no more than so many seconds at once. The result does not depend on it.
    budget_bytes
        Bytes that sums and blocks may take: smaller blocks, then several passes over the source, some units in each.
        The images themselves are not counted; who cannot hold them all takes them one by one from `iter_eimage_sta`.
    progress
        Told the frames done and those to do, all passes together.
    threads
        The result does not depend on it.

    Raises
    ------
    ValueError
        An argument outside its range, by name; a recording too short for the filter; a budget below the least that
        works, which the message tells.
    TypeError
        Samples that are neither int16 nor float32; spikes that are not integers.
    """
    options = EImageOptions(
        sampling_rate=sampling_rate,
        duration_s=duration_s,
        spike_limit=spike_limit,
        window_range=window_range,
        cutoff_hz=cutoff_hz,
        filter_order=filter_order,
        skip_highpass=skip_highpass,
        chunk_duration_s=chunk_duration_s,
    )
    result = EImageSTA({})
    images = iter_eimage_sta(
        source, spikes_by_unit, options, budget_bytes=budget_bytes, progress=progress, threads=threads, outcome=result
    )
    result.features.update(images)
    return result


def iter_eimage_sta(
    source: ArraySource,
    spikes_by_unit: Mapping[str, npt.ArrayLike],
    options: EImageOptions,
    *,
    budget_bytes: int | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
    outcome: EImageSTA | None = None,
) -> Iterator[tuple[str, Feature]]:
    """As `compute_eimage_sta`, one unit after the other, for callers that do not keep them all.

    Where one pass does for all units, the images are parts of one buffer; of several passes, each image stands alone,
    so that a pass's sums are gone before the next begins. Time and units without spikes are added to `outcome`.
    Arguments are checked at once.
    """
    if len(source.shape) != 3:
        raise ValueError(f"source must have shape (frames, rows, columns), got {source.shape}")
    if min(options.samples, source.shape[0]) < 1:
        raise ValueError(f"duration_s: nothing to analyse in {options.duration_s} s of {source.shape[0]} frames")
    trains = {unit_id: _train(unit_id, spikes, options.samples) for unit_id, spikes in spikes_by_unit.items()}
    at_once, block_frames = _plan(options, source, len(trains), budget_bytes, threads)
    outcome = EImageSTA({}) if outcome is None else outcome
    return _passes(source, trains, options, at_once, block_frames, progress, threads, outcome)


def _train(unit_id: str, spikes: npt.ArrayLike, before: int) -> npt.NDArray[np.int64]:
    """The unit's spikes of the analysed time."""
    train = np.asarray(spikes)
    if train.ndim != 1:
        raise ValueError(f"spikes of {unit_id} must have one dimension, got shape {train.shape}")
    if train.size and train.dtype.kind not in "iu":
        raise TypeError(f"spikes of {unit_id} must be whole samples, got {train.dtype}")
    return train[train < before].astype(np.int64)


def _plan(
    options: EImageOptions, source: ArraySource, units: int, budget_bytes: int | None, threads: int | None
) -> tuple[int, int]:
    """Plan the units of a pass and the frames of a block; blocks take half of the budget at most."""
    if budget_bytes is None:
        return max(units, 1), options.block_frames
    channels = math.prod(source.shape[1:])
    for_one = eimage.unit_bytes(options.window, channels, options.sections())

    def blocks(frames: int) -> int:
        return eimage.block_bytes(channels, source.dtype.itemsize, frames, threads)

    block_frames = options.block_frames
    while blocks(block_frames) > budget_bytes // 2 and block_frames > MIN_BLOCK_FRAMES:
        block_frames = max(block_frames // 2, MIN_BLOCK_FRAMES)
    at_once = (budget_bytes - blocks(block_frames)) // for_one
    if at_once < 1:
        least = blocks(min(MIN_BLOCK_FRAMES, options.block_frames)) + for_one
        raise ValueError(
            f"budget_bytes: {format_bytes(budget_bytes)} is too little, "
            f"electrical images of {channels} electrodes take at least {least} bytes"
        )
    return at_once, block_frames


def _passes(
    source: ArraySource,
    trains: dict[str, npt.NDArray[np.int64]],
    options: EImageOptions,
    at_once: int,
    block_frames: int,
    progress: Progress | None,
    threads: int | None,
    outcome: EImageSTA,
) -> Iterator[tuple[str, Feature]]:
    frames = min(options.samples, source.shape[0])
    to_do = frames * -(-len(trains) // at_once)
    waiting = iter(trains.items())
    done = 0

    def report(frames_of_pass: int) -> None:
        if progress is not None:
            progress(done + frames_of_pass, to_do)

    while group := dict(islice(waiting, at_once)):
        windows = eimage.SpikeWindows(
            np.concatenate(list(group.values())),
            np.cumsum([0, *map(len, group.values())], dtype=np.int64),
            options.window,
            options.spike_limit,
        )
        images = eimage.electrical_images(
            source,
            windows,
            sos=options.sections(),
            frames=frames,
            block_frames=block_frames,
            threads=threads,
            progress=report,
        )
        done += frames
        outcome.filter_seconds += images.compute_seconds
        outcome.without_spikes += [name for name, used in zip(group, images.used, strict=True) if not used]
        means = images.means.reshape(*images.means.shape[:2], *source.shape[1:])
        for index, unit_id in enumerate(group):
            counts = {"n_spikes": int(images.used[index]), "n_spikes_excluded": int(images.excluded[index])}
            data = means[index] if len(trains) <= at_once else means[index].copy()
            yield unit_id, {"data": data, "metadata": {**counts, **options.metadata()}}
        del images, means
