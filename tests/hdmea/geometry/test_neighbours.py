"""Axons of neighbours whose spikes come together with a cell's: seen without their images, not seen with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hdmea.features import track_axons
from hdmea.geometry import Axon, ImageScale, Neighbour, clean_image, soma_geometry, track_axon
from hdmea.geometry.neighbours import without_neighbours
from hdmea.pipeline import create_session
from support.bounds import at_least, at_most, cases, row
from support.electrode_cells import SPIKE, Cell, neighbouring_images

SCALE = ImageScale(20_000, SPIKE, 16.0)


def found(seed: int, count: int, **options: Any) -> list[tuple[Cell, Axon, Axon]]:
    """Cells, and their axons as seen without and with the neighbour's image."""
    rng = np.random.default_rng(seed)
    tracked = []
    for _ in range(count):
        image, theirs, cell, _ = neighbouring_images(rng, **options)
        other = Neighbour(soma_geometry(theirs, SCALE), theirs)
        tracked.append((cell, track_axon(image, SCALE), track_axon(image, SCALE, neighbours=[other])))
    return tracked


@pytest.mark.parametrize(
    "options",
    [{}, {"spikes": 50}, {"spikes": 5000}, {"back": 0.2}, {"share": 0.4}, {"apart": 10.0}],
    ids=["20 %", "n=50", "n=5000", "mutual", "40 %", "10 electrodes"],
)
def test_an_axon_of_a_neighbour_is_not_this_cells(options: dict[str, Any]) -> None:
    tracked = found(1, cases(20, 200), **options)
    row(
        f"neighbour {options}",
        alone=np.mean([alone.axon_seen for _, alone, _ in tracked]),
        unmixed=np.mean([both.axon_seen for _, _, both in tracked]),
    )
    at_most([both.axon_seen for _, _, both in tracked], 0.01)
    for _, alone, both in tracked:
        assert both.from_neighbour == alone.axon_seen
        if both.from_neighbour:
            assert both.n_unmixed == 1
            assert both.reason.startswith("a neighbour's axon")
            assert np.isnan(both.velocity_m_s)


def test_without_the_neighbours_image_it_would_be() -> None:
    """The figure of docs/measures.md for a unit whose neighbour was not sorted."""
    seen = [alone.axon_seen for _, alone, _ in found(2, cases(40, 200))]
    at_least(seen, 0.12)
    at_most(seen, 0.33)


@pytest.mark.parametrize("back", [0.0, 0.2])
def test_a_cells_own_axon_stays(back: float) -> None:
    tracked = found(3, cases(20, 200), axon=True, back=back)
    at_least([both.axon_seen for _, _, both in tracked], 0.95)
    errors = [
        (both.direction_angle - np.degrees(cell.direction) + 180) % 360 - 180
        for cell, _, both in tracked
        if both.axon_seen and cell.visible > 12
    ]
    assert np.median(np.abs(errors)) < 0.5
    at_most(np.abs(errors) > 20, 0.005)


def test_what_is_taken_out_is_the_neighbours_image() -> None:
    """Against the image of the cell alone: what is left of the neighbour is some percent of its share."""
    image, theirs, cell, other = neighbouring_images(np.random.default_rng(4), spikes=500_000)
    soma, away = soma_geometry(image, SCALE), soma_geometry(theirs, SCALE)
    clean = clean_image(image, SCALE)
    alone, count = without_neighbours(clean, soma, [Neighbour(away, theirs)])
    assert count == 1
    near = np.s_[:, round(other.y) - 1 : round(other.y) + 2, round(other.x) - 1 : round(other.x) + 2]
    assert np.abs(alone.traces[near]).max() < 0.05 * np.abs(clean.traces[near]).max()
    own = np.s_[:, round(cell.y), round(cell.x)]
    np.testing.assert_allclose(alone.traces[own], clean.traces[own], atol=0.02 * cell.amplitude)


def test_who_does_not_count_as_a_neighbour() -> None:
    image, theirs, _, _ = neighbouring_images(np.random.default_rng(5))
    soma, clean = soma_geometry(image, SCALE), clean_image(image, SCALE)
    assert without_neighbours(clean, soma, [Neighbour(soma, image)])[1] == 0  # itself, or a half of it
    noise = np.random.default_rng(6).normal(size=image.shape)
    assert without_neighbours(clean, soma, [Neighbour(soma_geometry(noise, SCALE), noise)])[1] == 0
    far, _, _, _ = neighbouring_images(np.random.default_rng(7), share=0.0)
    away = soma_geometry(theirs, SCALE)
    cleaned = clean_image(far, SCALE)
    assert without_neighbours(cleaned, soma_geometry(far, SCALE), [Neighbour(away, theirs)])[1] == 0  # not in the image


def test_the_step_gives_every_unit_its_neighbours() -> None:
    rng = np.random.default_rng(8)
    while True:
        image, theirs, _, _ = neighbouring_images(rng)
        if track_axon(image, SCALE).axon_seen:
            break
    session = create_session(dataset_id="neighbours")
    metadata = {"sampling_rate": 20_000.0, "pre_samples": SPIKE}
    for name, one in (("unit_000", image), ("unit_001", theirs)):
        session.units[name] = {"features": {"eimage_sta": {"data": one, "metadata": metadata}}}
    track_axons(session=session)
    pathways = [session.units[name]["features"]["ap_tracking"]["ap_pathway"] for name in ("unit_000", "unit_001")]
    assert [bool(one["axon_seen"]) for one in pathways] == [False, True]
    assert [bool(one["from_neighbour"]) for one in pathways] == [True, False]
