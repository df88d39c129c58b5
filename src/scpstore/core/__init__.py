"""Structures and errors of `scpstore`."""

from scpstore.core.equality import assert_identical, difference
from scpstore.core.exceptions import (
    AssayNotFoundError,
    ColumnNotFoundError,
    DimensionError,
    LayerNotFoundError,
    MaskCodeError,
    MissingDependencyError,
    ScpTensorError,
    ScpValueError,
    StructureError,
    ValidationError,
    VisualizationError,
)
from scpstore.core.extras import AssayExtras, Extras, RawValues
from scpstore.core.joining import concat
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
    "AssayExtras",
    "AssayNotFoundError",
    "ColumnNotFoundError",
    "DimensionError",
    "Extras",
    "LayerNotFoundError",
    "MaskCode",
    "MaskCodeError",
    "MatrixMetadata",
    "MissingDependencyError",
    "ProvenanceLog",
    "RawValues",
    "ScpContainer",
    "ScpMatrix",
    "ScpTensorError",
    "ScpValueError",
    "StructureError",
    "ValidationError",
    "VisualizationError",
    "assert_identical",
    "concat",
    "difference",
]
