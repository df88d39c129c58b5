"""The optic-nerve head: the figures of docs/geometry.md on chips with a known one, near, far, and none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hdmea.geometry import nerve_head
from hdmea.geometry.axon import track_axon
from hdmea.geometry.electrical_image import ImageScale
from hdmea.geometry.nerve_head import NerveHead, find_nerve_head, soma_polar
from support.bounds import at_least, at_most, cases, reaches, row
from support.electrode_cells import SPIKE, cell_image

CENTER = 32.0
GOOD, POOR = (3.0, 0.1), (8.0, 0.3)  # error of angles in degrees, share of random axons


def turned(degrees: Any) -> Any:
    return (np.asarray(degrees) + 180) % 360 - 180


def retina(
    rng: np.random.Generator, distance: float, count: int, error: float, random: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The head, somata (count, 2) and angles in degrees."""
    way = rng.uniform(0, 2 * np.pi)
    head = CENTER + distance * np.array([np.cos(way), np.sin(way)])
    somata = rng.uniform(2, 62, (count, 2))
    angles = np.degrees(np.arctan2(*(head - somata).T[::-1])) + rng.normal(0, error, count)
    wild = rng.random(count) < random
    angles[wild] = rng.uniform(0, 360, wild.sum())
    return head, somata, angles


def bearing(points: np.ndarray, center: Any) -> np.ndarray:
    return np.degrees(np.arctan2(*(points - center).T[::-1]))


