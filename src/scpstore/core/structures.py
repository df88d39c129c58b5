"""The structures of a container; each has a module of its own."""

from scpstore.core.assay import Assay
from scpstore.core.container import ScpContainer
from scpstore.core.history import AggregationLink, ProvenanceLog
from scpstore.core.matrix import MaskCode, MatrixMetadata, ScpMatrix

__all__ = [
    "AggregationLink",
    "Assay",
    "MaskCode",
    "MatrixMetadata",
    "ProvenanceLog",
    "ScpContainer",
    "ScpMatrix",
]
