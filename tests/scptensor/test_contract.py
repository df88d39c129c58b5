"""`scptensor` is a drop-in: its module paths hold the names of the contract, and they are those of `scpstore`."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

CONTRACT = {
    "scptensor": "AggregationLink Assay MaskCode MatrixMetadata ProvenanceLog ScpContainer ScpMatrix "
    "save_hdf5 load_hdf5",
    "scptensor.core": "AggregationLink Assay MaskCode MatrixMetadata ProvenanceLog ScpContainer ScpMatrix "
    "ScpTensorError",
    "scptensor.core.structures": "AggregationLink Assay MaskCode MatrixMetadata ProvenanceLog ScpContainer ScpMatrix",
    "scptensor.core.exceptions": "ScpTensorError StructureError ValidationError DimensionError MaskCodeError "
    "AssayNotFoundError LayerNotFoundError",
    "scptensor.io": "save_hdf5 load_hdf5 FORMAT_VERSION SUPPORTED_VERSIONS IOFormatError IOWriteError IOPasswordError "
    "serialize_dataframe deserialize_dataframe serialize_dense_matrix serialize_sparse_matrix serialize_provenance "
    "deserialize_provenance from_anndata to_anndata",
    "scptensor.io.exporters": "save_hdf5 FORMAT_VERSION",
    "scptensor.io.importers": "load_hdf5 SUPPORTED_VERSIONS",
    "scptensor.io.serializers": "serialize_dataframe deserialize_dataframe serialize_dense_matrix "
    "serialize_sparse_matrix serialize_provenance deserialize_provenance",
    "scptensor.io.exceptions": "IOFormatError IOWriteError IOPasswordError",
}


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in CONTRACT.items() for name in names.split()])
def test_a_name_of_the_contract_is_that_of_the_implementation(path: str, name: str) -> None:
    offered = getattr(importlib.import_module(path), name)
    assert offered is getattr(importlib.import_module(path.replace("scptensor", "scpstore")), name)
    assert name in importlib.import_module(path).__all__


def test_the_version_is_that_of_the_implementation() -> None:
    assert importlib.import_module("scptensor").__version__ == importlib.import_module("scpstore").__version__


def test_the_implementation_does_not_need_the_drop_in() -> None:
    program = "import sys, scpstore, scpstore.cli; print(sorted(m for m in sys.modules if m.startswith('scptensor')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
