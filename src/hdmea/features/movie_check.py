"""Check that a stimulus movie shows what its config says: edges of light, steps of flicker, directions of a bar.

Only as many frames are looked at as it takes: movies are large. Each function returns what is wrong, in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.io.stimulus_config import SectionKwargs

Movie = npt.NDArray[Any]  # (frames, height, width), memory-mapped

NAMED = 3  # of many like problems so many are named
SAMPLE_STEP = 25  # frames between the places in a slot at which a bar's motion is measured
STRIDE = 3  # frames over which it is measured, twice
LARGEST_ERROR_DEG = 22.5
SAME_SIZE = 0.1  # a bar that is in view keeps its area to this share
EVEN = 0.25  # and its speed to this one
STEADY = 0.05  # of an edge of light: less is not a change of intensity


def movie_problems(
    path: Path, settings: Mapping[str, Any], check: Callable[[Movie, Mapping[str, Any]], list[str]]
) -> list[str]:
    """List what a family's check finds in a movie file (`.npy`); nothing where the settings hold no section."""
    section = settings.get("section_kwargs")
    if section is None:
        return []
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        return [f"the movie cannot be read: {error}"]
    if frames.ndim != 3:
        return [f"the movie has shape {frames.shape}, not (frames, height, width)"]
    needed = SectionKwargs(**section).frame_count
    if len(frames) < needed:
        return [f"the movie has {len(frames)} frames, and the config's trials take {needed}"]
    return check(frames, settings)


def _trial_starts(settings: Mapping[str, Any]) -> list[int]:
    return [int(start) for start in SectionKwargs(**settings["section_kwargs"]).trial_starts()]


def _mean(frames: Movie, at: int) -> float:
    return float(np.asarray(frames[at], np.float64).mean())


def full_field_problems(
    frames: Movie, settings: Mapping[str, Any], rises: Sequence[int], falls: Sequence[int]
) -> list[str]:
    """Check that the mean intensity rises and falls at these frames of each trial, and stays between them."""
    problems = []
    edges = sorted([(at, 1) for at in rises] + [(at, -1) for at in falls])
    length = int(settings["section_kwargs"]["trial_length_frame"])
    for trial, start in enumerate(_trial_starts(settings)):
        for n, (at, sign) in enumerate(edges):
            if at >= length:
                continue
            until = min(edges[n + 1][0] if n + 1 < len(edges) else length, length)
            if start + at == 0:
                continue
            before, after, later = (_mean(frames, start + frame) for frame in (at - 1, at, until - 1))
            if not (after - before) * sign > 0:
                change = "rise" if sign > 0 else "fall"
                nearest = _nearest_step(frames, start, length, at, sign)
                problems.append(f"trial {trial}: no {change} of intensity at frame {at} of the trial{nearest}")
            elif abs(later - after) > STEADY * abs(after - before):
                problems.append(f"trial {trial}: the intensity changes between frames {at} and {until} of the trial")
    return problems[:NAMED]


def _nearest_step(frames: Movie, start: int, length: int, at: int, sign: int) -> str:
    """Say where in a trial the intensity steps that way, next to where it should."""
    means = np.array([_mean(frames, start + frame) for frame in range(length)])
    steps = np.diff(means) * sign
    if not steps.max() > 0:
        return ", nor anywhere in it"
    frames_of_steps = np.flatnonzero(steps > steps.max() / 2) + 1
    return f", but at frame {int(frames_of_steps[np.abs(frames_of_steps - at).argmin()])}"


