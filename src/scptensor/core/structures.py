"""The structures of a container; each has a module of its own."""

from scptensor.core.assay import Assay
from scptensor.core.container import ScpContainer
from scptensor.core.history import AggregationLink, ProvenanceLog
from scptensor.core.matrix import MaskCode, MatrixMetadata, ScpMatrix

__all__ = [
    "AggregationLink",
    "Assay",
    "MaskCode",
    "MatrixMetadata",
    "ProvenanceLog",
    "ScpContainer",
    "ScpMatrix",
]
