"""All that the vendor's files say of units and of the recording, added to a recording that is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hdmea.io.cmcr import open_recording
from hdmea.io.cmtr import CmtrRecording
from hdmea.session.session import PipelineSession
from hdmea.steps.results import StepResult
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.utils.exceptions import ConfigurationError, MissingInputError

UNIT_STEP, SYSTEM_STEP = "add_cmtr_unit_info", "add_sys_meta_info"
MARK = "peaks_data"  # a key of `unit_meta` that only this step writes


def add_cmtr_unit_info(
    session: PipelineSession | None = None,
    hdf5_path: Target = None,
    cmtr_path: str | Path | None = None,
    *,
    force: bool = False,
) -> StepResult | PipelineSession:
    """Add all that the `.cmtr` says of each unit to its `unit_meta`.

    Fields of the unit table by their names in small letters, attributes as `attr_{name}`, each an array of one
    element; `peaks_data` (the columns of the peak table but cut-outs) and `peak_amplitudes` (of the included peaks);
    `roi_stas` and `unmixing` where they are there. Keys that were there stay.

    Parameters
    ----------
    session
        Deferred mode: the session to work on; it counts where both are given. It is the first argument here.
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    cmtr_path
        Default: the file that the recording was loaded from.
    force
        Read again for units that have it; otherwise they are skipped.

    Returns
    -------
    StepResult or PipelineSession
        Counts of units; or `session`.

    Raises
    ------
    ConfigurationError
        No `.cmtr` is known.
    FileNotFoundError, DataLoadError
        It is missing, or cannot be read as what it should be.
    MissingInputError
        There are no units.

    Examples
    --------
    >>> from hdmea.pipeline import add_cmtr_unit_info, create_session, load_recording
    >>> session = load_recording(cmtr_path="recording.cmtr", session=create_session("recording"))
    >>> session = add_cmtr_unit_info(session, force=True)
    >>> sorted(session.units["unit_001"]["unit_meta"])[:2]
    ['Kurtosis', 'RoiSize']
    """

    def step(recording: PipelineSession) -> Outcome[StepResult]:
        if not recording.units:
            raise MissingInputError(f"{UNIT_STEP} needs units: run load_recording first", UNIT_STEP, "units")
        pending = [
            unit_id for unit_id, unit in recording.units.items() if force or MARK not in (unit.get("unit_meta") or {})
        ]
        outcome = Outcome(StepResult(recording.hdf5_path, UNIT_STEP, units_skipped=len(recording.units) - len(pending)))
        if not pending:
            return outcome
        tables = CmtrRecording(_source(recording, "cmtr_path", cmtr_path, UNIT_STEP)).unit_tables()
        for unit_id in pending:
            if (table := tables.get(unit_id)) is None:
                outcome.result.failed_units.append(unit_id)
                continue
            unit = recording.units[unit_id]
            unit["unit_meta"] = {**(unit.get("unit_meta") or {}), **table}
            outcome.changed.append(("units", unit_id, "unit_meta"))
            outcome.result.units_processed += 1
        if missing := outcome.result.failed_units:
            outcome.warn(f"{UNIT_STEP}: the .cmtr file does not have {', '.join(missing)}")
        outcome.result.units_failed, outcome.result.warnings = len(outcome.result.failed_units), outcome.warnings
        return outcome

    return run_step(UNIT_STEP, step, hdf5_path, session)


def add_sys_meta_info(
    session: PipelineSession | None = None,
    hdf5_path: Target = None,
    cmcr_path: str | Path | None = None,
    cmtr_path: str | Path | None = None,
    *,
    force: bool = False,
) -> bool | PipelineSession:
    """Add the root attributes of both files as `metadata/cmcr_meta` and `metadata/cmtr_meta`.

    Parameters
    ----------
    session
        Deferred mode: the session to work on; it counts where both are given. It is the first argument here.
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    cmcr_path, cmtr_path
        Default: the files that the recording was loaded from; one of them may be missing, which is a warning.
    force
        Read again what is there.

    Returns
    -------
    bool or PipelineSession
        Whether either is there then; or `session`.

    Raises
    ------
    ConfigurationError
        Neither file is known or there.
    DataLoadError
        A file cannot be read as what it should be.

    Examples
    --------
    >>> from hdmea.pipeline import add_sys_meta_info, load_recording
    >>> path = load_recording("recording.cmcr").hdf5_path
    >>> add_sys_meta_info(hdf5_path=path, cmtr_path="recording.cmtr")
    True
    """

    def step(recording: PipelineSession) -> Outcome[bool]:
        outcome = Outcome(True)
        for name, key, given in (("cmcr_meta", "cmcr_path", cmcr_path), ("cmtr_meta", "cmtr_path", cmtr_path)):
            if name in recording.metadata and not force:
                continue
            path = given or recording.source_file(key)
            if path is None or not Path(path).exists():
                outcome.warn(f"{SYSTEM_STEP}: no {name}, there is no file {path or 'known'}")
                continue
            recording.metadata[name] = _root_attributes(Path(path), name)
            outcome.changed.append(("metadata", name))
        outcome.result = "cmcr_meta" in recording.metadata or "cmtr_meta" in recording.metadata
        if not outcome.result:
            raise ConfigurationError(f"{SYSTEM_STEP} needs the .cmcr or the .cmtr file: pass cmcr_path or cmtr_path")
        return outcome

    return run_step(SYSTEM_STEP, step, hdf5_path, session)


def _root_attributes(path: Path, name: str) -> dict[str, Any]:
    if name == "cmtr_meta":
        return dict(CmtrRecording(path).meta)
    with open_recording(path) as recording:
        return {key: value for key, value in recording.meta.items() if not isinstance(value, (dict, np.ndarray))}


def _source(recording: PipelineSession, key: str, given: str | Path | None, step: str) -> Path:
    path = given or recording.source_file(key)
    if path is None:
        raise ConfigurationError(f"{step} needs {key}: the recording does not say which file it was loaded from")
    return Path(path)
