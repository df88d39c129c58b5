"""The map from chip to stimulus: the figures of docs/geometry.md on known maps, mirrored too; none by chance."""

from __future__ import annotations

import numpy as np
import pytest

from hdmea.geometry import alignment
from hdmea.geometry.alignment import align, to_movie_pixels
from support.bounds import at_least, at_most, cases, reaches, row

PITCH = 16.0
GRID = PITCH * np.array([(x, y) for x in (8.0, 32.0, 56.0) for y in (8.0, 32.0, 56.0)])


class Chip:
    """A chip on the retina: its true map, and pairs of somata (um) and fields (px) of which some are wrong."""

    def __init__(self, rng: np.random.Generator, count: int, wrong: float, scatter: float) -> None:
        turn, scale = rng.uniform(0, 2 * np.pi), 0.19 / PITCH * rng.uniform(0.8, 1.2)
        self.reflected = bool(rng.random() < 0.5)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        self.matrix = scale * rotation @ np.diag([1, -1 if self.reflected else 1])
        self.turn, self.scale = np.degrees(turn), scale
        self.shift = 7 - self.matrix @ np.full(2, 32 * PITCH)
        self.somata = rng.uniform(0, 64 * PITCH, (count, 2))
        self.fields = self.true(self.somata) + rng.normal(0, scatter, (count, 2))
        self.wrong = rng.random(count) < wrong
        self.fields[self.wrong] = rng.uniform(0, 14, (self.wrong.sum(), 2))

    def true(self, places: np.ndarray) -> np.ndarray:
        return places @ self.matrix.T + self.shift


def line_by_line(somata: np.ndarray, fields: np.ndarray) -> np.ndarray | None:
    """A simple method: field columns from chip rows and field rows from chip columns, each by a line; refit once."""
    keep = np.ones(len(somata), bool)
    for _ in range(2):
        lines = [np.polyfit(somata[keep, 1 - axis], fields[keep, axis], 1) for axis in (0, 1)]
        keep = np.hypot(*[np.polyval(lines[a], somata[:, 1 - a]) - fields[:, a] for a in (0, 1)]) <= 3
        if keep.sum() < 3:
            return None
    return np.column_stack([np.polyval(lines[a], GRID[:, 1 - a]) for a in (0, 1)])


# pairs, share of wrong ones, scatter in px, claimed share valid, error in px (median, 95 %)
ROWS: list[tuple[int, float, float, float, tuple[float, float]]] = [
    (6, 0.1, 0.4, 0.78, (0.5, 0.95)),
    (8, 0.2, 0.2, 0.85, (0.25, 0.42)),
    (8, 0.1, 0.4, 0.95, (0.45, 0.75)),
    (8, 0.4, 0.4, 0.5, (0.5, 0.95)),
    (20, 0.2, 0.6, 0.98, (0.36, 0.65)),
    (20, 0.4, 0.4, 0.95, (0.28, 0.5)),
    (60, 0.4, 0.2, 0.97, (0.085, 0.14)),
    (60, 0.4, 0.6, 0.96, (0.25, 0.44)),
]


@pytest.mark.parametrize(("count", "wrong", "scatter", "valid", "error"), ROWS)
def test_maps(count: int, wrong: float, scatter: float, valid: float, error: tuple[float, float]) -> None:
    rng = np.random.default_rng(71)
    found, errors, right, old, outliers, relative = [], [], [], [], [], []
    for _ in range(cases(12 if count > 25 else 25, 60)):
        chip = Chip(rng, count, wrong, scatter)
        alignment = align(chip.somata, chip.fields)
        found.append(alignment.valid)
        simple = line_by_line(chip.somata, chip.fields)
        old.append(np.sqrt(((simple - chip.true(GRID)) ** 2).sum(axis=1).mean()) if simple is not None else np.nan)
        if alignment.valid:
            errors.append(np.sqrt(((alignment.predict(GRID) - chip.true(GRID)) ** 2).sum(axis=1).mean()))
            right.append(alignment.reflected == chip.reflected)
            relative.append((alignment.predict(GRID) - chip.true(GRID)) / alignment.predict_se(GRID)[:, None])
            far = np.hypot(*(chip.fields - chip.true(chip.somata)).T) > 5
            outliers.extend(alignment.weights[far] > 0)
    row(
        f"n={count} wrong {wrong:.0%} scatter {scatter}",
        valid=np.mean(found),
        error=np.array(errors),
        reflection_right=np.mean(right),
        error_over_se=float(np.sqrt(np.mean(np.square(relative)))),
        simple=np.array(old),
    )
    at_least(found, valid)
    reaches(errors, *error)
    at_least(right, 0.96 if count < 20 else 0.998)
    if outliers:
        at_most(outliers, 0.01)
    if count >= 20:
        assert 0.6 < np.sqrt(np.mean(np.square(relative))) < 1.5
        assert np.median(errors) < 0.5 * np.nanmedian(old)