def flicker_problems(frames: Movie, settings: Mapping[str, Any]) -> list[str]:
    """Check that each step of the first trial flickers at its frequency from its first frame to its last, and gaps do
    not.
    """
    problems = []
    step, gap = int(settings["step_frames"]), int(settings["gap_frames"])
    start = _trial_starts(settings)[0] + int(settings["lead_frames"])
    for n, frequency_hz in enumerate(settings["frequencies_hz"]):
        first = n * (step + gap)
        trace = np.array(
            [_mean(frames, start + first + frame) for frame in range(step + gap) if start + first + frame < len(frames)]
        )
        cycles = frequency_hz * step / settings["nominal_frame_rate_hz"]
        spectrum = np.abs(np.fft.rfft(trace[:step] - trace[:step].mean()))
        if not spectrum.any() or abs(int(spectrum.argmax()) - cycles) > 0.5:
            shown = int(spectrum.argmax()) * settings["nominal_frame_rate_hz"] / step if spectrum.any() else 0.0
            problems.append(
                f"step {n} should flicker at {frequency_hz:g} Hz from frame {first} after the lead, "
                f"and shows {shown:g} Hz"
            )
        elif np.ptp(trace[step + 1 :]) > STEADY * np.ptp(trace[:step]):
            problems.append(f"step {n} should end {step} frames after it began, and flickers in the gap as well")
    return problems[:NAMED]


def direction_problems(frames: Movie, settings: Mapping[str, Any]) -> list[str]:
    """Check that a bar moves in each slot of the first trial in its direction, up or down the rows for 90 deg."""
    directions = np.asarray(settings["directions_deg"], np.float64)
    length, lead = int(settings["direction_frames"]), int(settings["lead_frames"])
    start = _trial_starts(settings)[0] + lead
    if lead + len(directions) * length > int(settings["section_kwargs"]["trial_length_frame"]):
        return [f"{len(directions)} directions of {length} frames after a lead of {lead} do not fit into a trial"]
    background = np.median(np.asarray(frames[start + length // 2], np.float64))
    moves = []
    for slot, direction in enumerate(directions):
        for at in range(0, length - 2 * STRIDE, SAMPLE_STEP):
            moved = _motion(frames, start + slot * length + at, background)
            if moved is not None:
                moves.append((slot, at, direction, *moved))
    if not moves:
        return ["no bar moves in the frames of the first trial"]
    best: list[str] = []
    for row_sign in (-1, 1):  # upwards is to smaller rows, or to larger ones: one of them in the whole movie
        wrong = [
            f"slot {slot} ({direction:g} deg), frame {at}: the bar moves at {angle:.0f} deg"
            for slot, at, direction, dx, dy in moves
            for angle in [np.rad2deg(np.arctan2(row_sign * dy, dx)) % 360]
            if abs((angle - direction + 180) % 360 - 180) > LARGEST_ERROR_DEG
        ]
        if not wrong:
            return []
        best = wrong if not best or len(wrong) < len(best) else best
    return best[:NAMED]


def _motion(frames: Movie, at: int, background: float) -> tuple[float, float] | None:
    """Motion from a frame on of the centre of what differs from the background, in columns and rows.

    None where nothing moves, or where what moves comes into view, leaves it, or jumps to another lane.
    """
    places = [_centre(frames[at + n * STRIDE], background) for n in range(3)]
    areas = np.array([area for area, _, _ in places])
    if not areas.min() > 0 or np.ptp(areas) > SAME_SIZE * areas[0]:
        return None
    (dx, dy), second = np.diff(np.array([position[1:] for position in places]), axis=0)
    distance = np.hypot(dx, dy)
    if distance < 1e-3 or np.hypot(*(second - (dx, dy))) > EVEN * distance:
        return None
    return float(dx), float(dy)


def _centre(frame: npt.NDArray[Any], background: float) -> tuple[float, float, float]:
    """Area and centre (column, row) of what differs from the background; 0 where nothing does."""
    image = np.abs(np.asarray(frame, np.float32) - np.float32(background))
    rows, columns = image.sum(axis=1), image.sum(axis=0)
    area = float(rows.sum())
    if not area > 0:
        return 0.0, 0.0, 0.0
    return area, float(columns @ np.arange(len(columns))) / area, float(rows @ np.arange(len(rows))) / area
