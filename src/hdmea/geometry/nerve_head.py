"""Optic-nerve head, where axons meet, on or off the chip, from somata and the directions of axons.

Each axon gives a bearing from its soma. The head is the point that most bearings agree on; it is fitted to angles, not
to distances from lines, because axons are measured in angles and have a forward sense. Where the chip is too far away
for a place, the common direction is what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdmea.geometry.robust import MAD_TO_SD, Bools, Floats, tukey_weights, wrapped

NAN = float("nan")
MAX_PAIRS, MAX_STARTS, MAX_STEPS = 3000, 1500, 60
START_SCALE = np.radians(15)  # of angles, when starting points are compared


# When an optic-nerve head counts, and constants of the fit.
MIN_AXONS = 6  # for anything
MIN_USED = 6  # axons, and share of all, that must agree
MIN_SHARE = 0.4
MAX_RELATIVE_SD = 0.15  # of the position's major axis over its distance
MAX_SCALE_DEG = 11.9  # spread of the angles at which the search has no hold
SCALE_DEG = (1.0, 12.0)  # bounds of that spread
NEAR_DEG = 30.0  # residuals that it is judged by
MIN_CROSSING_DEG = 3.0  # of two axons whose crossing is a starting point
COVARIANCE_FACTOR = 1.3  # on the model's, measured
SEED = 0  # of the pairs that are drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class NerveHead:
    """The optic-nerve head: where the axons of a retina meet.

    x (column) and y (row) are in electrodes from 0, angles in degrees from x towards y.

    Attributes
    ----------
    status
        "position", "direction" (the axons agree on a direction, not on a place: x and y are NaN) or "none".
    x, y, covariance
        The place, and its covariance (2, 2).
    region_major, region_minor, region_angle_deg
        The 95 % confidence ellipse: semi-axes, and the angle of the major one.
    direction_deg, direction_se_deg
        The robust mean of the axons' angles, and its standard error.
    resultant
        Length of the mean of their unit vectors, 1 where they are parallel.
    n, n_cells_used
        Axons given, and those that agree (weight above 0.05).
    scale_deg
        Spread of the angles about the fit.
    rmse_deg, rmse
        Weighted root mean square of the angles about the fit, and, in electrodes, of the distances of the axons' lines
        from the point.
    weights
        (n,) of each axon, 0 to 1.
    unaccepted
        x and y of a fit that does not count.
    method, reason
        How it was found, and why there is no position.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import find_nerve_head
    >>> somata = np.random.default_rng(0).uniform(0, 60, (30, 2))
    >>> head = find_nerve_head(somata, np.degrees(np.arctan2(-20 - somata[:, 1], 30 - somata[:, 0])))
    >>> head.status, round(head.x), round(head.y)
    ('position', 30, -20)
    """

    status: str
    x: float = NAN
    y: float = NAN
    covariance: Floats = field(default_factory=lambda: np.full((2, 2), np.nan), repr=False)
    region_major: float = NAN
    region_minor: float = NAN
    region_angle_deg: float = NAN
    direction_deg: float = NAN
    direction_se_deg: float = NAN
    resultant: float = NAN
    n: int = 0
    n_cells_used: int = 0
    scale_deg: float = NAN
    rmse_deg: float = NAN
    rmse: float = NAN
    weights: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    unaccepted: tuple[float, float] = (NAN, NAN)
    method: str = "robust fit of bearings"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SomaPolar:
    """A soma as seen from the optic-nerve head, in the chip's frame, x right and y down.

    Attributes
    ----------
    radius_um, radius_se_um
        Distance, and its standard error.
    angle_deg, angle_se_deg
        Of soma − head in [0, 360), from x towards y, and its standard error.

    Examples
    --------
    >>> from hdmea.geometry import NerveHead, soma_polar
    >>> soma_polar(NerveHead(status="none"), 3.0, 4.0, 16.0).radius_um
    nan
    """

    radius_um: float = NAN
    radius_se_um: float = NAN
    angle_deg: float = NAN
    angle_se_deg: float = NAN


def find_nerve_head(somata: ArrayLike, angles_deg: Sequence[float] | Floats) -> NerveHead:
    """The optic-nerve head from cells whose axon is seen.

    Parameters
    ----------
    somata
        (n, 2) x and y in electrodes.
    angles_deg
        (n,) directions of the axons, degrees from x towards y.

    Returns
    -------
    NerveHead
        `status` says whether it is a position, a direction or none.

    Raises
    ------
    ValueError
        Shapes do not fit or a value is not finite.

    Notes
    -----
    A robust fit of bearings (Beaton & Tukey 1974, Technometrics 16:147) that begins at crossings of pairs of axons.
    docs/geometry.md has its accuracy.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import find_nerve_head
    >>> somata = np.random.default_rng(0).uniform(0, 60, (30, 2))
    >>> find_nerve_head(somata, np.full(30, 90.0)).status  # parallel axons
    'direction'
    """
    places, angles = np.asarray(somata, np.float64).reshape(-1, 2), np.radians(np.asarray(angles_deg, np.float64))
    if angles.shape != (len(places),):
        raise ValueError(f"{len(places)} somata need as many angles, not an array of shape {angles.shape}")
    if not (np.isfinite(places).all() and np.isfinite(angles).all()):
        raise ValueError("somata and angles must be finite: leave out cells whose axon is not seen")
    if len(places) < MIN_AXONS:
        return NerveHead(status="none", n=len(places), reason=f"{len(places)} axons, at least {MIN_AXONS} are needed")
    start = _start(places, angles)
    if start is None:
        return NerveHead(**_direction(angles), n=len(places), reason="no two axons cross ahead of both")
    fit = _Bearings(places, angles).fitted(start)
    return _judged(fit)


def soma_polar(head: NerveHead, x: float, y: float, pitch_um: float) -> SomaPolar:
    """Polar coordinates of a soma about the head; NaN where the head has no position.

    Parameters
    ----------
    head
        Of `find_nerve_head`.
    x, y
        Column and row of the soma in electrodes.
    pitch_um
        Distance of neighbouring electrodes.

    Returns
    -------
    SomaPolar
        Distance and angle, with errors.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import NerveHead, soma_polar
    >>> polar = soma_polar(NerveHead(status="position", x=0.0, y=0.0, covariance=np.eye(2)), 3.0, 4.0, 16.0)
    >>> polar.radius_um, round(polar.angle_deg, 1)
    (80.0, 53.1)
    """
    if head.status != "position":
        return SomaPolar()
    dx, dy = x - head.x, y - head.y
    radius = float(np.hypot(dx, dy))
    if radius == 0:
        return SomaPolar(radius_um=0.0)
    along, around = np.array([dx, dy]) / radius, np.array([-dy, dx]) / radius
    return SomaPolar(
        radius_um=radius * pitch_um,
        radius_se_um=float(np.sqrt(along @ head.covariance @ along)) * pitch_um,
        angle_deg=float(np.degrees(np.arctan2(dy, dx)) % 360),
        angle_se_deg=float(np.degrees(np.sqrt(around @ head.covariance @ around) / radius)),
    )


def _start(places: Floats, angles: Floats) -> Floats | None:
    """Of the crossings of pairs of axons that are ahead of both the one that most bearings agree with."""
    first, second = np.triu_indices(len(places), 1)
    if len(first) > MAX_PAIRS:
        chosen = np.random.default_rng(SEED).choice(len(first), MAX_PAIRS, replace=False)
        first, second = first[chosen], second[chosen]
    ways = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    cross = ways[first, 0] * ways[second, 1] - ways[first, 1] * ways[second, 0]
    usable = np.abs(cross) > np.sin(np.radians(MIN_CROSSING_DEG))
    first, second, cross = first[usable], second[usable], cross[usable]
    apart = places[second] - places[first]
    along_first = (apart[:, 0] * ways[second, 1] - apart[:, 1] * ways[second, 0]) / cross
    along_second = (apart[:, 0] * ways[first, 1] - apart[:, 1] * ways[first, 0]) / cross
    ahead = (along_first > 0) & (along_second > 0)
    points = (places[first] + along_first[:, None] * ways[first])[ahead][:MAX_STARTS]
    if not len(points):
        return None
    toward = points[:, None] - places[None]
    errors = wrapped(angles - np.arctan2(toward[..., 1], toward[..., 0]))
    costs = np.minimum((errors / START_SCALE) ** 2, 1).sum(axis=1)
    best: Floats = points[costs.argmin()]
    return best


@dataclass(frozen=True, slots=True)
class _Fit:
    """A point, and of each bearing the error (radians), the weight and the derivatives by x and y."""

    point: Floats
    places: Floats
    angles: Floats
    errors: Floats
    weights: Floats
    slopes: Floats
    scale: float


class _Bearings:
    def __init__(self, places: Floats, angles: Floats) -> None:
        self.places, self.angles = places, angles

    def fitted(self, point: Floats) -> _Fit:
        """Gauss-Newton on the angles with Tukey's weights, steps at most half the median distance."""
        for _ in range(MAX_STEPS):
            now = self._at(point)
            normal = (now.slopes.T * now.weights) @ now.slopes + 1e-12 * np.eye(2)
            step = np.linalg.solve(normal, (now.slopes.T * now.weights) @ now.errors)
            most = 0.5 * float(np.median(np.hypot(*(point - self.places).T)))
            length = float(np.hypot(*step))
            step *= min(1.0, most / max(length, 1e-9))
            point = point + step
            if np.hypot(*step) < 1e-4 or np.abs(point - self.places.mean(axis=0)).max() > 1e4:
                break
        return self._at(point)

    def _at(self, point: Floats) -> _Fit:
        toward = point - self.places
        errors = wrapped(self.angles - np.arctan2(toward[:, 1], toward[:, 0]))
        near = np.abs(errors[np.abs(errors) < np.radians(NEAR_DEG)])
        spread = MAD_TO_SD * float(np.median(near)) if len(near) > 3 else np.radians(8)
        scale = float(np.clip(spread, *np.radians(SCALE_DEG)))
        distances = np.maximum(np.hypot(*toward.T), 2.0)
        slopes = np.stack([-toward[:, 1], toward[:, 0]], axis=1) / distances[:, None] ** 2
        return _Fit(point, self.places, self.angles, errors, tukey_weights(errors, scale), slopes, scale)


