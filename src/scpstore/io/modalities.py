"""Containers of several assays from MuData objects and `.h5mu` files, and back (they need the package `mudata`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from scpstore.core.assay import Assay
from scpstore.core.exceptions import MissingDependencyError, ScpTensorError, ValidationError
from scpstore.core.extras import AssayExtras, Extras, rows_of
from scpstore.core.matrix import MaskCode, ScpMatrix
from scpstore.core.sources import whole
from scpstore.core.structures import ScpContainer
from scpstore.io.carried import KEY, carried, carry
from scpstore.io.exceptions import IOFormatError, writing
from scpstore.io.interchange import FRAME, X_LAYER, from_anndata, to_anndata
from scpstore.io.pandasframes import INDEX, missing_as_categories, nested, times_as_text, to_pandas, with_dtypes

MODALITIES = "modalities"  # in uns of the extras: what each modality says of its own cells
_X_LAYERS = "x_layers"  # in uns["scptensor"]: the layer that was X, by assay
_PARTS = ("obsm", "obsp", "uns")


def from_mudata(mdata: Any, *, make_unique: bool = False) -> ScpContainer:
    """A container of an assay for each modality of a `MuData`.

    Parameters
    ----------
    mdata
        Of modalities that share cells (`axis=0`). Each becomes an assay as by `from_anndata`; the global `obs`, `obsm`,
        `obsp` and `uns` are those of the container; what a modality says of its cells (its own `obs`, `obsm`, `obsp`,
        `uns`) is in `extras.uns["modalities"]`. Cells that a modality lacks are NaN there (nothing, where it is
        sparse), and LOD in the mask.
    make_unique
        As of `from_anndata`.

    Returns
    -------
    ScpContainer
        With the cells of all modalities.

    Raises
    ------
    ValidationError
        Modalities that share genes instead of cells; what `from_anndata` refuses.

    Examples
    --------
    >>> import anndata, mudata, numpy as np
    >>> from scptensor.io import from_mudata
    >>> mods = {"rna": anndata.AnnData(np.ones((3, 2))), "prot": anndata.AnnData(np.zeros((3, 1)))}
    >>> from_mudata(mudata.MuData(mods)).list_assays()
    ['rna', 'prot']
    """
    if getattr(mdata, "axis", 0) != 0:
        message = "modalities that share genes (axis=1) are no assays of the same cells: concat them"
        raise ValidationError(message, "mdata")
    obs, origin = with_dtypes(mdata.obs, "obs")
    ids = obs.get_column(INDEX).to_list()
    places = {name: row for row, name in enumerate(ids)}
    assays, of_assays, by_modality = {}, {}, {}
    brought = carried(mdata.uns, (ids, []))
    x_layers = mdata.uns.get(KEY, {}).get(_X_LAYERS, {}) if brought is not None else {}
    for name, adata in mdata.mod.items():
        part = from_anndata(adata, name, make_unique=make_unique)
        rows = [places[cell] for cell in part.sample_ids.to_list()]
        layers = {key: _at(matrix, rows, len(ids)) for key, matrix in part.assays[name].layers.items()}
        main = str(x_layers.get(name, "X"))
        assays[name] = Assay(part.assays[name].var, {main if key == "X" else key: m for key, m in layers.items()})
        if name in part.extras.assays:
            of_assays[name] = part.extras.assays[name]
        parts_of = {key: getattr(part.extras, key) for key in _PARTS if getattr(part.extras, key)}
        is_whole = rows == list(range(len(ids))) and part.obs.columns == [INDEX]
        if parts_of or part.extras.origin or not is_whole:
            by_modality[name] = {"obs": part.obs, "origin": part.extras.origin, **parts_of}
    shared = from_anndata(_bare(mdata), "cells").extras
    uns = {key: value for key, value in shared.uns.items() if key != KEY}
    uns |= {MODALITIES: by_modality} if by_modality else {}
    history, _, links = brought or ([], {}, [])
    extras = Extras(shared.obsm, shared.obsp, uns, of_assays, {**shared.origin, **({FRAME: origin} if origin else {})})
    return ScpContainer(obs, assays, links, history, extras=extras)


def _bare(mdata: Any) -> Any:
    """The annotations of all cells, as an AnnData object without genes."""
    import anndata

    obsm = {key: mdata.obsm[key] for key in mdata.obsm if key not in mdata.mod}
    return anndata.AnnData(obs=mdata.obs[[]], obsm=obsm, obsp=dict(mdata.obsp), uns=dict(mdata.uns))


def _at(matrix: ScpMatrix, rows: list[int], height: int) -> ScpMatrix:
    """The rows of a matrix at their places among those of all cells."""
    if rows == list(range(height)):
        return matrix
    X, M = whole(matrix.X), whole(matrix.M)
    lacks = len(rows) < height
    if M is None and lacks and not sp.issparse(X):
        M = np.zeros(X.shape, np.int8)
    fill = 0 if sp.issparse(M) else int(MaskCode.LOD)
    return ScpMatrix(_spread(X, rows, height, np.nan), None if M is None else _spread(M, rows, height, fill))


def _spread(values: Any, rows: list[int], height: int, fill: float) -> Any:
    if sp.issparse(values):
        places = sp.csr_matrix((np.ones(len(rows), values.dtype), (rows, range(len(rows)))), (height, len(rows)))
        return (places @ values.tocsr()).asformat(values.format)
    spread = np.full((height, values.shape[1]), fill, values.dtype)
    spread[rows] = values
    return spread


def to_mudata(container: ScpContainer, *, layers: Mapping[str, str] | None = None) -> Any:
    """All assays as a `MuData`, a modality each; what came from one becomes again what it was there.

    Parameters
    ----------
    container
        Where it is taken from. Its `obs`, `obsm`, `obsp` and `uns` become the global ones; history and links travel in
        `uns["scptensor"]`.
    layers
        By assay, the layer that becomes X, its mask the layer "mask"; of others: the one that was X, else "X", else the
        first. All other layers come along.

    Returns
    -------
    mudata.MuData
        With `axis=0`.

    Raises
    ------
    AssayNotFoundError, LayerNotFoundError
        As of `to_anndata`.
    MissingDependencyError
        (An ImportError) the package mudata is not installed.

    Examples
    --------
    >>> from scptensor import load_hdf5
    >>> from scptensor.io import from_mudata, to_mudata
    >>> container = load_hdf5("cells.h5")
    >>> mdata = to_mudata(container)
    >>> list(mdata.mod), mdata.n_obs
    (['proteins', 'peptides'], 3)
    >>> from_mudata(mdata).links == container.links
    True
    """
    try:
        from mudata import MuData
    except ImportError as error:
        raise MissingDependencyError("mudata", "to_mudata needs the package mudata: pip install mudata") from error
    by_modality = container.extras.uns.get(MODALITIES, {})
    by_modality = by_modality if isinstance(by_modality, Mapping) else {}
    modalities, x_layers = {}, {}
    for name, assay in container.assays.items():
        assay_extras = container.extras.assays.get(name, AssayExtras())
        main = (layers or {}).get(name) or assay_extras.origin.get(X_LAYER) or ("X" if "X" in assay.layers else None)
        main = main or next(iter(assay.layers), None)
        part = _part(container, name, by_modality.get(name, {}))
        if main is None:  # as an AnnData object without X
            assay_extras = part.extras.assays.setdefault(name, AssayExtras())
            part.extras.assays[name] = replace(assay_extras, origin={**assay_extras.origin, X_LAYER: ""})
        others = [layer for layer in assay.layers if layer != main]
        modalities[name] = to_anndata(part, name, main, layers=others if others else "all" if main is None else ())
        if main is not None and main != "X" and assay_extras.origin.get(X_LAYER) != main:
            x_layers[name] = main
    obs = to_pandas(container.obs, container.sample_id_col, "obs", nested(container.extras.origin, FRAME))
    mudata = MuData(modalities, obs=obs)
    mudata = mudata[obs.index].copy() if not mudata.obs_names.equals(obs.index) else mudata
    uns = {key: value for key, value in container.extras.uns.items() if key not in (KEY, MODALITIES)}
    shared = Extras(container.extras.obsm, container.extras.obsp, uns, {}, container.extras.origin)
    values = {"X": ScpMatrix(np.zeros((container.n_samples, 0)))}
    none = Assay(pl.DataFrame({INDEX: pl.Series([], dtype=pl.String)}), values)
    bare = ScpContainer(container.obs, {"cells": none}, (), (), container.sample_id_col, extras=shared)
    of_all = to_anndata(bare, "cells", "X")
    for key in _PARTS:
        for below, value in getattr(of_all, key).items():
            getattr(mudata, key)[below] = value
    travelling = carry(container.history, {}, container.links, (container.sample_ids.to_list(), []))
    if travelling or x_layers:
        mudata.uns[KEY] = {"version": 1, "ids": "", **travelling, **({_X_LAYERS: x_layers} if x_layers else {})}
    return mudata


def _part(container: ScpContainer, name: str, kept_of: Mapping[str, Any]) -> ScpContainer:
    """The cells of a modality, in its order, with what it said of them."""
    extras = Extras(assays={name: container.extras.assays.get(name, AssayExtras())})
    obs = pl.DataFrame({INDEX: container.sample_ids})
    if not isinstance(kept_of.get("obs"), pl.DataFrame):
        return ScpContainer(obs, {name: container.assays[name]}, extras=extras)
    places = {cell: row for row, cell in enumerate(container.sample_ids.to_list())}
    of_modality = kept_of["obs"].get_column(INDEX).to_list()
    kept = np.array([row for row, cell in enumerate(of_modality) if cell in places], np.int64)
    rows = np.array([places[of_modality[row]] for row in kept], np.int64)
    extras = Extras(
        {key: rows_of(value, kept) for key, value in kept_of.get("obsm", {}).items()},
        {key: rows_of(rows_of(value, kept).T, kept).T for key, value in kept_of.get("obsp", {}).items()},
        dict(kept_of.get("uns", {})),
        extras.assays,
        dict(kept_of.get("origin", {})),
    )
    assay = container.assays[name].select_samples(rows)
    if len(kept_of["obs"]) < container.n_samples:
        layers = {key: _without_mask_of_absence(matrix) for key, matrix in assay.layers.items()}
        assay = Assay(assay.var, layers, assay.feature_id_col)
    return ScpContainer(kept_of["obs"][kept], {name: assay}, extras=extras)


def _without_mask_of_absence(matrix: ScpMatrix) -> ScpMatrix:
    """Without a mask that says nothing of the cells that are there."""
    M = whole(matrix.M)
    says = M is not None and (M.nnz if sp.issparse(M) else M.any())
    return ScpMatrix(matrix.X, M if says else None, matrix.metadata)


# ---------------------------------------------------------------- files


def read_h5mu(path: str | os.PathLike[str], *, make_unique: bool = False) -> ScpContainer:
    """The container of a MuData file, as `from_mudata` makes it.

    Parameters
    ----------
    path
        An `.h5mu` file.
    make_unique
        As of `from_anndata`.

    Returns
    -------
    ScpContainer
        With an assay for each modality.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    IOFormatError
        It is damaged, or not a MuData file.
    MissingDependencyError
        The package mudata is not installed.

    Examples
    --------
    >>> from scptensor import load_hdf5
    >>> from scptensor.io import read_h5mu, write_h5mu
    >>> write_h5mu(load_hdf5("cells.h5"), "cells.h5mu")
    >>> read_h5mu("cells.h5mu").list_assays()
    ['proteins', 'peptides']
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"No such file: {source}")
    try:
        import mudata  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("mudata", f"reading {source.name} needs mudata: pip install mudata") from error
    from h5burst import anndata

    try:
        mdata = anndata.read_h5mu(source)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        first = next(iter(str(error).strip().splitlines()), repr(error))
        raise IOFormatError(f"{source} cannot be read as a MuData file: {first:.200}") from error
    try:
        return from_mudata(mdata, make_unique=make_unique)
    except ScpTensorError as error:
        raise IOFormatError(f"{source}: {error}") from error


