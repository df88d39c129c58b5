"""Features of all units of a recording."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import hdmea.features.families  # noqa: F401 - registers the families
from h5burst import parallel_map
from hdmea.features.base import BLOCKS, MOVIE, TRIALS, FeatureExtractor, StimulusFeature
from hdmea.features.inputs import missing_inputs
from hdmea.features.movie_check import movie_problems
from hdmea.features.registry import FeatureRegistry
from hdmea.features.significance import q_values
from hdmea.features.trials import acquisition_rate, left_out_trials, member, scalar, sections_of
from hdmea.io.stimulus_config import inherited_stimulus_config
from hdmea.session.file import stage1_completed
from hdmea.session.session import PipelineSession
from hdmea.steps.results import ExtractionResult
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.utils.choices import there_are
from hdmea.utils.clock import utc_now
from hdmea.utils.exceptions import ConfigurationError, HDMEAError, MissingInputError
from hdmea.utils.hashing import params_hash
from hdmea.utils.problems import Problems

logger = logging.getLogger(__name__)

# What an extractor may raise for one unit without stopping the others.
FAILURES = (ArithmeticError, AttributeError, HDMEAError, LookupError, OSError, RuntimeError, TypeError, ValueError)

STIMULI_DIR_VARIABLE = "HDMEA_STIMULI_DIR"

BLOCK_MARK = "@"  # between a feature's name and that of a block of its trials
CHANGE_ALPHA = 0.01  # of a unit's change over its trials
MIN_CHANGED = 3, 0.1  # units, and share of all, whose responses change before it is said

Units = MutableMapping[str, dict[str, Any]]


class Extraction(NamedTuple):
    """Names of features by what became of them, what to warn of, and the parts of the session that changed."""

    extracted: list[str]
    skipped: list[str]
    failed: list[str]
    warnings: list[str]
    changed: list[tuple[str, ...]]

    def warn(self, message: str) -> None:
        logger.warning(message)
        self.warnings.append(message)

    def fail(self, name: str, message: str) -> None:
        self.warn(message)
        self.failed.append(name)


@dataclass(frozen=True)
class _Job:
    name: str
    extractor: FeatureExtractor
    config: dict[str, Any]
    movie: str | None  # the section it works on; None for one that needs none


def extract_features(
    hdf5_path: Target = None,
    features: Sequence[str] | None = None,
    *,
    force: bool = False,
    config_overrides: Mapping[str, Any] | None = None,
    session: PipelineSession | None = None,
) -> ExtractionResult | PipelineSession:
    """Extract features of every unit into `units[id]["features"][name]`.

    A unit that fails is a warning; a feature that no unit can have is listed as failed, with a warning.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    features
        Names of registered features, or of movies whose stimulus config names a family; default every feature whose
        input is there.
    force
        Extract again what is there; otherwise it is skipped.
    config_overrides
        Parameters that count before those of the stimulus configs; `movie_name` points a feature at the section of
        another movie.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    ExtractionResult or PipelineSession
        Names of features; or `session`.

    Raises
    ------
    MissingInputError
        No recording was loaded.
    ConfigurationError
        Overrides that JSON cannot hold.

    Notes
    -----
    docs/measures.md defines every measure, with its source.

    Examples
    --------
    >>> from hdmea.pipeline import PipelineSession, extract_features
    >>> session = PipelineSession.load("recording.h5")
    >>> session = extract_features(features=["frif"], force=True, session=session)
    >>> sorted(session.units["unit_001"]["features"]["frif"]["data"])
    ['FRIF', 'FRIF_x_axis']
    """

    def step(recording: PipelineSession) -> Outcome[ExtractionResult]:
        if not stage1_completed(recording):
            raise MissingInputError("extract_features needs units: run load_recording first", None, "units")
        done = extract_for_units(
            recording.units,
            recording.stimulus,
            {**recording.metadata, "recording_duration_s": recording.duration_s()},
            features,
            config_overrides=config_overrides,
            force=force,
        )
        result = ExtractionResult(
            recording.hdf5_path, list(done.extracted), list(done.skipped), list(done.failed), list(done.warnings)
        )
        return Outcome(result, list(done.changed), list(done.warnings))

    return run_step("extract_features", step, hdf5_path, session)


def extract_for_units(
    units: Units,
    stimulus: Mapping[str, Any],
    metadata: Mapping[str, Any],
    features: Sequence[str] | None = None,
    *,
    config_overrides: Mapping[str, Any] | None = None,
    force: bool = False,
    stimuli_dir: str | os.PathLike[str] | None = None,
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
    stimuli_dir
        Directory of the movies (`{movie}.npy`): where a movie is there, its config is compared with it, and what
        differs is a warning. Default `HDMEA_STIMULI_DIR`.

    Raises
    ------
    ConfigurationError
        Overrides that JSON cannot hold.
    """
    result = Extraction([], [], [], [], [])
    metadata = _in_memory(metadata)
    movies_dir = stimuli_dir or os.environ.get(STIMULI_DIR_VARIABLE)
    names = _all_with_input(units, stimulus, metadata) if features is None else list(dict.fromkeys(features))
    jobs = [job for name in names for job in _prepared(name, dict(config_overrides or {}), result)]
    for job in {job.name: job for job in jobs}.values():
        name = job.name
        if job.movie is not None and not _has_section(units, stimulus, job.movie):
            result.fail(name, f"feature {name}: no section {job.movie!r} in this recording")
            continue
        _extract_one(job, units, stimulus, metadata, force, result)
        if name in result.extracted:
            _warn_of_trials_left_out(job, units, stimulus, metadata, result)
            _warn_of_changes(job, units, result)
        if name in result.extracted and movies_dir is not None:
            _check_movie(job, Path(movies_dir), result)
        _over_units(job, units, result)
    return result


