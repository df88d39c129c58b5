"""Measures of many seeded units, and whether their shares are what is claimed.

The samples are those of a quick run; with H5BURST_WHOLE=1 they are twenty times as large, and so the bounds are narrow.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from hdmea.features import FeatureRegistry
from support.spiking_units import Clock

STEP, BAR, CHIRP = "step_up_5s_5i_b0_3x", "moving_h_bar_s5_d8_3x", "freq_step_5st_3x"
COLOURS, GREY = "green_blue_3s_3i_3x", "baseline_127"
LENGTHS = {STEP: 600, BAR: 4520, CHIRP: 1500, COLOURS: 720}
SIZE = 20 if os.environ.get("H5BURST_WHOLE") else 1
DOUBT = 1e-3  # probability with which a true figure at the edge of its range fails, on each side

Floats = npt.NDArray[np.float64]
Make = Callable[[Clock, np.random.Generator], dict[str, Any]]


def extracted(
    movie: str, make: Make, count: int, seed: int = 0, hz: float = 60.3, **given: Any
) -> list[dict[str, Any]]:
    """The measures of `count` units (times SIZE), each drawn by `make`."""
    rng = np.random.default_rng(seed)
    clock = Clock(hz, 150_000, seed, dropped=[500, 3000])
    extractor = FeatureRegistry.get(movie)()
    config = extractor.settings(given, movie)
    return [extractor.extract(make(clock, rng), {}, config, clock.metadata) for _ in range(count * SIZE)]


def values(units: list[dict[str, Any]], name: str) -> Any:
    return np.array([unit[name] for unit in units])


def assert_share(true: npt.ArrayLike, at_least: float = 0.0, at_most: float = 1.0) -> None:
    """That the share of successes may be one within these bounds."""
    hits, count = int(np.sum(true)), int(np.size(true))
    assert binom.ppf(DOUBT, count, at_least) <= hits <= binom.ppf(1 - DOUBT, count, at_most), f"{hits} of {count}"


def constant(rate_hz: float) -> Callable[[Floats], Floats]:
    return lambda frames: np.full(len(frames), rate_hz)
