"""The classes that a reader builds containers of: ours, or those of another package of the same shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scpstore.core.structures import AggregationLink, Assay, MatrixMetadata, ProvenanceLog, ScpContainer, ScpMatrix

Factory = Callable[..., Any]


@dataclass(frozen=True)
class Classes:
    """Constructors of the structures, called with the fields of each as keywords."""

    container: Factory
    assay: Factory
    matrix: Factory
    metadata: Factory
    history: Factory
    link: Factory


OURS = Classes(ScpContainer, Assay, ScpMatrix, MatrixMetadata, ProvenanceLog, AggregationLink)
