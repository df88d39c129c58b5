"""Synchrony of pairs of trains: tiling coefficient, correlation index, counts, cross-correlograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hdmea.kernels.coincidences import lag_counts, near_counts
from hdmea.spontaneous.trains import Floats, Ints, Trains, trains_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array

DT_S = 0.05
SHIFTS = 100
_AT_ONCE = 1 << 16  # pairs whose coefficients are found in one block of rows
SPARSE = 0.1  # share of bins with a spike below which rows of counts are multiplied as sparse ones


def sttc(
    trains: Sequence[npt.NDArray[Any]],
    *,
    dt: float = DT_S,
    sampling_frequency: float,
    start: int = 0,
    stop: int | None = None,
    threads: int | None = None,
) -> Floats:
    """Spike time tiling coefficients of all pairs of trains.

    Parameters
    ----------
    trains : sequence of (n,) integers
        Spikes of each train in samples; sorted first where they are not.
    dt : float
        Seconds, rounded to samples: spikes are near where they are `dt` apart at most.
    sampling_frequency : float
        Samples a second.
    start, stop : int
        The recording in samples; spikes outside [start, stop] are left out. Default: from 0 to the last spike of all.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    (trains, trains) float64
        Symmetric, from -1 to 1; 1 on the diagonal; NaN in the rows and columns of trains without a spike.

    Raises
    ------
    TypeError
        Trains that are not integers.
    ValueError
        A recording without length, a sampling frequency or `dt` that is not one.

    Notes
    -----
    With T_A the share of the recording within dt of a spike of A, and P_A the share of the spikes of A within dt of one
    of B: ((P_A - T_B) / (1 - P_A T_B) + (P_B - T_A) / (1 - P_B T_A)) / 2, a term with P = T = 1 being 1. Source: Cutts
    & Eglen 2014, J Neurosci 34:14288.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.spontaneous import sttc
    >>> together, alone = np.array([1000, 9000, 30000]), np.array([20000, 50000])
    >>> sttc([together, together + 100, alone], sampling_frequency=20_000, stop=60_000).round(3)
    array([[ 1.   ,  1.   , -0.083],
           [ 1.   ,  1.   , -0.083],
           [-0.083, -0.083,  1.   ]])
    """
    return sttc_of(trains_of(trains, sampling_frequency, start, stop), dt, threads)


def sttc_of(trains: Trains, dt: float = DT_S, threads: int | None = None) -> Floats:
    """As `sttc`, of trains that are checked."""
    window = _window(trains, dt)
    near = near_counts(trains.times, trains.offsets, dt=window, threads=threads)
    length = trains.stop - trains.start
    tiled = np.array([tiled_samples(trains[i], window, trains.start, trains.stop) for i in range(len(trains))])
    with np.errstate(invalid="ignore", divide="ignore"):
        share = near / trains.counts[:, None]
    covered = tiled / length
    coefficients = np.empty_like(share)
    rows = max(1, _AT_ONCE // max(1, len(trains)))  # whole matrices of thousands of trains are large
    for first in range(0, len(trains), rows):
        block = slice(first, first + rows)
        coefficients[block] = (_term(share[block], covered) + _term(share[:, block].T, covered[block, None])) / 2
    return coefficients


def _term(share: Floats, covered: Any) -> Floats:
    product = share * covered
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(product == 1, 1.0, (share - covered) / (1 - product))


def tiled_samples(train: Ints, window: int, start: int, stop: int) -> int:
    """The length of [start, stop] that is within `window` of a spike of an ascending train, in samples."""
    if not train.size:
        return 0
    apart = int(np.minimum(np.diff(train), 2 * window).sum()) + 2 * window
    before, behind = max(0, start - (int(train[0]) - window)), max(0, int(train[-1]) + window - stop)
    return apart - before - behind


def sttc_p_values(
    trains: Sequence[npt.NDArray[Any]],
    *,
    dt: float = DT_S,
    sampling_frequency: float,
    start: int = 0,
    stop: int | None = None,
    shifts: int = SHIFTS,
    seed: int = 0,
    threads: int | None = None,
) -> Floats:
    """Probability that trains without relation are as synchronous as each pair is.

    Parameters
    ----------
    trains : sequence of (n,) integers
        Spikes of each train in samples.
    dt, sampling_frequency, start, stop, threads
        As of `sttc`.
    shifts : int
        How often all trains are shifted, each as a whole by a random time of its own, what leaves at one end entering
        at the other.
    seed : int
        Of the random shifts.

    Returns
    -------
    (trains, trains) float64
        (1 + shifts in which the coefficient is as large) / (1 + shifts), one-sided, symmetric; NaN on the diagonal and
        where `sttc` is NaN. `hdmea.spontaneous.pair_q_values` makes q-values of them.

    Raises
    ------
    TypeError, ValueError
        As of `sttc`; and for fewer than one shift.

    Notes
    -----
    Source of the p-value: Phipson & Smyth 2010, Stat Appl Genet Mol Biol 9:39.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.spontaneous import sttc_p_values
    >>> rng = np.random.default_rng(0)
    >>> one, other = (np.sort(rng.integers(0, 1_000_000, 200)) for _ in range(2))
    >>> p = sttc_p_values([one, one + 20, other], sampling_frequency=20_000, stop=1_000_000)
    >>> float(p[0, 1].round(2)), bool(p[0, 2] > 0.05)
    (0.01, True)
    """
    if shifts < 1:
        raise ValueError(f"shifts must be at least 1, got {shifts}")
    checked = trains_of(trains, sampling_frequency, start, stop)
    observed = sttc_of(checked, dt, threads)
    rng, reached = np.random.default_rng(seed), np.ones(observed.shape)
    for _ in range(shifts):
        reached += sttc_of(checked.shifted(rng), dt, threads) >= observed
    p = np.where(np.isnan(observed), np.nan, reached / (1 + shifts))
    np.fill_diagonal(p, np.nan)
    return p


def pair_q_values(p_values: npt.NDArray[np.float64]) -> Floats:
    """Benjamini-Hochberg q-values of the pairs of a symmetric matrix of p-values.

    Parameters
    ----------
    p_values : (trains, trains) float64
        As of `sttc_p_values`; each pair is one test, one with NaN is none.

    Returns
    -------
    (trains, trains) float64
        Symmetric; NaN on the diagonal and where there is no test.

    Notes
    -----
    Source: Benjamini & Hochberg 1995, J R Stat Soc B 57:289.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.spontaneous import pair_q_values
    >>> pair_q_values(np.array([[np.nan, 0.01, 0.5], [0.01, np.nan, 0.04], [0.5, 0.04, np.nan]])).round(2)
    array([[ nan, 0.03, 0.5 ],
           [0.03,  nan, 0.06],
           [0.5 , 0.06,  nan]])
    """
    from hdmea.features.significance import q_values

    rows, columns = np.triu_indices(len(p_values), 1)
    q = np.full(p_values.shape, np.nan)
    q[rows, columns] = q[columns, rows] = q_values(p_values[rows, columns])
    return q


def correlation_index(
    trains: Sequence[npt.NDArray[Any]],
    *,
    dt: float = DT_S,
    sampling_frequency: float,
    start: int = 0,
    stop: int | None = None,
    threads: int | None = None,
) -> Floats:
    """Correlation indices of all pairs: how much likelier a spike is near one of the other train than at any time.

    Parameters
    ----------
    trains : sequence of (n,) integers
        Spikes of each train in samples.
    dt, sampling_frequency, start, stop, threads
        As of `sttc`.

    Returns
    -------
    (trains, trains) float64
        N_AB T / (N_A N_B 2 dt): N_AB pairs of spikes at most `dt` apart, T the recording. Symmetric; 1 for independent
        trains; NaN on the diagonal and for a train without a spike.

    Raises
    ------
    TypeError, ValueError
        As of `sttc`; and for a `dt` of less than a sample.

    Notes
    -----
    It depends on rates; `sttc` does not. Source: Wong, Meister & Shatz 1993, Neuron 11:923.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.spontaneous import correlation_index
    >>> one = np.array([1000, 9000, 30000])
    >>> correlation_index([one, one + 100], sampling_frequency=20_000, stop=60_000)
    array([[nan, 10.],
           [10., nan]])
    """
    return correlation_index_of(trains_of(trains, sampling_frequency, start, stop), dt, threads)


def correlation_index_of(trains: Trains, dt: float = DT_S, threads: int | None = None) -> Floats:
    """As `correlation_index`, of trains that are checked."""
    window = _window(trains, dt)
    if window < 1:
        raise ValueError(f"dt must be a sample at least, got {dt} s at {trains.sampling_frequency} Hz")
    pairs = lag_counts(trains.times, trains.offsets, low=-window, bin_samples=2 * window + 1, bins=1, threads=threads)[
        :, :, 0
    ]
    counts = trains.counts.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        index = pairs * ((trains.stop - trains.start) / (2 * window)) / np.outer(counts, counts)
    np.fill_diagonal(index, np.nan)
    return index


def count_correlation(
    trains: Sequence[npt.NDArray[Any]],
    *,
    bin_s: float = 0.1,
    sampling_frequency: float,
    start: int = 0,
    stop: int | None = None,
) -> Floats:
    """Pearson correlations of the spike counts in bins, of all pairs.

    Parameters
    ----------
    trains : sequence of (n,) integers
        Spikes of each train in samples.
    sampling_frequency, start, stop
        As of `sttc`.
    bin_s : float
        Seconds, rounded to samples, one at least. Bins begin at `start`; what is left at the end is no bin.

    Returns
    -------
    (trains, trains) float64
        Symmetric, 1 on the diagonal; NaN for a train whose counts are all equal.

    Raises
    ------
    TypeError, ValueError
        As of `sttc`; and for a recording of fewer than two bins.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.spontaneous import count_correlation
    >>> one = np.array([1000, 9000, 30000])
    >>> count_correlation([one, one + 100], sampling_frequency=20_000, stop=60_000).round(3)
    array([[1., 1.],
           [1., 1.]])
    """
    return count_correlation_of(trains_of(trains, sampling_frequency, start, stop), bin_s)


def count_correlation_of(trains: Trains, bin_s: float = 0.1) -> Floats:
    """As `count_correlation`, of trains that are checked."""
    from scipy.sparse import csr_array

    width = max(1, trains.samples(bin_s, "bin_s"))
    bins = (trains.stop - trains.start) // width
    if bins < 2:
        raise ValueError(f"a recording of {trains.duration_s:g} s has fewer than two bins of {bin_s:g} s")
    places = (trains.times - trains.start) // width
    rows = np.repeat(np.arange(len(trains)), trains.counts)[places < bins]
    counts = csr_array(
        (np.ones(len(rows)), (rows, places[places < bins])), (len(trains), bins)
    )  # adds up the same bins
    totals, squares = counts.sum(axis=1), counts.power(2).sum(axis=1)
    correlations: Floats = _products(counts) - np.outer(totals, totals) / bins
    varies = squares * bins > totals**2
    spread = np.sqrt(np.where(varies, squares - totals**2 / bins, np.nan))
    correlations = np.clip(correlations / np.outer(spread, spread), -1.0, 1.0).astype(np.float64)
    correlations[varies, varies] = 1.0
    return correlations


def _products(counts: csr_array) -> Floats:
    """Sums over bins of the products of all pairs of rows, exact: all numbers are whole."""
    if counts.nnz < SPARSE * counts.shape[0] * counts.shape[1]:
        return np.asarray((counts @ counts.T).toarray())
    exact = np.float32 if counts.power(2).sum(axis=1).max() < 1 << 24 else np.float64
    dense = counts.astype(exact).toarray()
    return np.asarray(dense @ dense.T, np.float64)


def cross_correlograms(
    trains: Sequence[npt.NDArray[Any]],
    *,
    window_s: float = 0.05,
    bin_s: float = 0.001,
    sampling_frequency: float,
    pairs: Sequence[tuple[int, int]] | None = None,
    threads: int | None = None,
) -> tuple[Ints, Floats]:
    """Cross-correlograms: how many spikes of a train follow those of another after how long.

    Parameters
    ----------
    trains : sequence of (n,) integers
        Spikes of each train in samples.
    sampling_frequency, threads
        As of `sttc`.
    window_s, bin_s : float
        Seconds; `bin_s` is rounded to samples, one at least, `window_s` to whole bins, one at least.
    pairs : sequence of (i, j), optional
        Trains by their numbers; default all with all.

    Returns
    -------
    counts : (trains, trains, bins) or (pairs, bins) int64
        Pairs of spikes, of i and of j, by the time of j's less that of i's; a spike and itself are no pair.
    edges_s : (bins + 1,) float64
        A bin has its first edge and not its last one.

    Raises
    ------
    TypeError
        Trains that are not integers.
    ValueError
        Numbers of seconds that are none, or `pairs` that name no train.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.spontaneous import cross_correlograms
    >>> one = np.array([1000, 9000, 30000])
    >>> counts, edges_s = cross_correlograms(
    ...     [one, one + 100], window_s=0.01, bin_s=0.005, sampling_frequency=20_000, pairs=[(0, 1), (1, 0)]
    ... )
    >>> counts
    array([[0, 0, 0, 3],
           [0, 3, 0, 0]])
    >>> edges_s
    array([-0.01 , -0.005,  0.   ,  0.005,  0.01 ])
    """
    lowest = min((int(np.min(train)) for train in trains if len(train)), default=0)
    checked = trains_of(trains, sampling_frequency, min(lowest, 0))
    width = max(1, checked.samples(bin_s, "bin_s"))
    side = max(1, round(checked.samples(window_s, "window_s") / width))
    counts = lag_counts(
        checked.times,
        checked.offsets,
        low=-side * width,
        bin_samples=width,
        bins=2 * side,
        pairs=pairs,
        threads=threads,
    )
    return counts, np.arange(-side, side + 1) * width / sampling_frequency


def _window(trains: Trains, dt: float) -> int:
    """`dt` in samples; never more than the recording is long, as nothing more is near then."""
    return min(trains.samples(dt, "dt"), trains.stop - trains.start, (1 << 30) - 1)
