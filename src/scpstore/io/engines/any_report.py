"""A report of whichever search engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from scpstore.core.exceptions import ValidationError
from scpstore.core.structures import ScpContainer
from scpstore.io import report_kinds as kinds
from scpstore.io.delimited import open_table
from scpstore.io.engines.alphadia import read_alphadia
from scpstore.io.engines.diann import read_diann
from scpstore.io.engines.discoverer import read_discoverer
from scpstore.io.engines.fragpipe import read_fragpipe
from scpstore.io.engines.maxquant import read_maxquant
from scpstore.io.engines.mztab import is_mztab, read_mztab
from scpstore.io.engines.sage import read_sage
from scpstore.io.engines.shared import PathLike
from scpstore.io.engines.spectronaut import read_spectronaut
from scpstore.io.exceptions import IOFormatError

READERS: dict[str, Callable[..., ScpContainer]] = {
    kinds.DIANN: read_diann,
    kinds.DIANN_PHOSPHOSITES: read_diann,
    kinds.SPECTRONAUT: read_spectronaut,
    kinds.MAXQUANT: read_maxquant,
    kinds.MAXQUANT_PEPTIDES: read_maxquant,
    kinds.MAXQUANT_EVIDENCE: read_maxquant,
    kinds.MAXQUANT_SITES: read_maxquant,
    kinds.MAXQUANT_FORMS: read_maxquant,
    kinds.MAXQUANT_OTHER: read_maxquant,
    kinds.FRAGPIPE: read_fragpipe,
    kinds.SAGE: read_sage,
    kinds.SAGE_SPECTRA: read_sage,
    kinds.ALPHADIA: read_alphadia,
    kinds.ALPHADIA_PRECURSORS: read_alphadia,
    kinds.DISCOVERER: read_discoverer,
    kinds.MZTAB: read_mztab,
}
_REFUSED = (kinds.DIANN_PHOSPHOSITES, kinds.MAXQUANT_FORMS, kinds.MAXQUANT_OTHER, kinds.SAGE_SPECTRA)  # by their names
_WITH_Q_VALUES = (read_diann, read_spectronaut, read_sage, read_alphadia)


def read_report(path: PathLike, cells: PathLike | None = None, *, q_value: Any = None, **options: Any) -> ScpContainer:
    r"""A container from the report of a search engine, which is recognised by its columns.

    Parameters
    ----------
    path
        A report or table of DIA-NN, Spectronaut, MaxQuant, FragPipe, Sage, AlphaDIA or Proteome Discoverer, or mzTab.
    cells, q_value
        As of `read_diann`.
    options
        What else the reader of that report takes.

    Returns
    -------
    ScpContainer
        As the reader of that report gives it; the first step of its history says which it was (`kind`).

    Raises
    ------
    FileNotFoundError, IOFormatError
        There is no such file; it is none of these reports, or is not as it should be.
    ValidationError
        A threshold for a report without q-values.

    Examples
    --------
    >>> from pathlib import Path
    >>> from scptensor.io import read_report
    >>> _ = Path("pg.matrix.tsv").write_text("Protein.Group\tGenes\trun1.raw\nP1\tG1\t1.5\n")
    >>> read_report("pg.matrix.tsv").history[0].params["kind"]
    'DIA-NN report'
    """
    is_of_sections = Path(path).is_file() and is_mztab(Path(path))
    columns = () if is_of_sections else open_table(Path(path)).columns
    kind = kinds.MZTAB if is_of_sections else kinds.report_of(columns)
    if kind is None:
        some = ", ".join(columns[:8]) + (", …" if len(columns) > 8 else "")
        kinds_known = ", ".join(name for name in READERS if name not in _REFUSED)
        raise IOFormatError(f"{path} is not a report of {kinds_known}: it has the columns {some}")
    read = READERS[kind]
    if q_value is not None and read not in _WITH_Q_VALUES:
        raise ValidationError(f"{path} is a {kind}, which has no q-values", "q_value")
    return read(path, cells, **({} if q_value is None else {"q_value": q_value}), **options)
