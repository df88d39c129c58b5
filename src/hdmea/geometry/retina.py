"""Places of somata in the retina: polar coordinates about the optic-nerve head, turned to dorsal and nasal.

Names and conventions are those that a laboratory's tables use; docs/geometry.md explains them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

NAN = float("nan")
CHIP_CENTER = 33.0  # electrodes, column and row: where a recording's place in the retina is given for
_NUMBER = r"\s*([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)\s*"
_CENTER = re.compile(rf"\s*([LlRr])\s*,{_NUMBER},{_NUMBER}")


class DVNTPosition(NamedTuple):
    """Place of the chip's centre in the retina.

    Attributes
    ----------
    dv_position, nt_position
        Dorsal-positive and nasal-positive, in the unit of the table (mm).
    lr_position
        The eye, "L" or "R".

    Examples
    --------
    >>> from hdmea.geometry.retina import DVNTPosition
    >>> DVNTPosition(dv_position=1.0, nt_position=-0.5, lr_position="R").dv_position
    1.0
    """

    dv_position: float
    nt_position: float
    lr_position: str


def parse_dvnt_from_center_xy(center_xy: object) -> DVNTPosition | None:
    """The place that a text such as "L, 1.5, -0.8" names: the eye, ventral-positive, nasal-positive.

    Parameters
    ----------
    center_xy
        What a table says; also with the minus sign of typesetting.

    Returns
    -------
    DVNTPosition or None
        Dorsal-positive: the sign of the first number is turned. None for what is not such a text.

    Examples
    --------
    >>> from hdmea.geometry.retina import parse_dvnt_from_center_xy
    >>> parse_dvnt_from_center_xy("L, 1.5, -0.8")
    DVNTPosition(dv_position=-1.5, nt_position=-0.8, lr_position='L')
    """
    match = _CENTER.fullmatch(center_xy.replace("\u2212", "-")) if isinstance(center_xy, str) else None
    if match is None:
        return None
    ventral, nasal = float(match[2]), float(match[3])
    return DVNTPosition(0.0 - ventral, nasal, match[1].upper())


@dataclass(frozen=True, slots=True, kw_only=True)
class SomaPolarCoordinates:
    """A soma as seen from the optic-nerve head, under the names of a laboratory's tables; NaN where not known.

    Attributes
    ----------
    radius
        Distance in electrodes.
    theta_deg_raw
        Angle of soma − head in [0, 360), from x (columns) towards y (rows).
    angle_correction_applied
        Degrees by which it was turned, so that 0 is nasal and 90 dorsal; NaN without a place in the retina.
    theta_deg, theta_deg_corrected, theta
        The angle after that, in [0, 360); the raw one where there is no correction.
    angle
        The same in radians.
    cartesian_x, cartesian_y, transformed_x, transformed_y
        radius · (cos, sin) of the raw angle and of the final one, electrodes.
    original_x, original_y
        Row and column of the soma (in this order).
    quadrant
        "Q1" to "Q4" of the transformed place.
    anatomical_quadrant
        Of the recording, such as "dorsal-nasal".

    Examples
    --------
    >>> from hdmea.geometry.retina import SomaPolarCoordinates
    >>> SomaPolarCoordinates(original_x=3.0, original_y=4.0).radius
    nan
    """

    radius: float = NAN
    theta: float = NAN
    theta_deg: float = NAN
    theta_deg_raw: float = NAN
    theta_deg_corrected: float = NAN
    transformed_x: float = NAN
    transformed_y: float = NAN
    cartesian_x: float = NAN
    cartesian_y: float = NAN
    original_x: float = NAN
    original_y: float = NAN
    angle: float = NAN
    angle_correction_applied: float = NAN
    quadrant: str | float = NAN
    anatomical_quadrant: str | float = NAN


def angle_correction(head_x: float, head_y: float, chip_position: DVNTPosition | None) -> float:
    """Degrees from angles on the chip to angles in the retina, not wrapped; NaN without a place or a head.

    Parameters
    ----------
    head_x, head_y
        Column and row of the optic-nerve head, electrodes.
    chip_position
        Where the chip's centre is in the retina.

    Returns
    -------
    float
        atan2(DV, NT) less the angle of the chip's centre as seen from the head.

    Examples
    --------
    >>> from hdmea.geometry.retina import DVNTPosition, angle_correction
    >>> angle_correction(0.0, 33.0, DVNTPosition(1.0, 0.0, "L"))
    90.0
    """
    if (
        chip_position is None
        or not np.isfinite([head_x, head_y, chip_position.dv_position, chip_position.nt_position]).all()
    ):
        return NAN
    in_retina = np.arctan2(chip_position.dv_position, chip_position.nt_position)
    return float(np.degrees(in_retina) - np.degrees(np.arctan2(CHIP_CENTER - head_y, CHIP_CENTER - head_x)))


def retinal_polar(
    head_x: float, head_y: float, row: float, col: float, chip_position: DVNTPosition | None
) -> SomaPolarCoordinates:
    """A soma's polar coordinates about the head, on the chip and in the retina.

    Parameters
    ----------
    head_x, head_y
        Column and row of the optic-nerve head, electrodes; NaN where it is not known.
    row, col
        Of the soma, electrodes.
    chip_position
        Where the chip's centre is in the retina.

    Returns
    -------
    SomaPolarCoordinates
        NaN but for the soma's own place where there is no head.

    Examples
    --------
    >>> from hdmea.geometry.retina import retinal_polar
    >>> polar = retinal_polar(10.0, 10.0, row=14.0, col=13.0, chip_position=None)
    >>> polar.radius, round(polar.theta_deg, 2), polar.quadrant
    (5.0, 53.13, 'Q1')
    """
    side = NAN if chip_position is None else _side(chip_position)
    if not np.isfinite([head_x, head_y, row, col]).all():
        return SomaPolarCoordinates(original_x=row, original_y=col, anatomical_quadrant=side)
    dx, dy = col - head_x, row - head_y
    radius, raw = float(np.hypot(dx, dy)), float(np.degrees(np.arctan2(dy, dx)) % 360)
    correction = angle_correction(head_x, head_y, chip_position)
    theta = raw if np.isnan(correction) else (raw + correction) % 360
    angle = float(np.radians(theta))
    x, y = radius * float(np.cos(angle)), radius * float(np.sin(angle))
    return SomaPolarCoordinates(
        radius=radius,
        theta=theta,
        theta_deg=theta,
        theta_deg_raw=raw,
        theta_deg_corrected=theta,
        transformed_x=x,
        transformed_y=y,
        cartesian_x=radius * float(np.cos(np.radians(raw))),
        cartesian_y=radius * float(np.sin(np.radians(raw))),
        original_x=row,
        original_y=col,
        angle=angle,
        angle_correction_applied=correction,
        quadrant={(True, True): "Q1", (False, True): "Q2", (False, False): "Q3", (True, False): "Q4"}[x >= 0, y >= 0],
        anatomical_quadrant=side,
    )


def _side(position: DVNTPosition) -> str:
    vertical = "dorsal" if position.dv_position > 0 else "ventral"
    return f"{vertical}-{'nasal' if position.nt_position > 0 else 'temporal'}"
