"""Containers from AnnData and back (the package `anndata` is needed only when these are called)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import scipy.sparse as sp

from h5burst import UnsupportedValueError
from scpstore.core.exceptions import (
    AssayNotFoundError,
    LayerNotFoundError,
    MissingDependencyError,
    ScpTensorError,
    ValidationError,
)
from scpstore.core.extras import AssayExtras, Extras, RawValues
from scpstore.core.sources import LazyRows, whole
from scpstore.core.structures import Assay, MaskCode, ScpContainer, ScpMatrix
from scpstore.io.carried import KEY, carried, carry
from scpstore.io.exceptions import IOFormatError, IOWriteError
from scpstore.io.pandasframes import INDEX, remembered, times_as_text, to_pandas, with_origin

MASK_LAYER = "mask"
X_LAYER, DTYPES, FRAME = "x_layer", "dtypes", "frame"  # in the origin of an assay
MEMBERS = "members"  # in an origin: those of the frames in obsm, uns, varm, raw, by their names
_VALUES, _IS_ARRAY = "values", "is_array"  # the only column of a frame that was an array of pandas; mark of its origin
_EXACT_IN_FLOAT64 = 2**53


# ---------------------------------------------------------------- from AnnData


def from_anndata(adata: Any, assay: str = "proteins", *, make_unique: bool = False) -> ScpContainer:
    """A container of one assay from an `AnnData`.

    Parameters
    ----------
    adata
        `X` becomes the layer "X" (or "main", where a layer is called "X"), other layers keep their names; a layer
        "mask" of mask codes (int8) becomes the mask of X, "{layer}_mask" that of another layer. Whole numbers and
        booleans become float64, which `to_anndata` undoes. The indices become the ID columns "_index", text categories
        `Enum` columns; `obsm`, `varm`, `obsp`, `varp`, `uns`, `raw` become `container.extras`. A backed X stays in
        its file and is read by rows.
    assay
        What to call the assay.
    make_unique
        Whether IDs that repeat get "-1", "-2", …, as anndata does it.

    Returns
    -------
    ScpContainer
        With one assay.

    Raises
    ------
    ValidationError
        IDs that repeat, a layer whose numbers float64 does not hold exactly, a column that has no form: the message
        names it and says what to do.

    Examples
    --------
    >>> import anndata
    >>> import numpy as np
    >>> import pandas as pd
    >>> from scptensor.io import from_anndata
    >>> adata = anndata.AnnData(np.ones((3, 2)), pd.DataFrame(index=list("ABC")), pd.DataFrame(index=["P1", "P2"]))
    >>> container = from_anndata(adata)
    >>> container.list_layers("proteins"), container.sample_ids.to_list()
    (['X'], ['A', 'B', 'C'])
    """
    if hasattr(adata, "mod") and hasattr(adata, "obsmap"):
        names = ", ".join(adata.mod)
        raise ValidationError(
            f"this is a MuData object: take one of its modalities ({names}): adata.mod[name]", "adata"
        )
    obs, obs_origin = with_origin(_unique(adata.obs, "obs", make_unique), "obs")
    var, var_origin = with_origin(_unique(adata.var, "var", make_unique), "var")
    layers = {name: adata.layers[name] for name in adata.layers if name is not None}  # None: X, from anndata 0.13 on
    x_layer = (
        "X" if "X" not in layers else next(n for n in ("main", *map("main{}".format, range(9))) if n not in layers)
    )
    if adata.X is None:
        x_layer = ""
    else:
        layers = {x_layer: adata.X, **layers}
    masks = {name: mask for name in layers if (mask := _mask_name(name, x_layer, layers)) is not None}
    dtypes: dict[str, str] = {}
    matrices = {}
    for name, values in layers.items():
        if name not in masks.values():
            X = _as_floats(values, name, dtypes)
            matrices[name] = ScpMatrix(X, _in_memory(layers[masks[name]]) if name in masks else None)
    origin: dict[str, Any] = {DTYPES: dtypes} if dtypes else {}
    if x_layer != "X":
        origin[X_LAYER] = x_layer
    if var_origin:
        origin[FRAME] = var_origin
    shared: dict[str, Any] = {FRAME: obs_origin} if obs_origin else {}
    of_assay: dict[str, Any] = {}
    of_samples: dict[str, Any] = {}
    known = AssayExtras(
        _mapped(adata.varm, "varm", of_assay), _mapped(adata.varp, "varp", of_assay), _raw(adata, of_assay), origin
    )
    ids = (obs.get_column(INDEX).to_list(), var.get_column(INDEX).to_list())
    brought = carried(adata.uns, ids)
    rest = adata.uns if brought is None else {name: value for name, value in adata.uns.items() if name != KEY}
    obsm, obsp = (_mapped(getattr(adata, name), name, of_samples) for name in ("obsm", "obsp"))
    uns = _mapped(rest, "uns", of_samples)
    history, metadata, links = brought or ([], {}, [])
    for name, known_of_matrix in metadata.items():
        place = x_layer if name is None else name
        if place in matrices:
            matrices[place].metadata = known_of_matrix
    origin.update({MEMBERS: of_assay} if of_assay else {})
    shared.update({MEMBERS: of_samples} if of_samples else {})
    within = [link for link in links if link.source_assay == link.target_assay == assay]
    others = [link for link in links if link not in within]
    if others:  # of assays that are not here: they travel on
        uns[KEY] = _mapped(carry((), {}, others, ids), f"uns/{KEY}", {})
    extras = Extras(obsm, obsp, uns, {} if known.is_empty() else {assay: known}, shared)
    return ScpContainer(obs, {assay: Assay(var, matrices)}, within, history, extras=extras)


def _unique(frame: Any, where: str, make_unique: bool) -> Any:
    names = frame.index.astype(str)
    if names.is_unique:
        return frame
    if not make_unique:
        twice = names[names.duplicated()].unique().tolist()
        what = f"{where}: IDs appear more than once: {twice[:5]}"
        message = f"{what}: make_unique=True (--make-unique) appends -1, -2, … to them"
        raise ValidationError(message, where)
    from anndata.utils import make_index_unique

    frame = frame.copy()
    frame.index = make_index_unique(names)
    return frame


def _mask_name(name: str, x_layer: str, layers: Mapping[str, Any]) -> str | None:
    """The layer that is the mask of another, None where there is none."""
    mask = MASK_LAYER if name == x_layer else f"{name}_{MASK_LAYER}"
    if name == MASK_LAYER or mask not in layers or mask == name:
        return None
    codes = layers[mask]
    stored = codes.data if hasattr(codes, "format") else codes
    is_mask = stored.dtype == np.int8 and (stored.size == 0 or 0 <= stored.min() <= stored.max() <= max(MaskCode))
    return mask if is_mask else None


def _in_memory(values: Any) -> Any:
    """A backed matrix is read; a view of one becomes a plain array."""
    values = values.to_memory() if hasattr(values, "to_memory") else values
    if sp.issparse(values):
        plain = getattr(sp, f"{values.format}_{'array' if isinstance(values, sp.sparray) else 'matrix'}")
        return values if type(values) is plain else plain(values)
    return np.asarray(values)


def _as_floats(values: Any, name: str, dtypes: dict[str, str]) -> Any:
    """A layer as floats; the dtype that it had is noted. Raises `ValidationError` where numbers would change."""
    _check_not_masked(values, f"layer {name!r}")
    dtype = np.dtype(values.dtype)
    if dtype.kind not in "biuf":
        raise ValidationError(f"layer {name!r} has the dtype {dtype}: a container holds floats: convert it first", name)
    if _is_backed(values):
        if dtype.kind != "f":
            dtypes[name] = dtype.str
        return LazyRows(_BackedRows(values, name))
    values = _in_memory(values)
    if dtype.kind == "f":
        return values
    _check_exact(values, name)
    dtypes[name] = dtype.str
    return values.astype(np.float64)


def _check_not_masked(values: Any, where: str) -> None:
    if isinstance(values, np.ma.MaskedArray):
        raise ValidationError(f"{where} is a masked array: fill it first, and keep its mask beside it", where)


def _check_exact(values: Any, name: str) -> None:
    stored = values.data if sp.issparse(values) else values
    if stored.dtype.kind == "b" or stored.dtype.itemsize < 8 or not stored.size:
        return
    low, high = int(stored.min()), int(stored.max())
    if low >= -_EXACT_IN_FLOAT64 and high <= _EXACT_IN_FLOAT64:
        return
    beyond = stored[(stored > _EXACT_IN_FLOAT64) | (stored < -_EXACT_IN_FLOAT64)]
    if not all(value == int(float(value)) for value in beyond.tolist()):
        message = f"layer {name!r} holds whole numbers that float64 does not ({low} to {high}): convert or drop it"
        raise ValidationError(message, name)


def _is_backed(values: Any) -> bool:
    return not sp.issparse(values) and not isinstance(values, np.ndarray) and not hasattr(values, "compute")


class _BackedRows:
    """A `RowReader` of AnnData's X that is in its file."""

    def __init__(self, values: Any, name: str) -> None:
        self._values, self._name = values, name
        self.shape = (int(values.shape[0]), int(values.shape[1]))
        dtype = np.dtype(values.dtype)
        self.dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
        self.format: str | None = getattr(values, "format", None)

    def read(self, start: int, stop: int) -> Any:
        """Rows [start, stop): an array, or a CSR matrix."""
        rows = self._values[start:stop]
        rows = rows.tocsr() if sp.issparse(rows) else np.asarray(rows)
        return self._converted(rows)

    @property
    def read_rows(self) -> Callable[[np.ndarray[Any, Any]], Any] | None:
        """Rows by a list, sorted, in one request; None for dense ones, which h5py reads faster in stretches."""
        return (lambda index: self._converted(self._values[index].tocsr())) if self.format else None

    def read_whole(self) -> Any:
        """The whole matrix, in its own format."""
        return self._converted(_in_memory(self._values if self.format else self._values[:]))

    def _converted(self, rows: Any) -> Any:
        if rows.dtype == self.dtype:
            return rows
        _check_exact(rows, self._name)
        return rows.astype(self.dtype)


