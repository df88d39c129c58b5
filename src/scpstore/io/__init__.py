"""Files of containers."""

from scpstore.core import files
from scpstore.io.exceptions import IOFormatError, IOPasswordError, IOWriteError
from scpstore.io.exporters import FORMAT_VERSION, save_hdf5
from scpstore.io.importers import SUPPORTED_VERSIONS, load_hdf5
from scpstore.io.interchange import from_anndata, read_h5ad, to_anndata, write_h5ad
from scpstore.io.lazymatrix import LazyMatrix
from scpstore.io.search_engines import read_diann, read_maxquant, read_spectronaut
from scpstore.io.serializers import (
    deserialize_dataframe,
    deserialize_provenance,
    serialize_dataframe,
    serialize_dense_matrix,
    serialize_provenance,
    serialize_sparse_matrix,
)
from scpstore.io.tables import read_csv, read_table, write_csv, write_table
from scpstore.io.writer import ContainerWriter

files.register(files.FileFunctions(save_hdf5, load_hdf5))

__all__ = [
    "FORMAT_VERSION",
    "SUPPORTED_VERSIONS",
    "ContainerWriter",
    "IOFormatError",
    "IOPasswordError",
    "IOWriteError",
    "LazyMatrix",
    "deserialize_dataframe",
    "deserialize_provenance",
    "from_anndata",
    "load_hdf5",
    "read_csv",
    "read_diann",
    "read_h5ad",
    "read_maxquant",
    "read_spectronaut",
    "read_table",
    "save_hdf5",
    "serialize_dataframe",
    "serialize_dense_matrix",
    "serialize_provenance",
    "serialize_sparse_matrix",
    "to_anndata",
    "write_csv",
    "write_h5ad",
    "write_table",
]