@pytest.mark.parametrize("count", [6, 8, 12, 20, 60])
def test_unrelated_pairs_have_no_map(count: int) -> None:
    rng = np.random.default_rng(72)
    found = [
        align(rng.uniform(0, 1024, (count, 2)), rng.uniform(0, 14, (count, 2)))
        for _ in range(cases(8 if count > 25 else 30, 90))
    ]
    row(f"unrelated n={count}", valid=np.mean([a.valid for a in found]))
    at_most([a.valid for a in found], 0.01)
    for one in found:
        if not one.valid:
            assert one.reason
            assert np.isnan(one.matrix).all()
            assert np.isnan(one.predict(GRID)).all()


def test_rotation_scale_reflection() -> None:
    rng = np.random.default_rng(73)
    for _ in range(6):
        chip = Chip(rng, 24, 0.2, 0.1)
        alignment = align(chip.somata, chip.fields)
        assert alignment.reflected == chip.reflected
        assert (alignment.rotation_deg - chip.turn + 180) % 360 - 180 == pytest.approx(0, abs=2)
        assert alignment.scale_px_per_um == pytest.approx(chip.scale, rel=0.03)
        assert alignment.p == pytest.approx(0.01)
        assert alignment.n == 24
        assert alignment.n_inliers <= (~chip.wrong).sum() + 2
        np.testing.assert_allclose(alignment.residuals, np.hypot(*(alignment.predict(chip.somata) - chip.fields).T))


def test_uncertain_fields_count_less() -> None:
    rng = np.random.default_rng(74)
    better = []
    for _ in range(20):
        chip = Chip(rng, 20, 0.0, 0.1)
        errors = np.where(np.arange(20) < 10, 0.1, 0.8)
        chip.fields += np.where(np.arange(20) < 10, 0, 0.8)[:, None] * rng.normal(0, 1, (20, 2))
        off = [
            np.hypot(*(align(chip.somata, chip.fields, given).predict(GRID) - chip.true(GRID)).T).mean()
            for given in (errors, None)
        ]
        better.append(off[0] < off[1])
    at_least(better, 0.75)


def test_affine_only_when_asked_for_and_supported() -> None:
    rng = np.random.default_rng(75)
    chip = Chip(rng, 24, 0.0, 0.05)
    stretched = chip.fields * [1.0, 1.3]
    assert align(chip.somata, stretched).model == "similarity"
    affine = align(chip.somata, stretched, affine=True)
    assert affine.model == "affine"
    assert np.hypot(*(affine.predict(GRID) - chip.true(GRID) * [1.0, 1.3]).T).max() < 0.15
    assert align(chip.somata[:12], chip.fields[:12], affine=True).model == "similarity"


def test_predictions_are_not_clipped() -> None:
    chip = Chip(np.random.default_rng(76), 20, 0.0, 0.05)
    alignment = align(chip.somata, chip.fields)
    far = np.array([[40_000.0, -40_000.0]])
    np.testing.assert_allclose(alignment.predict(far), chip.true(far), rtol=0.1)
    assert alignment.predict_se(far)[0] > 20 * alignment.predict_se(np.array([[512.0, 512.0]]))[0]


def test_too_few_pairs() -> None:
    alignment = align(np.zeros((5, 2)), np.zeros((5, 2)))
    assert not alignment.valid
    assert "too few" in alignment.reason


def test_pairs_at_one_place_have_no_map() -> None:
    alignment = align(np.full((9, 2), 3.0), np.random.default_rng(0).uniform(0, 14, (9, 2)))
    assert not alignment.valid
    assert alignment.reason


def test_the_same_seed_gives_the_same_map(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = Chip(np.random.default_rng(77), 40, 0.3, 0.3)
    first, again = align(chip.somata, chip.fields), align(chip.somata, chip.fields)
    np.testing.assert_array_equal(first.matrix, again.matrix)
    assert first.p == again.p
    monkeypatch.setattr(alignment, "SEED", 5)
    monkeypatch.setattr(alignment, "PERMUTATIONS", 0)
    other = align(chip.somata, chip.fields)
    assert np.isnan(other.p)
    assert other.valid


def test_pixels_of_a_finer_movie() -> None:
    np.testing.assert_allclose(to_movie_pixels([0.0, 7.0, 14.0], 20), [9.5, 149.5, 289.5])
    np.testing.assert_allclose(to_movie_pixels([3.2], 1), [3.2])


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="each pair"):
        align(np.zeros((7, 2)), np.zeros((6, 2)))
    with pytest.raises(ValueError, match="finite"):
        align(np.zeros((7, 2)), np.full((7, 2), np.nan))


@pytest.mark.parametrize("count", [6, 8, 12])
def test_intervals_of_maps_of_few_pairs(count: int) -> None:
    """1.96 errors without the degrees of freedom that the map took hold 82 to 88 % of coordinates."""
    rng = np.random.default_rng(72)
    inside = []
    for _ in range(cases(60, 600)):
        chip = Chip(rng, count, 0.0, 0.4)
        found = align(chip.somata, chip.fields)
        if found.valid:
            off = np.abs(found.predict(GRID) - chip.true(GRID))
            inside.extend((off < found.predict_ci95(GRID)[:, None]).ravel())
    at_least(inside, 0.92)
