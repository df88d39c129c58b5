"""A matrix with its mask, saved and loaded the obvious way with h5py, and with anndata."""

from __future__ import annotations

import h5py
import numpy as np
import scipy.sparse as sp


def save_h5py(path, X, M, dtype=np.float32):
    """Dense matrices gzipped, as float32 (what format 1.0 says of values and masks) or as they are (dtype None)."""
    with h5py.File(path, "w") as file:
        for name, values in (("X", X), ("M", M)):
            if sp.issparse(values):
                for part in ("data", "indices", "indptr"):
                    array = getattr(values, part)
                    file.create_dataset(f"{name}_{part}", data=array, compression="gzip", compression_opts=4)
                file.attrs[f"{name}_shape"] = values.shape
            else:
                values = values if dtype is None else values.astype(dtype)
                file.create_dataset(name, data=values, compression="gzip", compression_opts=4)


def load_h5py(path):
    loaded = []
    with h5py.File(path, "r") as file:
        for name in ("X", "M"):
            if name in file:
                loaded.append(file[name][()])
            else:
                parts = tuple(file[f"{name}_{part}"][()] for part in ("data", "indices", "indptr"))
                loaded.append(sp.csr_matrix(parts, shape=tuple(file.attrs[f"{name}_shape"])))
    return loaded


def save_anndata(path, X, M):
    import anndata

    anndata.AnnData(X=X, layers={"mask": M}).write_h5ad(path, compression="gzip")


def load_anndata(path):
    import anndata

    loaded = anndata.read_h5ad(path)
    return [loaded.X, loaded.layers["mask"]]
