"""Structures and errors of `scpstore`."""

from scpstore.core.compare import assert_identical, difference
from scpstore.core.exceptions import (
    AssayNotFoundError,
    ColumnNotFoundError,
    DimensionError,
    LayerNotFoundError,
    MaskCodeError,
    ScpTensorError,
    StructureError,
    ValidationError,
)
from scpstore.core.structures import (
    AggregationLink,
    Assay,
    MaskCode,
    MatrixMetadata,
    ProvenanceLog,
    ScpContainer,
    ScpMatrix,
)

__all__ = [
    "AggregationLink",
    "Assay",
    "AssayNotFoundError",
    "ColumnNotFoundError",
    "DimensionError",
    "LayerNotFoundError",
    "MaskCode",
    "MaskCodeError",
    "MatrixMetadata",
    "ProvenanceLog",
    "ScpContainer",
    "ScpMatrix",
    "ScpTensorError",
    "StructureError",
    "ValidationError",
    "assert_identical",
    "difference",
]