def _judged(fit: _Fit) -> NerveHead:
    used = fit.weights > 0.05
    count, total = int(used.sum()), float(fit.weights.sum())
    inverse = np.linalg.pinv((fit.slopes.T * fit.weights) @ fit.slopes)
    variance = float((fit.weights * fit.errors**2).sum()) / max(total - 2, 1)
    covariance = COVARIANCE_FACTOR * variance * inverse
    major = float(np.sqrt(max(np.linalg.eigvalsh(covariance)[1], 0)))
    distance = float(np.hypot(*(fit.point - fit.places.mean(axis=0))))
    common: dict[str, Any] = {
        "n": len(fit.places),
        "n_cells_used": count,
        "scale_deg": float(np.degrees(fit.scale)),
        "rmse_deg": float(np.degrees(np.sqrt((fit.weights * fit.errors**2).sum() / max(total, 1e-12)))),
        "weights": fit.weights,
    }
    reason = _refused(count, len(fit.places), major, distance, fit.scale)
    if reason:
        point = (float(fit.point[0]), float(fit.point[1]))
        return NerveHead(**_direction(fit.angles), **common, unaccepted=point, reason=reason)
    direction = _direction(fit.angles)
    return NerveHead(
        **direction | {"status": "position"},
        **common,
        x=float(fit.point[0]),
        y=float(fit.point[1]),
        covariance=covariance,
        rmse=_distance_from_lines(fit, used),
        **_region(covariance, count),
    )


