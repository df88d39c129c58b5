"""AnnData objects to `.h5ad` files and back, in threads: what anndata itself writes and reads, faster.

It needs the package `anndata` (`pip install "h5burst[anndata]"`); `.h5mu` files need `mudata`.
"""

from h5burst.anndata.editing import append, update
from h5burst.anndata.elements import Element, register
from h5burst.anndata.files import read_h5ad, read_with_stored_layers, write_h5ad
from h5burst.anndata.joining import concat, subset
from h5burst.anndata.modalities import read_h5mu, read_h5mu_with_stored_layers, write_h5mu
from h5burst.anndata.recompressing import Recompressed
from h5burst.anndata.sources import streamed

__all__ = [
    "Element",
    "Recompressed",
    "append",
    "concat",
    "read_h5ad",
    "read_h5mu",
    "read_h5mu_with_stored_layers",
    "read_with_stored_layers",
    "register",
    "streamed",
    "subset",
    "update",
    "write_h5ad",
    "write_h5mu",
]
