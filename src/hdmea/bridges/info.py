"""Content of a recording's file in figures: units, sections, features, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from hdmea.bridges import units as unit_facts
from hdmea.bridges.binned import sections_of
from hdmea.bridges.units import Source
from hdmea.plot.figure_data import duration_of, opened
from hdmea.session.session import PipelineSession
from hdmea.step_table import STEPS
from hdmea.steps.per_unit import number


def recording_info(source: Source) -> dict[str, Any]:
    """A recording's content in figures; spikes and images are not read.

    Parameters
    ----------
    source
        A session, or the path of its file.

    Returns
    -------
    dict
        `dataset_id`, `file`, `bytes`, `layout_version`, `created_at`, `saved_at`, `acquisition_rate_hz`, `duration_s`,
        `frames`, `units` (`count`, `spikes`, `without_spikes`, `with_place`, `with_waveform`), `light_reference`
        (samples by channel), `sections` (by name: `presentations`, `trials` of each unit, `units`), `features` (by
        name: `units`, `versions`), `steps` (done), `missing` (what is not there, or not in all units: a list of text),
        `not_run` (steps that were not run, by name: the places that each makes), `warnings`. None for what is not
        known.

    Raises
    ------
    FileNotFoundError, CheckpointError
        As `PipelineSession.load`.
    """
    session = opened(source)
    path = session.own_file
    duration, rate = duration_of(session), number(session.metadata.get("acquisition_rate"))
    sections, features = _sections(session), _features(session)
    exists = path is not None and Path(path).exists()
    return {
        "dataset_id": session.dataset_id,
        "file": None if path is None else str(path),
        "bytes": Path(path).stat().st_size if path is not None and exists else None,
        "layout_version": session.layout_version,
        "created_at": session.created_at,
        "saved_at": session.saved_at,
        "acquisition_rate_hz": rate if np.isfinite(rate) else None,
        "duration_s": duration if np.isfinite(duration) else None,
        "frames": _length(session.metadata.get("frame_timestamps")),
        "units": _units(session),
        "light_reference": {
            str(name): _length(trace) for name, trace in (session.stimulus.get("light_reference") or {}).items()
        },
        "sections": sections,
        "features": features,
        "steps": sorted(session.completed_steps),
        "missing": _missing(session, sections, features),
        "not_run": _not_run(session),
        "warnings": list(session.warnings),
    }


def _length(values: Any) -> int:
    return 0 if values is None else int(np.shape(values)[0] if np.ndim(values) else 0)


def _units(session: PipelineSession) -> dict[str, int]:
    counts = [unit_facts.spike_count(unit) for unit in session.units.values()]
    places = [unit_facts.electrode_place(session, unit).x_um for unit in session.units.values()]
    return {
        "count": session.unit_count,
        "spikes": sum(counts),
        "without_spikes": sum(count == 0 for count in counts),
        "with_place": sum(xy is not None for xy in places),
        "with_waveform": sum(_length(unit.get("waveform")) > 0 for unit in session.units.values()),
    }


def _sections(session: PipelineSession) -> dict[str, dict[str, int]]:
    shown = session.stimulus.get("section_time") or {}
    sections: dict[str, dict[str, int]] = {}
    for name in dict.fromkeys([*map(str, shown), *sections_of(session)]):
        trials = [
            _length(section.get("trials_start_end"))
            for unit in session.units.values()
            if isinstance(section := (unit.get("spike_times_sectioned") or {}).get(name), Mapping)
        ]
        sections[name] = {
            "presentations": _length(shown.get(name)),
            "trials": max(trials, default=0),
            "units": len(trials),
        }
    return sections


def _features(session: PipelineSession) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for unit in session.units.values():
        for name, feature in (unit.get("features") or {}).items():
            row = rows.setdefault(str(name), {"units": 0, "versions": []})
            row["units"] += 1
            metadata = feature.get("metadata") if isinstance(feature, Mapping) else None
            version = metadata.get("version") if isinstance(metadata, Mapping) else None
            if version is not None and str(version) not in row["versions"]:
                row["versions"].append(str(version))
    return dict(sorted(rows.items()))


def _missing(session: PipelineSession, sections: Mapping[str, Any], features: Mapping[str, Any]) -> list[str]:
    """List what is not there or not in all units, each with the steps that make it."""
    units = session.unit_count
    missing = [] if units else [("units", "units")]
    if not np.isfinite(number(session.metadata.get("acquisition_rate"))):
        missing.append(("the acquisition rate", "metadata"))
    if not _length(session.metadata.get("frame_timestamps")):
        missing.append(("frame timestamps", "metadata/frame_timestamps"))
    if not sections:
        missing.append(("sections of the stimulus", "stimulus/section_time"))
    for name, section in sections.items():
        if section["units"] < units:
            lacking = f"{units - section['units']} of {units} units"
            missing.append((f"sectioned spikes of {name} in {lacking}", "spike_times_sectioned"))
    for name, feature in features.items():
        if feature["units"] < units:
            missing.append((f"the feature {name} in {units - feature['units']} of {units} units", f"features/{name}"))
    return [f"{label} (made by {_makers(need)})" for label, need in missing]


def _makers(need: str) -> str:
    """The steps that make a place of the session, or else what holds it, as text."""
    exact = [
        s.name for s in STEPS.values() if any(fnmatchcase(need, makes.replace("{movie}", "*")) for makes in s.makes)
    ]
    names = exact or [step.name for step in STEPS.values() if need.partition("/")[0] in step.makes]
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _not_run(session: PipelineSession) -> dict[str, list[str]]:
    """The steps that were not run on a loaded recording, and what each would make; all that load, where none was."""
    loaded = any(step.loads is not None for name, step in STEPS.items() if name in session.completed_steps)
    undone = (step for name, step in STEPS.items() if name not in session.completed_steps)
    return {step.name: list(step.makes) for step in undone if step.loads is None or not loaded}
