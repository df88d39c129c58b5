"""What a page holds: the recording, and each unit by itself, as plain values for JSON."""

from __future__ import annotations

import base64
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

import h5burst
from hdmea.features.scalars import Scalar
from hdmea.plot import content
from hdmea.report.values import explanation, scalars, values_of
from hdmea.session.session import PipelineSession

Json: TypeAlias = dict[str, Any]

RATE_BINS = 300
MOST_DRAWN = 4000  # spikes of one raster
MOST_FACTS = 400  # values of the metadata that are listed
RASTER_TICK_S = 0.001


@dataclass
class Recording:
    """What is added up while the units are gone through one by one."""

    session: PipelineSession
    duration_s: float
    columns: dict[str, list[Scalar]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    places: list[list[float] | None] = field(default_factory=list)
    fields: list[list[float] | None] = field(default_factory=list)
    mosaic: str = ""
    versions: dict[str, set[str]] = field(default_factory=dict)
    having: dict[str, int] = field(default_factory=dict)
    reasons: list[list[str]] = field(default_factory=list)
    population: Any = None

    def __post_init__(self) -> None:
        self.population = np.zeros(RATE_BINS)


def begin(session: PipelineSession, units: Iterable[str]) -> Recording:
    """A recording of which no unit has been looked at. Looks through all trains where its length is not stored."""
    duration = content.duration_of(session)
    if not duration > 0:
        ends = (content.spikes_s(session, session.units[name]) for name in units)
        duration = max((float(times[-1]) for times in ends if len(times)), default=float("nan"))
    return Recording(session, duration)


def add_unit(recording: Recording, name: str) -> Json:
    """One unit's pictures and values for its page; its values go to the columns of the table besides."""
    session = recording.session
    unit = session.units[name]
    times = content.spikes_s(session, unit)
    values = _own_values(times, recording.duration_s) | values_of(unit)
    _add_values(recording, name, values)
    _note_features(recording, name, unit, values)
    place = content.place_of(unit)
    recording.places.append(None if place is None else list(place))
    if recording.duration_s > 0:
        recording.population += np.histogram(times, RATE_BINS, (0, recording.duration_s))[0]
    fields = [(one, content.field_of(unit, one)) for one in content.field_names(unit)]
    _add_ellipse(recording, unit, [one for one, _ in fields])
    return {
        "wave": _wave(session, unit),
        "isi": [int(count) for count in content.isi_histogram(times)[0]],
        "image": _image(session, unit),
        "responses": [_response(session, unit, str(movie)) for movie in unit.get("spike_times_sectioned") or {}],
        "fields": [_field(one, found) for one, found in fields if found is not None],
        "tunings": [_tuning(one) for one in content.tunings_of(unit)],
    }


def _own_values(times: Any, duration_s: float) -> dict[str, Scalar]:
    rate = len(times) / duration_s if duration_s > 0 else None
    below = float(np.mean(np.round(np.diff(times) * 1000, 6) < 1.5) * 100) if len(times) > 1 else None
    return {"rate": rate, "spikes": len(times), "violations": below}


def _add_values(recording: Recording, name: str, values: Mapping[str, Scalar]) -> None:
    done = len(recording.names)
    recording.names.append(name)
    for column, value in values.items():
        recording.columns.setdefault(column, [None] * done).append(value)
    for entries in recording.columns.values():
        if len(entries) == done:
            entries.append(None)


def _note_features(recording: Recording, name: str, unit: Mapping[str, Any], values: Mapping[str, Scalar]) -> None:
    for feature, found in (unit.get("features") or {}).items():
        recording.having[str(feature)] = recording.having.get(str(feature), 0) + 1
        metadata = found.get("metadata") if isinstance(found, Mapping) else None
        said = {key: metadata[key] for key in ("version", "params_hash") if metadata and key in metadata}
        text = ", ".join(f"{key} {value}" for key, value in said.items()) or "no version stored"
        recording.versions.setdefault(str(feature), set()).add(text)
    for column, value in values.items():
        if column.endswith("reason") and isinstance(value, str) and value:
            recording.reasons.append([name, column, value])


def _add_ellipse(recording: Recording, unit: Mapping[str, Any], fields: list[str]) -> None:
    recording.mosaic = recording.mosaic or (fields[0] if fields else "")
    found = content.field_ellipse(unit, recording.mosaic) if recording.mosaic else None
    shape = None if found is None else [found.x, found.y, found.half_major, found.half_minor, found.angle_deg]
    recording.fields.append(shape)


# ---------------------------------------------------------------- a unit's pictures


def _packed(values: Any, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, np.dtype(dtype)).tobytes()).decode("ascii")


def _figures(values: Any) -> list[float | None]:
    """Numbers with seven digits; None for what is not finite."""
    return [
        float(f"{one:.7g}") if np.isfinite(one) else None for one in np.asarray(values, np.float64).ravel().tolist()
    ]


def _wave(session: PipelineSession, unit: Mapping[str, Any]) -> Json | None:
    found = content.waveform_of(session, unit)
    return None if found is None else {"x": _figures(found[0]), "y": _figures(found[1])}


