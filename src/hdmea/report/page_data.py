"""Content of a page: the recording, and each unit by itself, as plain values for JSON."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np

import h5burst
from h5burst.page import finite_numbers, packed
from hdmea.features.scalars import Scalar
from hdmea.plot import figure_data
from hdmea.report.activity import ActivitySums
from hdmea.report.values import explanation, scalars, unit_and_meaning, values_of
from hdmea.session import lab_book
from hdmea.session.session import PipelineSession
from hdmea.steps.align import ALIGNMENT
from hdmea.steps.per_unit import PITCH_UM, pitch_um

Json: TypeAlias = dict[str, Any]

RATE_BINS = 300
PARTS = 100  # of the recording, for the rate of a unit
MAX_DRAWN = 4000  # spikes of one raster
MAX_FACTS = 400  # values of the metadata that are listed
RASTER_TICK_S = 0.001
TRACES_REACH = 3  # electrodes to each side of the soma
MAX_OF_TRACE = 64  # samples of a trace
MAX_OF_FRAMES = 32768  # pixels of all frames of an average


@dataclass
class RecordingSums:
    """Sums over the units, gone through one by one."""

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
    population: Any = field(default_factory=lambda: np.zeros(RATE_BINS))
    sections: dict[str, Any] = field(default_factory=dict)
    activity: ActivitySums = field(init=False)

    def __post_init__(self) -> None:
        self.activity = ActivitySums(self.session, self.duration_s)
        self.sections = figure_data.sections_of(self.session)


def begin(session: PipelineSession) -> RecordingSums:
    """A recording of which no unit has been looked at. Looks through all trains where its length is not stored."""
    return RecordingSums(session, figure_data.duration_of(session))


def add_unit(recording: RecordingSums, name: str) -> Json:
    """One unit's pictures and values for its page; its values go to the columns of the table besides."""
    session = recording.session
    unit = session.units[name]
    times = figure_data.spikes_s(session, unit)
    values = _own_values(times, recording.duration_s) | values_of(unit)
    _add_values(recording, name, values)
    _note_features(recording, name, unit, values)
    xy = figure_data.chip_position(unit)
    recording.places.append(None if xy is None else list(xy))
    recording.activity.add(name, unit, times)
    if recording.duration_s > 0:
        recording.population += np.histogram(times, RATE_BINS, (0, recording.duration_s))[0]
    fields = [(one, figure_data.field_of(unit, one)) for one in figure_data.field_names(unit)]
    _add_ellipse(recording, unit, [one for one, _ in fields])
    return {
        "wave": _wave(session, unit),
        "isi": [int(count) for count in figure_data.isi_histogram(times)[0]],
        "pairs": _pairs(times),
        "over": _over(times, recording.duration_s),
        "image": _image(session, unit),
        "responses": [_response(session, unit, movie) for movie in _movies(recording, unit)],
        "fields": [_field(one, stored) for one, stored in fields if stored is not None],
        "tunings": [_tuning(one) for one in figure_data.tunings_of(unit)],
    }


def _own_values(times: Any, duration_s: float) -> dict[str, Scalar]:
    rate = len(times) / duration_s if duration_s > 0 else None
    below = figure_data.violations(times)
    return {"rate": rate, "spikes": len(times), "violations": None if np.isnan(below) else below}


def _add_values(recording: RecordingSums, name: str, values: Mapping[str, Scalar]) -> None:
    done = len(recording.names)
    recording.names.append(name)
    for column, value in values.items():
        recording.columns.setdefault(column, [None] * done).append(value)
    for entries in recording.columns.values():
        if len(entries) == done:
            entries.append(None)


def _note_features(recording: RecordingSums, name: str, unit: Mapping[str, Any], values: Mapping[str, Scalar]) -> None:
    for feature, feature_value in (unit.get("features") or {}).items():
        recording.having[str(feature)] = recording.having.get(str(feature), 0) + 1
        metadata = feature_value.get("metadata") if isinstance(feature_value, Mapping) else None
        said = {key: metadata[key] for key in ("version", "params_hash") if metadata and key in metadata}
        text = ", ".join(f"{key} {value}" for key, value in said.items()) or "no version stored"
        recording.versions.setdefault(str(feature), set()).add(text)
    for column, value in values.items():
        if column.endswith("reason") and isinstance(value, str) and value:
            recording.reasons.append([name, column, value])


def _add_ellipse(recording: RecordingSums, unit: Mapping[str, Any], fields: list[str]) -> None:
    recording.mosaic = recording.mosaic or (fields[0] if fields else "")
    ellipse = figure_data.field_ellipse(unit, recording.mosaic) if recording.mosaic else None
    shape = (
        None if ellipse is None else [ellipse.x, ellipse.y, ellipse.half_major, ellipse.half_minor, ellipse.angle_deg]
    )
    recording.fields.append(shape)


# ---------------------------------------------------------------- a unit's pictures


