"""scptensor: single-cell proteomics containers and their HDF5 files, loaded back to the bit."""

from h5burst import __version__
from scptensor.core import (
    AggregationLink,
    Assay,
    MaskCode,
    MatrixMetadata,
    ProvenanceLog,
    ScpContainer,
    ScpMatrix,
    ScpTensorError,
    assert_identical,
)
from scptensor.io import load_hdf5, save_hdf5

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
    "assert_identical",
    "load_hdf5",
    "save_hdf5",
]
