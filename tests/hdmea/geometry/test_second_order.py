"""Second-order fields: cells that fire to contrast of either sign, cells that do not see the movie, linear ones."""

from __future__ import annotations

import numpy as np
import pytest

from hdmea.geometry import receptive_field, second_order_fields
from support.bounds import at_least, at_most, cases
from support.noise_cells import FRAMES, movie, noise_cell, noise_spikes, respond, triggered


def on_off_spikes(rng, cell, kind):
    """1000 spikes whose rate goes with the drive's size, not with its sign."""
    rate = cell.drive**2 if kind == "square" else 1 / (1 + np.exp(-1.6 * (np.abs(cell.drive) - 2)))
    return rng.poisson(rate * 1000 / rate.sum())


@pytest.mark.parametrize("kind", ["square", "threshold"])
def test_on_off_cells_have_a_second_order_field_where_their_average_has_none(kind: str) -> None:
    rng = np.random.default_rng(1)
    cells = [noise_cell(rng) for _ in range(cases(12, 60))]
    counts = [on_off_spikes(rng, cell, kind) for cell in cells]
    found = second_order_fields(movie(), [np.repeat(np.arange(FRAMES), one) for one in counts])
    at_least([one.significant and one.sign == 1 for one in found], 55 / 60)
    at_most([receptive_field(triggered(one), last_frame=1).significant for one in counts[:6]], 0.05)
    errors = [
        np.hypot(one.center_col - cell.x, one.center_row - cell.y) for one, cell in zip(found, cells, strict=True)
    ]
    at_least(np.array(errors) < 0.5, 0.9)
    assert np.nanmedian([one.sigma / cell.size for one, cell in zip(found, cells, strict=True)]) == pytest.approx(
        1.06, abs=0.1
    )
    assert abs(np.nanmedian([one.lag_frames - cell.lag for one, cell in zip(found, cells, strict=True)])) < 1


@pytest.mark.parametrize("kind", ["poisson", "modulated", "bursting"])
def test_cells_that_do_not_see_the_movie_have_none(kind: str) -> None:
    rng = np.random.default_rng(2)
    trains = [np.repeat(np.arange(FRAMES), noise_spikes(rng, 1000, kind)) for _ in range(cases(25, 400))]
    found = second_order_fields(movie(), trains)
    at_most([one.significant for one in found], 0.01)
    assert all(np.isnan(one.field).all() and one.reason for one in found if not one.significant)


def test_linear_cells_have_none_that_is_larger_before_spikes() -> None:
    """An exponential rate of a white movie changes no variance; a saturating one lowers it."""
    rng = np.random.default_rng(3)
    found = []
    for kind in ("exp", "sigmoid"):
        trains = [np.repeat(np.arange(FRAMES), respond(rng, noise_cell(rng), kind, 1000)[0]) for _ in range(8)]
        found += second_order_fields(movie(), trains)
    at_most([one.significant and one.sign == 1 for one in found], 0.02)


def test_few_spikes_and_wrong_movies() -> None:
    found = second_order_fields(movie(), [np.arange(50), np.arange(99_000, 99_500)])
    assert [one.reason for one in found] == [f"{count} spikes, at least 100 are needed" for count in (14, 0)]
    for wrong, said in ((movie()[0], "axes"), (movie()[:100], "too few"), (np.ones((500, 3, 3)), "vary")):
        with pytest.raises(ValueError, match=said):
            second_order_fields(wrong, [])


def test_the_same_bits_on_any_number_of_threads() -> None:
    rng = np.random.default_rng(4)
    trains = [np.repeat(np.arange(FRAMES), on_off_spikes(rng, noise_cell(rng), "square")) for _ in range(3)]
    one, other = (second_order_fields(movie()[:3000], trains, threads) for threads in (1, 3))
    for a, b in zip(one, other, strict=True):
        assert (a.z, a.p_value, a.eigenvalue) == (b.z, b.p_value, b.eigenvalue) or np.isnan(a.eigenvalue)
        np.testing.assert_array_equal(a.field, b.field)


def test_the_change_of_variance_is_that_of_its_definition() -> None:
    """At the spikes' own time and one lag, of one pixel: by loops."""
    from hdmea.geometry.second_order import _Seen

    rng = np.random.default_rng(5)
    shown = rng.integers(0, 2, (600, 5, 5)).astype(float)
    spikes = rng.integers(60, 600, 200)
    changes = _Seen(shown)._changes(spikes)
    centred = shown - shown.mean(axis=0)
    rows, columns = np.indices((5, 5))
    blob = np.exp(-((rows - 2) ** 2 + (columns - 3) ** 2) / (2 * 1.2**2))
    blob /= np.linalg.norm(blob)
    seen = np.array([(centred[max(f - 5, 0) : f + 1].mean(axis=0) * blob).sum() for f in range(600)])
    expected = [seen[(spikes - lag) % 600].var() for lag in range(600)]
    quiet = np.array(expected)[90:510]
    np.testing.assert_allclose(changes[13], (expected - quiet.mean()) / quiet.std(), atol=2e-3)