def _raw(adata: Any, origins: dict[str, Any]) -> RawValues | None:
    if adata.raw is None:
        return None
    X = adata.raw.X
    known: dict[str, Any] = {}
    values = _in_memory(X if hasattr(X, "to_memory") or sp.issparse(X) else X[:])
    raw = RawValues(values, _frame(adata.raw.var, "raw.var", "var", known), _mapped(adata.raw.varm, "varm", known))
    if known:
        origins["raw"] = known
    return raw


def _mapped(values: Mapping[str, Any], where: str, origins: dict[str, Any]) -> dict[str, Any]:
    """A copy of a mapping of AnnData, frames as polars ones, whose origins are noted under the mapping's name."""
    made: dict[str, Any] = _plain(dict(values), where, where, origins)
    return made


def _plain(value: Any, where: str, name: str, origins: dict[str, Any]) -> Any:
    if isinstance(value, Mapping) and not sp.issparse(value):
        known: dict[str, Any] = {}
        made = {below: _plain(item, f"{where}/{below}", below, known) for below, item in value.items()}
        if known:
            origins[name] = known
        return made
    if hasattr(value, "iloc") and hasattr(value, "columns"):
        return _frame(value, where, name, origins)
    if hasattr(value, "_from_sequence"):  # a category, or another array of pandas
        import pandas as pd

        frame = _frame(pd.DataFrame({_VALUES: value}), where, name, origins)
        origins[name] = {**origins.get(name, {}), _IS_ARRAY: True}
        return frame
    if hasattr(value, "obs_names"):
        raise ValidationError(f"{where} is an AnnData object: make it an assay of its own, or save it by itself", where)
    if sp.issparse(value) or hasattr(value, "to_memory"):
        return deepcopy(_in_memory(value))
    _check_not_masked(value, where)
    if isinstance(value, np.ndarray) and value.dtype.names is not None:  # as a file gives it: no record array
        return np.array(value, dtype=[(field, value.dtype[field]) for field in value.dtype.names])
    return np.array(value) if isinstance(value, np.ndarray) else deepcopy(value)