def crossing_of_lines(somata: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """A simple method: the point with least squared distance to all lines."""
    normals = np.column_stack([-np.sin(np.radians(angles)), np.cos(np.radians(angles))])
    point: np.ndarray = np.linalg.lstsq(normals, (normals * somata).sum(axis=1), rcond=None)[0]
    return point


def in_region(head: NerveHead, truth: np.ndarray) -> bool:
    way = np.radians(head.region_angle_deg)
    dx, dy = truth - [head.x, head.y]
    along, across = dx * np.cos(way) + dy * np.sin(way), dy * np.cos(way) - dx * np.sin(way)
    return bool((along / head.region_major) ** 2 + (across / head.region_minor) ** 2 <= 1)


# distance, axons, error setting, least and largest accepted share, position (median, 95 %), polar (median, 95 %)
ROWS: list[tuple[float, int, tuple[float, float], float, float, tuple[float, float], tuple[float, float]]] = [
    (25, 20, GOOD, 0.97, 1.0, (0.65, 1.4), (0.65, 1.5)),
    (25, 20, POOR, 0.93, 1.0, (1.8, 6.5), (2.1, 6.5)),
    (25, 60, POOR, 0.98, 1.0, (0.85, 1.8), (0.95, 1.9)),
    (25, 200, GOOD, 0.99, 1.0, (0.13, 0.25), (0.15, 0.3)),
    (80, 20, GOOD, 0.95, 1.0, (4.5, 15.0), (0.9, 1.9)),
    (80, 60, GOOD, 0.98, 1.0, (2.3, 6.2), (0.5, 1.0)),
    (80, 60, POOR, 0.85, 1.0, (7.0, 19.0), (1.4, 2.8)),
    (80, 200, POOR, 0.97, 1.0, (3.6, 9.5), (0.8, 1.6)),
    (150, 60, GOOD, 0.95, 1.0, (8.5, 25.0), (0.6, 1.3)),
    (150, 60, POOR, 0.0, 0.45, (np.inf, np.inf), (np.inf, np.inf)),
    (400, 200, GOOD, 0.9, 1.0, (28.0, 85.0), (0.3, 0.8)),
]


@pytest.mark.parametrize(("distance", "count", "setting", "least", "most", "place", "polar"), ROWS)
def test_position(
    distance: float,
    count: int,
    setting: tuple[float, float],
    least: float,
    most: float,
    place: tuple[float, float],
    polar: tuple[float, float],
) -> None:
    rng = np.random.default_rng(61)
    errors, polar_errors, inside, accepted, lines, relative = [], [], [], [], [], []
    for _ in range(cases(25, 100)):
        truth, somata, angles = retina(rng, distance, count, *setting)
        head = find_nerve_head(somata, angles)
        accepted.append(head.status == "position")
        lines.append(np.hypot(*(crossing_of_lines(somata, angles) - truth)))
        if accepted[-1]:
            at = np.array([head.x, head.y])
            errors.append(np.hypot(*(at - truth)))
            inside.append(in_region(head, truth))
            polar_errors.append(np.median(np.abs(turned(bearing(somata, at) - bearing(somata, truth)))))
            relative.append(errors[-1] / distance)
    row(
        f"D={distance} n={count} {setting[0]:.0f} deg {setting[1]:.0%}",
        accepted=np.mean(accepted),
        error=np.array(errors),
        inside_95=np.mean(inside) if inside else np.nan,
        lines=np.array(lines),
        polar=np.array(polar_errors),
    )
    at_least(accepted, least)
    at_most(accepted, most)
    if least > 0:
        reaches(errors, *place)
        reaches(polar_errors, *polar)
        at_least(inside, 0.85)
        assert np.median(errors) < 0.5 * np.median(lines)


@pytest.mark.parametrize("setting", [GOOD, POOR])
def test_a_far_head_has_a_direction_only(setting: tuple[float, float]) -> None:
    rng = np.random.default_rng(62)
    accepted, errors, covered = [], [], []
    for _ in range(cases(40, 200)):
        truth, somata, angles = retina(rng, 1500, 60, *setting)
        head = find_nerve_head(somata, angles)
        accepted.append(head.status == "position")
        errors.append(turned(head.direction_deg - bearing(truth[None], CENTER)[0]))
        covered.append(abs(errors[-1]) < 2 * head.direction_se_deg)
        if head.status == "direction":
            assert np.isnan([head.x, head.y, head.region_major]).all()
            assert head.reason
            assert np.isfinite(head.unaccepted).all() or "cross" in head.reason
    row(f"D=1500 {setting}", accepted=np.mean(accepted), direction=np.array(errors), inside_2se=np.mean(covered))
    at_most(accepted, 0.04)
    reaches(errors, 1.3, 4.0)
    at_least(covered, 0.85)


def test_parallel_axons_of_images_give_a_direction() -> None:
    """From images to the direction: cells with parallel axons, some at random."""
    rng = np.random.default_rng(63)
    somata, angles = [], []
    for _ in range(cases(16, 30)):
        angle = np.radians(40) if rng.random() < 0.85 else rng.uniform(0, 2 * np.pi)
        image, _ = cell_image(rng, angle=angle, ratio=15.0)
        axon = track_axon(image, ImageScale(20_000, SPIKE, 16.0))
        if axon.axon_seen:
            somata.append(axon.refined_soma[1:])
            angles.append(axon.direction_angle)
    head = find_nerve_head(somata, angles)
    assert head.status == "direction"
    assert abs(turned(head.direction_deg - 40)) < 2.5


def test_random_axons_have_no_position() -> None:
    rng = np.random.default_rng(64)
    found = [
        find_nerve_head(rng.uniform(2, 62, (40, 2)), rng.uniform(0, 360, 40)).status for _ in range(cases(30, 200))
    ]
    at_most([status == "position" for status in found], 0.02)


def test_few_axons_have_nothing() -> None:
    head = find_nerve_head(np.arange(10.0).reshape(5, 2), np.arange(5.0))
    assert head.status == "none"
    assert head.n == 5
    assert "6" in head.reason
    assert find_nerve_head(np.empty((0, 2)), []).status == "none"


def test_exactly_parallel_and_diverging_axons() -> None:
    somata = np.random.default_rng(65).uniform(0, 60, (12, 2))
    parallel = find_nerve_head(somata, np.full(12, 359.0))
    assert parallel.status == "direction"
    assert parallel.direction_deg == pytest.approx(359)
    assert parallel.resultant == pytest.approx(1)
    assert parallel.direction_se_deg < 0.01
    away = find_nerve_head(somata, bearing(somata, [30.0, 30.0]))  # from a point, not to it
    assert away.status == "direction"


def test_polar_coordinates() -> None:
    rng = np.random.default_rng(66)
    truth, somata, angles = retina(rng, 80, 60, *GOOD)
    head = find_nerve_head(somata, angles)
    polar = soma_polar(head, *somata[0], 16.0)
    assert polar.radius_um == pytest.approx(16 * np.hypot(somata[0, 0] - head.x, somata[0, 1] - head.y))
    expected = np.degrees(np.arctan2(somata[0, 1] - head.y, somata[0, 0] - head.x)) % 360
    assert polar.angle_deg == pytest.approx(expected)
    true_radius = 16 * np.hypot(*(somata[0] - truth))
    assert abs(polar.radius_um - true_radius) < 5 * polar.radius_se_um
    assert abs(turned(polar.angle_deg - bearing(somata[:1], truth)[0])) < 5 * polar.angle_se_deg
    nowhere = soma_polar(NerveHead(status="direction"), 1, 2, 16.0)
    assert np.isnan([nowhere.radius_um, nowhere.angle_deg]).all()
    assert soma_polar(head, head.x, head.y, 16.0).radius_um == 0


def test_the_result_does_not_depend_on_where_the_chip_is() -> None:
    _, somata, angles = retina(np.random.default_rng(67), 25, 40, *GOOD)
    here, there = find_nerve_head(somata, angles), find_nerve_head(somata + np.array([100, -40]), angles + 720)
    assert (there.x - here.x, there.y - here.y) == pytest.approx((100, -40), abs=1e-3)
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    quarter = find_nerve_head(somata @ turn.T, angles + 90)
    assert (quarter.x, quarter.y) == pytest.approx((-here.y, here.x), abs=1e-3)


def test_limits_are_the_constants_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    _, somata, angles = retina(np.random.default_rng(68), 25, 20, *GOOD)
    assert find_nerve_head(somata, angles).status == "position"
    with monkeypatch.context() as patch:
        patch.setattr(nerve_head, "MIN_AXONS", 30)
        assert find_nerve_head(somata, angles).status == "none"
    monkeypatch.setattr(nerve_head, "MAX_RELATIVE_SD", 1e-6)
    strict = find_nerve_head(somata, angles)
    assert strict.status == "direction"
    assert strict.unaccepted != (np.nan, np.nan)


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="as many"):
        find_nerve_head(np.zeros((7, 2)), np.zeros(6))
    with pytest.raises(ValueError, match="finite"):
        find_nerve_head(np.zeros((7, 2)), np.full(7, np.nan))


