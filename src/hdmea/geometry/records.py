"""Results as nested dicts of numbers, texts and arrays, under the names that files of recordings hold them by.

One list of those names. What a result says beyond a laboratory's names stands beside them under its own.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from hdmea.geometry.alignment import Alignment
from hdmea.geometry.axon import Axon
from hdmea.geometry.electrical_image import ImageScale
from hdmea.geometry.field_fits import GaussianFit, SurroundFit
from hdmea.geometry.ln_model import KINDS, LNModel
from hdmea.geometry.nerve_head import NerveHead, SomaPolar
from hdmea.geometry.receptive_field import ReceptiveField
from hdmea.geometry.second_order import SecondOrderField
from hdmea.geometry.soma import SomaGeometry

Record = dict[str, Any]


def _own(result: Any, *without: str) -> Record:
    """The fields of a result but some."""
    return {one.name: getattr(result, one.name) for one in fields(result) if one.name not in without}


def soma_record(soma: SomaGeometry) -> Record:
    """A soma as nested dicts: `features/eimage_sta/geometry` of a file."""
    return _own(soma)


def second_order_record(field: SecondOrderField) -> Record:
    """A second-order field as a dict: `features/sta_{movie}/stc` of a file."""
    return _own(field)


def field_record(field: ReceptiveField, frame_period_s: float) -> Record:
    """A receptive field as nested dicts: `features/sta_{movie}/sta_geometry` of a file, without `lnl`.

    Parameters
    ----------
    field
        Of `receptive_field`.
    frame_period_s
        The real one, for times in ms.

    Returns
    -------
    dict
        Its fields by name, and the figures of its time course.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import field_record, receptive_field
    >>> noise = np.random.default_rng(0).normal(size=(60, 15, 15))
    >>> field_record(receptive_field(noise), 1 / 60)["significant"]
    False
    """
    lag_ms, crossing_ms = field.time_course.in_ms(frame_period_s)
    return {
        **_own(field, "time_course", "gaussian_fit", "dog", "on_off", "peak_frame"),
        "peak_frame": field.peak_frame,
        "peak_lag_frames": field.time_course.peak_lag_frames,
        "peak_lag_ms": lag_ms,
        "biphasic_index": field.time_course.biphasic_index,
        "zero_crossing_frames": field.time_course.zero_crossing_frames,
        "zero_crossing_ms": crossing_ms,
        "gaussian_fit": _rotated(field.gaussian_fit),
        "DoG": _rotated(field.dog),
        "ONOFF_model": {
            "on_z": field.on_off.on_z,
            "off_z": field.on_off.off_z,
            "on_lag_frames": field.on_off.on_lag_frames,
            "off_lag_frames": field.on_off.off_lag_frames,
            **_along_the_grid("on_", field.on_off.on),
            **_along_the_grid("off_", field.on_off.off),
        },
    }


def _rotated(fit: GaussianFit | SurroundFit) -> Record:
    """The fields of a fit, its angle as `theta` in radians, as scripts have it, and as `theta_deg` in degrees."""
    return {**_own(fit), "theta": float(np.radians(fit.theta)), "theta_deg": fit.theta}


def _along_the_grid(prefix: str, fit: GaussianFit) -> Record:
    """Of a fit without an angle: its widths along the grid's axes."""
    return {
        f"{prefix}center_x": fit.center_x,
        f"{prefix}center_y": fit.center_y,
        f"{prefix}sigma_x": fit.along("x"),
        f"{prefix}sigma_y": fit.along("y"),
        f"{prefix}amplitude": fit.amplitude,
        f"{prefix}r_squared": fit.r_squared,
    }


def model_record(model: LNModel) -> Record:
    """A linear-nonlinear model as a dict: `features/sta_{movie}/sta_geometry/lnl` of a file."""
    kinds = {f"bits_{kind}": model.bits[kind] for kind in KINDS}
    kinds |= {f"r_squared_{kind}": model.r_squareds[kind] for kind in KINDS}
    return {**_own(model, "bits", "r_squareds"), **kinds}