def _frame(frame: Any, where: str, name: str, origins: dict[str, Any]) -> pl.DataFrame:
    made, origin = with_origin(frame, where)
    if origin:
        origins[name] = origin
    return made


# ---------------------------------------------------------------- to AnnData


def to_anndata(
    container: ScpContainer,
    assay: str,
    layer: str | None = None,
    *,
    layers: Literal["all"] | Sequence[str] = (),
) -> Any:
    """One assay as an `AnnData`, with the container's extras.

    Parameters
    ----------
    container
        Where it is taken from. `Categorical` and `Enum` columns become pandas categories, other columns what pandas
        has for them; a column that pandas has nothing for becomes text with a `UserWarning`. What came from AnnData
        becomes again what it was there: whole numbers, ordered categories, nullable dtypes.
    assay
        Its name.
    layer
        The layer that becomes X, its mask, if it has one, the layer "mask". None: the one that was X, else "X", else
        the only one; where AnnData had no X, there is none with layers="all".
    layers
        Further layers by name, or "all"; the mask of one becomes "{layer}_mask".

    Returns
    -------
    anndata.AnnData
        Of one assay.

    Raises
    ------
    AssayNotFoundError, LayerNotFoundError
        There is no such assay or layer.
    MissingDependencyError
        (An ImportError) the package anndata is not installed.

    Examples
    --------
    >>> from scptensor import load_hdf5
    >>> from scptensor.io import to_anndata
    >>> adata = to_anndata(load_hdf5("cells.h5"), "proteins")
    >>> adata.shape, list(adata.layers)
    ((3, 2), ['mask'])
    """
    anndata = _anndata("to_anndata")
    if assay not in container.assays:
        raise AssayNotFoundError(assay, container.assays)
    source = container.assays[assay]
    known = container.extras.assays.get(assay, AssayExtras())
    had_no_x = layer is None and layers == "all" and known.origin.get(X_LAYER) == ""
    main = None if had_no_x else _main_layer(layer, assay, source, known)
    others = [name for name in source.layers if name != main] if layers == "all" else list(layers)
    made = {}
    for name in others:
        _known_layer(name, assay, source)
        made[name] = _for_anndata(source.layers[name].X, known, name)
        if source.layers[name].M is not None:
            made[f"{name}_{MASK_LAYER}"] = _known_formats(source.layers[name].M)
    if main is not None and source.layers[main].M is not None:
        made[MASK_LAYER] = _known_formats(source.layers[main].M)
    obs = to_pandas(container.obs, container.sample_id_col, "obs", remembered(container.extras.origin, FRAME))
    var = to_pandas(source.var, source.feature_id_col, "var", remembered(known.origin, FRAME))
    extras = container.extras
    of_samples, of_assay = remembered(extras.origin, MEMBERS), remembered(known.origin, MEMBERS)
    adata = anndata.AnnData(
        X=None if main is None else _for_anndata(source.layers[main].X, known, main),
        obs=obs,
        var=var,
        layers=made,
        obsm=_unmapped(extras.obsm, of_samples, "obsm"),
        obsp=_unmapped(extras.obsp, of_samples, "obsp"),
        varm=_unmapped(known.varm, of_assay, "varm"),
        varp=_unmapped(known.varp, of_assay, "varp"),
        uns=_unmapped({name: value for name, value in extras.uns.items() if name != KEY}, of_samples, "uns"),
    )
    _carry_into(adata, container, source, main, others)
    if known.raw is not None:
        of_raw = remembered(of_assay, "raw")
        raw_var = to_pandas(known.raw.var, INDEX, "raw.var", remembered(of_raw, "var"))
        varm = _unmapped(known.raw.varm, of_raw, "varm")
        adata.raw = anndata.AnnData(X=known.raw.X, obs=obs[[]], var=raw_var, varm=varm)
    return adata


