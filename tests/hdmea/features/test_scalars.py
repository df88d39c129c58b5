"""The single values of a unit: each once, however often a vendor's table says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hdmea.features.scalars import unit_values, without_doubles
from hdmea.pipeline import create_session, load_recording
from hdmea.report.values import values_of
from hdmea.simulate import SimulatedRecording
from hdmea.steps.vendor_metadata import add_cmtr_unit_info


def test_values_of_names_of_other_case_and_of_places_are_there_once() -> None:
    own = {"SNR": 13.643411735592982, "snr": np.array([13.64341174]), "RoiSize": 4, "roisize": np.array([5])}
    unit = {"row": 3, "col": 7, "global_id": 120, "unit_meta": {**own, "row": 3, "column": 8, "sensorid": 120}}
    found = without_doubles(unit_values(unit))
    assert found == {
        ("row",): 3, ("col",): 7, ("global_id",): 120,
        ("unit_meta", "SNR"): 13.643411735592982,
        ("unit_meta", "RoiSize"): 4, ("unit_meta", "roisize"): 5,  # which differ
        ("unit_meta", "column"): 8,
    }  # fmt: skip


def test_nan_equals_nan() -> None:
    unit = {"unit_meta": {"Isi": np.nan, "isi": np.array([np.nan])}}
    assert list(without_doubles(unit_values(unit))) == [("unit_meta", "Isi")]


def test_a_recording_with_all_of_the_vendors_table_has_no_name_twice(
    small_recording: SimulatedRecording, tmp_path: Path
) -> None:
    paths = small_recording.cmcr_path, small_recording.cmtr_path
    session = load_recording(*paths, session=create_session("rec", output_dir=tmp_path))
    add_cmtr_unit_info(cmtr_path=paths[1], session=session)
    names = [name.casefold() for name in values_of(session.units["unit_001"]) if name.startswith("unit_meta/")]
    assert len(names) > 3
    assert len(names) == len(set(names))
