"""The numbers of each unit that tables of cells are made of, and its preferred direction in the retina."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hdmea.features.scalars import single_values
from hdmea.population.responses import COLOURS, FLICKER, STEP
from hdmea.population.traces import unit_key
from hdmea.session.feature_layout import STA_PREFIX
from hdmea.session.session import PipelineSession
from hdmea.steps.align import ALIGNMENT
from hdmea.steps.per_unit import get_nested, number

POLAR = (
    *("radius", "theta_deg", "theta_deg_raw", "transformed_x", "transformed_y"),
    *("angle_correction_applied", "quadrant", "anatomical_quadrant"),
)
TEXTS = ("quadrant", "anatomical_quadrant")
GAUSSIAN = ("sigma_x", "sigma_y", "amplitude", "r_squared")
SURROUND = ("sigma_exc", "sigma_inh", "amp_exc", "amp_inh", "r_squared")
MODEL = (
    *("a", "b", "a_norm", "bits_per_spike", "r_squared", "rectification_index", "nonlinearity_index", "threshold_g"),
    *("log_likelihood", "null_log_likelihood", "n_frames", "n_spikes"),
)
MODEL_CURVES = ("g_bin_centers", "rate_vs_g")
BAR = "moving_h_bar_s5_d8_3x"
TUNING = ("dsi", "osi", "dsi_p_value", "osi_p_value", "q_value", "preferred_direction", "preferred_orientation")
TESTED = (*STEP, COLOURS, FLICKER, BAR)  # stimuli whose tested measures stand in the table, too

Row = dict[str, Any]


def unit_scalars(session: PipelineSession) -> list[Row]:
    """A row a unit; NaN or None where a unit has no value, lists where a value is a curve.

    `preferred_direction_retina` is the bar's preferred direction turned as the somata's coordinates are
    (`angle_correction_applied`); NaN where the chip's place in the retina is not known. `field_area_um2` is that of the
    1-SD ellipse of the field; NaN where chip and stimulus are not aligned. `{stimulus}.{name}`: what `extract_features`
    has measured of full-field stimuli and the bar, as in tables of units; numbers only.
    """
    alignment = session.metadata.get(ALIGNMENT) or {}
    um_per_pixel = 1 / number(alignment.get("scale_px_per_um"))
    measured = [_measured(unit) for unit in session.units.values()]
    names = dict.fromkeys(name for values in measured for name in values)
    return [
        {
            "key": unit_key(session.dataset_id, unit_id),
            "recording": session.dataset_id,
            "unit": unit_id,
            "total_unit_count": len(session.units),
            "spike_count": len(unit.get("spike_times", ())),
            **_labels(unit),
            **_place(unit),
            **_field(unit, um_per_pixel),
            **_direction(unit),
            **{name: values.get(name, float("nan")) for name in names},
        }
        for (unit_id, unit), values in zip(session.units.items(), measured, strict=True)
    ]


def _measured(unit: Mapping[str, Any]) -> Row:
    """The single numbers of features; those of the bar that have a column of their own are left out."""
    features = unit.get("features") or {}
    values = (one for movie in TESTED for one in single_values(features.get(movie) or {}, (movie,)))
    scalars = {".".join(path): float(value) for path, value in values if isinstance(value, (int, float))}
    return {name: value for name, value in scalars.items() if name not in _OF_BAR}


_OF_BAR = {f"{BAR}.{name}" for name in TUNING}


def _labels(unit: Mapping[str, Any]) -> Row:
    said = get_nested(unit, "auto_label", "axon_type")
    return {"axon_type": None if said is None else str(np.asarray(said).ravel()[0])}


def _place(unit: Mapping[str, Any]) -> Row:
    features = unit.get("features")
    soma = get_nested(features, "eimage_sta", "geometry") or {}
    polar = get_nested(features, "ap_tracking", "soma_polar_coordinates") or {}
    row: Row = {name: number(soma.get(key)) for name, key in (("soma_row", "center_row"), ("soma_col", "center_col"))}
    for name in POLAR:
        row[name] = _text(polar.get(name)) if name in TEXTS else number(polar.get(name))
    return row


def _text(value: Any) -> str | None:
    """A stored text; None for NaN."""
    item = None if value is None else np.asarray(value).ravel()[0]
    return str(item) if isinstance(item, (str, bytes)) else None


def _field(unit: Mapping[str, Any], um_per_pixel: float) -> Row:
    geometry: Mapping[str, Any] = {}
    for name, feature in (unit.get("features") or {}).items():
        if str(name).startswith(STA_PREFIX) and isinstance(get_nested(feature, "sta_geometry"), Mapping):
            geometry = feature["sta_geometry"]
    gaussian, surround, model = (geometry.get(name) or {} for name in ("gaussian_fit", "DoG", "lnl"))
    course = geometry.get("sta_time_course")
    return {
        **{name: number(gaussian.get(name)) for name in GAUSSIAN},
        **{f"dog_{name}": number(surround.get(name)) for name in SURROUND},
        **{f"ln_{name}": number(model.get(name)) for name in MODEL},
        **{f"ln_{name}": _curve(model.get(name)) for name in MODEL_CURVES},
        "field_area_um2": np.pi * number(gaussian.get("sigma_x")) * number(gaussian.get("sigma_y")) * um_per_pixel**2,
        "field_row": number(geometry.get("center_row")),
        "field_col": number(geometry.get("center_col")),
        "sta_time_course": _curve(course),
    }


def _curve(values: Any) -> list[float]:
    return [] if values is None else np.asarray(values, np.float64).ravel().tolist()


def _direction(unit: Mapping[str, Any]) -> Row:
    features = unit.get("features")
    measured = get_nested(features, BAR, "data") or {}
    turn = number(get_nested(features, "ap_tracking", "soma_polar_coordinates", "angle_correction_applied"))
    row = {f"bar_{name}": number(measured.get(name)) for name in TUNING}
    return {**row, "preferred_direction_retina": float((row["bar_preferred_direction"] + turn) % 360)}
