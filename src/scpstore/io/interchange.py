"""Containers from AnnData and back (the package `anndata` is needed only when these are called)."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import scipy.sparse as sp

from h5burst import durable
from scpstore.core.exceptions import AssayNotFoundError, LayerNotFoundError
from scpstore.core.sources import whole
from scpstore.core.structures import Assay, MaskCode, ScpContainer, ScpMatrix
from scpstore.io.exceptions import IOWriteError
from scpstore.io.pandasframes import from_pandas, times_as_text, to_pandas

MASK_LAYER = "mask"
_LEFT_OUT = ("obsm", "varm", "obsp", "varp", "uns")


def from_anndata(adata: Any, assay: str = "proteins") -> ScpContainer:
    """A container of one assay from an `AnnData`.

    `adata.X` becomes the layer "X", other layers keep their names, except that a layer "mask" of mask codes becomes
    the mask of X. The indices become the ID columns "_index"; ordered and unordered categories become `Enum` columns.
    What has no place in a container (`obsm`, `varm`, `obsp`, `varp`, `uns`, `raw`) is left out with a `UserWarning`.
    """
    left_out = [name for name in _LEFT_OUT if len(getattr(adata, name))] + (["raw"] if adata.raw is not None else [])
    if left_out:
        warnings.warn(f"from_anndata: left out {', '.join(left_out)}", UserWarning, stacklevel=2)
    obs, var = from_pandas(adata.obs, "obs"), from_pandas(adata.var, "var")
    mask = _mask_of(adata)
    layers: dict[str, ScpMatrix] = {}
    if adata.X is not None:
        layers["X"] = ScpMatrix(_in_memory(adata.X), mask)
    for name, values in adata.layers.items():
        if mask is None or name != MASK_LAYER:
            layers[name] = ScpMatrix(_in_memory(values))
    return ScpContainer(obs, {assay: Assay(var, layers)})


def _in_memory(values: Any) -> Any:
    """A backed matrix is read; a view of one becomes a plain array."""
    values = values.to_memory() if hasattr(values, "to_memory") else values
    return values if hasattr(values, "format") else np.asarray(values)


def _mask_of(adata: Any) -> Any:
    if MASK_LAYER not in adata.layers or adata.X is None:
        return None
    codes = adata.layers[MASK_LAYER]
    stored = codes.data if hasattr(codes, "format") else codes
    is_mask = stored.dtype == np.int8 and (stored.size == 0 or 0 <= stored.min() <= stored.max() <= max(MaskCode))
    return codes if is_mask else None


def to_anndata(container: ScpContainer, assay: str, layer: str) -> Any:
    """One layer of one assay as an `AnnData`: values as X, its mask, if it has one, as the layer "mask".

    `Categorical` and `Enum` columns become pandas categories, other columns what pandas has for them; a column that
    pandas has nothing for becomes text with a `UserWarning`. Raises `AssayNotFoundError`, `LayerNotFoundError`, and
    ImportError without the package `anndata`.
    """
    try:
        import anndata
    except ImportError as error:
        raise ImportError("to_anndata needs the package anndata: pip install anndata") from error
    if assay not in container.assays:
        raise AssayNotFoundError(assay, container.assays)
    source = container.assays[assay]
    if layer not in source.layers:
        raise LayerNotFoundError(layer, assay, source.layers)
    matrix = source.layers[layer]
    return anndata.AnnData(
        X=_for_anndata(matrix.X),
        obs=to_pandas(container.obs, container.sample_id_col, "obs"),
        var=to_pandas(source.var, source.feature_id_col, "var"),
        layers={} if matrix.M is None else {MASK_LAYER: _for_anndata(matrix.M)},
    )


def write_h5ad(
    container: ScpContainer, path: str | os.PathLike[str], assay: str, layer: str, *, overwrite: bool = False
) -> None:
    """Write one layer as an AnnData file, which appears when it is complete.

    Dates and times, which such files do not hold, become text with a `UserWarning`. Errors as `to_anndata`, and
    `IOWriteError`.
    """
    adata, target = to_anndata(container, assay, layer), Path(path)
    times_as_text(adata.obs, "obs")
    times_as_text(adata.var, "var")
    try:
        # AnnData opens its file itself, so it cannot write where a save holds the lock.
        with (
            durable.replacing(target, overwrite=overwrite) as temporary,
            TemporaryDirectory(dir=target.parent) as folder,
        ):
            adata.write_h5ad(Path(folder) / "written.h5ad")
            shutil.copyfile(Path(folder) / "written.h5ad", temporary)
    except FileExistsError as error:
        raise IOWriteError("File already exists", target) from error
    except OSError as error:
        raise IOWriteError(error.strerror or str(error), target) from error


def _for_anndata(values: Any) -> Any:
    """AnnData knows the sparse formats csr and csc only."""
    values = whole(values)
    if not sp.issparse(values):
        return values
    return values if values.format in ("csr", "csc") else values.tocsr()
