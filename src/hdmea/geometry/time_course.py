"""Measures of a receptive field's time course: when it is strongest, and how it turns around before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdmea.geometry.robust import Floats

NAN = float("nan")
BEFORE_PEAK = 16  # frames before the peak that count


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeCourse:
    """peak_frame: index of the largest value, in the average. peak_lag_frames: frames from the peak (of a parabola
    through three values) to the spike. biphasic_index: the opposite extreme earlier than the peak over the peak, 0
    where there is none. zero_crossing_frames: frames from the last change of sign before the peak to the spike, linear
    between frames; NaN without one within 16 frames."""

    peak_frame: float = NAN
    peak_lag_frames: float = NAN
    biphasic_index: float = NAN
    zero_crossing_frames: float = NAN

    def in_ms(self, frame_period_s: float) -> tuple[float, float]:
        """Peak lag and zero crossing in ms."""
        return self.peak_lag_frames * frame_period_s * 1000, self.zero_crossing_frames * frame_period_s * 1000


def describe_time_course(course: Floats, peak: int, reach: int, last_frame: int) -> TimeCourse:
    """Figures of a course (lags,), the earliest first, whose peak is near index `peak`.

    The largest value is looked for within `reach` of it. last_frame: of the average's window, as in `receptive_field`.
    """
    lags = len(course)
    used = np.where(np.arange(lags) > peak - BEFORE_PEAK, course, 0.0)
    near = np.where(np.abs(np.arange(lags) - peak) <= reach, course, 0.0)
    top = int(np.abs(near).argmax())
    signed = used * np.sign(near[top])
    if not signed[top] > 0:
        return TimeCourse()
    opposite = -float(signed[: top + 1].min())
    return TimeCourse(
        peak_frame=top,
        peak_lag_frames=lags - (top + _shift(signed, top)) - last_frame,
        biphasic_index=max(opposite, 0.0) / float(signed[top]),
        zero_crossing_frames=_zero_crossing(signed, top, lags - last_frame),
    )


def _shift(signed: Floats, top: int) -> float:
    """From the largest value to the top of the parabola through it and its neighbours."""
    if not 0 < top < len(signed) - 1:
        return 0.0
    before, here, after = signed[top - 1 : top + 2]
    curvature = before - 2 * here + after
    return float(np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)) if curvature < 0 else 0.0


def _zero_crossing(signed: Floats, top: int, spike: int) -> float:
    below = np.flatnonzero(signed[:top] < 0)
    if not len(below):
        return NAN
    last = int(below[-1])
    return float(spike - (last + signed[last] / (signed[last] - signed[last + 1])))
