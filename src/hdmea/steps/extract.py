"""Features of many units: what the pipeline's step does, on a session's dicts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import hdmea.features.families  # noqa: F401 - registers the families
from hdmea.features.base import MOVIE, FeatureExtractor, StimulusFeature
from hdmea.features.frif import Frif
from hdmea.features.registry import FeatureRegistry
from hdmea.features.trials import member
from hdmea.io.stimulus_config import has_stimulus_config, load_stimulus_config
from hdmea.session.layout import STA, STA_ATTRIBUTES
from hdmea.utils.clock import utc_now
from hdmea.utils.exceptions import HDMEAError
from hdmea.utils.hashing import params_hash

logger = logging.getLogger(__name__)

# What an extractor may raise for one unit without stopping the others.
FAILURES = (ArithmeticError, AttributeError, HDMEAError, LookupError, OSError, RuntimeError, TypeError, ValueError)

Units = MutableMapping[str, dict[str, Any]]


class Extraction(NamedTuple):
    """Names of features by what became of them, what to warn of, and the parts of the session that changed."""

    extracted: list[str]
    skipped: list[str]
    failed: list[str]
    warnings: list[str]
    changed: list[tuple[str, ...]]


@dataclass(frozen=True)
class _Job:
    name: str
    extractor: FeatureExtractor
    config: dict[str, Any]
    movie: str | None  # the section it works on; None for one that needs none


def extract_for_units(
    units: Units,
    stimulus: Mapping[str, Any],
    metadata: Mapping[str, Any],
    features: Sequence[str] | None = None,
    *,
    config_overrides: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Extraction:
    """Extract features of every unit into `units[id]["features"][name]`.

    A feature is a registered name, or a movie whose stimulus config names a family. None: every feature whose input is
    there. One unit that fails is a warning, and the rest go on; a feature that no unit can have (its section is
    missing, its name is unknown) is failed, with a warning. What a unit has already is skipped without `force`.

    Parameters
    ----------
    units, stimulus, metadata
        As in a session; `units` is changed.
    features
        Names.
    config_overrides
        Parameters that count before those of the stimulus configs; `movie_name` points at another section.
    force
        Extract again what is there.

    Raises
    ------
    ConfigurationError
        Overrides that JSON cannot hold.
    """
    result = Extraction([], [], [], [], [])
    names = _all_with_input(units, stimulus, metadata) if features is None else list(dict.fromkeys(features))
    for name in names:
        job = _prepared(name, dict(config_overrides or {}), result)
        if job is None:
            continue
        if job.movie is not None and not _has_section(units, stimulus, job.movie):
            _fail(result, name, f"feature {name}: no section {job.movie!r} in this recording")
            continue
        _extract_one(job, units, stimulus, metadata, force, result)
    return result


def extractor_for(name: str) -> FeatureExtractor:
    """The extractor of a registered feature, or of the family that a movie's stimulus config names.

    Raises `KeyError` that lists the registered names; `ValueError` for a config that cannot be used.
    """
    if not FeatureRegistry.is_registered(name) and has_stimulus_config(name):
        family = load_stimulus_config(name).family
        if family is not None and FeatureRegistry.is_registered(family):
            return FeatureRegistry.get(family)()
    return FeatureRegistry.get(name)()


def _prepared(name: str, overrides: dict[str, Any], result: Extraction) -> _Job | None:
    try:
        extractor = extractor_for(name)
        if isinstance(extractor, StimulusFeature):
            config = extractor.settings(overrides, movie=name)
            return _Job(name, extractor, config, config[MOVIE])
    except (KeyError, ValueError) as error:
        _fail(result, name, f"feature {name}: {error.args[0]}")
        return None
    return _Job(name, extractor, overrides, overrides.get(MOVIE))


def _all_with_input(units: Units, stimulus: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[str]:
    """Features whose section is there, by name; those that need no section first."""
    movies = sorted({movie for unit in units.values() for movie in unit.get("spike_times_sectioned") or ()})
    names = [name for name in FeatureRegistry.list_all() if not issubclass(FeatureRegistry.get(name), StimulusFeature)]
    if not _count(metadata.get("frame_timestamps")):
        names = [name for name in names if FeatureRegistry.get(name) is not Frif]
    for movie in movies:
        registered = FeatureRegistry.is_registered(movie)
        if registered or (has_stimulus_config(movie) and load_stimulus_config(movie).family is not None):
            names.append(movie)
    return list(dict.fromkeys(names))


def _count(values: Any) -> int:
    return 0 if values is None else len(values)


def _has_section(units: Units, stimulus: Mapping[str, Any], movie: str) -> bool:
    if not units:
        return movie in (stimulus.get("section_time") or {})
    return any(movie in (unit.get("spike_times_sectioned") or {}) for unit in units.values())


def _fail(result: Extraction, name: str, warning: str) -> None:
    logger.warning(warning)
    result.warnings.append(warning)
    result.failed.append(name)


def _extract_one(
    job: _Job,
    units: Units,
    stimulus: Mapping[str, Any],
    metadata: Mapping[str, Any],
    force: bool,
    result: Extraction,
) -> None:
    wanted = [unit_id for unit_id, unit in units.items() if force or not _is_there(unit, job.name)]
    if units and not wanted:
        result.skipped.append(job.name)
        return
    marks = {
        "version": job.extractor.version,
        "params_hash": params_hash(job.config),
        "extracted_at": utc_now(),
    }
    errors: dict[str, str] = {}
    for unit_id in wanted:
        unit = units[unit_id]
        try:
            values = job.extractor.extract(unit, stimulus, config=job.config, metadata=metadata)
        except FAILURES as error:
            errors[unit_id] = f"{error}" or type(error).__name__
            continue
        _put(unit, job.name, values, marks)
        result.changed.append(("units", unit_id, "features", job.name))
    if wanted and len(errors) == len(wanted):
        _fail(result, job.name, f"feature {job.name} failed for every unit: {next(iter(errors.values()))}")
        return
    for unit_id, reason in errors.items():
        warning = f"feature {job.name} failed for {unit_id}: {reason}"
        logger.warning(warning)
        result.warnings.append(warning)
    result.extracted.append(job.name)


def _is_there(unit: Mapping[str, Any], name: str) -> bool:
    """Whether a unit has the feature; an STA under the same name is no such feature."""
    feature = member(unit, "features", name)
    if feature is None:
        return False
    data = member(feature, "data") if isinstance(feature, Mapping) else feature
    return not isinstance(data, Mapping) or bool(set(data) - {STA})


def _put(unit: dict[str, Any], name: str, values: dict[str, Any], marks: Mapping[str, Any]) -> None:
    """Set the feature, and keep the STA that may lie under the same name."""
    features = unit.setdefault("features", {})
    old = features.get(name)
    data, metadata = dict(values), dict(marks)
    if isinstance(old, Mapping) and isinstance(old.get("data"), Mapping) and STA in old["data"]:
        data = {STA: old["data"][STA], **data}
        metadata |= {key: value for key, value in (old.get("metadata") or {}).items() if key in STA_ATTRIBUTES}
    features[name] = {"data": data, "metadata": metadata}
