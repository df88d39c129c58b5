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
from scpstore.core.sources import LazyRows, take, whole
from scpstore.core.structures import ScpContainer
from scpstore.io.anndata_layers import StoredLayer
from scpstore.io.carried import KEY, carried, carry
from scpstore.io.exceptions import IOFormatError, writing
from scpstore.io.interchange import FRAME, X_LAYER, assembled, container_of, from_anndata, to_anndata
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
    return _container_of(mdata, make_unique, {})


def _container_of(mdata: Any, make_unique: bool, stored: Mapping[str, tuple[Any, Mapping[str, Any]]]) -> ScpContainer:
    """As `from_mudata`. stored: by modality X and layers that are not in the object, but in its file."""
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
        X, of_layers = stored.get(name, (None, {}))
        part = container_of(adata, name, make_unique, of_layers, X)
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
    if isinstance(matrix.X, LazyRows) and matrix.X.format != "csc":
        return _placed(matrix, rows, height)
    X, M = whole(matrix.X), whole(matrix.M)
    lacks = len(rows) < height
    if M is None and lacks and not sp.issparse(X):
        M = np.zeros(X.shape, np.int8)
    fill = 0 if sp.issparse(M) else int(MaskCode.LOD)
    return ScpMatrix(_spread(X, rows, height, np.nan), None if M is None else _spread(M, rows, height, fill))


def _placed(matrix: ScpMatrix, rows: list[int], height: int) -> ScpMatrix:
    """As `_at`, of what stays in its file."""
    M, lacks = matrix.M, len(rows) < height
    fill = int(MaskCode.LOD) if getattr(M, "format", None) is None else 0
    codes = None if M is None else PlacedRows(M, rows, height, fill) if isinstance(M, LazyRows) else None
    if M is not None and codes is None:
        return ScpMatrix(LazyRows(PlacedRows(matrix.X, rows, height, np.nan)), _spread(M, rows, height, fill))
    if M is None and lacks and matrix.X.format is None:
        codes = PlacedRows(_NoCodes((len(rows), matrix.X.shape[1])), rows, height, fill)
    X = LazyRows(PlacedRows(matrix.X, rows, height, np.nan))
    return ScpMatrix(X, None if codes is None else LazyRows(codes))


class _NoCodes:
    """A mask of values that are all there."""

    dtype = np.dtype(np.int8)
    format: str | None = None

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape

    def read(self, start: int, stop: int) -> Any:
        """Rows [start, stop)."""
        return np.zeros((stop - start, self.shape[1]), np.int8)


class PlacedRows:
    """A `RowReader` of rows of another matrix at other places; rows that it lacks are `fill`, or nothing."""

    def __init__(self, values: Any, rows: list[int], height: int, fill: float) -> None:
        self._values, self._rows, self._fill = values, rows, fill
        self._places = np.full(height, -1, np.int64)
        self._places[rows] = np.arange(len(rows))
        self.shape: tuple[int, int] = (height, int(values.shape[1]))
        self.dtype = np.dtype(values.dtype)
        self.format: str | None = values.format
        self.row_bytes: int | None = getattr(values, "row_bytes", None)

    def read(self, start: int, stop: int) -> Any:
        """Rows [start, stop): an array, or a CSR matrix."""
        places = self._places[start:stop]
        present = np.flatnonzero(places >= 0)
        found = take(self._values, places[present], None)
        return found if len(present) == len(places) else _spread(found, present, len(places), self._fill)

    def read_whole(self) -> Any:
        """The whole matrix, in its own format."""
        return _spread(whole(self._values), self._rows, self.shape[0], self._fill)


def _spread(values: Any, rows: Any, height: int, fill: float) -> Any:
    if sp.issparse(values):
        order = np.argsort(rows, kind="stable")
        csr = values.tocsr()[order]
        counts = np.zeros(height + 1, csr.indptr.dtype)
        counts[np.asarray(rows, np.int64)[order] + 1] = np.diff(csr.indptr)
        kind = sp.csr_array if isinstance(values, sp.sparray) else sp.csr_matrix
        return kind((csr.data, csr.indices, np.cumsum(counts, dtype=counts.dtype)), (height, values.shape[1])).asformat(
            values.format
        )
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
    return _mudata_of(container, layers, in_file=False)


def _mudata_of(container: ScpContainer, layers: Mapping[str, str] | None, *, in_file: bool) -> Any:
    """As `to_mudata`. in_file: matrices of a file stay there, for an object that is written and nothing else."""
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
        of_layers: Any = others if others else "all" if main is None else ()
        modalities[name] = assembled(part, name, main, of_layers, in_file=in_file)
        if main is not None and main != "X" and assay_extras.origin.get(X_LAYER) != main:
            x_layers[name] = main
    obs = to_pandas(container.obs, container.sample_id_col, "obs", nested(container.extras.origin, FRAME))
    mudata = MuData(modalities, obs=obs)
    if not mudata.obs_names.equals(obs.index):
        if in_file:
            return _mudata_of(container, layers, in_file=False)
        mudata = mudata[obs.index].copy()
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
    assay = container.assays[name]
    if not np.array_equal(rows, np.arange(container.n_samples)):
        assay = assay.select_samples(rows)
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


def read_h5mu(path: str | os.PathLike[str], *, make_unique: bool = False, backed: bool = False) -> ScpContainer:
    """The container of a MuData file, as `from_mudata` makes it.

    Parameters
    ----------
    path
        An `.h5mu` file.
    make_unique
        As of `from_anndata`.
    backed
        Leave X and layers of the modalities in the file, to be read by rows. (Those stored by columns of a modality
        that lacks cells, or has them in another order, are read.)

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
        read = anndata.read_h5mu_with_stored_layers if backed else lambda path: (anndata.read_h5mu(path), {})
        mdata, nodes = read(source)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        first = next(iter(str(error).strip().splitlines()), repr(error))
        raise IOFormatError(f"{source} cannot be read as a MuData file: {first:.200}") from error
    try:
        return _container_of(mdata, make_unique, _layers_of(source, nodes))
    except ScpTensorError as error:
        raise IOFormatError(f"{source}: {error}") from error


def _layers_of(source: Path, nodes: Mapping[str, Any]) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The matrices that stay in a file, by modality."""
    found = {}
    for name, (X, layers) in nodes.items():
        of_layers = {
            key: None if node is None else StoredLayer(source, f"/mod/{name}/layers/{key}", node)
            for key, node in layers.items()
        }
        found[name] = (None if X is None else StoredLayer(source, f"/mod/{name}/X", X), of_layers)
    return found


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
    mdata = _mudata_of(container, layers, in_file=True)
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
