"""The map from places on the chip to places in the stimulus, from somata and the receptive fields of the same cells.

A chip is on the retina turned, shifted and perhaps mirrored; a similarity says how. Many pairs are wrong (a soma of
another cell, a field of noise), so the map is the one that most pairs support, and it counts only where a shuffle of
the pairs never supports one as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdmea.geometry.receptive_field import ReceptiveField
from hdmea.geometry.robust import TUKEY, Floats
from hdmea.geometry.soma import SomaGeometry

NAN = float("nan")
Complexes = NDArray[np.complex128]


# When a map counts, and constants of the search.
MIN_PAIRS = 6  # for anything
WRONG_PX = 1.5  # residual at which a pair counts as wrong in the search
TRIALS = 300  # pairs of units that are tried; all of them of at most `all_up_to` units
ALL_UP_TO = 25
MIN_APART = 0.25  # distance of the units of a pair, as part of the median radius
SCALE_PX = (0.08, 1.5)  # bounds of the residuals' SD
MIN_INLIERS = 5  # pairs, and share of all, that must agree
MIN_SHARE = 0.4
MAX_SCALE_ERROR = 0.15  # relative standard error of the scale
PARAMETERS = 4  # of a similarity, that the residuals' degrees of freedom lack
PERMUTATIONS = 99  # of the shuffle
SEED = 0
MIN_AFFINE = 20  # pairs for an affine map
MIN_SE_PX = 0.05  # of a field's centre, when pairs are weighted


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """A map from the chip to the stimulus: field = matrix · chip + shift.

    Chip places are in µm (x right, y down), field places in pixels of the noise movie. Where the map is not valid, all
    but `n`, `p`, what was counted and `reason` is NaN.

    Attributes
    ----------
    valid
        Whether the map counts.
    n, n_inliers
        Pairs, and those with a weight above 0.1.
    matrix
        (2, 2), px/µm.
    shift
        (2,), px.
    scale_px_per_um, scale_relative_se
        Of the map, and its relative standard error.
    rotation_deg
        In [0, 360): the angle in the movie of the chip's x axis.
    reflected
        y runs the other way.
    model
        "similarity" or "affine".
    residual_sd
        Of one coordinate, px, with the degrees of freedom that the map took.
    p
        Part of the shuffled pairings, and this one, that support a map as well.
    residuals
        (n,), px.
    weights
        (n,), robust ones times those by `fields_se_px`.
    center
        (2,), µm: the weighted mean of the chip places.
    spread
        (2, 2), 1/µm²: how the error of `predict` grows with the distance from `center`.
    reason
        Why the map is not valid.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import align
    >>> chip = np.random.default_rng(0).uniform(0, 1000, (20, 2))
    >>> alignment = align(chip, 0.0125 * chip + [2.0, 3.0])
    >>> alignment.predict([[400.0, 800.0]]).round(2)
    array([[ 7., 13.]])
    """

    valid: bool
    n: int
    matrix: Floats = field(default_factory=lambda: np.full((2, 2), np.nan))
    shift: Floats = field(default_factory=lambda: np.full(2, np.nan))
    scale_px_per_um: float = NAN
    scale_relative_se: float = NAN
    rotation_deg: float = NAN
    reflected: bool = False
    model: str = "similarity"
    residual_sd: float = NAN
    n_inliers: int = 0
    p: float = NAN
    residuals: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    weights: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    center: Floats = field(default_factory=lambda: np.full(2, np.nan), repr=False)
    spread: Floats = field(default_factory=lambda: np.full((2, 2), np.nan), repr=False)
    reason: str = ""

    def predict(self, chip_um: ArrayLike) -> Floats:
        """Field places of chip places: not clipped, NaN where the map is not valid."""
        places: Floats = np.asarray(chip_um, np.float64) @ self.matrix.T + self.shift
        return places

    def predict_se(self, chip_um: ArrayLike) -> Floats:
        """Standard error of one coordinate of `predict`: of the map, without the scatter of single cells.

        Parameters
        ----------
        chip_um
            (…, 2) x, y in µm.

        Returns
        -------
        ndarray
            float64 (…,), px.
        """
        apart = np.asarray(chip_um, np.float64) - self.center
        distance = np.einsum("...i,ij,...j->...", apart, self.spread, apart)
        errors: Floats = self.residual_sd * np.sqrt(1 / max(float(self.weights.sum()), 1e-12) + distance)
        return errors

    def predict_ci95(self, chip_um: ArrayLike) -> Floats:
        """Half of the 95 % interval of one coordinate of `predict`: Student's t of 2 · n_inliers − 4, times its error.

        Parameters
        ----------
        chip_um
            (…, 2) x, y in µm.

        Returns
        -------
        ndarray
            float64 (…,), px.
        """
        from scipy.special import stdtrit

        half: Floats = stdtrit(max(2 * self.n_inliers - PARAMETERS, 1), 0.975) * self.predict_se(chip_um)
        return half


@dataclass(frozen=True, slots=True)
class Pairs:
    """Units that have both a soma and a receptive field, and where these are.

    Attributes
    ----------
    units
        (n,) indices of the units.
    chip_um, fields_px
        (n, 2) x, y.
    fields_se_px
        (n,) standard errors of the fields' centres.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import Pairs, align
    >>> chip = np.random.default_rng(0).uniform(0, 1000, (20, 2))
    >>> pairs = Pairs(np.arange(20), chip, 0.0125 * chip, np.full(20, 0.1))
    >>> align(pairs.chip_um, pairs.fields_px, pairs.fields_se_px).valid
    True
    """

    units: NDArray[np.int64]
    chip_um: Floats
    fields_px: Floats
    fields_se_px: Floats


def usable_pairs(somata: Sequence[SomaGeometry], fields: Sequence[ReceptiveField]) -> Pairs:
    """Places of the units whose soma is found and whose field is significant and fitted.

    Parameters
    ----------
    somata, fields
        One of both for each unit.

    Returns
    -------
    Pairs
        Of the units that have both.

    Raises
    ------
    ValueError
        As many somata as fields are not given.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import ImageScale, receptive_field, soma_geometry, usable_pairs
    >>> noise = np.random.default_rng(0).normal(size=(60, 15, 15))
    >>> soma = soma_geometry(noise, ImageScale(20_000, 20, 16))
    >>> len(usable_pairs([soma], [receptive_field(noise)]).units)
    0
    """
    if len(somata) != len(fields):
        raise ValueError(f"{len(somata)} somata and {len(fields)} fields: each unit has one of both")
    both = list(zip(somata, fields, strict=True))
    usable = [n for n, (soma, one) in enumerate(both) if soma.found and one.significant and not one.fit_reason]
    return Pairs(
        np.array(usable, np.int64),
        np.array([(both[n][0].center_col_um, both[n][0].center_row_um) for n in usable]).reshape(-1, 2),
        np.array([(both[n][1].center_col, both[n][1].center_row) for n in usable]).reshape(-1, 2),
        np.array([np.hypot(both[n][1].center_col_se, both[n][1].center_row_se) / np.sqrt(2) for n in usable]),
    )


def align(
    chip_um: ArrayLike,
    fields_px: ArrayLike,
    fields_se_px: ArrayLike | None = None,
    *,
    affine: bool = False,
) -> Alignment:
    """Find the map from the chip to the stimulus.

    Parameters
    ----------
    chip_um
        (n, 2) x, y of somata in µm.
    fields_px
        (n, 2) x, y of the same cells' receptive fields in pixels. Give only cells with a significant soma and field.
    fields_se_px
        (n,) standard errors of the fields' centres; weights are their inverse squares.
    affine
        Fit an affine map at the end, where there are `MIN_AFFINE` pairs. Never better in tests with similarities.

    Returns
    -------
    Alignment
        Not valid, with its reason, where a condition (the constants of this module) is not met.

    Raises
    ------
    ValueError
        Shapes do not fit, or a value is not finite.

    Notes
    -----
    A search over pairs of units for the map that most others support, a robust fit (Beaton & Tukey 1974, Technometrics
    16:147), and a test against shuffled pairings. docs/geometry.md has its accuracy.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import align
    >>> chip = np.random.default_rng(0).uniform(0, 1000, (20, 2))
    >>> alignment = align(chip, 0.0125 * chip[:, ::-1] + [2.0, 3.0])
    >>> alignment.valid, alignment.reflected, round(alignment.scale_px_per_um, 4)
    (True, True, 0.0125)
    """
    chip, fields = (np.asarray(part, np.float64).reshape(-1, 2) for part in (chip_um, fields_px))
    errors = np.ones(len(chip)) if fields_se_px is None else np.asarray(fields_se_px, np.float64)
    if not len(chip) == len(fields) == errors.size:
        raise ValueError(
            f"{len(chip)} somata, {len(fields)} fields and {errors.size} errors: each pair has one of each"
        )
    if not all(np.isfinite(part).all() for part in (chip, fields, errors)):
        raise ValueError("somata, fields and errors must be finite: leave out units without a soma or a field")
    if len(chip) < MIN_PAIRS:
        return Alignment(valid=False, n=len(chip), reason=f"too few: {len(chip)} pairs, {MIN_PAIRS} are needed")
    search = _Search(chip, fields)
    cost, reflected, residuals = search.best(fields)
    prior = 1 / np.maximum(errors, MIN_SE_PX) ** 2
    fit = _refined(chip, fields, prior / prior.mean(), reflected, residuals, affine)
    if fit is None:
        return Alignment(valid=False, n=len(chip), reason="fewer than 3 pairs support any map")
    p = search.p_value(cost)
    reason = _refused(fit, p, len(chip))
    if reason:
        return Alignment(valid=False, n=len(chip), n_inliers=fit.inliers, p=p, reason=reason)
    return _accepted_alignment(fit, p, affine and len(chip) >= MIN_AFFINE)


def to_movie_pixels(place_px: ArrayLike, factor: float) -> Floats:
    """A place in pixels of one movie as pixels of a finer movie over the same screen.

    Pixel centres are at integers in both: factor · place + (factor − 1)/2, 20 · place + 9.5 from 15 to 300 pixels.
    """
    places: Floats = factor * np.asarray(place_px, np.float64) + (factor - 1) / 2
    return places


class _Search:
    """The pairs of units that maps are tried from, the same for the pairs as they are and for every shuffle."""

    def __init__(self, chip: Floats, fields: Floats) -> None:
        self.fields = fields
        self.random = np.random.default_rng(SEED)
        count = len(chip)
        if count > ALL_UP_TO:
            first, second = self.random.integers(0, count, (TRIALS, 2)).T
        else:
            first, second = np.tril_indices(count, -1)
        self.chips = [_complex(chip), _complex(chip).conj()]
        radius = np.median(np.abs(self.chips[0] - np.median(self.chips[0].real) - 1j * np.median(self.chips[0].imag)))
        apart = np.abs(self.chips[0][first] - self.chips[0][second]) > MIN_APART * radius
        self.first, self.second = first[apart], second[apart]

    def best(self, fields: Floats) -> tuple[float, bool, Floats]:
        """Cost, reflection and residuals (px) of the map with least cost: Σ min((residual/wrong)², 1)."""
        q = _complex(fields)
        best: tuple[float, bool, Floats] = (np.inf, False, np.full(len(q), np.inf))
        if not len(self.first):
            return best
        for reflected, p in enumerate(self.chips):
            turn = (q[self.first] - q[self.second]) / (p[self.first] - p[self.second])
            shift = q[self.first] - turn * p[self.first]
            square = _squares(turn[:, None] * p + (shift[:, None] - q))
            costs = np.minimum(square / WRONG_PX**2, 1).sum(axis=1)
            trial = int(costs.argmin())
            if costs[trial] < best[0]:
                best = float(costs[trial]), bool(reflected), np.sqrt(square[trial])
        return best

    def p_value(self, cost: float) -> float:
        """(1 + shuffles whose best cost is at most this one's)/(1 + shuffles)."""
        shuffles = PERMUTATIONS
        if shuffles == 0:
            return NAN
        as_good = sum(self.best(self.random.permutation(self.fields))[0] <= cost for _ in range(shuffles))
        return (1 + as_good) / (1 + shuffles)


def _complex(places: Floats) -> Complexes:
    return places[:, 0] + 1j * places[:, 1]


def _squares(values: Complexes) -> Floats:
    squares: Floats = values.real**2 + values.imag**2
    return squares


@dataclass(frozen=True, slots=True)
class _Fit:
    chip: Floats
    matrix: Floats
    shift: Floats
    residuals: Floats
    weights: Floats
    prior: Floats
    sd: float
    reflected: bool

    @property
    def inliers(self) -> int:
        return int((self.weights > 0.1).sum())

    @property
    def scale(self) -> float:
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def center(self) -> Floats:
        """Weighted mean of the chip's places."""
        center: Floats = np.average(self.chip, axis=0, weights=self.weights * self.prior)
        return center

    @property
    def scale_relative_se(self) -> float:
        used = self.chip[self.weights > 0.1]
        radius = float(np.sqrt(((used - used.mean(axis=0)) ** 2).sum(axis=1).mean()))
        return self.sd / max(radius * float(np.sqrt(len(used))) * self.scale, 1e-12)


def _refined(
    chip: Floats,
    fields: Floats,
    prior: Floats,
    reflected: bool,
    residuals: Floats,
    affine: bool,
) -> _Fit | None:
    """Iteratively reweighted least squares from the pairs that support the best map."""
    weights = (residuals < 2 * WRONG_PX).astype(np.float64)
    fit: _Fit | None = None
    affine = affine and len(chip) >= MIN_AFFINE
    for _ in range(30):
        if (weights > 0).sum() < 3:
            return None
        solve = _affine if affine else _similarity
        matrix, shift = solve(chip, fields, weights * prior, reflected)
        errors = np.hypot(*(chip @ matrix.T + shift - fields).T)
        near = errors[errors < 3 * WRONG_PX]
        sd = float(np.clip(np.median(near) / 1.177 if len(near) else np.inf, *SCALE_PX))  # Rayleigh's median
        part = errors / (TUKEY * sd)
        weights = np.where(part < 1, (1 - part * part) ** 2, 0.0)
        fit = _Fit(chip, matrix, shift, errors, weights, prior, sd, reflected)
    return fit


def _similarity(chip: Floats, fields: Floats, weights: Floats, reflected: bool) -> tuple[Floats, Floats]:
    """Least squares of q = a · p + b, or a · p̄ + b, in complex numbers."""
    p, q = _complex(chip), _complex(fields)
    p = p.conj() if reflected else p
    total = weights.sum()
    mean_p, mean_q = (weights @ p) / total, (weights @ q) / total
    turn = (weights * (p - mean_p).conj()) @ (q - mean_q) / max(float(weights @ _squares(p - mean_p)), 1e-12)
    shift = mean_q - turn * mean_p
    matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return matrix @ np.diag([1.0, -1.0 if reflected else 1.0]), np.array([shift.real, shift.imag])


def _affine(chip: Floats, fields: Floats, weights: Floats, reflected: bool) -> tuple[Floats, Floats]:
    design = np.column_stack([chip, np.ones(len(chip))])
    root = np.sqrt(weights)[:, None]
    solution = np.linalg.lstsq(design * root, fields * root, rcond=None)[0]
    return solution[:2].T, solution[2]


def _refused(fit: _Fit, p: float, given: int) -> str:
    least = max(MIN_INLIERS, MIN_SHARE * given)
    if fit.inliers < least:
        return f"{fit.inliers} of {given} pairs agree on a map"
    if not fit.scale_relative_se < MAX_SCALE_ERROR:
        return f"the scale is known to {100 * fit.scale_relative_se:.0f} %"
    if p > 1 / (1 + PERMUTATIONS):
        return f"shuffled pairs support a map as well (p = {p:.2f})"
    return ""


def _accepted_alignment(fit: _Fit, p: float, affine: bool) -> Alignment:
    apart = fit.chip - fit.center
    weights = fit.weights * fit.prior
    spread = (
        np.linalg.pinv((apart.T * weights) @ apart)
        if affine
        else np.eye(2) / max(float((weights * (apart**2).sum(axis=1)).sum()), 1e-12)
    )
    return Alignment(
        valid=True,
        n=len(fit.chip),
        matrix=fit.matrix,
        shift=fit.shift,
        scale_px_per_um=fit.scale,
        scale_relative_se=fit.scale_relative_se,
        rotation_deg=float(np.degrees(np.arctan2(fit.matrix[1, 0], fit.matrix[0, 0])) % 360),
        reflected=bool(np.linalg.det(fit.matrix) < 0),
        model="affine" if affine else "similarity",
        residual_sd=fit.sd * np.sqrt(2 * fit.inliers / (2 * fit.inliers - PARAMETERS)),
        n_inliers=fit.inliers,
        p=p,
        residuals=fit.residuals,
        weights=weights,
        center=fit.center,
        spread=spread,
    )
