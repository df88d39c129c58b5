"""A recording's key figures: counts of units, of axons that were seen, of fields, and what was found of the whole."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdmea import geometry
from hdmea.batch.figures import COLUMNS, key_figures, stored_figures, write_table
from hdmea.features import track_axons
from hdmea.pipeline import PipelineSession
from support.electrode_cells import SPIKE, cell_image

NOISE, BAR = "sta_perfect_dense_noise_15x15_15hz_r42_3min", "moving_h_bar_s5_d8_3x"


def session_of(*features: dict[str, Any]) -> PipelineSession:
    session = PipelineSession("r")
    session.add_units({f"unit_{n:03d}": {"features": own} for n, own in enumerate(features, 1)})
    return session


def axon(seen: bool) -> dict[str, Any]:
    return {"ap_tracking": {"ap_pathway": {"axon_seen": seen}}}


def test_axons_that_were_seen_are_counted_as_tracking_finds_them() -> None:
    """Eight cells with axons and four without, tracked by the step."""
    rng = np.random.default_rng(4)
    images = [cell_image(rng, ratio=12.0)[0] for _ in range(8)] + [cell_image(rng, axon=False)[0] for _ in range(4)]
    metadata = {"sampling_rate": 20_000.0, "pre_samples": SPIKE}
    session = session_of(*({"eimage_sta": {"data": image, "metadata": metadata}} for image in images))
    session.add_metadata({"acquisition_rate": 20_000.0})
    assert key_figures(session)["axons_seen"] is None
    track_axons(session=session)
    scale = geometry.ImageScale(20_000.0, SPIKE, 16.0)
    seen = [geometry.track_axon(image, scale).axon_seen for image in images]
    found = key_figures(session)
    assert found["axons_seen"] == sum(seen)
    assert sum(seen[:8]) >= 7
    assert not any(seen[8:])
    assert (found["units"], found["significant_fields"], found["direction_selective"]) == (12, None, None)
    assert found["nerve_head_status"] in ("position", "direction", "none")


def test_figures_of_what_was_looked_for() -> None:
    units = [axon(True), axon(True), axon(False), {}]
    units[0] |= {NOISE: {"data": np.zeros(3), "sta_geometry": {"significant": True}}}
    units[1] |= {NOISE: {"data": np.zeros(3), "sta_geometry": {"significant": np.bool_(False)}}}
    units[2] |= {BAR: {"data": {"dsi_p_value": 0.001, "q_value": 0.004}}}
    units[3] |= {BAR: {"data": {"dsi_p_value": 0.04, "q_value": 0.06}}}
    session = session_of(*units)
    head = {"status": "position", "x": 70.5, "y": -3.0}
    session.add_metadata({"ap_tracking": {"all_ap_intersection": head}, "electrode_alignment": {"valid": False}})
    session.warnings += ["one", "two"]
    assert key_figures(session) == dict(zip(COLUMNS, (4, 1, 2, 1, False, "position", 70.5, -3.0, 2), strict=True))


def test_what_no_step_has_looked_for_is_empty_and_no_axon_is_zero(tmp_path: Path) -> None:
    nothing = key_figures(session_of({}, {}))
    assert {name for name, value in nothing.items() if value is None} == set(COLUMNS) - {"units", "warnings"}
    none_seen = key_figures(session_of(axon(False), axon(False)))
    write_table(
        tmp_path / "t.csv",
        [{"dataset_id": "a", "status": "done", **nothing}, {"dataset_id": "b", "status": "done", **none_seen}],
    )
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["axons_seen"] for row in rows] == ["", "0"]


def test_a_head_without_a_position_has_empty_places() -> None:
    session = session_of(axon(True))
    session.add_metadata({"ap_tracking": {"all_ap_intersection": {"status": "direction", "x": np.nan, "y": np.nan}}})
    found = key_figures(session)
    assert (found["nerve_head_status"], found["nerve_head_x"], found["nerve_head_y"]) == ("direction", None, None)


@pytest.mark.parametrize("stored", [{}, {"figures": "not JSON"}, {"figures": "[1]"}])
def test_files_of_earlier_versions_have_no_figures(stored: dict[str, str]) -> None:
    assert stored_figures(stored) == {}
