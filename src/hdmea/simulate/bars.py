"""The moving bar: a field of 300 x 300 pixels, crossed in each direction by a bar five times, in parallel lanes.

The bar is 50 pixels long in its direction and moves 5 pixels a frame, 110 frames a pass; it passes the field's middle
at frame 52 of each pass. Lanes are side by side, 60 pixels wide, from left to right of the direction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hdmea.simulate.movies import WHITE, Event, Floats, Frames, Movie, Patches

FIELD = (300, 300)
BAR_PX = 50
SPEED_PX = 5
LANES = 5
LANE_PX = 60
MIDDLE_FRAME = 52


def bar_movie(
    name: str, length: int, onsets: Sequence[int], directions_deg: Sequence[float], slot: int, luminance: int
) -> Movie:
    """From each onset on, one slot of `slot` frames a direction: five passes of equal length, a white bar on black.

    A direction's angle is that from x (columns, to the right) to y (rows, downwards): at 90 the bar moves to larger
    rows.
    """
    pass_frames = slot // LANES
    pixels, corners = zip(*(_direction(np.deg2rad(angle), pass_frames) for angle in directions_deg), strict=True)
    blank = np.zeros((1, *pixels[0].shape[1:]), np.uint8)
    patches = np.concatenate([blank, *pixels])
    if luminance != WHITE:
        patches = np.rint(patches * (luminance / WHITE)).astype(np.uint8)
    places = np.concatenate([np.zeros((1, 2), np.int64), *corners])
    seen = np.asarray(patches.max(axis=(1, 2)) > 0)
    seen[0] = True
    number = np.where(seen, np.cumsum(seen) - 1, 0)  # all that show no bar are the first, which is blank
    patterns = Patches(patches[seen], places[seen], FIELD)
    shown, events = np.zeros(length, np.int64), []
    for onset in onsets:
        for n, angle in enumerate(directions_deg):
            start = onset + n * slot
            part = shown[start : start + LANES * pass_frames]
            part[:] = number[1 + n * LANES * pass_frames + np.arange(len(part))]
            events.append(Event("bar", start, start + slot, float(angle)))
    return Movie(name, patterns, patterns, shown, 0, FIELD, tuple(events))


def _direction(angle: float, pass_frames: int) -> tuple[Frames, npt.NDArray[np.int64]]:
    """A direction's passes as squares around the bar (5 · pass_frames, side, side), and their corners (…, 2)."""
    along = SPEED_PX * (np.arange(pass_frames) - MIDDLE_FRAME).astype(np.float64)
    across = LANE_PX * (np.arange(LANES) - (LANES - 1) / 2)
    along, across = np.tile(along, LANES), np.repeat(across, pass_frames)
    cos, sin = np.cos(angle), np.sin(angle)
    middle = (np.array(FIELD) - 1) / 2
    x, y = middle[1] + along * cos - across * sin, middle[0] + along * sin + across * cos
    side = int(np.ceil(np.hypot(BAR_PX, LANE_PX))) + 2
    corners = np.floor(np.stack([y, x], axis=1) - (side - 1) / 2).astype(np.int64)
    corners = np.clip(corners, -side, np.array(FIELD))
    window = np.arange(side, dtype=np.float32)
    rows = (corners[:, :1] + window - y[:, None]).astype(np.float32)[:, :, None]
    columns = (corners[:, 1:] + window - x[:, None]).astype(np.float32)[:, None, :]
    cover = _cover(columns * np.float32(cos) + rows * np.float32(sin), BAR_PX)
    cover *= _cover(rows * np.float32(cos) - columns * np.float32(sin), LANE_PX)
    for axis, span in enumerate(FIELD):
        at = corners[:, axis, None] + np.arange(side)
        cover *= np.expand_dims((at >= 0) & (at < span), 2 - axis)
    return np.rint(cover * WHITE).astype(np.uint8), corners


def _cover(distance: Floats | npt.NDArray[np.float32], width: int) -> npt.NDArray[np.float32]:
    """How much of a pixel at that distance from the bar's axis a bar of that width covers, 0 to 1."""
    return np.asarray(np.clip(width / 2 + 0.5 - np.abs(distance), 0, 1), np.float32)
