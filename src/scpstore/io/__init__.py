"""Files of containers."""

from scpstore.core import files
from scpstore.io.engines.alphadia import read_alphadia
from scpstore.io.engines.any_report import read_report
from scpstore.io.engines.diann import read_diann
from scpstore.io.engines.discoverer import read_discoverer
from scpstore.io.engines.fragpipe import read_fragpipe
from scpstore.io.engines.maxquant import read_maxquant
from scpstore.io.engines.mztab import read_mztab
from scpstore.io.engines.sage import read_sage
from scpstore.io.engines.spectronaut import read_spectronaut
from scpstore.io.exceptions import IOFormatError, IOPasswordError, IOWriteError
from scpstore.io.exporters import FORMAT_VERSION, save_hdf5
from scpstore.io.importers import SUPPORTED_VERSIONS, load_hdf5
from scpstore.io.interchange import from_anndata, read_h5ad, to_anndata, write_h5ad
from scpstore.io.lazymatrix import LazyMatrix
from scpstore.io.minibatches import Minibatch, iter_minibatches
from scpstore.io.modalities import from_mudata, read_h5mu, to_mudata, write_h5mu
from scpstore.io.serializers import (
    deserialize_dataframe,
    deserialize_provenance,
    serialize_dataframe,
    serialize_dense_matrix,
    serialize_provenance,
    serialize_sparse_matrix,
)
from scpstore.io.tables import read_csv, read_table, write_csv, write_table
from scpstore.io.updating import update_hdf5
from scpstore.io.writer import ContainerWriter

files.register(files.FileFunctions(save_hdf5, load_hdf5, update_hdf5))

__all__ = [
    "FORMAT_VERSION",
    "SUPPORTED_VERSIONS",
    "ContainerWriter",
    "IOFormatError",
    "IOPasswordError",
    "IOWriteError",
    "LazyMatrix",
    "Minibatch",
    "deserialize_dataframe",
    "deserialize_provenance",
    "from_anndata",
    "from_mudata",
    "iter_minibatches",
    "load_hdf5",
    "read_alphadia",
    "read_csv",
    "read_diann",
    "read_discoverer",
    "read_fragpipe",
    "read_h5ad",
    "read_h5mu",
    "read_maxquant",
    "read_mztab",
    "read_report",
    "read_sage",
    "read_spectronaut",
    "read_table",
    "save_hdf5",
    "serialize_dataframe",
    "serialize_dense_matrix",
    "serialize_provenance",
    "serialize_sparse_matrix",
    "to_anndata",
    "to_mudata",
    "update_hdf5",
    "write_csv",
    "write_h5ad",
    "write_h5mu",
    "write_table",
]
