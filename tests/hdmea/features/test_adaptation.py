"""Responses that are none: of rates that adapt within a trial. What docs/measures.md says of them is measured here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support.measured import COLOURS, LENGTHS, STEP, Floats, Make, assert_share, extracted, values
from support.spiking_units import Clock, unit_of


def adapting(movie: str, times: float, hz: float = 10.0) -> Make:
    """A rate that begins a trial `times` as high and falls back with a time constant of 3 s, whatever is shown."""

    def rate(frames: Floats) -> Floats:
        return hz * (1 + (times - 1) * np.exp(-frames / 60.3 / 3))

    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        return unit_of(clock, movie, LENGTHS[movie], [rate] * 3, rng)

    return make


# movie, side, times at first, claimed share of p < 0.005
ROWS = [
    (STEP, "on", 1.0, 0.01),
    (STEP, "on", 3.0, 0.04),
    (STEP, "off", 3.0, 0.01),
    (COLOURS, "green_on", 3.0, 0.04),
    (COLOURS, "blue_on", 3.0, 0.02),
]


@pytest.mark.parametrize(("movie", "side", "times", "share"), ROWS)
def test_responses_of_rates_that_adapt(movie: str, side: str, times: float, share: float) -> None:
    units = extracted(movie, adapting(movie, times), 150, seed=61)
    assert_share(values(units, f"{side}_p_value") < 0.005, at_most=share)


def test_a_fall_after_the_light_goes_on_is_what_the_rate_is_about() -> None:
    """Quiet is before and long after: of adapting units more seem to respond to the first light than to the last."""
    first = values(extracted(STEP, adapting(STEP, 3.0), 150, seed=61), "on_response")
    last = values(extracted(STEP, adapting(STEP, 3.0), 150, seed=61), "off_response")
    assert np.mean(first) > 0.3 > np.mean(last)
