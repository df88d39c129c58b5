"""Parts of AnnData beside the layers, as groups of the file: `/extras/obsm/{name}` and so on.

    /extras/{obsm,obsp,uns}/{name}
    /extras/assays/{assay}/{varm,varp}/{name}
    /extras/assays/{assay}/raw                X; var/{column}; varm/{name}

Arrays, numbers and text are datasets, dicts groups; a group with the attribute `stored_as` is a frame ("frame") or a
sparse matrix ("sparse", in its member X_data and so on).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from h5burst import Array, UnsupportedValueError, decode_value, encode_value, is_source
from scpstore.core.extras import AssayExtras, Extras, RawValues
from scpstore.io.exceptions import IOFormatError, IOWriteError
from scpstore.io.frames import as_frame, decode_frame, encode_frame
from scpstore.io.matrices import Target, decode_matrix, encode_matrix
from scpstore.io.stored import StoredGroup, texts_node

EXTRAS_GROUP = "extras"
STORED_AS, NAMES = "stored_as", "names"
_FRAME, _SPARSE, _MAPPING = "frame", "sparse", "mapping"
_DEEPEST = 64


# ---------------------------------------------------------------- writing


def encode_extras(extras: Extras, assays: Mapping[str, Any], target: Target) -> StoredGroup:
    """The group of the extras; those of assays that are not saved are left out. Raises `IOWriteError`."""
    stored = StoredGroup(EXTRAS_GROUP)
    for name in ("obsm", "obsp", "uns", "origin"):
        _put_mapping(stored, name, getattr(extras, name), target)
    per_assay = stored.below("assays")
    for name, assay_extras in extras.assays.items():
        if name in assays and not assay_extras.is_empty():
            per_assay.put(name, _encode_assay(per_assay.below(name), assay_extras, target))
    if per_assay.plain.children:
        stored.put("assays", per_assay)
    return stored


def _encode_assay(stored: StoredGroup, extras: AssayExtras, target: Target) -> StoredGroup:
    for name in ("varm", "varp", "origin"):
        _put_mapping(stored, name, getattr(extras, name), target)
    if extras.raw is not None:
        raw = encode_matrix("X", extras.raw.X, target, f"{stored.where}/raw")
        raw.put("var", encode_frame(as_frame(extras.raw.var, f"{raw.where}/var"), f"{raw.where}/var"))
        _put_mapping(raw, "varm", extras.raw.varm, target)
        stored.put("raw", raw)
    return stored


def _put_mapping(stored: StoredGroup, name: str, values: Mapping[str, Any], target: Target) -> None:
    if values:
        stored.put(name, _encode_mapping(values, stored.below(name), target, 0))


def _encode_mapping(values: Mapping[Any, Any], stored: StoredGroup, target: Target, depth: int) -> StoredGroup:
    if depth > _DEEPEST:
        raise IOWriteError(f"{stored.where} is nested more than {_DEEPEST} deep (or holds itself)")
    for name, value in values.items():
        if not isinstance(name, str):
            raise IOWriteError(f"{stored.where}: the name {name!r} must be text: rename it")
        if isinstance(value, Mapping):
            child = _encode_mapping(value, stored.below(name), target, depth + 1)
            child.plain.attrs[STORED_AS] = _MAPPING
            stored.put(name, child)
        elif isinstance(value, pl.DataFrame) or (hasattr(value, "iloc") and hasattr(value, "columns")):
            child = encode_frame(as_frame(value, f"{stored.where}/{name}"), f"{stored.where}/{name}")
            child.plain.attrs[STORED_AS] = _FRAME
            stored.put(name, child)
        elif sp.issparse(value):
            child = encode_matrix("X", value, target, f"{stored.where}/{name}")
            child.plain.attrs[STORED_AS] = _SPARSE
            stored.put(name, child)
        else:
            stored.plain.children[name] = _encode_plain(value, f"{stored.where}/{name}", target)
    stored.extra.children[NAMES] = texts_node(values)
    return stored


def _encode_plain(value: Any, where: str, target: Target) -> Any:
    if isinstance(value, np.ma.MaskedArray):
        raise IOWriteError(f"{where} is a masked array: fill it first")
    try:
        node = encode_value(value, path=where)
    except (UnsupportedValueError, RecursionError, TypeError, ValueError) as error:
        advice = "convert it to an array, a list, a dict or a frame, or remove it"
        raise IOWriteError(f"{where} cannot be stored: {error}: {advice}") from error
    is_numbers = isinstance(value, np.ndarray) and value.dtype.kind in "biufc"
    if isinstance(node, Array) and (is_numbers or is_source(value)) and len(value.shape):
        node.storage = target.storage
    return node


# ---------------------------------------------------------------- reading


def decode_extras(stored: StoredGroup | None) -> Extras:
    """The extras in their group; empty where there is none. Raises `IOFormatError` for what is not of this form."""
    if stored is None:
        return Extras()
    fields = {name: _decode_mapping(stored.child(name), 0) for name in ("obsm", "obsp", "uns", "origin")}
    per_assay = stored.child("assays")
    assays = {} if per_assay is None else {name: _decode_assay(group) for name, group in per_assay.groups()}
    return Extras(**fields, assays=assays)


def _decode_assay(stored: StoredGroup) -> AssayExtras:
    raw = stored.child("raw")
    varm, varp, origin = (_decode_mapping(stored.child(name), 0) for name in ("varm", "varp", "origin"))
    extras_of = AssayExtras(varm, varp, None, origin)
    if raw is not None:
        extras_of.raw = RawValues(
            decode_matrix("X", raw), decode_frame(raw.required("var")), _decode_mapping(raw.child("varm"), 0)
        )
    return extras_of


def _decode_mapping(stored: StoredGroup | None, depth: int) -> dict[str, Any]:
    if stored is None:
        return {}
    if depth > _DEEPEST + 1:
        raise IOFormatError(f"{stored.where} is nested more than {_DEEPEST} deep")
    listed = [name for name in dict.fromkeys(stored.extra_texts(NAMES)) if name in stored.plain.children]
    names = [*listed, *(name for name in stored.plain.children if name not in set(listed))]
    return {name: _decode_value(stored, name, depth) for name in names}


def _decode_value(stored: StoredGroup, name: str, depth: int) -> Any:
    child = stored.child(name)
    kind = None if child is None else child.plain.attrs.get(STORED_AS)
    if child is not None and isinstance(kind, str) and kind in (_FRAME, _SPARSE, _MAPPING):
        if kind == _FRAME:
            return decode_frame(child)
        return decode_matrix("X", child) if kind == _SPARSE else _decode_mapping(child, depth + 1)
    node = stored.plain.children[name] if child is None else child.in_memory().plain
    if isinstance(node, Array) and node.data is not None:
        node = Array(np.asarray(node.data), node.attrs)
    try:
        return decode_value(node)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise IOFormatError(f"{stored.where}/{name} cannot be read: {error}") from error