def write_h5mu(
    container: ScpContainer,
    path: str | os.PathLike[str],
    *,
    layers: Mapping[str, str] | None = None,
    compression: str | None = None,
    compression_level: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write all assays as a MuData file, which appears when it is complete.

    Parameters
    ----------
    container
        Where it is taken from.
    path
        The `.h5mu` file.
    layers
        As of `to_mudata`.
    compression, compression_level, overwrite
        As of `write_h5ad`.

    Raises
    ------
    AssayNotFoundError, LayerNotFoundError, MissingDependencyError
        As of `to_mudata`.
    IOWriteError
        The file exists, cannot be written, or cannot hold what the container has.

    Examples
    --------
    >>> from scptensor import load_hdf5
    >>> from scptensor.io import write_h5mu
    >>> write_h5mu(load_hdf5("cells.h5"), "compressed.h5mu", compression="gzip")
    """
    target = Path(path)
    mdata = to_mudata(container, layers=layers)
    for name, adata in mdata.mod.items():
        times_as_text(adata.obs, f"{name} obs")
        times_as_text(adata.var, f"{name} var")
        for frame in (adata.obs, adata.var, *(() if adata.raw is None else (adata.raw.var,))):
            missing_as_categories(frame)
    obs = mdata.obs
    times_as_text(obs, "obs")
    missing_as_categories(obs)
    missing_as_categories(mdata.var)
    from h5burst import anndata

    with writing(target, "an .h5mu file cannot hold it"):
        anndata.write_h5mu(
            mdata, target, compression=compression, compression_opts=compression_level, overwrite=overwrite
        )
