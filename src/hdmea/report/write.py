"""A recording, or a directory of them, as pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hdmea.report.directory import write_index
from hdmea.report.page import write_page
from hdmea.report.population import is_population, write_population_page
from hdmea.session.session import PipelineSession


def write_report(
    source: str | Path | PipelineSession,
    output: str | Path | None = None,
    *,
    units: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a recording as one HTML page, a directory of recordings as an index and a page each, or a population.

    Parameters
    ----------
    source
        A file, which is read unit by unit, a session, a directory with `.h5` files, or that of a population.
    output
        The page; default the file's name with `.html` beside it, of a directory `index.html` in it.
    units
        Only these units; default all. Not for a directory.
    overwrite
        Replace a file at `output` that no report wrote. A report is always replaced.

    Returns
    -------
    Path
        The page that was written.

    Raises
    ------
    FileNotFoundError, CheckpointError
        There is no such file, or it is not a recording.
    FileExistsError
        `output` is there, and is not a report.
    ValueError
        A unit that is not there; `units` of a directory; a session without a file and without `output`.

    Examples
    --------
    >>> from hdmea.report import write_report
    >>> write_report("recording.h5", units=["unit_001"]).name
    'recording.html'
    """
    if not isinstance(source, PipelineSession) and Path(source).is_dir():
        if units is not None:
            raise ValueError("units can be chosen for one recording, not for a directory")
        if is_population(Path(source)):
            return write_population_page(Path(source), None if output is None else Path(output), overwrite=overwrite)
        return write_index(Path(source), output, overwrite=overwrite)
    if isinstance(source, PipelineSession):
        return write_page(source, output, units=units, overwrite=overwrite)
    session = PipelineSession.load(source, lazy=True)
    return write_page(session, output, units=units, overwrite=overwrite, forget=True)
