"""Layout of a container in a file: the one place that maps containers to trees and back.

Format 1.0 is what any reader of it understands. What it cannot say goes to attributes, to `/links`, to `/extras`, and
to the group `/scptensor`, in which the group P belongs to the group /P.

    /                                    format_version, scptensor_version, creation_time, sample_id_col
    /obs/{column}
    /assays/{name}                       feature_id_col
    /assays/{name}/var/{column}
    /assays/{name}/layers/{layer}        matrices X and M
    /provenance/history                  action, timestamp, params, software_version, description
    /links/{number}                      source_assay, target_assay; linkage/{column}
    /extras                              obsm, obsp, uns; varm, varp, raw of assays
    /scptensor/obs …                     extras of frames, matrices and history
    /scptensor/assay_order               names in order, and layer_order in each assay's extras
    /scptensor/assays/{name}/layers/{layer}/metadata
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

import polars as pl

from h5burst import Group, __version__, decode_attributes, encode_attributes
from scpstore.core.container import link_problem
from scpstore.core.exceptions import ScpTensorError
from scpstore.core.extras import Extras
from scpstore.io.annotations import EXTRAS_GROUP, decode_extras, encode_extras
from scpstore.io.classes import OURS, Classes
from scpstore.io.exceptions import IOFormatError, IOWriteError
from scpstore.io.frames import DEFAULT_ID, as_frame, decode_frame, encode_frame
from scpstore.io.layers import decode_layer, encode_layer
from scpstore.io.lazymatrix import LazyMatrix
from scpstore.io.matrices import Target, has_matrix, stored_shape
from scpstore.io.provenance import decode_history, encode_history
from scpstore.io.stored import StoredGroup, texts_node

FORMAT_VERSION = "1.0"
ASSAY_ORDER, LAYER_ORDER = "assay_order", "layer_order"
_DEEPEST = 16  # names with "/" in files of others

Made = TypeVar("Made")


@dataclass(frozen=True)
class SavedParts:
    """The part of a container that is saved: layers by assay, in order."""

    layers: Mapping[str, list[str]]
    obs: bool = True
    history: bool = True


# ---------------------------------------------------------------- writing


def encode_container(container: Any, selection: SavedParts, target: Target) -> Group:
    """The tree of a container, or of any object of its shape. Raises `IOWriteError` for what no file can hold."""
    sample_id_col = getattr(container, "sample_id_col", DEFAULT_ID)
    root = StoredGroup("", Group({}, _root_attributes(sample_id_col)))
    root.put("obs", encode_frame(_samples(container.obs, sample_id_col, selection.obs), "obs"))
    assays = root.below("assays")
    for name, layers in selection.layers.items():
        assays.put(name, _encode_assay(container.assays[name], layers, target, f"assays/{name}"))
    root.put("assays", assays)
    root.extra.children[ASSAY_ORDER] = texts_node(selection.layers)
    if selection.history:
        provenance = root.below("provenance")
        history = getattr(container, "history", None) or ()
        provenance.put("history", encode_history(history, "provenance/history"))
        root.put("provenance", provenance)
    links = [link for link in getattr(container, "links", None) or () if _is_saved(link, selection)]
    if links:
        root.put("links", _encode_links(links))
    extras = getattr(container, "extras", None)
    if isinstance(extras, Extras) and not extras.is_empty():
        root.put(EXTRAS_GROUP, encode_extras(extras, selection.layers, target))
    return root.as_root()


def _root_attributes(sample_id_col: str) -> dict[str, Any]:
    return encode_attributes(
        {
            "format_version": FORMAT_VERSION,
            "scptensor_version": __version__,
            "creation_time": datetime.now(timezone.utc).isoformat(),
            "sample_id_col": sample_id_col,
        }
    )


def _samples(frame: Any, sample_id_col: str, all_columns: bool) -> pl.DataFrame:
    obs = as_frame(frame, "obs")
    if all_columns:
        return obs
    if sample_id_col not in obs.columns:
        raise IOWriteError(f"obs has no ID column {sample_id_col!r} that could be saved alone: {obs.columns}")
    return pl.DataFrame({sample_id_col: obs.get_column(sample_id_col)})


def _encode_assay(assay: Any, layers: list[str], target: Target, where: str) -> StoredGroup:
    attrs = encode_attributes({"feature_id_col": getattr(assay, "feature_id_col", DEFAULT_ID)})
    stored = StoredGroup(where, Group({}, attrs))
    stored.put("var", encode_frame(as_frame(assay.var, f"{where}/var"), f"{where}/var"))
    group = stored.below("layers")
    for name in layers:
        group.put(name, encode_layer(assay.layers[name], target, f"{where}/layers/{name}"))
    stored.put("layers", group)
    stored.extra.children[LAYER_ORDER] = texts_node(layers)
    return stored


def _is_saved(link: Any, selection: SavedParts) -> bool:
    return link.source_assay in selection.layers and link.target_assay in selection.layers


def _encode_links(links: list[Any]) -> StoredGroup:
    stored = StoredGroup("links")
    for number, link in enumerate(links):
        attrs = encode_attributes({"source_assay": link.source_assay, "target_assay": link.target_assay})
        one = StoredGroup(f"links/{number}", Group({}, attrs))
        where = f"links/{number}/linkage"
        one.put("linkage", encode_frame(as_frame(link.linkage, where), where))
        stored.put(str(number), one)
    return stored


# ---------------------------------------------------------------- reading


def decode_container(root: Group, *, lazy: bool = False, classes: Classes = OURS) -> Any:
    """The container in a tree. Raises `IOFormatError` with the place of what is wrong.

    lazy: the matrices of layers are read when they are asked for. classes: what it is built of.
    """
    return DECODERS[check_version(root)](StoredGroup.of_root(root), lazy, classes)


def check_version(root: Group) -> str:
    """The version of a tree. Raises `IOFormatError` unless it, and the groups that it must have, can be read."""
    version = root.attrs.get("format_version")
    if version is not None and str(version) not in DECODERS:
        raise IOFormatError(f"Version {version!s:.40} not supported (supported: {', '.join(DECODERS)})")
    for name in ("obs", "assays"):
        if not isinstance(root.children.get(name), Group):
            raise IOFormatError(f"Missing required group: {name}{_other_format(root)}")
    if version is None:
        raise IOFormatError("Version 0.0 not supported: the file has no attribute format_version")
    return str(version)


def _other_format(root: Group) -> str:
    """The format that the file has instead, if that can be told."""
    if {"X", "var"} & set(root.children):
        return " (this looks like an AnnData file: see from_anndata)"
    if "hdmea_pipeline_version" in root.attrs:
        return " (this is a recording of hdmea: see hdmea)"
    return ""


def _decode_1_0(root: StoredGroup, lazy: bool, classes: Classes) -> Any:
    obs = decode_frame(root.required("obs"))
    assays, ids = {}, {}
    for name, assay in root.required("assays").groups(root.extra_texts(ASSAY_ORDER)):
        assays[name], ids[name] = _decode_assay(assay, obs.height, lazy, classes)
    provenance = root.child("provenance")
    history = None if provenance is None else provenance.child("history")
    fields = {
        "obs": obs,
        "assays": assays,
        "links": _decode_links(root.child("links"), ids, classes),
        "history": decode_history(history, classes.history) if history is not None and history.plain.children else [],
        "sample_id_col": id_column(obs, _attribute(root, "sample_id_col"), "obs"),
    }
    extras = decode_extras(root.child(EXTRAS_GROUP))
    if not extras.is_empty():
        fields["extras"] = extras
    return _built(lambda: classes.container(**fields), "container")


DECODERS: dict[str, Callable[[StoredGroup, bool, Classes], Any]] = {"1.0": _decode_1_0}
SUPPORTED_VERSIONS = tuple(DECODERS)


def _attribute(stored: StoredGroup, name: str) -> Any:
    return decode_attributes(stored.plain.attrs).get(name)


def id_column(frame: pl.DataFrame, saved: Any, where: str) -> str:
    """The ID column: the saved one, else `_index`, else the first column whose values are unique (text first)."""
    for name in (saved, DEFAULT_ID):
        if isinstance(name, str) and name in frame.columns:
            return name
    unique = [s.name for s in frame.get_columns() if not s.dtype.is_nested() and s.n_unique() == s.len()]
    texts = [name for name in unique if frame.schema[name] == pl.String]
    if not unique:
        raise IOFormatError(
            f"{where} has no column {saved or DEFAULT_ID!r} and no other with unique IDs: {frame.columns}"
        )
    return (texts or unique)[0]


def _built(build: Callable[[], Made], where: str) -> Made:
    """The result of `build`; parts that do not fit together are a fault of the file."""
    try:
        return build()
    except IOFormatError:
        raise
    except (ScpTensorError, ValueError, TypeError) as error:
        raise IOFormatError(f"{where}: {error}") from error


def _decode_assay(stored: StoredGroup, n_samples: int, lazy: bool, classes: Classes) -> tuple[Any, pl.Series]:
    """An assay, and the IDs of its features."""
    var = decode_frame(stored.required("var"))
    layers = {}
    for name, layer in _layer_groups(stored):
        _check_shape(layer, (n_samples, var.height))
        layers[name] = _built(lambda s=layer: LazyMatrix(s) if lazy else decode_layer(s, classes), layer.where)  # type: ignore[misc]
    feature_id_col = id_column(var, _attribute(stored, "feature_id_col"), f"{stored.where}/var")
    assay = _built(lambda: classes.assay(var=var, layers=layers, feature_id_col=feature_id_col), stored.where)
    return assay, var.get_column(feature_id_col)


def _check_shape(layer: StoredGroup, expected: tuple[int, int]) -> None:
    """Before anything is read: no memory is requested for a shape that the file only claims."""
    for name in ("X", "M"):
        if (name == "X" or has_matrix(name, layer)) and stored_shape(name, layer) != expected:
            shape = stored_shape(name, layer)
            raise IOFormatError(
                f"{layer.where}: {name} is {shape}, expected {expected} (samples in obs, features in var)"
            )


def _layer_groups(stored: StoredGroup) -> Iterator[tuple[str, StoredGroup]]:
    """The layers by name; in files of others a name with "/" has become a group in a group."""
    layers = stored.child("layers")
    if layers is not None:
        for name, layer in layers.groups(stored.extra_texts(LAYER_ORDER)):
            yield from _named_layers(name, layer, 1)


def _named_layers(name: str, layer: StoredGroup, depth: int) -> Iterator[tuple[str, StoredGroup]]:
    inside = list(layer.groups())
    if has_matrix("X", layer) or not inside or depth >= _DEEPEST:
        yield name, layer
    for inner, child in inside:
        if depth < _DEEPEST:
            yield from _named_layers(f"{name}/{inner}", child, depth + 1)


def _decode_links(stored: StoredGroup | None, ids: Mapping[str, pl.Series], classes: Classes) -> list[Any]:
    links = []
    for _, link in sorted(stored.groups(), key=lambda item: (len(item[0]), item[0])) if stored is not None else ():
        frame = decode_frame(link.required("linkage"))
        names = {key: _attribute(link, key) for key in ("source_assay", "target_assay")}
        if not all(isinstance(name, str) for name in names.values()):
            raise IOFormatError(f"{link.where}: attributes source_assay and target_assay must be text")
        one = _built(lambda n=names, f=frame: classes.link(**n, linkage=f), f"{link.where}/linkage")  # type: ignore[misc]
        problem = link_problem(one, ids)
        if problem is None:
            links.append(one)
        else:
            warnings.warn(f"{link.where} is left out: {problem}", UserWarning, stacklevel=2)
    return links
