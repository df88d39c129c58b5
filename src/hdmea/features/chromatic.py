"""Responses to green and blue flashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hdmea.features.arrays import Floats
from hdmea.features.base import COMMON_SCHEMA, SECTION, StimulusFeature
from hdmea.features.edges import EDGE_DEFAULTS, EDGE_SCHEMA, NAN, EdgeResponse, LightStep, edge_response, edges_of
from hdmea.features.movie_check import full_field_problems
from hdmea.features.significance import counts_differ_p_value
from hdmea.features.trials import Trials, contrast_index

COLORS, SIDES = ("green", "blue"), ("on", "off")
Responses = dict[tuple[str, str], EdgeResponse]


class Chromatic(StimulusFeature):
    """Responses to a green flash, the gap after it, a blue flash, and the gap after that.

    Each colour is a step of light as in `OnOff`. Trials that differ in luminance (`luminances`, one a group of trials)
    are different conditions: the quality is then the mean over conditions. Definitions: docs/measures.md.
    """

    family: ClassVar[str] = "chromatic"
    timing: ClassVar[tuple[str, ...]] = ("flash_frames", "gap_frames")
    defaults: ClassVar[dict[str, Any]] = {**EDGE_DEFAULTS, "luminances": None, "color_alpha": 0.05}
    output_schema: ClassVar[dict[str, str]] = {
        **{
            f"{color}_{side}_{name}": description
            for color in COLORS
            for side in SIDES
            for name, description in EDGE_SCHEMA.items()
        },
        "green_on_rate": "spikes/s during the green flash",
        "green_off_rate": "spikes/s in the gap after it, as far as the trial goes",
        "blue_on_rate": "spikes/s during the blue flash",
        "blue_off_rate": "spikes/s in the gap after it, as far as the trial goes",
        "color_opponency_index": "(G - B) / (G + B) of the rectified responses, ON and OFF, 0 for one with p >= 0.005",
        "preferred_color": "green or blue where the two differ (p < 0.05), else none",
        "preferred_color_p_value": "that both colours give the same response (quasi-Poisson)",
        "color_opponency": "-sign(g b) min(|g|, |b|) / max(|g|, |b|) in the phase of the smaller p; "
        "NaN without a response",
        "color_opponent": "whether the two colours give responses of opposite sign in one phase, p < 0.05",
        "color_opponency_p_value": "of that, for two phases",
        **COMMON_SCHEMA,
    }
    description: ClassVar[str] = "Responses to green and blue, the preference between them, and opponency"

    def compute(self, trials: Trials, settings: Mapping[str, Any]) -> dict[str, Any]:
        counts = trials.counts()
        steps = self._steps(settings, trials.length)
        responses: Responses = {}
        values: dict[str, Any] = {}
        for color, step in steps.items():
            for side, edge in zip(SIDES, edges_of(step, trials, settings), strict=True):
                response = edge_response(trials, counts, edge, settings, len(responses))
                responses[color, side] = response
                values |= {f"{color}_{side}_{name}": value for name, value in response.values.items()}
            values[f"{color}_on_rate"] = _mean_rate(counts, step.on, step.off, trials)
            values[f"{color}_off_rate"] = _mean_rate(counts, step.off, step.end, trials)
        green, blue = (sum(_rectified(responses[color, side]) for side in SIDES) for color in COLORS)
        values["color_opponency_index"] = contrast_index(green, blue)
        return (
            values
            | _preference(responses, self.conditions(trials, settings), settings)
            | _opponency(responses, settings)
        )

    def _steps(self, settings: Mapping[str, Any], length: int) -> dict[str, LightStep]:
        """Places of each colour's step in the trial; the last gap goes on after the trial's end."""
        lead, flash, gap = (int(settings[name]) for name in ("lead_frames", "flash_frames", "gap_frames"))
        blue = lead + flash + gap
        return {
            "green": LightStep(0, lead, lead + flash, blue),
            "blue": LightStep(lead + flash, blue, blue + flash, min(blue + flash + gap, length)),
        }

    def conditions(self, trials: Trials, settings: Mapping[str, Any]) -> npt.NDArray[np.int64]:
        """One a luminance."""
        luminances, section = settings["luminances"], settings.get(SECTION)
        if not luminances or not section:
            return np.zeros(len(trials), np.int64)
        group = trials.numbers // section["repeat"] % section["group_count"]
        shown = np.asarray(luminances)[np.minimum(group, len(luminances) - 1)]
        return np.unique(shown, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def check_movie(self, frames: npt.NDArray[Any], settings: Mapping[str, Any]) -> list[str]:
        steps = self._steps(settings, int(settings[SECTION]["trial_length_frame"])).values()
        return full_field_problems(frames, settings, [step.on for step in steps], [step.off for step in steps])


def _mean_rate(counts: Floats, first: int, last: int, trials: Trials) -> float:
    return float(counts[:, first:last].mean() / trials.period_s) if len(trials) and last > first else NAN


def _rectified(response: EdgeResponse) -> float:
    return max(response.response, 0.0) if response.responsive else 0.0


def _preference(responses: Responses, conditions: npt.NDArray[np.int64], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Preference for the colour of the larger response, over the phases in which both together give one.

    Phases that were chosen because one colour has a response would favour that colour.
    """
    tests = {side: [responses[color, side].test for color in COLORS] for side in SIDES}
    sides = [
        side
        for side, (green_test, blue_test) in tests.items()
        if green_test and blue_test and green_test.with_other(blue_test).increase < settings["response_alpha"]
    ]
    if not sides:
        return {"preferred_color": "none", "preferred_color_p_value": NAN}
    green, blue = (np.sum([responses[color, side].in_window for side in sides], axis=0) for color in COLORS)
    quiet = sum(
        len(conditions) * responses[color, side].window_s * responses[color, side].quiet_rate * sign
        for color, sign in zip(COLORS, (1, -1), strict=True)
        for side in sides
    )
    difference = float(green.sum() - blue.sum() - quiet)
    p_value = counts_differ_p_value(green, blue, conditions, difference)
    preferred = "none" if not p_value < settings["color_alpha"] else "green" if difference > 0 else "blue"
    return {"preferred_color": preferred, "preferred_color_p_value": p_value}


def _opponency(responses: Responses, settings: Mapping[str, Any]) -> dict[str, Any]:
    """True where the colours drive the unit in opposite directions, in one of the two phases.

    In a phase both responses must be there, so its p is the larger one (an intersection-union test: Berger 1982,
    Technometrics 24:295), of the better of both orders; and there are two phases.
    """
    by_side = {side: (responses["green", side], responses["blue", side]) for side in SIDES}
    p_values = {
        side: min(max(green.p_value, blue.p_value_decrease), max(green.p_value_decrease, blue.p_value))
        for side, (green, blue) in by_side.items()
    }
    side = min(SIDES, key=lambda name: p_values[name])
    green, blue = by_side[side]
    p_value = min(1.0, len(SIDES) * p_values[side])
    alpha = settings["response_alpha"]
    responds = any(min(edge.p_value, edge.p_value_decrease) < alpha for edge in (green, blue))
    sizes = abs(green.response), abs(blue.response)
    strength = (
        -float(np.sign(green.response * blue.response)) * min(sizes) / max(sizes)
        if responds and max(sizes) > 0
        else NAN
    )
    return {
        "color_opponency": strength,
        "color_opponent": bool(p_value < settings["color_alpha"]),
        "color_opponency_p_value": p_value if not np.isnan(green.response) else NAN,
    }