def _refused(count: int, given: int, major: float, distance: float, scale: float) -> str:
    least = max(MIN_USED, MIN_SHARE * given)
    if count < least:
        return f"{count} of {given} axons agree on a place"
    if not major < MAX_RELATIVE_SD * distance:
        return f"the place is known to {major:.1f} electrodes at a distance of {distance:.1f}"
    if not scale < np.radians(MAX_SCALE_DEG):
        return f"the angles spread by {np.degrees(scale):.1f} degrees"
    return ""


def _distance_from_lines(fit: _Fit, used: Bools) -> float:
    toward = fit.point - fit.places
    beside = np.sin(fit.errors) * np.hypot(*toward.T)
    return float(np.sqrt(np.average(beside[used] ** 2, weights=fit.weights[used])))


def _region(covariance: Floats, count: int) -> dict[str, Any]:
    """The 95 % ellipse of a position with two parameters and `count` bearings (F quantile)."""
    from scipy.special import fdtri

    radius = np.sqrt(2 * (count - 1) / (count - 2) * fdtri(2, count - 2, 0.95))
    values, vectors = np.linalg.eigh(covariance)
    minor, major = radius * np.sqrt(np.maximum(values, 0))
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])) % 180
    return {"region_major": float(major), "region_minor": float(minor), "region_angle_deg": float(angle)}


def _direction(angles: Floats) -> dict[str, Any]:
    """The robust circular mean of the angles, its standard error, and the resultant's length."""
    unit = np.exp(1j * angles)
    mean = float(np.angle(unit.mean()))
    center, scale, weights = _middle(angles), np.radians(12.0), np.ones(len(angles))
    for _ in range(30):
        errors = wrapped(angles - center)
        near = np.abs(errors[np.abs(errors) < np.pi / 3])
        scale = max(MAD_TO_SD * float(np.median(near)) if len(near) > 3 else np.radians(12.0), np.radians(1.0))
        weights = tukey_weights(errors, scale)
        if not weights.any():
            center, weights = mean, np.ones(len(angles))
            break
        shift = float(np.angle((weights * np.exp(1j * errors)).sum()))
        center += shift
        if abs(shift) < 1e-6:
            break
    errors, total = wrapped(angles - center), float(weights.sum())
    error = np.sqrt((weights**2 * errors**2).sum()) / max(total, 1e-12) * np.sqrt(total / max(total - 1, 1))
    return {
        "status": "direction",
        "direction_deg": float(np.degrees(center) % 360),
        "direction_se_deg": float(np.degrees(error)),
        "resultant": float(np.abs(unit.mean())),
    }


def _middle(angles: Floats) -> float:
    """The angle with least sum of distances to all others, among them."""
    apart: NDArray[np.float64] = np.abs(wrapped(angles[:, None] - angles[None]))
    return float(angles[apart.sum(axis=1).argmin()])
