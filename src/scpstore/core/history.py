"""The steps that were done to a container, and how the features of its assays belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from scpstore.core.equality import Comparable
from scpstore.core.exceptions import ColumnNotFoundError


@dataclass(eq=False)
class ProvenanceLog(Comparable):
    """One step of a container's history.

    Parameters
    ----------
    timestamp
        When: ISO 8601 text.
    action
        What was done.
    params
        With which parameters.
    software_version
        Of the software that did it.
    description
        In words.

    Examples
    --------
    >>> from scptensor import ProvenanceLog
    >>> ProvenanceLog("2024-05-01T10:30:00+00:00", "normalize", {"method": "median"}, "1.0").action
    'normalize'
    """

    compared: ClassVar[tuple[str, ...]] = ("timestamp", "action", "params", "software_version", "description")

    timestamp: str
    action: str
    params: dict[str, Any]
    software_version: str | None = None
    description: str | None = None


@dataclass(eq=False)
class AggregationLink(Comparable):
    """The features of `source_assay` (say, peptides) that went into those of `target_assay` (proteins).

    Parameters
    ----------
    source_assay, target_assay
        Names of assays.
    linkage
        A frame with the columns `source_id` and `target_id`, one row a pair; further columns are kept.

    Examples
    --------
    >>> import polars as pl
    >>> from scptensor import AggregationLink
    >>> pairs = pl.DataFrame({"source_id": ["a", "b"], "target_id": ["P1", "P1"]})
    >>> AggregationLink("peptides", "proteins", pairs).linkage.height
    2
    """

    compared: ClassVar[tuple[str, ...]] = ("source_assay", "target_assay", "linkage")

    source_assay: str
    target_assay: str
    linkage: pl.DataFrame

    def __post_init__(self) -> None:
        for column in ("source_id", "target_id"):
            if column not in self.linkage.columns:
                raise ColumnNotFoundError(column, "the linkage", self.linkage.columns)
