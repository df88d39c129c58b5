"""A measure of pairs of units over their distance: bins, a decay, and the band that chance keeps within."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.spontaneous.trains import NAN, Floats, Ints, Trains

BINS = 20
BOOTSTRAPS = 100
NULL_SHIFTS = 20


@dataclass(frozen=True)
class OverDistance:
    """A measure of pairs over their distance.

    Attributes
    ----------
    edges_um : (bins + 1,) float64
        A bin has its first edge and not its last one; the last bin has both.
    pairs : (bins,) int64
        Pairs in each bin that have a value.
    mean : (bins,) float64
        Mean over them; NaN without a pair.
    null_low, null_high : (bins,) float64
        The lowest and the highest mean that shifted trains gave; NaN where none were shifted.
    decay_um, decay_se_um : float
        Distance over which the exponential fitted to the means falls to 1/e, and its standard error, by bootstrap over
        units; NaN where no decay can be fitted.
    at_zero : float
        Value of that exponential at distance 0; NaN where no decay can be fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.spontaneous import over_distance
    >>> places = np.stack([np.arange(12.0) * 100, np.zeros(12)], axis=1)
    >>> apart = np.abs(places[:, None, 0] - places[None, :, 0])
    >>> found = over_distance(0.5 * np.exp(-apart / 300), places, edges_um=np.arange(-50, 1200, 100))
    >>> round(found.decay_um), round(found.at_zero, 2)
    (300, 0.5)
    """

    edges_um: Floats
    pairs: Ints
    mean: Floats
    null_low: Floats
    null_high: Floats
    decay_um: float
    decay_se_um: float
    at_zero: float


def over_distance(
    matrix: npt.NDArray[np.float64],
    positions_um: npt.ArrayLike,
    *,
    edges_um: npt.ArrayLike | None = None,
    null: Iterable[npt.NDArray[np.float64]] = (),
    bootstraps: int = BOOTSTRAPS,
    seed: int = 0,
) -> OverDistance:
    """Bin a measure of pairs over the distance of their units, and fit an exponential decay.

    Parameters
    ----------
    matrix : (units, units) float64
        The measure, symmetric; the diagonal is not looked at, NaN is no value.
    positions_um : (units, 2) float
        Places of the units; pairs with a unit whose place is NaN are left out.
    edges_um : (bins + 1,) float, optional
        Ascending; default 20 bins of equal width from 0 to the largest distance.
    null : iterable of (units, units) float64
        The measure of trains without relation, such as of `null_matrices`.
    bootstraps : int
        How many samples of units, with replacement, the standard error is from; of fewer than two, NaN.
    seed : int
        Of these samples.

    Returns
    -------
    OverDistance
        Bins and decay.

    Raises
    ------
    ValueError
        Shapes that do not fit, or edges that do not ascend.

    Notes
    -----
    a exp(-d / λ) is fitted to the bins' means at their centres by least squares, weighted by the bins' pairs. No decay
    is found with fewer than three bins, where `a` is not positive, and where λ is beyond a hundredth to ten times the
    range of the bins. A sample of units counts a pair as often as both units are in it, and a unit with itself never.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.spontaneous import over_distance
    >>> flat = over_distance(np.zeros((4, 4)), np.array([[0, 0], [0, 42], [42, 0], [42, 42]]), edges_um=[0, 50, 100])
    >>> flat.pairs, flat.mean, flat.decay_um
    (array([4, 2]), array([0., 0.]), nan)
    """
    places = np.asarray(positions_um, np.float64)
    units = len(places)
    if places.shape != (units, 2) or matrix.shape != (units, units):
        raise ValueError(f"a matrix {matrix.shape} and positions {places.shape} are not of the same units")
    rows, columns = np.triu_indices(units, 1)
    apart = np.hypot(*(places[rows] - places[columns]).T)
    edges = _edges(edges_um, apart)
    bins = np.searchsorted(edges, apart, side="right") - 1
    bins[apart == edges[-1]] = len(edges) - 2
    placed = (bins >= 0) & (bins < len(edges) - 1)
    rows, columns, bins = rows[placed], columns[placed], bins[placed]

    def means_of(values: npt.NDArray[np.float64]) -> tuple[Floats, Ints]:
        return _means(values[rows, columns], bins, len(edges) - 1)

    mean, pairs = means_of(matrix)
    decay_um, at_zero = _decay(edges, mean, pairs)
    shifted = np.array([means_of(one)[0] for one in null]).reshape(-1, len(mean))
    low, high = (shifted.min(axis=0), shifted.max(axis=0)) if len(shifted) else (np.full(len(mean), NAN),) * 2
    error = NAN
    if np.isfinite(decay_um) and bootstraps > 1:
        error = _bootstrap(matrix[rows, columns], (rows, columns, bins), units, edges, bootstraps, seed)
    return OverDistance(edges, pairs, mean, low, high, decay_um, error, at_zero)


def null_matrices(
    trains: Trains, measure: Callable[[Trains], Floats], shifts: int = NULL_SHIFTS, seed: int = 0
) -> Iterable[Floats]:
    """A measure of all pairs, of trains that are each shifted by a random time of its own, again and again."""
    rng = np.random.default_rng(seed)
    for _ in range(shifts):
        yield measure(trains.shifted(rng))


def _edges(edges_um: npt.ArrayLike | None, apart: Floats) -> Floats:
    if edges_um is None:
        far = np.nanmax(apart) if np.isfinite(apart).any() else 0.0
        return np.linspace(0.0, far if far > 0 else 1.0, BINS + 1)
    edges = np.asarray(edges_um, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
        raise ValueError("edges_um must be two or more ascending distances")
    return edges


def _means(values: Floats, bins: Ints, count: int) -> tuple[Floats, Ints]:
    """Mean and number of values in each bin; NaN is no value."""
    is_value = ~np.isnan(values)
    counts = np.bincount(bins[is_value], minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.bincount(bins[is_value], values[is_value], count) / counts, counts


def _decay(edges: Floats, mean: Floats, pairs: Ints) -> tuple[float, float]:
    """λ and a of a exp(-d / λ); both NaN where none is found."""
    from scipy.optimize import minimize_scalar

    has_pairs = np.isfinite(mean) & (pairs > 0)
    if has_pairs.sum() < 3:
        return NAN, NAN
    centres, values, weights = (
        ((edges[1:] + edges[:-1]) / 2)[has_pairs],
        mean[has_pairs],
        pairs[has_pairs] / pairs[has_pairs].sum(),
    )

    def factor(log_length: Any) -> tuple[Any, Any]:
        shape = np.exp(-centres / np.exp(np.asarray(log_length))[..., None])
        total = (weights * shape**2).sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            a = np.where(total > 0, (weights * shape * values).sum(axis=-1) / total, 0.0)
        return a, (weights * (values - a[..., None] * shape) ** 2).sum(axis=-1)

    span = float(edges[-1] - edges[0])
    limits = np.log(span / 100), np.log(span * 10)
    grid = np.linspace(*limits, 60)
    best = grid[int(np.argmin(factor(grid)[1]))]
    step = grid[1] - grid[0]
    fit = minimize_scalar(lambda one: factor(one)[1], bounds=(best - step, best + step), method="bounded")
    a = float(factor(fit.x)[0])
    if not (a > 0 and limits[0] < fit.x < limits[1]):
        return NAN, NAN
    return float(np.exp(fit.x)), a


def _bootstrap(
    values: Floats, pairs: tuple[Ints, Ints, Ints], units: int, edges: Floats, samples: int, seed: int
) -> float:
    """The standard deviation of λ over samples of units."""
    from scipy.sparse import csr_array

    rows, columns, bins = pairs
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [np.bincount(rng.integers(0, units, units), minlength=units) for _ in range(samples)], np.float64
    ).T
    sums, counts = np.zeros((2, len(edges) - 1, samples))
    is_value = ~np.isnan(values)
    for one in range(len(edges) - 1):
        inside = is_value & (bins == one)
        places = (rows[inside], columns[inside])
        for out, entries in ((sums, values[inside]), (counts, np.ones(len(places[0])))):
            out[one] = (drawn * (csr_array((entries, places), (units, units)) @ drawn)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / counts
    lengths = np.array([_decay(edges, *sample)[0] for sample in zip(means.T, counts.T, strict=True)])
    finite = lengths[np.isfinite(lengths)]
    return float(finite.std(ddof=1)) if len(finite) > samples / 2 else NAN
