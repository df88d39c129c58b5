"""Types of cells from their responses: groups, sparse components, Gaussian mixtures, and how stable each type is.

After Baden et al. 2016, Nature 529:345. A type without its stability says nothing, so each is reported with it: the
mean Jaccard similarity of its cells with those of the best type of a bootstrap sample (Hennig 2007, Comput Stat Data
Anal 52:258).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from h5burst import durable, parallel_map, thread_count
from hdmea.bridges.extras import required
from hdmea.features.significance import q_values

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STABLE = 0.75  # Hennig's limit of a valid, stable cluster
SPARSE_STEPS = 100
PATIENCE = 5  # numbers of types without a better BIC before larger ones are not tried
MIN_RELIABILITY = 0.7
VERSION = 2  # of how fits are made and judged
MIN_VARIANCE = 1.0  # features are in units of the least SD
WIDTH = 0.15  # SD within a type, of the size of a cell's response: what cells of one type differ by in any case
BIN_FRAMES = 3  # 50 ms: traces are low-passed at 10 Hz
MAX_FITTED = 15_000  # cells that mixtures are fitted to
_BLOCK = 4096  # cells at once
# Of ipRGCs; of many trials, a correlation of two of 0.5 is an index (`iprgc_2hz_QI`) of 0.71.
MIN_LIKENESS, MIN_SUSTAINED_HZ, MIN_LASTING = 0.5, 1.0, 0.5
FALSE_DISCOVERIES = 0.05
NO_RESPONSE = "no response"
SELECTIVE = ("direction selective", "orientation selective")
GROUPS = ("ipRGC", *SELECTIVE, NO_RESPONSE, "other")


@dataclass(frozen=True)
class Typing:
    """Types of some cells.

    labels: (cells,) number of the type; posterior: (cells,) that the cell is of it; k: types by BIC; bic: of each k
    that was tried; stability: (k,) mean Jaccard over bootstraps; sizes: (k,); is_stable: (k,). Where there is no more
    than one type, or none is stable, `reason` says so.
    """

    labels: Ints
    posterior: Floats
    k: int
    bic: Mapping[int, float]
    stability: Floats
    sizes: Ints
    reason: str = ""

    @property
    def is_stable(self) -> npt.NDArray[np.bool_]:
        """True for types that may be called types (k,)."""
        return np.asarray((self.stability >= STABLE) & (self.k > 1))


def groups_of(cells: Mapping[str, Floats]) -> list[str]:
    """The group of each cell: ipRGC by its responses to long light, else selective by p, no response by p, else other.

    cells: columns of the table of cells. In the group of ipRGCs the correlation of two trials of long light
    (`iprgc_2hz_r`) is above 0.5, and the response lasts: `iprgc_sustained` is above 1 Hz and half of `iprgc_onset`
    (cells that fire when light begins, or ends, have alike trials as well). Of the p-values of selectivity
    (`bar_dsi_p_value`, `bar_osi_p_value`) those count that the procedure of Benjamini & Hochberg (1995, J R Stat Soc B
    57:289) takes over all these cells, at a rate of false discoveries of 0.05. NaN is no evidence. Of the rest,
    those whose trials are not alike have no response (`is_unresponsive`).
    """
    sustained = cells["iprgc_sustained"]
    lasting = (sustained > MIN_SUSTAINED_HZ) & (sustained > MIN_LASTING * cells["iprgc_onset"])
    selective = [q_values(cells[name]) < FALSE_DISCOVERIES for name in ("bar_dsi_p_value", "bar_osi_p_value")]
    silent = is_unresponsive(cells["response_p_value"])
    which = np.select([lasting & (cells["iprgc_2hz_r"] > MIN_LIKENESS), *selective, silent], [0, 1, 2, 3], 4)
    return [GROUPS[n] for n in which.tolist()]


GROUPED_BY = (
    *("iprgc_2hz_r", "iprgc_sustained", "iprgc_onset", "bar_dsi_p_value", "bar_osi_p_value"),
    "response_p_value",
)


def is_unresponsive(p_values: Floats) -> npt.NDArray[np.bool_]:
    """True for cells whose full-field responses are not shown to repeat, of which no type can be told (cells,).

    p_values: `response_p_value` of all cells; the rate of false discoveries among those that respond is 0.05. A cell
    that could not be tested (NaN: a single trial) is not called so.
    """
    return np.asarray(q_values(p_values) >= FALSE_DISCOVERIES)


def sparse_components(values: Floats, count: int, non_zero: int) -> Floats:
    """Loadings (count, features) of unit length, `non_zero` of each not zero, that explain most variance one by one.

    values: (cells, features); each feature's mean is taken out. By the truncated power method (Yuan & Zhang 2013, J
    Mach Learn Res 14:899) on the covariance, with deflation by projection; the start is its largest column.
    """
    return _components(_covariance(values), count, non_zero)


def _covariance(values: Floats | npt.NDArray[np.float32]) -> Floats:
    """Σ (x - mean)(x - mean)ᵀ (features, features), cells by blocks."""
    mean = values.mean(axis=0, dtype=np.float64)
    total = np.zeros((values.shape[1], values.shape[1]))
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK] - mean
        total += block.T @ block
    return total


def _components(covariance: Floats, count: int, non_zero: int) -> Floats:
    non_zero = min(non_zero, len(covariance))
    loadings = np.zeros((count, len(covariance)))
    left = covariance.copy()
    for n in range(count):
        loading = _truncated(left[:, left.diagonal().argmax()], non_zero)
        for _ in range(SPARSE_STEPS):
            new = _truncated(left @ loading, non_zero)
            if np.abs(new - loading).max() < 1e-9:
                break
            loading = new
        loadings[n] = loading
        along = left @ loading
        left = left - np.outer(along, loading) - np.outer(loading, along)
        left += float(loading @ along) * np.outer(loading, loading)
    return loadings


def _truncated(vector: Floats, non_zero: int) -> Floats:
    """The largest entries of a vector, of unit length together, the rest zero."""
    kept = np.zeros_like(vector)
    largest = np.argpartition(np.abs(vector), -non_zero)[-non_zero:]
    kept[largest] = vector[largest]
    size = float(np.linalg.norm(kept))
    return kept / size if size > 0 else kept


@dataclass(frozen=True)
class Responses:
    """Mean traces of cells to one stimulus (cells, T); and, of some of the cells (numbers in `halves_of`), the means
    over every other trial (2, some, T), which tell what of a response repeats; None where there are too few trials.
    """

    means: npt.NDArray[np.float32]
    halves_of: Ints | None = None
    halves: npt.NDArray[np.float32] | None = None


def trace_features(
    responses: Iterable[Responses], count: int = 12, non_zero: int = 20, *, width: float = WIDTH
) -> Floats:
    """Features (cells, n) of mean traces: scores of up to `count` sparse components of each stimulus.

    Of a trace in bins of three frames the mean is taken out, and what is left has the size 1, so that scores are shares
    of a cell's response, here in units of `width`, the SD by which cells of a type scatter at least; `non_zero`
    loadings of each component are not zero. Left out are components whose scores do not repeat over trials (reliability
    of the mean by Spearman and Brown's formula, from the two halves, below 0.7), which are noise, of which a mixture
    would make types; and those in which cells differ by less than `width`.
    """
    parts = []
    for response in responses:
        binned = _binned(response.means)
        size = np.maximum(np.linalg.norm(binned, axis=1), 1e-12)[:, None]
        scaled = binned / size
        loadings = _components(_covariance(scaled), count, non_zero)
        scores = (scaled - scaled.mean(axis=0)) @ loadings.T
        kept = scores.std(axis=0) >= width
        if response.halves is not None and response.halves_of is not None:
            first, second = (_binned(half) / size[response.halves_of] @ loadings.T for half in response.halves)
            kept &= _reliabilities(first, second) >= MIN_RELIABILITY
        parts.append(scores[:, kept])
    return np.asarray(np.concatenate(parts, axis=1) / width, np.float64)


def _binned(traces: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Traces (cells, T) in bins of three frames, each less its mean; frames that fill no bin are left out."""
    bins = traces.shape[1] // BIN_FRAMES
    means = traces[:, : bins * BIN_FRAMES].reshape(len(traces), bins, BIN_FRAMES).mean(axis=2)
    return np.asarray(means - means.mean(axis=1, keepdims=True))


def _reliabilities(first: Floats, second: Floats) -> Floats:
    """Of each score (cells, n) the reliability of the mean of two measurements (n,)."""
    a, b = (one - one.mean(axis=0) for one in (first, second))
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    r = np.divide((a * b).sum(axis=0), size, out=np.zeros(len(size)), where=size > 0)
    return np.asarray(2 * r / np.maximum(1 + r, 1e-12))


def find_types(
    features: Floats,
    *,
    max_types: int = 60,
    starts: int = 5,
    bootstraps: int = 20,
    seed: int = 0,
    progress: Callable[[str], Any] = lambda text: None,
    kept: Path | None = None,
    threads: int | None = None,
) -> Typing:
    """Types of cells from features (cells, n): a Gaussian mixture with diagonal covariance, its k by BIC.

    features: in units of the least SD within a type (`trace_features`): with enough spikes a mixture finds any small
    difference, such as of sensitivity, which is none of type. max_types: the largest k, beyond five without a better
    BIC none is tried; starts: of each fit; bootstraps: samples of the cells, fitted anew with that k; kept: a file for
    what was computed, from which a call with the same features and options goes on; threads: fits at once, on which the
    result does not depend. Of more than 15 000 cells, mixtures are fitted to so many of them, drawn at random, and all
    cells get the type that is most probable by the best one. Raises `ValueError` for features that are not finite.
    """
    x = np.asarray(features, np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError("features must be finite numbers (cells, features): leave out cells that lack a stimulus")
    if not x.shape[1]:
        alone = Typing(np.zeros(len(x), np.int64), np.ones(len(x)), 1, {}, np.ones(1), np.array([len(x)]))
        return replace(alone, reason="no stable type: the cells have no responses that repeat and differ")
    chosen = np.arange(len(x))
    if len(x) > MAX_FITTED:
        chosen = np.sort(np.random.default_rng(seed).choice(len(x), MAX_FITTED, replace=False))
    fitted = x[chosen]
    max_types = max(1, min(max_types, len(fitted) // 5))
    with required("threadpoolctl", "finding types of cells").threadpool_limits(1):  # a fit a thread is faster
        at_once = threads or thread_count()
        fits = _Kept(kept, fitted, [VERSION, starts, seed])
        bic: dict[int, float] = {}
        for first in range(1, max_types + 1, at_once):
            some = range(first, min(first + at_once, max_types + 1))
            values = fits.values("bic", some, lambda k: _bic(_fitted(fitted, k, starts, seed), fitted), at_once)
            for k, value in zip(some, values, strict=True):
                if len(bic) and k - min(bic, key=bic.__getitem__) > PATIENCE:
                    break  # those that were computed at once with the last one that counts
                bic[k] = value
                progress(f"{k} types: BIC {value:.0f}")
            if some[-1] - min(bic, key=bic.__getitem__) >= PATIENCE:
                break
        k = min(bic, key=bic.__getitem__)
        best = _fitted(fitted, k, starts, seed)
        share = best.predict_proba(x)
        labels = share.argmax(axis=1).astype(np.int64)
        progress(f"stability of {k} types")
        of_fitted = labels[chosen]
        samples = fits.values(
            f"stability_{k}",
            range(bootstraps),
            lambda n: _similarity(fitted, of_fitted, k, starts, seed + 1 + n),
            at_once,
        )
    stability = np.mean(samples, axis=0) if k > 1 else np.ones(1)
    typing = Typing(labels, share.max(axis=1), k, bic, stability, np.bincount(labels, minlength=k))
    if not typing.is_stable.any():
        reason = "one type describes the cells best" if k == 1 else f"none of {k} types is stable"
        return replace(typing, reason=f"no stable type: {reason}")
    return typing


class _Kept:
    """Numbers that take long to compute, in a file beside the results, as long as they are of the same features."""

    def __init__(self, path: Path | None, x: Floats, options: list[int]) -> None:
        self._path = path
        digest = hashlib.sha256(np.round(x, 9).tobytes()).hexdigest()
        self._of = json.dumps([digest, *x.shape, *options])
        self._values: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            try:
                stored = json.loads(path.read_text(encoding="utf-8"))
                self._values = stored["values"] if stored["of"] == self._of else {}
            except (ValueError, KeyError, TypeError):
                self._values = {}

    def values(self, name: str, numbers: Sequence[int], compute: Callable[[int], Any], threads: int) -> list[Any]:
        """The value of each number, those that are not kept computed, in threads."""
        values_kept = self._values.setdefault(name, {})
        for first in range(0, len(numbers), threads):
            missing = [n for n in numbers[first : first + threads] if str(n) not in values_kept]
            values_kept |= dict(zip(map(str, missing), parallel_map(compute, missing, threads), strict=True))
            if missing and self._path is not None:
                with durable.replacing(self._path, overwrite=True) as temporary:
                    temporary.write_text(json.dumps({"of": self._of, "values": self._values}), encoding="utf-8")
        return [values_kept[str(n)] for n in numbers]


def _fitted(x: Floats, k: int, starts: int, seed: int) -> Any:
    mixture = required("sklearn.mixture", "finding types of cells")
    fit = mixture.GaussianMixture(
        k, covariance_type="diag", n_init=starts, reg_covar=MIN_VARIANCE, random_state=seed, max_iter=200, tol=1e-3
    )
    return fit.fit(x)


def _bic(fit: Any, x: Floats) -> float:
    """BIC of a mixture, whose variances count as parameters by what of them is not the least variance.

    A variance at its least value is given, not fitted: counted whole, it hides types that differ in few responses.
    """
    k, features = fit.means_.shape
    variances = float((1 - MIN_VARIANCE / fit.covariances_).sum())
    return float(-2 * len(x) * fit.score(x) + np.log(len(x)) * (k - 1 + k * features + variances))


def _similarity(x: Floats, labels: Ints, k: int, starts: int, seed: int) -> list[float]:
    """Of each type the largest Jaccard similarity with a type of a bootstrap sample (k,)."""
    if k == 1:
        return [1.0]
    rng = np.random.default_rng(seed)
    chosen = np.unique(rng.integers(0, len(x), len(x)))  # Hennig: points count once
    other = _fitted(x[chosen], k, starts, seed).predict(x[chosen])
    return [float(one) for one in _jaccards(labels[chosen], other, k)]


def _jaccards(labels: Ints, other: Ints, k: int) -> Floats:
    """Of each type the largest Jaccard similarity with any of the others; 0 for one that has no cells there."""
    both = np.zeros((k, k))
    np.add.at(both, (labels, other), 1)
    either = both.sum(axis=1)[:, None] + both.sum(axis=0)[None] - both
    return np.asarray((both / np.maximum(either, 1)).max(axis=1))


def are_small(group: str, sizes: Ints) -> npt.NDArray[np.bool_]:
    """True for types that may be cells of another group alone (k,): no more cells than tests are expected to let in.

    Of the cells of a selective group a share of 0.05 is expected to be false discoveries, whose responses may well be
    alike. sizes: (k,) cells of each type of the group.
    """
    return np.asarray((sizes <= FALSE_DISCOVERIES * sizes.sum()) & (group in SELECTIVE))


def shares_by_recording(labels: Ints, recordings: Sequence[str], cells: Mapping[str, int]) -> Floats:
    """Each type's share of all cells of each recording (recordings, k), which pooled types are judged by.

    recordings: of each cell that has a label; cells: how many each recording has, whether they have a type or not.
    """
    row = {name: n for n, name in enumerate(cells)}
    counts = np.zeros((len(row), int(labels.max(initial=-1)) + 1))
    np.add.at(counts, (np.array([row[name] for name in recordings], np.int64), labels), 1)
    return np.asarray(counts / np.maximum(np.array(list(cells.values())), 1)[:, None])
