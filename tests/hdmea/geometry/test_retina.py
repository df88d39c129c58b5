"""Places in the retina: the arithmetic of a laboratory's tables, worked out by hand, and the paths of its scripts."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest

from hdmea.features.ap_tracking import DVNTPosition, SomaPolarCoordinates
from hdmea.features.ap_tracking import pathway_analysis as analysis
from hdmea.features.ap_tracking.dvnt_parser import parse_dvnt_from_center_xy
from hdmea.geometry.retina import angle_correction, retinal_polar

NAMES = {
    "model_inference": ("load_cnn_model", "run_model_inference", "select_device"),
    "ais_refiner": ("ais_refiner", "soma_refiner"),
    "soma_detector": ("find_soma_from_3d_sta",),
    "postprocess": ("process_predictions",),
    "pathway_analysis": (
        *("fit_line_to_centroids", "calculate_soma_polar_coordinates", "calculate_direction_from_centroids"),
        *("calculate_enhanced_intersection", "calculate_optimal_intersection", "_calculate_angle_correction"),
        *("APIntersection", "DEFAULT_CLUSTER_EPS", "DEFAULT_CLUSTER_MIN_SAMPLES"),
    ),
    "dvnt_parser": ("parse_dvnt_from_center_xy",),
}
OF_THE_PACKAGE = (
    *("compute_ap_tracking", "compute_ap_tracking_batch", "RefinedSoma", "AxonInitialSegment", "DVNTPosition"),
    *("APPathway", "APIntersection", "SomaPolarCoordinates"),
)


def test_all_names_of_the_package_can_be_imported() -> None:
    for module, names in NAMES.items():
        for name in names:
            assert hasattr(importlib.import_module(f"hdmea.features.ap_tracking.{module}"), name)
    for name in OF_THE_PACKAGE:
        assert getattr(importlib.import_module("hdmea.features.ap_tracking"), name) is not None


@pytest.mark.parametrize("path", ["model_inference.load_cnn_model", "postprocess.process_predictions"])
def test_functions_of_a_network_say_when_called_what_to_call(path: str) -> None:
    module, name = path.split(".")
    function = getattr(importlib.import_module(f"hdmea.features.ap_tracking.{module}"), name)
    with pytest.raises(NotImplementedError, match=f"{name} .*compute_ap_tracking"):
        function("model.pt", device="cpu")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L, 1.5, -0.8", DVNTPosition(dv_position=-1.5, nt_position=-0.8, lr_position="L")),
        ("r,-2,.25", DVNTPosition(2.0, 0.25, "R")),
        ("L, 1.5, \u22120.8", DVNTPosition(-1.5, -0.8, "L")),
        ("L, 1.5", None),
        ("", None),
        (None, None),
        (float("nan"), None),
        ("X, 1, 2", None),
        ("L, one, 2", None),
    ],
)
def test_place_of_the_chip_in_the_retina(text: object, expected: DVNTPosition | None) -> None:
    assert parse_dvnt_from_center_xy(text) == expected


def test_polar_coordinates_are_those_of_the_tables() -> None:
    # Head at column 13, row 33: the chip's centre (33, 33) is at 0 degrees from it. In the retina the chip is dorsal
    # (DV 1, NT 0), at 90 degrees: everything is turned by 90. The soma is 3 columns right of the head, 4 rows below.
    polar = retinal_polar(13.0, 33.0, row=37.0, col=16.0, chip_position=DVNTPosition(1.0, 0.0, "L"))
    raw = math.degrees(math.atan2(4, 3))
    assert polar.radius == 5
    assert polar.theta_deg_raw == pytest.approx(raw)
    assert polar.angle_correction_applied == pytest.approx(90)
    assert polar.theta == polar.theta_deg == polar.theta_deg_corrected == pytest.approx(raw + 90)
    assert polar.angle == pytest.approx(math.radians(raw + 90))
    assert (polar.cartesian_x, polar.cartesian_y) == (pytest.approx(3), pytest.approx(4))
    assert (polar.transformed_x, polar.transformed_y) == (pytest.approx(-4), pytest.approx(3))  # turned by 90 degrees
    assert (polar.original_x, polar.original_y) == (37, 16)  # row, column
    assert (polar.quadrant, polar.anatomical_quadrant) == ("Q2", "dorsal-temporal")


def test_correction_is_not_wrapped_and_angles_are() -> None:
    # The centre is at -135 degrees from a head at (53, 53); the chip is at 135 degrees in the retina: 270 between them.
    assert angle_correction(53.0, 53.0, DVNTPosition(1.0, -1.0, "R")) == pytest.approx(270)
    polar = retinal_polar(53.0, 53.0, row=33.0, col=33.0, chip_position=DVNTPosition(1.0, -1.0, "R"))
    assert polar.theta_deg == pytest.approx(135)


def test_without_a_place_angles_are_raw_and_without_a_head_nan() -> None:
    raw = retinal_polar(10.0, 10.0, row=10.0, col=5.0, chip_position=None)
    assert raw.theta == raw.theta_deg == raw.theta_deg_corrected == raw.theta_deg_raw == 180
    assert math.isnan(raw.angle_correction_applied)
    assert isinstance(raw.anatomical_quadrant, float)
    none = retinal_polar(math.nan, math.nan, row=10.0, col=5.0, chip_position=DVNTPosition(0.0, 1.0, "L"))
    assert math.isnan(none.radius)
    assert math.isnan(none.theta_deg)
    assert isinstance(none.quadrant, float)
    assert (none.original_x, none.original_y, none.anatomical_quadrant) == (10, 5, "ventral-nasal")


# ---------------------------------------------------------------- the arithmetic that scripts call


def test_direction_of_centroids_is_that_in_which_they_advance() -> None:
    time = np.arange(6.0)
    for angle in (0.0, 90.0, 200.0):  # a vertical axon has a direction as any
        x, y = 20 + 2 * time * np.cos(np.radians(angle)), 30 + 2 * time * np.sin(np.radians(angle))
        centroids = np.stack([time, x, y], axis=1)
        assert analysis.calculate_direction_from_centroids(centroids) == pytest.approx(angle, abs=1e-9)
        pathway = analysis.fit_line_to_centroids(centroids)
        assert pathway.direction_angle == pytest.approx(angle, abs=1e-9)
        if angle != 90:
            assert pathway.slope == pytest.approx(np.tan(np.radians(angle)))
    assert math.isnan(analysis.calculate_direction_from_centroids(np.zeros((1, 3))))


def test_intersection_is_where_pathways_meet() -> None:
    rng = np.random.default_rng(2)
    starts = rng.uniform(5, 60, (30, 2))
    angles = np.degrees(np.arctan2(-15 - starts[:, 1], 20 - starts[:, 0]))
    pathways = {
        f"unit_{n:03d}": {"start_x": x, "start_y": y, "direction_angle": angle}
        for n, ((x, y), angle) in enumerate(zip(starts, angles, strict=True))
    }
    meeting = analysis.calculate_optimal_intersection(pathways, eps=3.0)
    assert meeting is not None
    assert (meeting.x, meeting.y) == (pytest.approx(20, abs=0.1), pytest.approx(-15, abs=0.1))
    soma = analysis.RefinedSoma(0.0, 23.0, -11.0)
    polar = analysis.calculate_soma_polar_coordinates(soma, analysis.APIntersection(20.0, -15.0))
    assert isinstance(polar, SomaPolarCoordinates)
    assert polar.radius == 5
    assert analysis.calculate_enhanced_intersection([]) is None
