"""Other cells' parts of an electrical image: spikes that come together bring the neighbour's image into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdmea.geometry.electrical_image import CleanImage, Image, ImageScale, clean_image
from hdmea.geometry.robust import Bools, Floats
from hdmea.geometry.soma import SomaGeometry

NEAREST, FARTHEST = 2.0, 15.0  # electrodes between somata: nearer ones may be one cell that was split
MIN_DEPTH = 5.0  # SD that an image must have at the neighbour's soma for a neighbour to count
MAX_NEIGHBOURS = 3  # neighbours that are taken out, the deepest first
LAGS_MS = 1.2  # by which the neighbour's spikes are before or after this cell's
AROUND = 3.0  # electrodes around the neighbour's soma that tell how much of it there is
RIDGE = 1e-3  # on the lags, as part of their mean power


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another cell of the recording.

    Attributes
    ----------
    soma
        Of `soma_geometry`.
    image
        Its electrical image (samples, rows, columns), or anything that `numpy.asarray` makes one of; read where needed.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import ImageScale, Neighbour, soma_geometry
    >>> image = np.random.default_rng(0).normal(size=(50, 24, 24))
    >>> Neighbour(soma_geometry(image, ImageScale(20_000, 10, 16)), image).soma.found
    False
    """

    soma: SomaGeometry
    image: NDArray[Any]


def without_neighbours(clean: CleanImage, soma: SomaGeometry, others: Sequence[Neighbour]) -> tuple[CleanImage, int]:
    """The image without what neighbours bring into it, and how many were taken out.

    Spikes of a neighbour that come together with this cell's, at whatever delays, put its image into this one: filtered
    with the distribution of the delays. That filter is fitted where the neighbour's soma is, by least squares, and what
    it makes of the neighbour's whole image, its axon included, is taken out.
    """
    traces, count = clean.traces, 0
    for other in _that_count(clean, soma, others):
        theirs = clean_image(np.asarray(other.image), clean.scale)
        if theirs.traces.shape != traces.shape:
            continue
        traces = traces - _share_of(traces, theirs.traces, _witnesses(clean, soma, other.soma), clean.scale)
        count += 1
    return (replace(clean, traces=traces), count) if count else (clean, 0)


def _that_count(clean: CleanImage, soma: SomaGeometry, others: Sequence[Neighbour]) -> list[Neighbour]:
    """Those near by at whose soma there is something in this image, the deepest first."""
    depths = []
    for n, other in enumerate(others):
        theirs = other.soma
        if not theirs.found:
            continue
        row, column = int(theirs.peak_row), int(theirs.peak_col)
        apart = np.hypot(theirs.center_row - soma.center_row, theirs.center_col - soma.center_col)
        if NEAREST < apart < FARTHEST and row < clean.bad.shape[0] and column < clean.bad.shape[1]:
            depth = float(np.abs(clean.traces[:, row, column]).max()) / max(float(clean.noise_sd[row, column]), 1e-12)
            if depth > MIN_DEPTH and not clean.bad[row, column]:
                depths.append((-depth, n))
    return [others[n] for _, n in sorted(depths)[:MAX_NEIGHBOURS]]


def _witnesses(clean: CleanImage, soma: SomaGeometry, other: SomaGeometry) -> Bools:
    """Good electrodes around the neighbour's soma that are nearer to it than to this cell's."""
    rows, columns = np.indices(clean.bad.shape)
    theirs = np.hypot(rows - other.center_row, columns - other.center_col)
    own_distance = np.hypot(rows - soma.center_row, columns - soma.center_col)
    chosen: Bools = (theirs <= AROUND) & (own_distance > theirs) & ~clean.bad
    return chosen


def _share_of(traces: Image, theirs: Image, witnesses: Bools, scale: ImageScale) -> Image:
    """Part of `traces` that is `theirs`, filtered in time."""
    lags, samples = scale.samples(LAGS_MS), len(traces)
    seen: Floats = traces[:, witnesses].astype(np.float64)
    padded = np.pad(theirs[:, witnesses].astype(np.float64), ((lags, lags), (0, 0)))
    delayed = np.stack([padded[2 * lags - n : 2 * lags - n + samples].ravel() for n in range(2 * lags + 1)])
    power = np.einsum("ai,bi->ab", delayed, delayed)
    power += RIDGE * max(np.trace(power) / len(power), 1e-30) * np.eye(len(power))
    filtered = np.linalg.solve(power, np.einsum("ai,i->a", delayed, seen.ravel()))
    lag = np.subtract.outer(np.arange(samples), np.arange(samples))
    inside = np.abs(lag) <= lags
    matrix = np.where(inside, filtered[np.clip(lag, -lags, lags) + lags], 0).astype(np.float32)
    flat = np.einsum("ts,se->te", matrix, theirs.reshape(samples, -1))
    share: Image = flat.reshape(traces.shape)
    return share
