"""Recordings to NWB files (Neurodata Without Borders 2; Rübel et al. 2022, eLife 11:e78362), by pynwb.

Everything large is written part by part. `docs/bridges/nwb.md` lists what is where, and what the format cannot hold.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from h5burst import durable
from hdmea.bridges.chip import chip_of
from hdmea.bridges.extras import required
from hdmea.bridges.nwb_facts import NwbFacts, checked_subject, read_facts, session_facts, start_time_of
from hdmea.bridges.units import Source
from hdmea.plot.figure_data import opened
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import number
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from hdmea.utils.problems import Problems

SUFFIX = ".nwb"


def export_nwb(
    source: Source,
    output: str | Path,
    facts: NwbFacts | Mapping[str, Any] | str | Path | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a recording as a NWB file.

    Parameters
    ----------
    source
        A session, or the path of its file, which is read as it is written.
    output
        A path that ends in .nwb.
    facts
        What the recording does not say: `NwbFacts`, a mapping of its fields, or the path of a TOML file.
    overwrite
        Replace a file that is there.

    Returns
    -------
    Path
        The file: complete, or not there.

    Raises
    ------
    ConfigurationError
        Another suffix; a start time, time zone or subject that is needed and not known.
    MissingInputError
        The recording has no acquisition rate.
    FileExistsError
        The output is there, without `overwrite`.
    MissingExtraError
        pynwb is not installed.

    Examples
    --------
    >>> from hdmea import export_nwb
    >>> facts = {"start_time": "2024-05-01T10:30:00+02:00", "without_subject": True}
    >>> export_nwb("recording.h5", "recording.nwb", facts).name
    'recording.nwb'
    """
    output = Path(output)
    if output.suffix.lower() != SUFFIX:
        raise ConfigurationError(f"{output}: a NWB file ends in {SUFFIX}")
    durable.require_absent(output, overwrite)
    pynwb = required("pynwb", "an export to NWB")
    given_facts = _facts(facts)
    session = opened(source)
    file = _nwb_file(pynwb, session, given_facts)
    _fill(pynwb, file, session, given_facts)
    with (
        durable.replacing(output, overwrite=overwrite) as temporary,
        h5py.File(temporary, "w", locking=False) as target,  # the file is locked already
        pynwb.NWBHDF5IO(file=target, mode="w") as io,
    ):
        io.write(file)
    return output


def _facts(facts: NwbFacts | Mapping[str, Any] | str | Path | None) -> NwbFacts:
    if isinstance(facts, NwbFacts):
        return facts
    if isinstance(facts, (str, Path)):
        return read_facts(facts)
    try:
        return NwbFacts(**(facts or {}))
    except TypeError as error:
        raise ConfigurationError(f"facts: {error}") from error


def _nwb_file(pynwb: Any, session: PipelineSession, facts: NwbFacts) -> Any:
    """The file without data: who, when, and by what it was made."""
    from hdmea import __version__

    problems = Problems()
    with problems.noting():
        start = start_time_of(session, facts)
    with problems.noting():
        subject = checked_subject(facts)
    problems.raise_any()
    stated = session_facts(facts)
    name = (session.dataset_id, session.created_at or "", start.isoformat())
    description = f"Multi-electrode array recording {session.dataset_id}: {session.unit_count} sorted units"
    return pynwb.NWBFile(
        identifier=str(uuid.uuid5(uuid.NAMESPACE_OID, "|".join(name))),
        session_start_time=start,
        was_generated_by=[["hdmea", __version__]],
        subject=None if subject is None else pynwb.file.Subject(**subject),
        **{"session_description": description, **stated},
    )


def _fill(pynwb: Any, file: Any, session: PipelineSession, facts: NwbFacts) -> None:
    from hdmea.bridges import nwb_tables, nwb_time

    rate = number(session.metadata.get("acquisition_rate"))
    if not rate > 0:
        raise MissingInputError(
            f"{session.dataset_id} has no acquisition_rate: run load_recording first", None, "metadata"
        )
    chip = chip_of(session)
    if chip is not None:
        nwb_tables.add_electrodes(pynwb, file, chip, facts.location)
    if session.units:
        nwb_tables.add_units(file, session, chip, rate, facts.waveform_volts_per_count)
        nwb_tables.add_images(file, session)
    nwb_tables.add_provenance(file, session, facts.waveform_volts_per_count)
    nwb_time.add_intervals(file, session, rate)
    nwb_time.add_light(pynwb, file, session, rate)
    nwb_time.add_frames(pynwb, file, session, rate)
