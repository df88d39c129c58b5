"""The same cell in several recordings of one chip, by where and how its spike is seen; never by its responses.

Each pair of units that are near each other after the chip's drift is taken out has a likeness of electrical images, one
of the waveforms at the soma, a ratio of amplitudes, and a distance. What these are for pairs of different cells is
known from pairs far from each other (the null); what they are for the same cell is fitted. The posterior of a match
follows by Bayes, and one-to-one matches by the assignment that is most likely as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

REACH = 4.0  # electrodes within which a cell may be found again, drift taken out
MAX_DRIFT = 4.0  # electrodes
FAR = 12.0  # electrodes: two units so far apart are two cells
HALF_WIDTH = 5  # electrodes about the soma that are compared
MIN_POSTERIOR = 0.95
MIN_SHARE = 0.1  # of units that are found again: less is chance, or another chip
MIN_NULL = 20  # far pairs
NULL_PAIRS = 4000
STEPS = 60
MAX_R = 0.999999


@dataclass(frozen=True)
class Units:
    """The units of one recording: keys, somata (n, 2) row and column in electrodes, images (window, rows, columns)."""

    keys: Sequence[str]
    somata: Floats
    images: Sequence[npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Matches:
    """Pairs of units of two recordings that are one cell.

    first, second: (pairs,) numbers of the units; posterior: (pairs,) that a pair is one cell; drift: (2,) rows and
    columns from the first recording to the second; prior: share of the first recording's units that are found again;
    null_pairs: far pairs that the null was made of; reason: why nothing was matched, or empty.
    """

    first: Ints
    second: Ints
    posterior: Floats
    drift: Floats
    prior: float = 0.0
    null_pairs: int = 0
    reason: str = ""


def none_because(reason: str) -> Matches:
    """No matches."""
    empty = np.empty(0, np.int64)
    return Matches(empty, empty, np.empty(0), np.zeros(2), reason=reason)


def match_units(one: Units, other: Units, *, seed: int = 0) -> Matches:
    """Find the units of two recordings that are the same cell.

    Units without a soma are left out. The method is this project's own; docs/population.md has its error rates.
    """
    here, others_located = (np.flatnonzero(np.isfinite(units.somata).all(axis=1)) for units in (one, other))
    if not len(here) or not len(others_located):
        return none_because("a recording has no unit with a soma")
    a = [_patch(one.images[n], one.somata[n]) for n in here.tolist()]
    b = [_patch(other.images[n], other.somata[n]) for n in others_located.tolist()]
    apart = other.somata[others_located][None] - one.somata[here][:, None]  # (a, b, 2)
    distance = np.hypot(*np.moveaxis(apart, -1, 0))
    every = _likeness(a, b)
    null = every[distance > FAR]
    if len(null) > NULL_PAIRS:
        null = null[np.random.default_rng(seed).choice(len(null), NULL_PAIRS, replace=False)]
    if len(null) < MIN_NULL:
        return none_because(f"{len(null)} pairs are far from each other: at least {MIN_NULL} are needed for a null")
    near = np.argwhere(distance <= REACH + MAX_DRIFT)
    if not len(near):
        return none_because("no units are near each other")
    likeness = every[tuple(near.T)]
    drift = _drift(apart[tuple(near.T)], likeness[:, 0])
    residual = np.hypot(*(apart[tuple(near.T)] - drift).T)
    within = residual <= REACH
    near, likeness, residual = near[within], likeness[within], residual[within]
    posterior, prior = _posterior(near, likeness, residual, null, min(len(here), len(others_located)))
    if prior < MIN_SHARE:
        return none_because(f"hardly a unit is found again ({prior:.0%}): are they of one chip?")
    first, second, chosen = _assigned(near, posterior, (len(here), len(others_located)))
    return Matches(here[first], others_located[second], chosen, drift, prior, len(null))


def chains(keys: Sequence[Sequence[str]], matches: Mapping[tuple[int, int], Matches]) -> list[list[str]]:
    """Cells followed through recordings: for each one the keys of its units, in the recordings' order.

    keys: of each recording's units; matches: by the numbers of two recordings. Pairs are taken by falling posterior,
    and none that would give a cell two units of one recording.
    """
    cells_by = {(n, unit): {n: unit} for n, units in enumerate(keys) for unit in range(len(units))}
    pairs = [
        (float(p), (a, int(i)), (b, int(j)))
        for (a, b), match in matches.items()
        for p, i, j in zip(match.posterior, match.first, match.second, strict=True)
    ]
    for _, one, other in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
        cell, further = cells_by[one], cells_by[other]
        if cell is not further and not set(cell) & set(further):
            cell |= further
            for member in further.items():
                cells_by[member] = cell
    cells = {id(cell): cell for cell in cells_by.values()}
    return [[keys[n][unit] for n, unit in sorted(cell.items())] for cell in cells.values()]


# ---------------------------------------------------------------- likeness of two units


@dataclass(frozen=True)
class _Patch:
    """Compared part of a unit: its image about the soma, less its mean, of length 1; the waveform (window,) of the
    electrode with the largest signal near the soma, likewise; and log of its amplitude.
    """

    values: Floats
    waveform: Floats
    amplitude: float


def _patch(image: npt.NDArray[np.floating], soma: Floats) -> _Patch:
    side = 2 * HALF_WIDTH + 1
    row, col = np.rint(soma).astype(int)
    values = np.zeros((image.shape[0], side, side))
    rows, columns = (np.arange(-HALF_WIDTH, HALF_WIDTH + 1) + at for at in (row, col))
    inside = (rows >= 0) & (rows < image.shape[1]), (columns >= 0) & (columns < image.shape[2])
    part = np.asarray(image, np.float64)[np.ix_(np.arange(image.shape[0]), rows[inside[0]], columns[inside[1]])]
    values[np.ix_(np.arange(image.shape[0]), *inside)] = np.nan_to_num(part)
    values -= values.mean(axis=0)
    near = values[:, HALF_WIDTH - 1 : HALF_WIDTH + 2, HALF_WIDTH - 1 : HALF_WIDTH + 2].reshape(len(values), -1)
    waveform = near[:, np.ptp(near, axis=0).argmax()]
    return _Patch(_unit_length(values), _unit_length(waveform), float(np.log(max(-values.min(), 1e-12))))


def _unit_length(values: Floats) -> Floats:
    size = float(np.sqrt((values**2).sum()))
    return values / size if size > 0 else values


def _likeness(a: Sequence[_Patch], b: Sequence[_Patch]) -> Floats:
    """Of each pair (a, b, 3) Fisher's z of the images' largest correlation and of the waveforms' correlation, and the
    difference of log amplitudes.

    Images are compared over shifts of an electrode: the soma's place is rounded to electrodes, so that equal images may
    be one apart.
    """
    window = min(len(patch.values) for patch in (*a, *b))
    one = np.stack([patch.values[:window] for patch in a]).reshape(len(a), -1)
    other = np.stack([patch.values[:window] for patch in b])
    best = np.full((len(a), len(b)), -1.0)
    for shift in np.ndindex(3, 3):
        moved = np.roll(other, (shift[0] - 1, shift[1] - 1), axis=(2, 3)).reshape(len(b), -1)
        np.maximum(best, one @ moved.T, out=best)
    amplitudes = np.subtract.outer([patch.amplitude for patch in a], [patch.amplitude for patch in b])
    waveforms = (
        np.stack([patch.waveform[:window] for patch in a]) @ np.stack([patch.waveform[:window] for patch in b]).T
    )
    likeness = (np.arctanh(np.clip(r, -MAX_R, MAX_R)) for r in (best, waveforms))
    return np.stack([*likeness, amplitudes], axis=-1)


def _drift(apart: Floats, likeness: Floats) -> Floats:
    """Rows and columns by which most of the best pairs are apart: the middle of where they are densest."""
    apart, likeness = (one[np.hypot(*apart.T) <= MAX_DRIFT] for one in (apart, likeness))
    if not len(apart):
        return np.zeros(2)
    best = apart[likeness >= np.quantile(likeness, 0.8)]
    counts = (np.hypot(*(best[:, None] - best[None]).transpose(2, 0, 1)) < 1).sum(axis=1)
    centre = best[counts.argmax()]
    return np.asarray(np.median(best[np.hypot(*(best - centre).T) < 1], axis=0))


# ---------------------------------------------------------------- posterior


def _posterior(near: Ints, likeness: Floats, residual: Floats, null: Floats, max_matches: int) -> tuple[Floats, float]:
    """The posterior that each near pair is one cell (pairs,), and the share of units that are found again.

    Of different cells: likeness of images and waveforms together by the null, places anywhere within reach. Of one
    cell: the two normal together, since both are of the same spikes; log amplitude normal, distance Rayleigh. Fitted by
    expectation-maximisation, from the pairs that are nearest.
    """
    from scipy.stats import gaussian_kde, multivariate_normal, norm

    alike, amplitude = likeness[:, :2], likeness[:, 2]
    different = gaussian_kde(null[:, :2].T)(alike.T) + 1e-9
    different *= norm.pdf(amplitude, np.mean(null[:, 2]), max(float(np.std(null[:, 2])), 0.05)) + 1e-9
    different *= 2 * np.maximum(residual, 1e-6) / REACH**2
    weight = np.exp(-residual) * (likeness[:, 0] > np.quantile(null[:, 0], 0.95))
    posterior = weight / max(float(weight.max()), 1e-12)
    share = 0.5
    for _ in range(STEPS):
        total = max(float(posterior.sum()), 1e-9)
        mean, change = (posterior @ alike) / total, (posterior @ amplitude) / total
        off = alike - mean
        together = (posterior * off.T) @ off / total + 0.1**2 * np.eye(2)
        spread = np.sqrt(posterior @ (amplitude - change) ** 2 / total + 0.05**2)
        scale = np.sqrt((posterior @ residual**2) / total / 2 + 0.05**2)
        # More alike than is expected of one cell is no evidence against it.
        same = multivariate_normal(mean, together).pdf(np.minimum(alike, mean)) * norm.pdf(amplitude, change, spread)
        same *= np.maximum(residual, 1e-6) / scale**2 * np.exp(-0.5 * (residual / scale) ** 2)
        prior = share * max_matches / len(near)
        posterior = prior * same / (prior * same + (1 - prior) * different)
        share = float(np.clip(posterior.sum() / max_matches, 0.01, 0.99))
    return np.asarray(posterior), share


def _assigned(near: Ints, posterior: Floats, shape: tuple[int, int]) -> tuple[Ints, Ints, Floats]:
    """One-to-one pairs with the largest product of odds, of those whose posterior is high enough."""
    from scipy.optimize import linear_sum_assignment

    odds = np.zeros(shape)
    p = np.clip(posterior, 1e-9, 1 - 1e-9)
    odds[tuple(near.T)] = np.maximum(np.log(p / (1 - p)), 0)
    rows, columns = linear_sum_assignment(odds, maximize=True)
    full = np.zeros(shape)
    full[tuple(near.T)] = posterior
    chosen = full[rows, columns]
    good = chosen >= MIN_POSTERIOR
    return rows[good].astype(np.int64), columns[good].astype(np.int64), chosen[good]
