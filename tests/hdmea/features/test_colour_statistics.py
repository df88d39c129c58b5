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


def test_a_preference_is_found() -> None:
    units = extracted(COLOURS, coloured(50.0, 15.0, 5.0), 100, seed=52)
    at_least(np.array([unit["preferred_color"] == "green" for unit in units]), 0.5)
    reverse = extracted(COLOURS, coloured(10.0, 40.0, 5.0), 100, seed=53)
    at_least(np.array([unit["preferred_color"] == "blue" for unit in reverse]), 0.6)
