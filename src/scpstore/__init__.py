"""scpstore: single-cell proteomics containers and their HDF5 files, loaded back to the bit.

The package `scptensor` re-exports what is public here under the names of its contract.
"""

from h5burst import __version__
from scpstore.accelerate import accelerate, undo
from scpstore.core import (
    AggregationLink,
    Assay,
    MaskCode,
    MatrixMetadata,
    ProvenanceLog,
    ScpContainer,
    ScpMatrix,
    ScpTensorError,
    assert_identical,
    concat,
)
from scpstore.io import load_hdf5, save_hdf5

__all__ = [
    "AggregationLink",
    "Assay",
    "MaskCode",
    "MatrixMetadata",
    "ProvenanceLog",
    "ScpContainer",
    "ScpMatrix",
    "ScpTensorError",
    "__version__",
    "accelerate",
    "assert_identical",
    "concat",
    "load_hdf5",
    "save_hdf5",
    "undo",
]
