"""When the bar passes each pixel: the kernel against a slow version, and on the bar as laboratories show it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdmea.io.stimulus_config import load_stimulus_config
from hdmea.kernels.passages import bar_passages
from hdmea.simulate.stimuli import render
from reference.passages import area_means, passages_of_pixel

BAR = "moving_h_bar_s5_d8_3x"
LEAD, SLOT, PASS = 120, 550, 110  # frames


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 14), st.integers(1, 7), st.integers(1, 7)),
    area=st.integers(1, 9),
    start=st.integers(0, 3),
    dtype=st.sampled_from([np.uint8, np.float32]),
)
def test_passages_are_those_of_the_slow_version(
    seed: int, shape: tuple[int, int, int], area: int, start: int, dtype: Any
) -> None:
    rng = np.random.default_rng(seed)
    movie = (rng.integers(0, 4, (start + shape[0], *shape[1:])) * 60).astype(dtype)
    first = max(start - 1, 0)

    on, off = bar_passages(movie, [(start, len(movie))], 1, area_px=area)

    means = area_means(movie[first:], area)
    for place in np.ndindex(*shape[1:]):
        expected = passages_of_pixel(movie[(slice(first, None), *place)], means[(slice(None), *place)])
        found = int(on[(0, *place)]), int(off[(0, *place)])
        assert found == ((-1, -1) if expected is None else (expected[0] + first, expected[1] + first))


@pytest.fixture(scope="module", params=[0, 3])
def slot(request: pytest.FixtureRequest) -> tuple[int, npt.NDArray[np.uint8]]:
    """A direction in degrees, and the frames of its slot."""
    start = LEAD + SLOT * request.param
    return 45 * request.param, render(load_stimulus_config(BAR), (15, 15)).frames(start, start + SLOT)


def test_of_two_lanes_over_a_pixel_the_one_counts_in_which_its_area_is_brightest(
    slot: tuple[int, npt.NDArray[np.uint8]],
) -> None:
    angle, movie = slot
    on, off = (one[0] for one in bar_passages(movie, [(0, SLOT)]))
    largest = np.diff(movie.astype(np.int16), axis=0).argmax(axis=0) + 1  # what an arg-max takes
    rng = np.random.default_rng(angle)
    other_lane = 0
    for row, col in rng.integers(40, 260, (150, 2)).tolist():
        mean = movie[:, row - 25 : row + 25, col - 25 : col + 25].mean(axis=(1, 2))
        if mean.max() < 100:  # a corner that no diagonal lane reaches
            continue
        best = np.flatnonzero(mean > 0.9 * mean.max())
        middle = (on[row, col] + off[row, col]) / 2
        passes = np.unique(best // PASS)
        assert int(on[row, col]) // PASS in passes, (row, col)
        # In that pass the bar is over the pixel when it is over its area.
        own = best[best // PASS == int(on[row, col]) // PASS]
        assert abs(middle - own.mean()) < 12, (row, col)
        other_lane += largest[row, col] // PASS not in passes
    assert other_lane >= 2  # so the rule is at work on this movie


def test_where_one_lane_passes_it_is_the_geometry_that_says_when(slot: tuple[int, npt.NDArray[np.uint8]]) -> None:
    angle, movie = slot
    on, off = (one[0] for one in bar_passages(movie, [(0, SLOT)]))
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    seen = 0
    for row, col in np.random.default_rng(1).integers(60, 240, (200, 2)).tolist():
        x, y = col - 149.5, row - 149.5
        across = -x * sin + y * cos
        number = next((p for p in range(5) if -50 * (p + 1) + 3 < across < -50 * p - 28), None)
        number = next((p for p in range(5) if 178 - 50 * p < across < 222 - 50 * p and across > 3), number)
        if number is None:
            continue
        seen += 1
        middle = number * PASS + 55.5 + (x * cos + y * sin) / 5
        assert (on[row, col] + off[row, col] - 1) / 2 == pytest.approx(middle, abs=1)
        assert off[row, col] - on[row, col] == pytest.approx(20, abs=2)  # 100 px at 5 px a frame
    assert seen > 50
