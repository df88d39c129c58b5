"""A white-noise movie made ready for models: its patterns, each once, and frames in folds for cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdmea.geometry.receptive_field import hold_frames
from hdmea.geometry.robust import Bools, Floats
from hdmea.kernels.sta import triggered_average

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FoldPlan:
    """Split of a movie for cross-validation.

    Attributes
    ----------
    folds
        Parts.
    block_frames
        Frames that are together in one part, parts by turns.
    lags
        Frames of the filter.

    Examples
    --------
    >>> from hdmea.geometry import FoldPlan
    >>> FoldPlan(folds=3).block_frames
    240
    """

    folds: int = 5
    block_frames: int = 240
    lags: int = 30

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"folds must be at least 2, got {self.folds}")
        if not 1 <= self.lags <= self.block_frames:
            raise ValueError(f"lags must be from 1 to block_frames ({self.block_frames}), got {self.lags}")


@dataclass(frozen=True, slots=True)
class NoiseMovie:
    """A noise movie, prepared once for all units; made by `NoiseMovie.of`.

    Attributes
    ----------
    frames
        The movie (frames, height, width).
    patterns
        float32 (patterns, pixels), each run of equal frames once.
    shown
        (frames,) pattern of each frame.
    hold
        Frames of the shortest run.
    plan
        How it is split.
    part
        (frames,) the fold that a frame is in.
    touches
        (frames,) whether its filter's window reaches back into the fold before.
    training, tested
        For each fold (frames,): the frames that its filter may see, last all, and those that it is judged on.
    means
        float64 (folds + 1, pixels) of the training frames of each fold, last of all frames.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import NoiseMovie
    >>> patterns = np.random.default_rng(0).integers(0, 2, (400, 5, 5), np.uint8)
    >>> movie = NoiseMovie.of(np.repeat(patterns, 4, axis=0))
    >>> movie.hold, movie.patterns.shape
    (4, (400, 25))
    """

    frames: NDArray[Any]
    patterns: NDArray[np.float32]
    shown: Ints
    hold: int
    plan: FoldPlan
    part: Ints
    touches: Bools
    training: tuple[Bools, ...]
    tested: tuple[Bools, ...]
    means: Floats

    @classmethod
    def of(cls, movie: NDArray[Any], plan: FoldPlan | None = None) -> NoiseMovie:
        """Prepare a movie once for all units.

        Parameters
        ----------
        movie
            (frames, height, width), uint8 or any real dtype.
        plan
            How it is split; default `FoldPlan()`.

        Returns
        -------
        NoiseMovie
            Prepared.

        Raises
        ------
        ValueError
            It does not have three axes, or has no frames in some fold.
        """
        plan = plan or FoldPlan()
        if movie.ndim != 3:
            raise ValueError(f"a movie has axes (frames, height, width), got shape {movie.shape}")
        if len(movie) < (plan.folds - 1) * plan.block_frames + plan.lags:
            raise ValueError(f"{len(movie)} frames are too few for {plan.folds} folds of {plan.block_frames} frames")
        flat = np.asarray(movie).reshape(len(movie), -1)
        starts = np.append(True, (flat[1:] != flat[:-1]).any(axis=1))
        patterns, shown = flat[starts].astype(np.float32), np.cumsum(starts) - 1
        frame = np.arange(len(movie))
        part = (frame // plan.block_frames) % plan.folds
        touches = (frame % plan.block_frames < plan.lags - 1) & (frame >= plan.block_frames)
        training, tested = _fold_frames(part, touches, plan)
        means = np.empty((plan.folds + 1, patterns.shape[1]))
        for fold, used in enumerate(training):
            weights = np.bincount(shown[used], minlength=len(patterns)).astype(np.float64)
            means[fold] = np.einsum("n,np->p", weights, patterns) / weights.sum()
        return cls(movie, patterns, shown, hold_frames(flat), plan, part, touches, training, tested, means)

    def counts(self, spikes: NDArray[Any]) -> Floats:
        """Spikes in each frame."""
        inside = spikes[(spikes >= 0) & (spikes < len(self.shown))].astype(np.int64)
        return np.bincount(inside, minlength=len(self.shown)).astype(np.float64)

    @property
    def averages_bytes(self) -> int:
        """Bytes that `averages` holds at once for each train."""
        kinds, sets = 2 * self.plan.folds, self.plan.folds + 1
        return (2 * kinds + 2 * sets) * self.plan.lags * int(self.patterns.shape[1]) * 8

    def averages(self, trains: list[NDArray[Any]], threads: int | None = None) -> Floats:
        """Spike-triggered averages of each fold's training spikes, minus its mean.

        The spikes are sorted into two kinds a fold (their window touches the fold before or not), and every fold's
        training set is a sum of kinds: the movie is passed once.

        Parameters
        ----------
        trains
            For each unit (spikes,) the frames of its spikes.
        threads
            The result does not depend on it.

        Returns
        -------
        ndarray
            float64 (trains, folds + 1, lags, pixels); NaN for a fold without spikes.
        """
        folds, lags = self.plan.folds, self.plan.lags
        kinds = 2 * folds
        sorted_spikes, offsets = [], [0]
        for train in trains:
            inside = train[(train >= 0) & (train < len(self.shown))].astype(np.int64)
            kind = 2 * self.part[inside] + self.touches[inside]
            order = np.argsort(kind, kind="stable")
            sorted_spikes.append(inside[order])
            offsets.extend((offsets[-1] + np.cumsum(np.bincount(kind, minlength=kinds))).tolist())
        triggers = np.concatenate(sorted_spikes) if sorted_spikes else np.empty(0, np.int64)
        means, counts = triggered_average(self.frames, triggers, np.array(offsets), (1 - lags, 1), threads=threads)
        sums = np.where(counts[:, None, None, None] > 0, means, 0).astype(np.float64)
        sums *= counts[:, None, None, None]
        sums, counts = sums.reshape(len(trains), kinds, lags, -1), counts.reshape(len(trains), kinds)
        used = self._kinds_used()
        total = np.einsum("fk,uk->uf", used, counts)
        with np.errstate(invalid="ignore"):
            averages: Floats = np.einsum("fk,uklp->uflp", used, sums) / total[..., None, None]
        return averages - self.means[:, None, :]

    def _kinds_used(self) -> Floats:
        """(folds + 1, kinds) 1 where a kind of spikes belongs to a fold's training set."""
        folds = self.plan.folds
        used = np.ones((folds + 1, 2 * folds))
        for fold in range(folds):
            used[fold, 2 * fold : 2 * fold + 2] = 0
            used[fold, 2 * ((fold + 1) % folds) + 1] = 0
        return used

    def drive(self, weights: Floats, kernel: Floats) -> Floats:
        """Projection of each frame on a filter."""
        seen = np.einsum("np,p->n", self.patterns, weights.ravel().astype(np.float32))
        return np.convolve(seen.astype(np.float64)[self.shown], kernel)[: len(self.shown)]


def _fold_frames(part: Ints, touches: Bools, plan: FoldPlan) -> tuple[tuple[Bools, ...], tuple[Bools, ...]]:
    """Frames that each fold's filter may see, and is judged on: only those with all lags before them.

    It may see frames of other folds whose window does not touch its own. The last entry: all frames.
    """
    whole = np.arange(len(part)) >= plan.lags - 1
    training = [whole & (part != fold) & ~((part == (fold + 1) % plan.folds) & touches) for fold in range(plan.folds)]
    return (*training, whole), tuple(whole & (part == fold) for fold in range(plan.folds))
