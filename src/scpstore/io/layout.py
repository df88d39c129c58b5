"""How a container lies in a file: the one place that maps containers to trees and back.

Format 1.0 is what any reader of it understands. What it cannot say goes to attributes, to `/links`, and to the extras:
what belongs to the group `/P` lies in `/scptensor/P`.

    /                                    format_version, scptensor_version, creation_time, sample_id_col
    /obs/{column}
    /assays/{name}                       feature_id_col
    /assays/{name}/var/{column}
    /assays/{name}/layers/{layer}        matrices X and M
    /provenance/history                  action, timestamp, params, software_version, description
    /links/{number}                      source_assay, target_assay; linkage/{column}
    /scptensor/obs …                     extras of frames, matrices and history
    /scptensor/assay_order               names in order, and layer_order in each assay's extras
    /scptensor/assays/{name}/layers/{layer}/metadata
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

import numpy as np
import polars as pl

from h5burst import __version__
from h5burst.model.tree import Array, Group, Node, Storage
from h5burst.model.values import decode_attributes, decode_value, encode_attributes, encode_value
from scpstore.core.exceptions import ScpTensorError, ValidationError
from scpstore.core.structures import AggregationLink, Assay, ScpContainer, ScpMatrix
from scpstore.io.columns import object_array
from scpstore.io.exceptions import IOFormatError, IOWriteError
from scpstore.io.frames import decode_frame, encode_frame
from scpstore.io.layers import decode_layer, encode_layer
from scpstore.io.lazymatrix import LazyMatrix
from scpstore.io.pandasframes import from_pandas
from scpstore.io.provenance import decode_history, encode_history

FORMAT_VERSION = "1.0"
SUPPORTED_VERSIONS = ("1.0",)
EXTRAS = "scptensor"
DEFAULT_ID = "_index"

Made = TypeVar("Made")


@dataclass(frozen=True)
class Selection:
    """What of a container is saved: layers by assay, in order."""

    layers: Mapping[str, list[str]]
    obs: bool = True
    history: bool = True


# ---------------------------------------------------------------- writing


def encode_container(container: Any, selection: Selection, storage: Storage) -> Group:
    """The tree of a container, or of any object of its shape. Raises `IOWriteError` for what no file can hold."""
    sample_id_col = getattr(container, "sample_id_col", DEFAULT_ID)
    obs = as_frame(container.obs, "obs")
    if not selection.obs:
        if sample_id_col not in obs.columns:
            raise IOWriteError(f"obs has no ID column {sample_id_col!r} that could be saved alone: {obs.columns}")
        obs = pl.DataFrame({sample_id_col: obs.get_column(sample_id_col)})
    obs_group, obs_extras = encode_frame(obs, "obs")
    assays, assay_extras = Group(), Group()
    for name, layers in selection.layers.items():
        assays.children[name], assay_extras.children[name] = _encode_assay(
            container.assays[name], layers, storage, f"assays/{name}"
        )
    extras = Group({"obs": obs_extras, "assay_order": names_node(selection.layers), "assays": assay_extras})
    root = Group({"obs": obs_group, "assays": assays}, _root_attributes(sample_id_col))
    if selection.history:
        history, history_extras = encode_history(getattr(container, "history", None) or (), "provenance/history")
        root.children["provenance"] = Group({"history": history})
        if history_extras.children:
            extras.children["provenance"] = Group({"history": history_extras})
    links = [link for link in getattr(container, "links", None) or () if _is_saved(link, selection)]
    if links:
        root.children["links"], extras.children["links"] = _encode_links(links)
    root.children[EXTRAS] = extras
    return root


def _root_attributes(sample_id_col: str) -> dict[str, Any]:
    return encode_attributes(
        {
            "format_version": FORMAT_VERSION,
            "scptensor_version": __version__,
            "creation_time": datetime.now(timezone.utc).isoformat(),
            "sample_id_col": sample_id_col,
        }
    )


def as_frame(frame: Any, where: str) -> pl.DataFrame:
    """A polars frame from what another library may have in its place."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):  # pandas: the index has the IDs
        try:
            return from_pandas(frame.set_index(DEFAULT_ID) if DEFAULT_ID in frame.columns else frame, where)
        except ValidationError as error:
            raise IOWriteError(str(error)) from error
    raise IOWriteError(f"{where} must be a polars DataFrame, got {type(frame).__module__}.{type(frame).__name__}")


def names_node(names: Any) -> Array:
    """Names in their order."""
    node = encode_value(object_array(list(names)), scalars="attributes")
    assert isinstance(node, Array)
    return node


def _encode_assay(assay: Any, layers: list[str], storage: Storage, where: str) -> tuple[Group, Group]:
    var, var_extras = encode_frame(as_frame(assay.var, f"{where}/var"), f"{where}/var")
    group, extras = Group(), Group()
    for name in layers:
        encoded = encode_layer(assay.layers[name], storage, f"{where}/layers/{name}")
        group.children[name] = encoded[0]
        if encoded[1].children:
            extras.children[name] = encoded[1]
    attrs = encode_attributes({"feature_id_col": getattr(assay, "feature_id_col", DEFAULT_ID)})
    return (
        Group({"var": var, "layers": group}, attrs),
        Group({"var": var_extras, "layer_order": names_node(layers), "layers": extras}),
    )


def _is_saved(link: Any, selection: Selection) -> bool:
    return link.source_assay in selection.layers and link.target_assay in selection.layers


