"""The preference between colours of units that respond alike to both, weakly or well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support.bounds import at_least, at_most
from support.measured import COLOURS, Floats, Make, extracted, values
from support.spiking_units import Clock, unit_of


def coloured(green_hz: float, blue_hz: float, quiet_hz: float, trials: int = 3) -> Make:
    """Responses of 300 ms to light on."""

    def rate(frames: Floats) -> Floats:
        found = np.full(len(frames), quiet_hz)
        for on, height in ((60, green_hz), (420, blue_hz)):
            found += height * ((frames >= on + 4) & (frames < on + 22))
        return found

    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        return unit_of(clock, COLOURS, 720, [rate] * trials, rng)

    return make


@pytest.mark.parametrize("height_hz", [3.0, 6.0, 12.0, 40.0])
def test_equal_colours_are_preferred_as_seldom_as_it_says(height_hz: float) -> None:
    """Also of units that hardly respond: 18 to 50 % of those had a p below 0.05 where one colour chose the phases."""
    units = extracted(COLOURS, coloured(height_hz, height_hz, 5.0), 250 if height_hz < 10 else 120, seed=51)
    p_value = values(units, "preferred_color_p_value")
    p_value = p_value[np.isfinite(p_value)]
    assert len(p_value) > 10
    at_most(p_value < 0.05, 0.08)


@pytest.mark.parametrize(("height_hz", "trials", "count"), [(12.0, 10, 100), (40.0, 30, 40)])
def test_equal_colours_of_more_trials_are_preferred_as_seldom(height_hz: float, trials: int, count: int) -> None:
    units = extracted(COLOURS, coloured(height_hz, height_hz, 5.0, trials), count, seed=54)
    at_most(values(units, "preferred_color_p_value") < 0.05, 0.07)


@pytest.mark.parametrize(
    ("green_hz", "blue_hz", "trials", "count", "least", "most"),
    [
        (20.0, 40.0, 3, 150, 0.15, 0.35),
        (40.0, 10.0, 3, 100, 0.6, 0.8),
        (20.0, 40.0, 10, 100, 0.9, 1.0),
        (40.0, 30.0, 10, 100, 0.3, 0.5),
        (30.0, 40.0, 30, 40, 0.8, 1.0),
    ],
)
def test_a_preference_is_found_as_often_as_it_says(
    green_hz: float, blue_hz: float, trials: int, count: int, least: float, most: float
) -> None:
    """The power of the test at p < 0.05, both bounds of it; and what it finds is the colour that is preferred."""
    units = extracted(COLOURS, coloured(green_hz, blue_hz, 5.0, trials), count, seed=55)
    found = values(units, "preferred_color_p_value") < 0.05
    at_least(found, least)
    at_most(found, most)
    preferred = values(units, "preferred_color")
    assert np.mean(preferred[found] == ("green" if green_hz > blue_hz else "blue")) > 0.99
    assert set(preferred[~found]) <= {"none"}
