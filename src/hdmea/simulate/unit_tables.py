"""Tables of each unit in a `.cmtr` file: its place and quality, its peaks, and its mean waveforms near the soma."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hdmea.simulate import mcs_files
from hdmea.simulate.analog import LIGHT_STREAM
from hdmea.simulate.chip import Floats, Layout
from hdmea.simulate.options import NoiseOptions
from hdmea.simulate.sensor import field, soma_shape

SUB_THRESHOLD_FRACTION = 0.1
UNIT_STREAM = 5
ROI_REACH = 1  # electrodes on each side of the soma's
_NOISE_POOL = 1 << 20


def unit_records(
    layout: Layout,
    patch: tuple[int, int],
    spikes: Sequence[npt.NDArray[np.int64]],
    sampling_rate: float,
    sample_count: int,
    cutout_samples: int,
    noise: NoiseOptions,
    seed: int,
) -> Iterator[mcs_files.UnitRecord]:
    """Every unit's record, in order: its spikes, and some sub-threshold peaks among them that are not included."""
    tick = mcs_files.tick_us(sampling_rate)
    shape = soma_shape((np.arange(cutout_samples) - cutout_samples // 3) / sampling_rate)
    rng = np.random.default_rng([seed, LIGHT_STREAM, 1])
    pool = rng.standard_normal(_NOISE_POOL, dtype=np.float32) * np.float32(noise.counts)
    windows = np.lib.stride_tricks.sliding_window_view(pool, max(cutout_samples, 1))
    heights = _roi_heights(layout, patch)
    for unit, train in enumerate(spikes):
        rng = np.random.default_rng([seed, UNIT_STREAM, unit, 1])
        count = round(SUB_THRESHOLD_FRACTION * len(train))
        others = np.setdiff1d(rng.integers(0, max(sample_count, 1), count), train)
        samples = np.concatenate([train, others])
        order = np.argsort(samples, kind="stable")
        included = order < len(train)
        on_electrode = heights[unit].max(initial=0.0) * shape
        cutouts = windows[rng.integers(0, len(windows), len(samples))][:, :cutout_samples]
        cutouts = cutouts + np.where(included, 1.0, 0.3).astype(np.float32)[:, None] * on_electrode.astype(np.float32)
        yield mcs_files.UnitRecord(
            unit_info(layout, unit, heights[unit], shape, noise),
            mcs_files.peak_table(samples[order] * tick, included, cutouts),
            (shape[:, None] * heights[unit]).astype(np.float32),
            (heights[unit] / max(float((heights[unit] ** 2).sum()), 1e-12)).astype(np.float32),
        )


def unit_info(layout: Layout, unit: int, heights: Floats, shape: Floats, noise: NoiseOptions) -> np.ndarray:
    """A unit's row of `UNIT_INFO` (1,); rows and columns from 1."""
    info = np.zeros(1, mcs_files.UNIT_INFO)
    row, column = (layout.soma_electrode[unit] + 1).tolist()
    info["UnitID"], info["Row"], info["Column"] = unit + 1, row, column
    info["SensorID"], info["RoiSize"] = mcs_files.sensor_id(row, column), len(heights)
    info["SNR"] = heights.max(initial=0.0) / max(noise.counts, 1e-3)
    info["Separability"] = info["SNR"] / np.sqrt(1 + info["SNR"])
    if shape.size:
        centred = shape - shape.mean()
        info["Kurtosis"] = (centred**4).mean() / max(float(shape.var()), 1e-12) ** 2 - 3
    return info


def _roi_heights(layout: Layout, patch: tuple[int, int]) -> list[Floats]:
    """Each soma's field on the electrodes within `ROI_REACH` of its own that are on the patch."""
    heights = []
    for unit, (row, column) in enumerate(layout.soma_electrode.tolist()):
        rows = np.arange(max(row - ROI_REACH, 0), min(row + ROI_REACH + 1, patch[0]))
        columns = np.arange(max(column - ROI_REACH, 0), min(column + ROI_REACH + 1, patch[1]))
        x, y = layout.soma_xy[unit]
        distance = np.hypot(columns[None, :] - x, rows[:, None] - y).ravel()
        heights.append(
            layout.amplitude[unit] * field(distance, layout.soma_sigma[unit], bool(layout.is_monopole[unit]))
        )
    return heights