def _in_memory(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata with the frame timestamps read once, for all units and features."""
    stored = metadata.get("frame_timestamps")
    return metadata if stored is None else {**metadata, "frame_timestamps": np.asarray(stored).astype(np.int64)}


def extractor_for(name: str) -> FeatureExtractor:
    """The extractor of a registered feature, or of the family that a movie's stimulus config names.

    Raises `KeyError` that lists the registered names; `ValueError` for a config that cannot be used.
    """
    if not FeatureRegistry.is_registered(name) and (family := _family_of(name)) is not None:
        return FeatureRegistry.get(family)()
    return FeatureRegistry.get(name)()


def _family_of(movie: str) -> str | None:
    """The registered family that a movie's config names. Raises `ValueError` for a config that cannot be used."""
    stimulus = inherited_stimulus_config(movie)
    family = None if stimulus is None else stimulus.family
    return family if family is not None and FeatureRegistry.is_registered(family) else None


def check_features(arguments: Mapping[str, Any]) -> None:
    """Raise one `ConfigurationError` for arguments with features that no recording can have.

    Such are unknown names and blocks, and movies whose stimulus config cannot be used.
    """
    problems, unknown = Problems(), []
    for name in arguments.get("features") or ():
        with problems.noting("extract_features.features"):
            if _is_unknown(name.partition(BLOCK_MARK)[0]):
                unknown.append(name)
            else:
                _jobs_of(name, dict(arguments.get("config_overrides") or {}))
    with problems.noting("extract_features.features"):
        if unknown:
            raise ConfigurationError(FeatureRegistry.why_unknown(*unknown))
    problems.raise_any()


def _is_unknown(name: str) -> bool:
    """True where neither a feature nor a movie of a family has this name. Raises `ValueError` as `extractor_for`."""
    return not FeatureRegistry.is_registered(name) and _family_of(name) is None


def _prepared(name: str, overrides: dict[str, Any], result: Extraction) -> list[_Job]:
    """As `_jobs_of`; where there are none, the feature is failed."""
    try:
        return _jobs_of(name, overrides)
    except ConfigurationError as error:
        result.fail(name, f"feature {name}: {error}")
        return []


def _jobs_of(name: str, overrides: dict[str, Any]) -> list[_Job]:
    """A feature's job, with one of each block of trials that its config names: `{feature}@{block}`.

    Raises `ConfigurationError` for an unknown feature or block, and for a config that cannot be used.
    """
    base, at, block_name = name.partition(BLOCK_MARK)
    try:
        extractor = extractor_for(base)
        if not isinstance(extractor, StimulusFeature):
            return [_Job(name, extractor, overrides, overrides.get(MOVIE))]
        config = extractor.settings(overrides, movie=base)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(str(error.args[0])) from error
    blocks = config.pop(BLOCKS, None) or {}
    if at and block_name not in blocks:
        raise ConfigurationError(
            f"the config of {config[MOVIE]} has no block {block_name!r}; {there_are(block_name, blocks)}"
        )
    of_blocks = {f"{base}{BLOCK_MARK}{block}": {**config, TRIALS: list(span)} for block, span in blocks.items()}
    configs = {name: of_blocks[name]} if at else {base: config, **of_blocks}
    return [_Job(job_name, extractor, one, one[MOVIE]) for job_name, one in configs.items()]


def _all_with_input(units: Units, stimulus: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[str]:
    """Features whose required inputs are there, by name; those that need no section first."""
    movies = sorted({movie for unit in units.values() for movie in unit.get("spike_times_sectioned") or ()})
    names = [name for name in FeatureRegistry.list_all() if not issubclass(FeatureRegistry.get(name), StimulusFeature)]
    for movie in movies:
        if FeatureRegistry.is_registered(movie) or _has_usable_family(movie):
            names.append(movie)
    return [
        name
        for name in dict.fromkeys(names)
        if not missing_inputs(type(extractor_for(name)), name, units, stimulus, metadata)
    ]


def _has_usable_family(movie: str) -> bool:
    try:
        return _family_of(movie) is not None
    except ValueError:  # not asked for by name, so a config that cannot be used is not a failure
        return False


def _has_section(units: Units, stimulus: Mapping[str, Any], movie: str) -> bool:
    if not units:
        return movie in (stimulus.get("section_time") or {})
    return any(movie in (unit.get("spike_times_sectioned") or {}) for unit in units.values())


def _extract_one(
    job: _Job,
    units: Units,
    stimulus: Mapping[str, Any],
    metadata: Mapping[str, Any],
    force: bool,
    result: Extraction,
) -> None:
    pending = [unit_id for unit_id, unit in units.items() if force or not _is_there(unit, job.name)]
    _warn_of_old_values(job, units, force, result)
    if units and not pending:
        result.skipped.append(job.name)
        return
    marks = {
        "version": job.extractor.version,
        "params_hash": params_hash(job.config),
        "extracted_at": utc_now(),
    }

    def attempt(unit_id: str) -> tuple[dict[str, Any] | None, str]:
        try:
            return job.extractor.extract(units[unit_id], stimulus, config=job.config, metadata=metadata), ""
        except FAILURES as error:
            return None, f"{error}" or type(error).__name__

    errors: dict[str, str] = {}
    results = parallel_map(attempt, pending, None if job.extractor.in_threads else 1)
    for unit_id, (values, error) in zip(pending, results, strict=True):
        if values is None:
            errors[unit_id] = error
            continue
        unit = units[unit_id]
        unit.setdefault("features", {})[job.name] = _feature(unit, job.name, values, marks)
        result.changed.append(("units", unit_id, "features", job.name))
    if pending and len(errors) == len(pending):
        result.fail(job.name, f"feature {job.name} failed for every unit: {next(iter(errors.values()))}")
        return
    for unit_id, reason in errors.items():
        result.warn(f"feature {job.name} failed for {unit_id}: {reason}")
    result.extracted.append(job.name)


def _warn_of_trials_left_out(
    job: _Job, units: Units, stimulus: Mapping[str, Any], metadata: Mapping[str, Any], result: Extraction
) -> None:
    """Say, once for all units, which stored trials are not within their section."""
    if job.movie is None:
        return
    stored = (member(unit, "spike_times_sectioned", job.movie, "trials_start_end") for unit in units.values())
    bounds = next((np.asarray(one).astype(np.int64).reshape(-1, 2) for one in stored if one is not None), None)
    if bounds is None or member(metadata, "acquisition_rate") is None:
        return
    message = left_out_trials(job.movie, bounds, sections_of(stimulus, job.movie), acquisition_rate(metadata))
    if message is not None:
        result.warn(f"feature {job.name}: {message}")


def _warn_of_changes(job: _Job, units: Units, result: Extraction) -> None:
    """Say where many units of the recording respond otherwise from some trial on."""
    stored = (member(unit, "features", job.name, "data") for unit in units.values())
    tested = [data for data in stored if isinstance(data, Mapping) and "change_p_value" in data]
    p_values = np.array([scalar(data["change_p_value"]) for data in tested])
    count, at_least = int((p_values < CHANGE_ALPHA).sum()), MIN_CHANGED
    if count < max(at_least[0], at_least[1] * int(np.isfinite(p_values).sum())):
        return
    changed = [data for data, p_value in zip(tested, p_values, strict=True) if p_value < CHANGE_ALPHA]
    low, middle, high = np.percentile([scalar(data["change_trial"]) for data in changed], [25, 50, 75])
    result.warn(
        f"feature {job.name}: {count} of {len(tested)} units respond otherwise from trial {middle:.0f} on (quartiles "
        f"{low:.0f} to {high:.0f}): if something was changed there, name blocks of trials in the config (blocks)"
    )


def _warn_of_old_values(job: _Job, units: Units, force: bool, result: Extraction) -> None:
    """Warn of units that keep values of another version of the measures."""
    if force:
        return
    versions = [
        str(version)
        for unit in units.values()
        if _is_there(unit, job.name)
        and (version := member(unit, "features", job.name, "metadata", "version")) is not None
    ]
    if other := sorted({version for version in versions if version != job.extractor.version}):
        count = sum(version != job.extractor.version for version in versions)
        result.warn(
            f"feature {job.name}: {count} units keep values of version {', '.join(other)}; version "
            f"{job.extractor.version} defines them differently: pass force=True to extract them anew"
        )


def _check_movie(job: _Job, stimuli_dir: Path, result: Extraction) -> None:
    """Warn where a movie does not show what its config says."""
    if not isinstance(job.extractor, StimulusFeature) or not (path := stimuli_dir / f"{job.movie}.npy").is_file():
        return
    for problem in movie_problems(path, job.config, job.extractor.check_movie):
        result.warn(f"feature {job.name}: the config of {job.movie} and the movie {path} differ: {problem}")


def _over_units(job: _Job, units: Units, result: Extraction) -> None:
    """Values that take all units of the recording, of all that have the p-value; those that changed are noted."""
    for q_name, p_name in job.extractor.q_values.items():
        holders = {
            unit_id: data
            for unit_id, unit in units.items()
            if isinstance(data := member(unit, "features", job.name, "data"), Mapping) and p_name in data
        }
        adjusted = q_values([scalar(data[p_name]) for data in holders.values()])
        for (unit_id, data), q_value in zip(holders.items(), adjusted.tolist(), strict=True):
            if q_name in data and np.array_equal(scalar(data[q_name]), q_value, equal_nan=True):
                continue
            features = units[unit_id]["features"]
            features[job.name] = {**features[job.name], "data": {**data, q_name: q_value}}
            if (path := ("units", unit_id, "features", job.name)) not in result.changed:
                result.changed.append(path)


def _is_there(unit: Mapping[str, Any], name: str) -> bool:
    return member(unit, "features", name) is not None


def _feature(unit: Mapping[str, Any], name: str, values: dict[str, Any], marks: Mapping[str, Any]) -> dict[str, Any]:
    """The feature with new values; the keys that scripts or other steps put beside them stay."""
    old = member(unit, "features", name)
    further = {key: value for key, value in old.items() if key not in ("data", "metadata")} if _is_open(old) else {}
    return {"data": dict(values), "metadata": dict(marks), **further}


def _is_open(feature: Any) -> bool:
    return isinstance(feature, Mapping) and "data" in feature
