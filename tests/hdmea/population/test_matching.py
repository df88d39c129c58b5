"""The same cell in two recordings: error rates on images whose truth is known, and what refuses to match."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hdmea.population.matching import Matches, Units, _likeness, _patch, chains, match_units

Floats = npt.NDArray[np.float64]
CHIP, WINDOW = 65, 50


def cell(rng: np.random.Generator) -> dict[str, Any]:
    """A soma's field with an axon: place, size, amplitude and times drawn at random."""
    return {
        "place": rng.uniform(6, 59, 2),
        "amplitude": rng.lognormal(4, 0.5),
        "sigma": rng.uniform(0.7, 1.6),
        "width": rng.uniform(2, 4),
        "angle": rng.uniform(0, 2 * np.pi),
        "speed": rng.uniform(0.8, 2.5),
        "axon": rng.uniform(0.05, 0.15),
    }


def image(one: dict[str, Any], shift: Floats, spikes: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    t = np.arange(WINDOW)[:, None, None]
    row, col = np.mgrid[:CHIP, :CHIP] - (one["place"] + shift)[:, None, None]
    soma = np.exp(-(row**2 + col**2) / 2 / one["sigma"] ** 2)
    spike = 0.4 * np.exp(-0.5 * ((t - 10 - 2 * one["width"]) / 1.5 / one["width"]) ** 2)
    spike = spike - np.exp(-0.5 * ((t - 10) / one["width"]) ** 2)
    along = row * np.sin(one["angle"]) + col * np.cos(one["angle"])
    beside = col * np.sin(one["angle"]) - row * np.cos(one["angle"])
    axon = np.exp(-(beside**2) / 2) * (along > 1) * np.exp(-0.5 * ((t - 12 - along / one["speed"]) / 1.5) ** 2)
    clean = one["amplitude"] * (soma * spike - one["axon"] * axon)
    return np.asarray(clean + rng.normal(0, 60 / np.sqrt(spikes), clean.shape), np.float32)


def units(cells: dict[str, dict[str, Any]], shift: Floats, rng: np.random.Generator, spikes: int = 0) -> Units:
    images = [image(one, shift, spikes or int(rng.integers(200, 3000)), rng) for one in cells.values()]
    somata = np.array([one["place"] + shift for one in cells.values()]) + rng.normal(0, 0.1, (len(cells), 2))
    return Units(list(cells), somata, images)


def two_recordings(seed: int) -> tuple[Units, Units, set[str], Floats]:
    """70 cells in both, 30 % of each recording's lost or new, the chip moved by up to 2 electrodes."""
    rng = np.random.default_rng(seed)
    cells = {str(n): cell(rng) for n in range(130)}
    names = list(cells)
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2)
    drift = length * np.array([np.sin(angle), np.cos(angle)])
    one, other = names[:100], names[30:]
    first = units({name: cells[name] for name in one}, np.zeros(2), rng)
    second = units({name: cells[name] for name in other}, drift, rng)
    return first, second, set(one) & set(other), drift


def test_few_matches_are_false_and_few_cells_are_missed() -> None:
    pairs = false = found = shared = 0
    for seed in range(3):
        one, other, both, drift = two_recordings(seed)
        matches = match_units(one, other)
        right = sum(one.keys[i] == other.keys[j] for i, j in zip(matches.first, matches.second, strict=True))
        pairs, false, found, shared = (
            pairs + len(matches.first),
            false + len(matches.first) - right,
            found + right,
            (shared + len(both)),
        )
        np.testing.assert_allclose(matches.drift, drift, atol=0.2)
        assert len(set(matches.first.tolist())) == len(set(matches.second.tolist())) == len(matches.first)
    assert false <= 0.01 * pairs
    assert found >= 0.9 * shared


def test_images_and_waveforms_are_told_apart() -> None:
    rng = np.random.default_rng(4)
    plain = cell(rng) | {"place": np.array([30.0, 30.0]), "width": 2.0, "sigma": 0.8, "angle": 0.0, "axon": 0.15}
    other_field = plain | {"sigma": 1.6, "angle": np.pi}
    slower = plain | {"width": 4.0}
    one, again, wide, slow = (
        _patch(image(which, np.zeros(2), 2000, rng), plain["place"]) for which in (plain, plain, other_field, slower)
    )
    same, field, waveform = np.tanh(_likeness([one], [again, wide, slow])[0, :, :2])
    assert same[0] > 0.85
    assert same[1] > 0.98
    assert field[1] > 0.98  # the waveform is the same, the image is not
    assert field[0] < same[0] - 0.1
    assert waveform.max() < 0.85


def test_recordings_without_a_common_cell_are_not_matched() -> None:
    rng = np.random.default_rng(7)
    one, other = (units({f"{n}{k}": cell(rng) for k in range(80)}, np.zeros(2), rng) for n in "ab")
    matches = match_units(one, other)
    assert len(matches.first) == 0
    assert "hardly a unit is found again" in matches.reason


def test_too_few_units_are_not_matched() -> None:
    rng = np.random.default_rng(3)
    few = units({str(n): cell(rng) for n in range(3)}, np.zeros(2), rng)
    assert "null" in match_units(few, few).reason
    nowhere = Units(["a"], np.full((1, 2), np.nan), few.images[:1])
    assert "no unit with a soma" in match_units(few, nowhere).reason


def test_chains_follow_a_cell_and_never_hold_two_units_of_a_recording() -> None:
    def pairs(*rows: tuple[int, int, float]) -> Matches:
        first, second, posterior = (np.array(column) for column in zip(*rows, strict=True))
        return Matches(first, second, posterior, np.zeros(2))

    keys = [["a0", "a1"], ["b0", "b1"], ["c0"]]
    matches = {(0, 1): pairs((0, 0, 0.99), (1, 1, 0.97)), (1, 2): pairs((0, 0, 0.98)), (0, 2): pairs((1, 0, 0.96))}
    assert sorted(chains(keys, matches)) == [["a0", "b0", "c0"], ["a1", "b1"]]
    assert chains([["x"]], {}) == [["x"]]


@pytest.mark.parametrize("spikes", [200])
def test_faint_images_are_matched_as_rarely_wrong(spikes: int) -> None:
    rng = np.random.default_rng(11)
    cells = {str(n): cell(rng) for n in range(80)}
    one, other = (units(cells, np.zeros(2), rng, spikes) for _ in range(2))
    matches = match_units(one, other)
    right = sum(one.keys[i] == other.keys[j] for i, j in zip(matches.first, matches.second, strict=True))
    assert len(matches.first) - right <= 0.01 * len(matches.first) + 0.5
    assert right >= 0.9 * len(cells)