def _image(session: PipelineSession, unit: Mapping[str, Any]) -> Json | None:
    image = content.image_of(session, unit)
    if image is None:
        return None
    top = float(image.peak_to_peak.max()) or 1.0
    return {
        "shape": list(image.peak_to_peak.shape),
        "top": _figures(top)[0],
        "pixels": _packed(np.round(image.peak_to_peak / top * 255), "u1"),
        "soma": None if image.soma is None else list(image.soma),
        "axon": [_figures(point) for point in image.axon],
        "pitch": image.pitch_um,
    }


def _response(session: PipelineSession, unit: Mapping[str, Any], movie: str) -> Json:
    """Raster in ms from each trial's start, and sums and sums of squares over trials of the counts in bins."""
    windows = content.windows_of(session, unit, movie)
    psth = None if windows is None else content.psth_of(windows, content.bin_for(windows))
    if windows is None or psth is None:
        return {"movie": movie, "trials": 0}
    every = max(1, -(-len(windows.samples) // MOST_DRAWN))
    drawn = [windows.of(trial)[::every] / windows.rate for trial in range(len(windows))]
    return {
        "movie": movie,
        "trials": psth.trials,
        "length": float(windows.durations_s.max()),
        "spikes": len(windows.samples),
        "every": every,
        "counts": [len(one) for one in drawn],
        "times": _packed(np.round(np.concatenate(drawn) / RASTER_TICK_S), "<u4"),
        "bin": float(psth.edges_s[1]),
        "mean": _figures(psth.mean),
        "sd": _figures(psth.sd) if psth.trials > 1 else None,
    }


def _field(name: str, found: content.Field) -> Json:
    shape = found.ellipse
    ellipse = None if shape is None else [shape.x, shape.y, shape.half_major, shape.half_minor, shape.angle_deg]
    return {
        "name": name,
        "shape": list(found.space.shape),
        "space": _figures(found.space),
        "course": _figures(found.time_course),
        "frame": found.peak_frame,
        "ellipse": ellipse,
        "significant": found.significant,
    }


def _tuning(found: content.Tuning) -> Json:
    figures = (found.preferred_deg, found.preferred_se_deg, found.dsi, found.p_value)
    named = zip(("preferred", "se", "dsi", "p"), _figures(figures), strict=True)
    return {"name": found.feature, "x": _figures(found.directions_deg), "y": _figures(found.response), **dict(named)}


# ---------------------------------------------------------------- the recording


def finish(recording: Recording) -> Json:
    """All that the page shows of the recording as a whole, once every unit was added."""
    session = recording.session
    width = recording.duration_s / RATE_BINS
    count = max(len(recording.names), 1)
    light = content.light_of(session, 1000)
    return {
        "name": session.dataset_id,
        "facts": _facts(recording),
        "metadata": [list(item) for item in list(scalars(session.metadata))[:MOST_FACTS]],
        "features": sorted([name, "; ".join(sorted(said))] for name, said in recording.versions.items()),
        "duration": recording.duration_s if recording.duration_s > 0 else None,
        "light": light and {"x": _figures(light.times_s), "low": _figures(light.low), "high": _figures(light.high)},
        "sections": [[name, bounds.tolist()] for name, bounds in content.sections_of(session).items()],
        "population": _figures(recording.population / width / count) if recording.duration_s > 0 else [],
        "units": recording.names,
        "columns": [
            {"name": name, "what": explanation(name), "values": values} for name, values in recording.columns.items()
        ],
        "places": recording.places,
        "fields": recording.fields,
        "mosaic": recording.mosaic,
        "warnings": list(session.warnings),
        "missing": _missing(recording),
        "reasons": recording.reasons,
    }


def _facts(recording: Recording) -> list[list[str]]:
    session = recording.session
    path = session.hdf5_path
    size = h5burst.format_bytes(path.stat().st_size) if path is not None and path.exists() else "not saved"
    facts = {
        "file": "" if path is None else path.name,
        "size": size,
        "made on": session.created_at or "not stored",
        "saved on": session.saved_at or "not stored",
        "layout version": str(session.layout_version),
        "parameters' hash": session.params_hash or "not stored",
        "steps": ", ".join(sorted(session.completed_steps)) or "none",
        **{name.replace("_", " "): str(path) for name, path in session.source_files.items() if path is not None},
        "page made by": f"h5burst {h5burst.__version__}, Python {platform.python_version()}",
    }
    return [list(item) for item in facts.items()]


def _missing(recording: Recording) -> list[list[Any]]:
    """Units without spikes, without a place, and features that only some units have."""
    total = len(recording.names)
    silent = sum(count == 0 for count in recording.columns.get("spikes", []))
    homeless = sum(place is None for place in recording.places)
    found = [["units without spikes", silent], ["units without a place on the chip", homeless]]
    found += [[f"units without the feature {name}", total - have] for name, have in sorted(recording.having.items())]
    return [[what, count, total] for what, count in found if count]
