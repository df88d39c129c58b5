"""The moving bar: a field of 300 x 300 pixels, crossed in each direction five times by two bars in parallel lanes.

Bars are 100 pixels long in their direction and 50 wide and move 5 pixels a frame, 110 frames a pass; they pass the
field's middle at frame 55.5 of each pass. Across the direction, from the field's middle to its right, the lanes of pass
p are [-50 (p + 1), -50 p] and [175 - 50 p, 225 - 50 p], so that the first lane and the last one share 25 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hdmea.simulate.movies import WHITE, Event, Floats, Frames, Movie, Patches

FIELD = (300, 300)
BAR_PX = 100
SPEED_PX = 5
PASSES = 5
LANE_PX = 50
LANES_PX = (-25, 200)  # the middles of the two lanes of the first pass; those of the next are further to the left
MIDDLE_FRAME = 55.5


def bar_movie(
    name: str, length: int, onsets: Sequence[int], directions_deg: Sequence[float], slot: int, luminance: int
) -> Movie:
    """From each onset on, one slot of `slot` frames a direction: five passes of equal length, white bars on black.

    A direction's angle is that from x (columns, to the right) to y (rows, downwards): at 90 bars move to larger rows.
    """
    pass_frames = slot // PASSES
    patches, places, frames = zip(
        *(_direction(np.deg2rad(angle), pass_frames) for angle in directions_deg), strict=True
    )
    pixels = np.concatenate([np.zeros((1, *patches[0].shape[1:]), np.uint8), *patches])  # the first frame is blank
    if luminance != WHITE:
        pixels = np.rint(pixels * (luminance / WHITE)).astype(np.uint8)
    of_frame = np.concatenate([part + n * PASSES * pass_frames for n, part in enumerate(frames)])
    lit, pattern = np.unique(of_frame, return_inverse=True)
    number = np.zeros(len(directions_deg) * PASSES * pass_frames, np.int64)
    number[lit] = 1 + np.arange(len(lit))
    corners = np.concatenate([np.zeros((1, 2), np.int64), *places])
    patterns = Patches(pixels, corners, np.concatenate([[0], 1 + pattern.ravel()]), FIELD)
    shown, events = np.zeros(length, np.int64), []
    for onset in onsets:
        for n, angle in enumerate(directions_deg):
            start = onset + n * slot
            part = shown[start : start + PASSES * pass_frames]
            part[:] = number[n * PASSES * pass_frames + np.arange(len(part))]
            events.append(Event("bar", start, start + slot, float(angle)))
    return Movie(name, patterns, patterns, shown, 0, FIELD, tuple(events))


def _direction(angle: float, pass_frames: int) -> tuple[Frames, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The squares around a direction's bars (squares, side, side), their corners (squares, 2), frames (squares,)."""
    time = np.arange(PASSES * pass_frames).repeat(len(LANES_PX))
    along = SPEED_PX * (time % pass_frames - MIDDLE_FRAME)
    across = np.tile(LANES_PX, PASSES * pass_frames) - LANE_PX * (time // pass_frames)
    cos, sin = np.cos(angle), np.sin(angle)
    middle = (np.array(FIELD) - 1) / 2
    x, y = middle[1] + along * cos - across * sin, middle[0] + along * sin + across * cos
    side = int(np.ceil(np.hypot(BAR_PX, LANE_PX))) + 2
    corners = np.floor(np.stack([y, x], axis=1) - (side - 1) / 2).astype(np.int64)
    near = ((corners > -side) & (corners < np.array(FIELD))).all(axis=1)
    time, x, y, corners = time[near], x[near], y[near], corners[near]
    window = np.arange(side, dtype=np.float32)
    rows = (corners[:, :1] + window - y[:, None]).astype(np.float32)[:, :, None]
    columns = (corners[:, 1:] + window - x[:, None]).astype(np.float32)[:, None, :]
    cover = _cover(columns * np.float32(cos) + rows * np.float32(sin), BAR_PX)
    cover *= _cover(rows * np.float32(cos) - columns * np.float32(sin), LANE_PX)
    for axis, span in enumerate(FIELD):
        at = corners[:, axis, None] + np.arange(side)
        cover *= np.expand_dims((at >= 0) & (at < span), 2 - axis)
    pixels = np.rint(cover * WHITE).astype(np.uint8)
    lit = np.asarray(pixels.max(axis=(1, 2)) > 0)
    return pixels[lit], corners[lit], time[lit]


def _cover(distance: Floats | npt.NDArray[np.float32], width: int) -> npt.NDArray[np.float32]:
    """Share of a pixel at that distance from the bar's axis that a bar of that width covers, 0 to 1."""
    return np.asarray(np.clip(width / 2 + 0.5 - np.abs(distance), 0, 1), np.float32)
