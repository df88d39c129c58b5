"""AnnData objects to `.h5ad` files and back, in threads: what anndata itself writes and reads, faster.

The package `anndata` is needed only when one of these is called (`pip install "h5burst[anndata]"`).
"""

from h5burst.anndata.files import read_h5ad, write_h5ad

__all__ = ["read_h5ad", "write_h5ad"]