def test_the_ellipse_leaves_a_bend_out_that_all_axons_share() -> None:
    """What docs/geometry.md says of it: bends of 0.1 degrees an electrode, far from a head, are not in its errors."""

    def inside(bend: float, distance: float, seed: int) -> list[bool]:
        rng = np.random.default_rng(seed)
        found = []
        for _ in range(cases(30, 300)):
            truth, somata, angles = retina(rng, distance, 60, 3.0, 0.0)
            apart = np.hypot(*(truth - somata).T)
            head = find_nerve_head(somata, angles + bend * (apart - np.minimum(40, apart)) / 2)
            if head.status == "position":
                found.append(in_region(head, truth))
        return found

    at_least(inside(0.0, 80, 1), 0.93)
    at_most(inside(0.1, 80, 2), 0.2)
    at_least(inside(0.1, 25, 3), 0.9)


@pytest.mark.parametrize(("distance", "least", "most"), [(25, 0.8, 0.94), (80, 0.3, 0.8)])
def test_the_ellipse_counts_errors_as_symmetric(distance: float, least: float, most: float) -> None:
    """Angles that err to one side (exponential, SD 3 degrees, mean 0) move the head beyond it."""
    rng = np.random.default_rng(69)
    inside = []
    for _ in range(cases(60, 300)):
        truth, somata, angles = retina(rng, distance, 60, 0.0, 0.0)
        head = find_nerve_head(somata, angles + 3 * (rng.exponential(1, 60) - 1))
        if head.status == "position":
            inside.append(in_region(head, truth))
    at_least(inside, least)
    at_most(inside, most)