def _carry_into(adata: Any, container: ScpContainer, source: Assay, main: str | None, others: Sequence[str]) -> None:
    """What AnnData has no place for, into its `uns`; and links that came with it, of assays that are not here."""
    ids = (container.sample_ids.to_list(), source.feature_ids.to_list())
    metadata: dict[str | None, Any] = {name: source.layers[name].metadata for name in others}
    if main is not None:
        metadata[None] = source.layers[main].metadata
    passing = carried(container.extras.uns, ids)
    made = carry(container.history, metadata, [*container.links, *(passing[2] if passing else [])], ids)
    if made:
        adata.uns[KEY] = made


def _anndata(what: str) -> Any:
    try:
        import anndata
    except ImportError as error:
        message = f"{what} needs the package anndata: pip install anndata"
        raise MissingDependencyError("anndata", message) from error
    return anndata


def _main_layer(layer: str | None, assay: str, source: Assay, known: AssayExtras) -> str:
    if layer is None:
        names = list(source.layers)
        layer = known.origin.get(X_LAYER) or ("X" if "X" in names or len(names) != 1 else names[0])
    return _known_layer(layer, assay, source)


def _known_layer(name: str, assay: str, source: Assay) -> str:
    if name not in source.layers:
        raise LayerNotFoundError(name, assay, source.layers)
    return name