def _wave(session: PipelineSession, unit: Mapping[str, Any]) -> Json | None:
    waveform = figure_data.waveform_of(session, unit)
    return None if waveform is None else {"x": finite_numbers(waveform[0]), "y": finite_numbers(waveform[1])}


def _pairs(times: Any) -> list[int]:
    """The later side of the autocorrelogram; the earlier one is its mirror."""
    counts = figure_data.autocorrelogram(times)[0]
    return [int(count) for count in counts[len(counts) // 2 :]]


def _over(times: Any, duration_s: float) -> list[int] | None:
    """Spikes in equal parts of the recording; None where its length is not known."""
    return np.histogram(times, PARTS, (0, duration_s))[0].tolist() if duration_s > 0 else None


def _image(session: PipelineSession, unit: Mapping[str, Any]) -> Json | None:
    image = figure_data.image_of(session, unit)
    if image is None:
        return None
    top = float(image.peak_to_peak.max()) or 1.0
    return {
        "shape": list(image.peak_to_peak.shape),
        "top": finite_numbers(top)[0],
        "pixels": packed(np.round(image.peak_to_peak / top * 255), "u1"),
        "soma": None if image.soma is None else list(image.soma),
        "axon": [finite_numbers(point) for point in image.axon],
        "pitch": image.pitch_um,
        "traces": _traces(image),
    }


def _traces(image: figure_data.Image) -> Json:
    """The traces about the soma (or the largest one), as 127ths of the largest value of all."""
    row, column = figure_data.middle_of(image)
    top, left = max(row - TRACES_REACH, 0), max(column - TRACES_REACH, 0)
    part = image.average[:, top : row + TRACES_REACH + 1, left : column + TRACES_REACH + 1]
    every = -(-len(part) // MAX_OF_TRACE)
    shown = np.nan_to_num(part[::every]).transpose(1, 2, 0)
    largest = float(np.abs(shown).max()) or 1.0
    return {
        "rows": shown.shape[0],
        "columns": shown.shape[1],
        "length": shown.shape[2],
        "row": top,
        "column": left,
        "top": largest,
        "from": finite_numbers(image.times_ms[0])[0],
        "to": finite_numbers(image.times_ms[::every][-1])[0],
        "values": packed(np.round(shown / largest * 127), "i1"),
    }


def _movies(recording: RecordingSums, unit: Mapping[str, Any]) -> list[str]:
    """The movies whose trials a unit has, in the order in which they were shown."""
    order = {name: i for i, name in enumerate(recording.sections)}
    names = [str(movie) for movie in unit.get("spike_times_sectioned") or {}]
    return sorted(names, key=lambda name: order.get(name, len(order)))


def _response(session: PipelineSession, unit: Mapping[str, Any], movie: str) -> Json:
    """Raster in ms from each trial's start, and sums and sums of squares over trials of the counts in bins."""
    windows = figure_data.windows_of(session, unit, movie)
    psth = None if windows is None else figure_data.psth_of(windows, figure_data.bin_for(windows))
    if windows is None or psth is None:
        return {"movie": movie, "trials": 0}
    every = max(1, -(-len(windows.samples) // MAX_DRAWN))
    drawn = [windows.of(trial)[::every] / windows.rate for trial in range(len(windows))]
    ticks = np.round(np.concatenate(drawn) / RASTER_TICK_S)
    kind = "u2" if ticks.max(initial=0) < 2**16 else "u4"
    counts = psth.mean * psth.trials * psth.edges_s[1]
    squares = (psth.sd * psth.edges_s[1]) ** 2 * (psth.trials - 1) + counts**2 / psth.trials
    return {
        "movie": movie,
        "trials": psth.trials,
        "length": float(windows.durations_s.max()),
        "spikes": len(windows.samples),
        "every": every,
        "counts": [len(one) for one in drawn],
        "kind": kind,
        "times": packed(ticks, f"<{kind}"),
        "bin": float(psth.edges_s[1]),
        "sums": [round(one) for one in counts.tolist()],
        "squares": [round(one) for one in squares.tolist()] if psth.trials > 1 else None,
    }


def _field(name: str, sta: figure_data.Field) -> Json:
    shape = sta.ellipse
    ellipse = None if shape is None else [shape.x, shape.y, shape.half_major, shape.half_minor, shape.angle_deg]
    middle, reach = sta.colour_range
    return {
        "name": name,
        "shape": list(sta.space.shape),
        "space": finite_numbers(sta.space),
        "middle": middle,
        "reach": reach,
        "course": finite_numbers(sta.time_course),
        "times": finite_numbers(sta.lags),
        "unit": sta.lag_unit,
        "frame": sta.peak_frame,
        "frames": _frames(sta, middle, reach),
        "ellipse": ellipse,
        "significant": sta.significant,
    }


def _frames(sta: figure_data.Field, middle: float, reach: float) -> Json:
    """Frames of the average, evenly chosen where all are too many, in 255 steps; 255 is not a number."""
    length = len(sta.average)
    count = min(length, max(1, MAX_OF_FRAMES // sta.space.size))
    even = np.linspace(0, length - 1, count).round().astype(int) if count > 1 else []
    numbers = np.unique([*even, sta.peak_frame])
    parts = (sta.average[numbers] - middle) / reach / 2 + 0.5
    steps = np.where(np.isfinite(parts), np.round(np.clip(np.nan_to_num(parts), 0, 1) * 254), 255)
    return {"numbers": numbers.tolist(), "values": packed(steps, "u1")}


def _tuning(tuning: figure_data.Tuning) -> Json:
    figures = (
        tuning.preferred_deg, tuning.half_width_deg, tuning.dsi, tuning.dsi_low, tuning.dsi_high, tuning.p_value
    )  # fmt: skip
    named = zip(("preferred", "half", "dsi", "low", "high", "p"), finite_numbers(figures), strict=True)
    return {
        "name": tuning.feature,
        "x": finite_numbers(tuning.directions_deg),
        "y": finite_numbers(tuning.response),
        **dict(named),
    }


# ---------------------------------------------------------------- the recording


def finish(recording: RecordingSums) -> Json:
    """All that the page shows of the recording as a whole, once every unit was added."""
    session = recording.session
    width = recording.duration_s / RATE_BINS
    count = max(len(recording.names), 1)
    light = figure_data.light_of(session, 1000)
    return {
        "name": session.dataset_id,
        "facts": _facts(recording),
        "history": _history(recording.session),
        "metadata": [list(item) for item in list(scalars(session.metadata))[:MAX_FACTS]],
        "features": sorted([name, "; ".join(sorted(said))] for name, said in recording.versions.items()),
        "duration": recording.duration_s if recording.duration_s > 0 else None,
        "light": light
        and {
            "name": light.name,
            "x": finite_numbers(light.times_s),
            "low": finite_numbers(light.low),
            "high": finite_numbers(light.high),
        },
        "sections": [[name, bounds.tolist()] for name, bounds in recording.sections.items()],
        "population": finite_numbers(recording.population / width / count) if recording.duration_s > 0 else [],
        "activity": recording.activity.finish(),
        "units": recording.names,
        "columns": [
            dict(
                zip(
                    ("name", "unit", "what", "values"),
                    (name, *unit_and_meaning(explanation(name)), values),
                    strict=True,
                )
            )
            for name, values in recording.columns.items()
        ],
        "places": recording.places,
        "pitch": _known_pitch(session),
        "um_per_pixel": _um_per_pixel(session),
        "fields": recording.fields,
        "mosaic": recording.mosaic,
        "warnings": list(session.warnings),
        "missing": _missing(recording),
        "reasons": recording.reasons,
    }


def _known_pitch(session: PipelineSession) -> float | None:
    """Distance of neighbouring electrodes in µm; None for a recording of which it is not known."""
    of_usual_chip = session.source_files.get("cmcr_path") or session.source_files.get("cmtr_path")
    return pitch_um(session) if PITCH_UM in session.metadata or of_usual_chip else None


def _um_per_pixel(session: PipelineSession) -> float | None:
    """Width on the retina of a pixel of the noise movie in µm, where chip and stimulus are aligned."""
    scale = figure_data.value(session.metadata.get(ALIGNMENT) or {}, "scale_px_per_um")
    return finite_numbers(1 / scale)[0] if scale > 0 else None


def _facts(recording: RecordingSums) -> list[list[str]]:
    session = recording.session
    path = session.own_file
    size = h5burst.format_bytes(path.stat().st_size) if path is not None and path.exists() else "not saved"
    facts = {
        "file": "" if path is None else path.name,
        "size": size,
        "made on": _date(session.created_at),
        "saved on": _date(session.saved_at),
        "layout version": str(session.layout_version),
        "parameters' hash": session.params_hash or "not stored",
        "steps": ", ".join(sorted(session.completed_steps)) or "none",
        **{name.replace("_", " "): str(path) for name, path in session.source_files.items() if path is not None},
        "page made by": f"h5burst {h5burst.__version__}, Python {platform.python_version()}",
    }
    return [list(item) for item in facts.items()]


def _history(session: PipelineSession) -> list[list[Any]]:
    """History of the file, the newest first; nothing for a session without one."""
    path = session.own_file
    if path is None or not path.exists():
        return []
    return [list(entry) for entry in lab_book.entries(path)[:MAX_FACTS]]


def _date(stored: str | None) -> str:
    """An ISO time as people write it; as it is stored where it is none."""
    try:
        return datetime.fromisoformat(str(stored)).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    except ValueError:
        return str(stored or "not stored")


def _missing(recording: RecordingSums) -> list[list[Any]]:
    """Units without spikes, without a place, and features that only some units have."""
    total = len(recording.names)
    silent = sum(count == 0 for count in recording.columns.get("spikes", []))
    homeless = sum(xy is None for xy in recording.places)
    counts = [["units without spikes", silent], ["units without a place on the chip", homeless]]
    counts += [[f"units without the feature {name}", total - have] for name, have in sorted(recording.having.items())]
    return [[label, count, total] for label, count in counts if count]