def _encode_links(links: list[Any]) -> tuple[Group, Group]:
    group, extras = Group(), Group()
    for number, link in enumerate(links):
        where = f"links/{number}/linkage"
        linkage, linkage_extras = encode_frame(as_frame(link.linkage, where), where)
        attrs = encode_attributes({"source_assay": link.source_assay, "target_assay": link.target_assay})
        group.children[str(number)] = Group({"linkage": linkage}, attrs)
        extras.children[str(number)] = Group({"linkage": linkage_extras})
    return group, extras


# ---------------------------------------------------------------- reading


def check_version(root: Group) -> None:
    """Raise `IOFormatError` unless the tree is of a version, and has the groups, that can be read."""
    version = root.attrs.get("format_version")
    if version is not None and str(version) not in SUPPORTED_VERSIONS:
        raise IOFormatError(f"Version {version} not supported (supported: {', '.join(SUPPORTED_VERSIONS)})")
    for name in ("obs", "assays"):
        if not isinstance(root.children.get(name), Group):
            hint = " (this looks like an AnnData file: see from_anndata)" if {"X", "var"} & set(root.children) else ""
            raise IOFormatError(f"Missing required group: {name}{hint}")
    if version is None:
        raise IOFormatError("Version 0.0 not supported: the file has no attribute format_version")


def decode_container(root: Group, *, lazy: bool = False) -> ScpContainer:
    """The container in a tree. Raises `IOFormatError` with the place of what is wrong.

    lazy: the matrices of layers are read when they are asked for.
    """
    check_version(root)
    extras = child_group(root, EXTRAS) or Group()
    assays = child_group(root, "assays") or Group()
    obs = _decode_frame(child_group(root, "obs"), child_group(extras, "obs"), "obs")
    assay_extras = child_group(extras, "assays") or Group()
    made = {
        name: _decode_assay(child_group(assays, name), child_group(assay_extras, name), f"assays/{name}", lazy)
        for name in in_order(assays, extras, "assay_order")
    }
    history = _decode_provenance(root, extras)
    links = _decode_links(child_group(root, "links"), child_group(extras, "links"))
    sample_id_col = id_column(obs, decode_attributes(root.attrs).get("sample_id_col"), "obs")
    return _built(lambda: ScpContainer(obs, made, links, history, sample_id_col), "container")


def in_memory(node: Group) -> Group:
    """The same tree with every array read (one that is read already is not copied)."""
    children: dict[str, Node] = {}
    for name, child in node.children.items():
        if isinstance(child, Group):
            children[name] = in_memory(child)
        else:
            children[name] = Array(None if child.data is None else np.asarray(child.data), child.attrs)
    return Group(children, node.attrs)


def _decode_frame(group: Group | None, extras: Group | None, where: str) -> pl.DataFrame:
    if group is None:
        raise IOFormatError(f"Missing required group: {where}")
    return decode_frame(in_memory(group), None if extras is None else in_memory(extras), where)


def child_group(group: Group | None, *path: str) -> Group | None:
    """The group at a path, None where there is none."""
    node = group[path] if group is not None and path in group else None
    return node if isinstance(node, Group) else None


def in_order(group: Group, extras: Group | None, order: str) -> list[str]:
    """Names of the groups in `group`: those in the saved order first, then others."""
    present = [name for name, node in group.children.items() if isinstance(node, Group)]
    node = extras.children.get(order) if extras is not None else None
    saved = (
        decode_value(Array(np.asarray(node.data), node.attrs), scalars="attributes") if isinstance(node, Array) else ()
    )
    known = [str(name) for name in saved if name in set(present)]
    return known + [name for name in present if name not in set(known)]


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
    """What `build` makes; parts that do not fit together are a fault of the file."""
    try:
        return build()
    except IOFormatError:
        raise
    except (ScpTensorError, ValueError, TypeError) as error:
        raise IOFormatError(f"{where}: {error}") from error


def _decode_assay(group: Group | None, extras: Group | None, where: str, lazy: bool) -> Assay:
    var = _decode_frame(child_group(group, "var"), child_group(extras, "var"), f"{where}/var")
    assert group is not None  # it has var
    stored = child_group(group, "layers") or Group()
    layers = {
        name: _decode_layer(stored, child_group(extras, "layers", name), name, f"{where}/layers/{name}", lazy)
        for name in in_order(stored, extras, "layer_order")
    }
    feature_id_col = id_column(var, decode_attributes(group.attrs).get("feature_id_col"), f"{where}/var")
    return _built(lambda: Assay(var, layers, feature_id_col), where)


def _decode_layer(layers: Group, extras: Group | None, name: str, where: str, lazy: bool) -> ScpMatrix:
    group = child_group(layers, name) or Group()
    return _built(lambda: (LazyMatrix if lazy else decode_layer)(group, extras, where), where)


def _decode_provenance(root: Group, extras: Group) -> list[Any]:
    history = child_group(root, "provenance", "history")
    if history is None or not history.children:
        return []
    exact = child_group(extras, "provenance", "history")
    return decode_history(in_memory(history), None if exact is None else in_memory(exact), "provenance/history")


def _decode_links(links: Group | None, extras: Group | None) -> list[AggregationLink]:
    made = []
    for name in sorted(links.children if links is not None else (), key=lambda n: (len(n), n)):
        where = f"links/{name}/linkage"
        frame = _decode_frame(child_group(links, name, "linkage"), child_group(extras, name, "linkage"), where)
        group = child_group(links, name)
        assert group is not None  # it has the linkage
        attrs = decode_attributes(group.attrs)
        if not all(isinstance(attrs.get(key), str) for key in ("source_assay", "target_assay")):
            raise IOFormatError(f"links/{name}: attributes source_assay and target_assay must be text")
        made.append(_built(lambda a=attrs, f=frame: AggregationLink(a["source_assay"], a["target_assay"], f), where))  # type: ignore[misc]
    return made