def _for_anndata(values: Any, known: AssayExtras, layer: str) -> Any:
    """A matrix in a format that AnnData knows, in the dtype that it had there, if it still fits."""
    values = _known_formats(values)
    wanted = remembered(known.origin, DTYPES).get(layer)
    if not isinstance(wanted, str):
        return values
    try:
        dtype = np.dtype(wanted)
    except (TypeError, ValueError):  # not the name of a dtype: of a file
        return values
    if dtype.kind not in "biu":
        return values
    stored = values.data if sp.issparse(values) else values
    with np.errstate(invalid="ignore"):
        converted = stored.astype(dtype)
    return values.astype(dtype) if np.array_equal(converted.astype(stored.dtype), stored) else values


def _known_formats(values: Any) -> Any:
    values = whole(values)
    return values.tocsr() if sp.issparse(values) and values.format not in ("csr", "csc") else values


def _unmapped(values: Mapping[str, Any], origins: Mapping[str, Any], name: str) -> dict[str, Any]:
    known = remembered(origins, name)
    return {below: _unplain(value, known, below) for below, value in values.items()}


def _unplain(value: Any, origins: Mapping[str, Any], name: str) -> Any:
    if isinstance(value, Mapping) and not sp.issparse(value):
        return _unmapped(value, origins, name)
    if isinstance(value, pl.DataFrame):
        origin = remembered(origins, name)
        frame = to_pandas(value if INDEX in value.columns else value.with_row_index(INDEX), INDEX, name, origin)
        return frame[_VALUES].array if origin.get(_IS_ARRAY) and _VALUES in frame else frame
    return value


# ---------------------------------------------------------------- files


def read_h5ad(
    path: str | os.PathLike[str], assay: str = "proteins", *, make_unique: bool = False, backed: bool = False
) -> ScpContainer:
    """The container of an AnnData file, as `from_anndata` makes it.

    Parameters
    ----------
    path
        An `.h5ad` file.
    assay, make_unique
        As of `from_anndata`.
    backed
        Leave X in the file, to be read by rows.

    Returns
    -------
    ScpContainer
        With one assay.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    IOFormatError
        It is damaged, or not an AnnData file.
    MissingDependencyError
        The package anndata is not installed.

    Examples
    --------
    >>> from scptensor import load_hdf5
    >>> from scptensor.io import read_h5ad, write_h5ad
    >>> write_h5ad(load_hdf5("cells.h5"), "cells.h5ad", "proteins")
    >>> read_h5ad("cells.h5ad").assay_shape("proteins")
    (3, 2)
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"No such file: {source}")
    _anndata(f"reading {source.name}")
    from h5burst import anndata

    try:
        adata = anndata.read_h5ad(source, backed="r" if backed else None)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        first = next(iter(str(error).strip().splitlines()), repr(error))
        raise IOFormatError(f"{source} cannot be read as an AnnData file: {first:.200}") from error
    try:
        return from_anndata(adata, assay, make_unique=make_unique)
    except ScpTensorError as error:
        raise IOFormatError(f"{source}: {error}") from error


def write_h5ad(
    container: ScpContainer,
    path: str | os.PathLike[str],
    assay: str,
    layer: str | None = None,
    *,
    layers: Literal["all"] | Sequence[str] = (),
    compression: str | None = None,
    compression_level: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write one assay as an AnnData file, which appears when it is complete.

    Dates and times, which such files do not hold, become text with a `UserWarning`.

    Parameters
    ----------
    container
        Where it is taken from.
    path
        The `.h5ad` file.
    assay, layer, layers
        As of `to_anndata`.
    compression, compression_level
        As of `anndata.AnnData.write_h5ad`.
    overwrite
        Replace a file that is there.

    Raises
    ------
    AssayNotFoundError, LayerNotFoundError, MissingDependencyError
        As of `to_anndata`.
    IOWriteError
        The file exists, cannot be written, or cannot hold what the assay has.

    Examples
    --------
    >>> from scptensor import load_hdf5
    >>> from scptensor.io import write_h5ad
    >>> write_h5ad(load_hdf5("cells.h5"), "cells.h5ad", "proteins", compression="gzip")
    """
    target = Path(path)
    adata = to_anndata(container, assay, layer, layers=layers)
    times_as_text(adata.obs, "obs")
    times_as_text(adata.var, "var")
    from h5burst import anndata

    try:
        anndata.write_h5ad(
            adata, target, compression=compression, compression_opts=compression_level, overwrite=overwrite
        )
    except FileExistsError as error:
        raise IOWriteError("File already exists", target) from error
    except OSError as error:
        raise IOWriteError(error.strerror or str(error), target) from error
    except UnsupportedValueError as error:
        raise IOWriteError(f"an .h5ad file cannot hold it: {error}", target) from error
