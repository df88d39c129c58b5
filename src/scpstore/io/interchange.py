"""Containers from AnnData and back (the package `anndata` is needed only when these are called)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from scpstore.core.exceptions import (
    AssayNotFoundError,
    LayerNotFoundError,
    MissingDependencyError,
    ScpTensorError,
    ValidationError,
)
from scpstore.core.extras import AssayExtras, Extras, RawValues
from scpstore.core.structures import Assay, ScpContainer, ScpMatrix
from scpstore.io.anndata_layers import (
    DTYPES,
    StoredLayer,
    are_codes,
    as_floats,
    for_anndata,
    for_file,
    in_memory,
    known_formats,
)
from scpstore.io.anndata_members import frame_of, mapped, unmapped
from scpstore.io.carried import KEY, carried, carry
from scpstore.io.exceptions import IOFormatError, writing
from scpstore.io.pandasframes import INDEX, missing_as_categories, nested, times_as_text, to_pandas, with_dtypes

MASK_LAYER = "mask"
X_LAYER, FRAME = "x_layer", "frame"  # in the origin of an assay, beside `DTYPES`
MEMBERS = "members"  # in an origin: those of the frames in obsm, uns, varm, raw, by their names


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
    return container_of(adata, assay, make_unique, {})


def container_of(
    adata: Any, assay: str, make_unique: bool, stored: Mapping[str, StoredLayer | None], X: StoredLayer | None = None
) -> ScpContainer:
    """As `from_anndata`.

    stored: all layers in order; those that are not in the object, but in its file. X: likewise.
    """
    obs, obs_origin = with_dtypes(_unique(adata.obs, "obs", make_unique), "obs")
    var, var_origin = with_dtypes(_unique(adata.var, "var", make_unique), "var")
    layers = {name: adata.layers[name] for name in adata.layers if name is not None}  # None: X, from anndata 0.13 on
    layers = {**dict.fromkeys(stored), **layers, **{name: layer for name, layer in stored.items() if layer is not None}}
    x_layer = (
        "X" if "X" not in layers else next(n for n in ("main", *map("main{}".format, range(9))) if n not in layers)
    )
    main = adata.X if X is None else X
    if main is None:
        x_layer = ""
    else:
        layers = {x_layer: main, **layers}
    masks = {name: mask for name in layers if (mask := _mask_name(name, x_layer, layers)) is not None}
    dtypes: dict[str, str] = {}
    matrices = {}
    for name, values in layers.items():
        if name not in masks.values():
            X = as_floats(values, name, dtypes)
            matrices[name] = ScpMatrix(X, _mask_of(layers[masks[name]]) if name in masks else None)
    origin: dict[str, Any] = {DTYPES: dtypes} if dtypes else {}
    if x_layer != "X":
        origin[X_LAYER] = x_layer
    if var_origin:
        origin[FRAME] = var_origin
    shared: dict[str, Any] = {FRAME: obs_origin} if obs_origin else {}
    of_assay: dict[str, Any] = {}
    of_samples: dict[str, Any] = {}
    assay_extras = AssayExtras(
        mapped(adata.varm, "varm", of_assay), mapped(adata.varp, "varp", of_assay), _raw(adata, of_assay), origin
    )
    ids = (obs.get_column(INDEX).to_list(), var.get_column(INDEX).to_list())
    brought = carried(adata.uns, ids)
    rest = adata.uns if brought is None else {name: value for name, value in adata.uns.items() if name != KEY}
    obsm, obsp = (mapped(getattr(adata, name), name, of_samples) for name in ("obsm", "obsp"))
    uns = mapped(rest, "uns", of_samples)
    history, metadata, links = brought or ([], {}, [])
    for name, known_of_matrix in metadata.items():
        layer = x_layer if name is None else name
        if layer in matrices:
            matrices[layer].metadata = known_of_matrix
    origin.update({MEMBERS: of_assay} if of_assay else {})
    shared.update({MEMBERS: of_samples} if of_samples else {})
    within = [link for link in links if link.source_assay == link.target_assay == assay]
    others = [link for link in links if link not in within]
    if others:  # of assays that are not here: they travel on
        uns[KEY] = mapped(carry((), {}, others, ids), f"uns/{KEY}", {})
    extras = Extras(obsm, obsp, uns, {} if assay_extras.is_empty() else {assay: assay_extras}, shared)
    return ScpContainer(obs, {assay: Assay(var, matrices)}, within, history, extras=extras)


def _unique(frame: Any, where: str, make_unique: bool) -> Any:
    names = frame.index.astype(str)
    if names.is_unique:
        return frame
    if not make_unique:
        twice = names[names.duplicated()].unique().tolist()
        problem = f"{where}: IDs appear more than once: {twice[:5]}"
        message = f"{problem}: make_unique=True (--make-unique) appends -1, -2, … to them"
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
    if isinstance(codes, StoredLayer):
        return mask if codes.holds_codes() else None
    stored = codes.data if hasattr(codes, "format") else codes
    return mask if stored.dtype == np.int8 and are_codes(stored) else None


def _mask_of(codes: Any) -> Any:
    return codes.codes() if isinstance(codes, StoredLayer) else in_memory(codes)


def _raw(adata: Any, origins: dict[str, Any]) -> RawValues | None:
    if adata.raw is None:
        return None
    X = adata.raw.X
    origin_of_var: dict[str, Any] = {}
    values = in_memory(X if hasattr(X, "to_memory") or sp.issparse(X) else X[:])
    raw = RawValues(
        values, frame_of(adata.raw.var, "raw.var", "var", origin_of_var), mapped(adata.raw.varm, "varm", origin_of_var)
    )
    if origin_of_var:
        origins["raw"] = origin_of_var
    return raw


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
    return assembled(container, assay, layer, layers, in_file=False)


def assembled(
    container: ScpContainer, assay: str, layer: str | None, layers: Literal["all"] | Sequence[str], *, in_file: bool
) -> Any:
    """As `to_anndata`. in_file: matrices of a file stay there, for an object that is written and nothing else."""
    anndata = _anndata("to_anndata")
    if assay not in container.assays:
        raise AssayNotFoundError(assay, container.assays)
    source = container.assays[assay]
    assay_extras = container.extras.assays.get(assay, AssayExtras())
    had_no_x = layer is None and layers == "all" and assay_extras.origin.get(X_LAYER) == ""
    main = None if had_no_x else _main_layer(layer, assay, source, assay_extras)
    others = [name for name in source.layers if name != main] if layers == "all" else list(layers)
    values_of = for_file if in_file else for_anndata
    mask_of = partial(for_file, extras=assay_extras) if in_file else known_formats
    layers_out = {}
    for name in others:
        _known_layer(name, assay, source)
        layers_out[name] = values_of(source.layers[name].X, assay_extras, name)
        if source.layers[name].M is not None:
            layers_out[f"{name}_{MASK_LAYER}"] = mask_of(source.layers[name].M)
    if main is not None and source.layers[main].M is not None:
        layers_out[MASK_LAYER] = mask_of(source.layers[main].M)
    obs = to_pandas(container.obs, container.sample_id_col, "obs", nested(container.extras.origin, FRAME))
    var = to_pandas(source.var, source.feature_id_col, "var", nested(assay_extras.origin, FRAME))
    extras = container.extras
    of_samples, of_assay = nested(extras.origin, MEMBERS), nested(assay_extras.origin, MEMBERS)
    adata = anndata.AnnData(
        X=None if main is None else values_of(source.layers[main].X, assay_extras, main),
        obs=obs,
        var=var,
        layers=layers_out,
        obsm=unmapped(extras.obsm, of_samples, "obsm"),
        obsp=unmapped(extras.obsp, of_samples, "obsp"),
        varm=unmapped(assay_extras.varm, of_assay, "varm"),
        varp=unmapped(assay_extras.varp, of_assay, "varp"),
        uns=unmapped({name: value for name, value in extras.uns.items() if name != KEY}, of_samples, "uns"),
    )
    _carry_into(adata, container, source, main, others)
    if assay_extras.raw is not None:
        of_raw = nested(of_assay, "raw")
        raw_var = to_pandas(assay_extras.raw.var, INDEX, "raw.var", nested(of_raw, "var"))
        varm = unmapped(assay_extras.raw.varm, of_raw, "varm")
        adata.raw = anndata.AnnData(X=assay_extras.raw.X, obs=obs[[]], var=raw_var, varm=varm)
    return adata


def _carry_into(adata: Any, container: ScpContainer, source: Assay, main: str | None, others: Sequence[str]) -> None:
    """Put what AnnData has no place for into its `uns`; and links that came with it, of assays that are not here."""
    ids = (container.sample_ids.to_list(), source.feature_ids.to_list())
    metadata: dict[str | None, Any] = {name: source.layers[name].metadata for name in others}
    if main is not None:
        metadata[None] = source.layers[main].metadata
    passing = carried(container.extras.uns, ids)
    content = carry(container.history, metadata, [*container.links, *(passing[2] if passing else [])], ids)
    if content:
        adata.uns[KEY] = content


def _anndata(subject: str) -> Any:
    try:
        import anndata
    except ImportError as error:
        message = f"{subject} needs the package anndata: pip install anndata"
        raise MissingDependencyError("anndata", message) from error
    return anndata


def _main_layer(layer: str | None, assay: str, source: Assay, assay_extras: AssayExtras) -> str:
    if layer is None:
        names = list(source.layers)
        layer = assay_extras.origin.get(X_LAYER) or ("X" if "X" in names or len(names) != 1 else names[0])
    return _known_layer(layer, assay, source)


def _known_layer(name: str, assay: str, source: Assay) -> str:
    if name not in source.layers:
        raise LayerNotFoundError(name, assay, source.layers)
    return name


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
        Leave X, and layers that are dense or CSR, in the file, to be read by rows.

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
        adata, nodes = anndata.read_with_stored_layers(source) if backed else (anndata.read_h5ad(source), {})
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        first = next(iter(str(error).strip().splitlines()), repr(error))
        raise IOFormatError(f"{source} cannot be read as an AnnData file: {first:.200}") from error
    try:
        stored = {
            name: None if node is None else StoredLayer(source, f"/layers/{name}", node) for name, node in nodes.items()
        }
        container = container_of(adata, assay, make_unique, stored)
        if adata.isbacked:  # rows are read by the engine
            adata.file.close()
    except ScpTensorError as error:
        raise IOFormatError(f"{source}: {error}") from error
    return container


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
    adata = assembled(container, assay, layer, layers, in_file=True)
    times_as_text(adata.obs, "obs")
    times_as_text(adata.var, "var")
    for frame in (adata.obs, adata.var, *(() if adata.raw is None else (adata.raw.var,))):
        missing_as_categories(frame)
    from h5burst import anndata

    with writing(target, "an .h5ad file cannot hold it"):
        anndata.write_h5ad(
            adata, target, compression=compression, compression_opts=compression_level, overwrite=overwrite
        )