def axon_record(axon: Axon, scale: ImageScale, polar: SomaPolar | None = None) -> Record:
    """An axon as nested dicts: `features/ap_tracking` of a file.

    Parameters
    ----------
    axon
        Of `track_axon`.
    scale
        Of the image.
    polar
        Where the soma is from the optic-nerve head.

    Returns
    -------
    dict
        Times `t` are in samples of the window, `t_ms` from the spike.

    Examples
    --------
    >>> from hdmea.geometry import Axon, ImageScale, axon_record
    >>> sorted(axon_record(Axon(axon_seen=False, reason="no soma"), ImageScale(20_000, 10, 16)))[:2]
    ['ap_pathway', 'axon_initial_segment']
    """
    pathway = _own(axon, "refined_soma", "axon_initial_segment", "axon_centroids", "score")
    return {
        "refined_soma": _place(axon.refined_soma, scale),
        "axon_initial_segment": _place(axon.axon_initial_segment, scale),
        "post_processed_data": {"axon_centroids": axon.axon_centroids},
        "ap_pathway": {**pathway, "significance": axon.score},
        "soma_polar_coordinates": _own(polar or SomaPolar()),
    }


def _place(position: tuple[float, float, float], scale: ImageScale) -> Record:
    t, x, y = position
    return {
        "t": t,
        "x": x,
        "y": y,
        "t_ms": (t - scale.spike_sample) / scale.samples_per_ms,
        "x_um": x * scale.pitch_um,
        "y_um": y * scale.pitch_um,
    }


def head_record(head: NerveHead, pitch_um: float) -> Record:
    """An optic-nerve head as a dict: `metadata/ap_tracking/all_ap_intersection` of a file.

    Parameters
    ----------
    head
        Of `find_nerve_head`.
    pitch_um
        Distance of neighbouring electrodes.

    Returns
    -------
    dict
        Its fields by name, and the place in µm.

    Examples
    --------
    >>> from hdmea.geometry import NerveHead, head_record
    >>> head_record(NerveHead(status="position", x=2.0, y=-3.0), 16.0)["y_um"]
    -48.0
    """
    return {
        **_own(head, "unaccepted", "covariance"),
        "x_um": head.x * pitch_um,
        "y_um": head.y * pitch_um,
        "covariance": head.covariance,
        "unaccepted_x": head.unaccepted[0],
        "unaccepted_y": head.unaccepted[1],
    }


def alignment_record(alignment: Alignment) -> Record:
    """An alignment as a dict: `metadata/electrode_alignment` of a file."""
    return {**_own(alignment, "center", "spread"), "chip_center_um": alignment.center, "spread": alignment.spread}


def alignment_from_record(record: Record) -> Alignment:
    """The alignment of such a record, so that its map can be used again.

    Parameters
    ----------
    record
        Of `alignment_record`, or `session.metadata["electrode_alignment"]`.

    Returns
    -------
    Alignment
        With the arrays as float64.

    Raises
    ------
    ValueError
        An entry is missing.

    Examples
    --------
    >>> from hdmea.geometry import alignment_from_record
    >>> from hdmea.pipeline import PipelineSession
    >>> record = PipelineSession.load("recording.h5").metadata["electrode_alignment"]
    >>> alignment_from_record(record).predict([[160.0, 160.0]]).shape
    (1, 2)
    """
    names = {"chip_center_um": "center"}
    names_known = {one.name for one in fields(Alignment)}
    values = {names.get(name, name): value for name, value in record.items() if names.get(name, name) in names_known}
    if missing := names_known - set(values):
        raise ValueError(f"the record of an alignment lacks {', '.join(sorted(missing))}")
    for name in ("matrix", "shift", "residuals", "weights", "center", "spread"):
        values[name] = np.asarray(values[name], np.float64)
    return Alignment(**values)
