"""Types of cells from their responses: groups, sparse components, Gaussian mixtures, and how stable each type is.

After Baden et al. 2016, Nature 529:345. A type without its stability says nothing, so each is reported with it: the
mean Jaccard similarity of its cells with those of the best type of a bootstrap sample (Hennig 2007, Comput Stat Data
Anal 52:258).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STABLE = 0.75  # Hennig's limit of a valid, stable cluster
SPARSE_STEPS = 100
GROUPS = ("ipRGC", "direction selective", "orientation selective", "other")


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
        """Which types may be called types (k,)."""
        return np.asarray((self.stability >= STABLE) & (self.k > 1))


def groups_of(
    light_index: Floats, direction_p: Floats, orientation_p: Floats, *, alpha: float = 0.05, least_index: float = 0.7
) -> list[str]:
    """The group of each cell: ipRGC by its index, else selective by p, else other. NaN is no evidence."""
    found = []
    for index, direction, orientation in zip(light_index, direction_p, orientation_p, strict=True):
        which = 0 if index > least_index else 1 if direction < alpha else 2 if orientation < alpha else 3
        found.append(GROUPS[which])
    return found


def sparse_components(values: Floats, count: int, non_zero: int) -> Floats:
    """Loadings (count, features) of unit length, `non_zero` of each not zero, that explain most variance one by one.

    values: (cells, features); each feature's mean is taken out. By the truncated power method (Yuan & Zhang 2013, J
    Mach Learn Res 14:899) with deflation by projection; the start is the covariance's largest column.
    """
    x = values - values.mean(axis=0)
    non_zero = min(non_zero, x.shape[1])
    loadings = np.zeros((count, x.shape[1]))
    for n in range(count):
        loading = _truncated(x.T @ x[:, (x**2).sum(axis=0).argmax()], non_zero)
        for _ in range(SPARSE_STEPS):
            new = _truncated(x.T @ (x @ loading), non_zero)
            if np.abs(new - loading).max() < 1e-9:
                break
            loading = new
        loadings[n] = loading
        x = x - np.outer(x @ loading, loading)
    return loadings


def _truncated(vector: Floats, non_zero: int) -> Floats:
    """The largest entries of a vector, of unit length together, the rest zero."""
    kept = np.zeros_like(vector)
    largest = np.argpartition(np.abs(vector), -non_zero)[-non_zero:]
    kept[largest] = vector[largest]
    size = float(np.linalg.norm(kept))
    return kept / size if size > 0 else kept


def trace_features(traces: Sequence[Floats], components: Sequence[tuple[int, int]]) -> Floats:
    """Features (cells, n) of mean traces, z-scored: scores of sparse components of each stimulus.

    traces: of each stimulus (cells, T), each cell's trace divided by its root mean square first; components: of
    each stimulus how many, and how many loadings of each are not zero.
    """
    parts = []
    for trace, (count, non_zero) in zip(traces, components, strict=True):
        # Not the largest value: its noise would move all features of a cell together.
        scaled = trace / np.maximum(np.sqrt((trace**2).mean(axis=1, keepdims=True)), 1e-12)
        loadings = sparse_components(scaled, count, non_zero)
        parts.append((scaled - scaled.mean(axis=0)) @ loadings.T)
    features = np.concatenate(parts, axis=1)
    spread = features.std(axis=0)
    return np.asarray((features - features.mean(axis=0)) / np.where(spread > 0, spread, 1))


def find_types(
    features: Floats,
    *,
    most: int = 60,
    starts: int = 3,
    bootstraps: int = 20,
    seed: int = 0,
    patience: int = 5,
    progress: Callable[[str], Any] = lambda text: None,
) -> Typing:
    """Types of cells from features (cells, n): a Gaussian mixture with diagonal covariance, its k by BIC.

    most: the largest k; starts: of each fit; bootstraps: samples of the cells, fitted anew with that k; patience: after
    so many k without a better BIC, larger ones are not tried. Raises `ValueError` for features that are not finite.
    """
    x = np.asarray(features, np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError("features must be finite numbers (cells, features): leave out cells that lack a stimulus")
    most = max(1, min(most, len(x) // 5))
    bic, best = {}, _fitted(x, 1, starts, seed)
    bic[1] = float(best.bic(x))
    for k in range(2, most + 1):
        fit = _fitted(x, k, starts, seed)
        bic[k] = float(fit.bic(x))
        progress(f"{k} types: BIC {bic[k]:.0f}")
        if bic[k] < best.bic(x):
            best = fit
        if k - min(bic, key=bic.__getitem__) >= patience:
            break
    k = min(bic, key=bic.__getitem__)
    share = best.predict_proba(x)
    labels = share.argmax(axis=1).astype(np.int64)
    stability = _stability(x, labels, k, starts, bootstraps, seed)
    found = Typing(labels, share.max(axis=1), k, bic, stability, np.bincount(labels, minlength=k))
    if not found.is_stable.any():
        reason = "one type describes the cells best" if k == 1 else f"none of {k} types is stable"
        return Typing(labels, found.posterior, k, bic, stability, found.sizes, f"no stable type: {reason}")
    return found


def _fitted(x: Floats, k: int, starts: int, seed: int) -> Any:
    from hdmea.bridges.extras import required

    mixture = required("sklearn.mixture", "finding types of cells")
    fit = mixture.GaussianMixture(
        k, covariance_type="diag", n_init=starts, reg_covar=1e-3, random_state=seed, max_iter=200, tol=1e-3
    )
    return fit.fit(x)


def _stability(x: Floats, labels: Ints, k: int, starts: int, bootstraps: int, seed: int) -> Floats:
    """The mean over bootstraps of each type's largest Jaccard similarity with a type of the sample (k,)."""
    if k == 1:
        return np.ones(1)
    rng = np.random.default_rng(seed)
    similarity = np.zeros((bootstraps, k))
    for n in range(bootstraps):
        chosen = np.unique(rng.integers(0, len(x), len(x)))  # Hennig: points count once
        other = _fitted(x[chosen], k, starts, seed + 1 + n).predict(x[chosen])
        similarity[n] = _jaccards(labels[chosen], other, k)
    return np.asarray(similarity.mean(axis=0))


def _jaccards(labels: Ints, other: Ints, k: int) -> Floats:
    """Of each type the largest Jaccard similarity with any of the others; 0 for one that has no cells there."""
    both = np.zeros((k, k))
    np.add.at(both, (labels, other), 1)
    either = both.sum(axis=1)[:, None] + both.sum(axis=0)[None] - both
    return np.asarray((both / np.maximum(either, 1)).max(axis=1))


def shares_by_recording(labels: Ints, recordings: Sequence[str]) -> tuple[list[str], Floats]:
    """Each type's share of each recording's cells (recordings, k), which pooled types are judged by."""
    names = list(dict.fromkeys(recordings))
    counts = np.zeros((len(names), int(labels.max(initial=-1)) + 1))
    np.add.at(counts, (np.array([names.index(name) for name in recordings], np.int64), labels), 1)
    return names, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
