"""Trees with references and sequences of variable length: written by libhdf5, what refers after what it refers to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import h5py
import numpy as np

from h5burst._ext.h5emit import holds_references_or_sequences
from h5burst.format.constants import LIBVER
from h5burst.model.source import is_source
from h5burst.model.tree import (
    Array,
    Group,
    Reference,
    Storage,
    UnsupportedValueError,
    escape_attribute,
    escape_link,
    path_names,
)
from h5burst.write.graft import fill, write_attributes
from h5burst.write.preflight import unknown_reason, validated

_SCALE = b"DIMENSION_SCALE"  # of the attribute CLASS, by the specification of dimension scales


class _ReferenceOrSequence(NamedTuple):
    """A dataset (attribute None) or an attribute whose elements are, or hold, references or sequences."""

    names: tuple[str, ...]
    attribute: str | None
    value: Any
    attrs: dict[str, Any]
    storage: Storage | None = None

    @property
    def where(self) -> str:
        path = "/" + "/".join(self.names)
        return path if self.attribute is None else f"{path}@{self.attribute}"


def write(path: Path, tree: Group, storage: Storage | None, threads: int | None) -> None:
    """Write a materialized tree as a new file. Raises `UnsupportedValueError` before anything is written."""
    items: list[_ReferenceOrSequence] = []
    plain = _without(tree, (), items)
    plain = validated(plain, storage=storage)
    dtypes = [_checked(item, tree) for item in items]
    with h5py.File(path, "w", libver=LIBVER, locking=False, track_order=tree.track_order) as file:
        fill(file, plain, storage=storage, threads=threads)
        datasets = [(item, dtype) for item, dtype in zip(items, dtypes, strict=True) if item.attribute is None]
        for item, dtype in datasets:
            _create(file, item, dtype)
        for item, dtype in datasets:
            value = np.ascontiguousarray(_with_references(item.value, dtype, file))
            if value.size:
                dataset = file[_stored(item.names)].id
                dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, value, mtype=h5py.h5t.py_create(dtype))
        for item, dtype in zip(items, dtypes, strict=True):
            if item.attribute is not None:
                target = file[_stored(item.names)] if item.names else file
                if isinstance(item.value, bytes):
                    _terminated(target, item.attribute, item.value)
                    continue
                value = _with_references(np.asarray(_boxed(item.value)), dtype, file)
                target.attrs.create(escape_attribute(item.attribute), value, value.shape, dtype)


def _terminated(target: h5py.HLObject, name: str, value: bytes) -> None:
    """Text of fixed length that ends in NUL, as libhdf5 wants it in the attributes of dimension scales."""
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(value) + 1)
    kind.set_strpad(h5py.h5t.STR_NULLTERM)
    attribute = h5py.h5a.create(target.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    attribute.write(np.array(value, f"S{len(value) + 1}"), mtype=kind)


def _stored(names: tuple[str, ...]) -> str:
    return "/" + "/".join(map(escape_link, names))


# ---------------------------------------------------------------- what is item


def _is_reference_or_sequence(value: Any) -> bool:
    if isinstance(value, Reference):
        return True
    if not isinstance(value, np.ndarray) or not value.dtype.hasobject or isinstance(value, np.ma.MaskedArray):
        return False
    if value.dtype.names:
        return any(_is_reference_or_sequence(value[name]) for name in value.dtype.names)
    return (
        isinstance(value.flat[0], (Reference, np.ndarray)) if value.size else holds_references_or_sequences(value.dtype)
    )


def _without(group: Group, names: tuple[str, ...], items: list[_ReferenceOrSequence]) -> Group:
    """The group without what is item, which is put on the list."""
    children: dict[str, Array | Group] = {}
    for name, child in group.children.items():
        below = (*names, name)
        if isinstance(child, Group):
            children[name] = _without(child, below, items)
        elif not is_source(child.data) and _is_reference_or_sequence(child.data):
            attrs = _plain_attributes(child.attrs, below, items)
            items.append(_ReferenceOrSequence(below, None, child.data, attrs, child.storage))
        else:
            children[name] = Array(child.data, _plain_attributes(child.attrs, below, items), child.storage)
    return Group(children, _plain_attributes(group.attrs, names, items), group.links, group.track_order)


def _plain_attributes(
    attrs: dict[str, Any], names: tuple[str, ...], items: list[_ReferenceOrSequence]
) -> dict[str, Any]:
    item = {name: value for name, value in attrs.items() if _is_reference_or_sequence(value)}
    if attrs.get("CLASS") == _SCALE:
        item |= {name: bytes(attrs[name]) for name in ("CLASS", "NAME") if isinstance(attrs.get(name), bytes)}
    items += [_ReferenceOrSequence(names, name, value, {}) for name, value in item.items()]
    return {name: value for name, value in attrs.items() if name not in item}


# ---------------------------------------------------------------- their types


def _boxed(value: Any) -> Any:
    """An array; of a single reference one of rank 0, which numpy does not make by itself."""
    if not isinstance(value, Reference):
        return value
    box = np.empty((), object)
    box[()] = value
    return box


def _checked(item: _ReferenceOrSequence, tree: Group) -> np.dtype[Any]:
    """The dtype by which h5py knows the elements. Raises `UnsupportedValueError`."""
    value = np.asarray(_boxed(item.value))
    if isinstance(item.value, bytes):
        return value.dtype
    for reference in _references(value):
        if reference.is_region:
            problem = (
                "a reference to a region, whose elements a tree does not say: h5burst.repack copies files with them"
            )
            raise UnsupportedValueError(problem, item.where)
        names = path_names(reference.path)
        if reference.path and names and names not in tree:
            raise UnsupportedValueError(f"a reference to {reference.path}, which is not in the tree", item.where)
    dtype = _dtype(value, item.where)
    reason = unknown_reason(dtype)
    if reason:
        raise UnsupportedValueError(reason, item.where)
    return dtype


def _references(value: np.ndarray[Any, Any]) -> Iterator[Reference]:
    if value.dtype.names:
        for name in value.dtype.names:
            if value.dtype[name].hasobject:
                yield from _references(value[name])
        return
    for item in value.flat:
        if isinstance(item, Reference):
            yield item
        elif isinstance(item, np.ndarray) and item.dtype.hasobject:
            yield from _references(item)


def _dtype(value: np.ndarray[Any, np.dtype[Any]], where: str) -> np.dtype[Any]:
    if not value.dtype.hasobject:
        return value.dtype
    if value.dtype.names:
        parts = [(name, _dtype(value[name], where), value.dtype[name].shape) for name in value.dtype.names]
        return cast(np.dtype[Any], np.dtype(parts))
    items = list(value.flat)
    if not items and value.dtype.metadata:
        return value.dtype
    kinds = {type(item) for item in items}
    if kinds == {Reference}:
        return cast(np.dtype[Any], h5py.ref_dtype)
    if kinds == {np.ndarray}:
        return _sequence_dtype(items, where)
    if kinds <= {str} or kinds <= {bytes}:
        return cast(np.dtype[Any], h5py.string_dtype("ascii" if kinds == {bytes} else "utf-8"))
    raise UnsupportedValueError("an object array must hold only text, only references or only arrays", where)


def _sequence_dtype(items: list[Any], where: str) -> np.dtype[Any]:
    """Of arrays of one axis and one dtype, which may be of different lengths."""
    if any(item.ndim != 1 for item in items):
        raise UnsupportedValueError("sequences of variable length must be arrays of one axis", where)
    full = [item for item in items if item.size] or items
    inner = {_dtype(item, where) for item in full}
    if len(inner) != 1:
        raise UnsupportedValueError(f"sequences of different dtypes: {sorted(map(str, inner))}", where)
    return cast(np.dtype[Any], h5py.vlen_dtype(inner.pop()))


# ---------------------------------------------------------------- writing them


def _create(file: h5py.File, item: _ReferenceOrSequence, dtype: np.dtype[Any]) -> None:
    kept = item.storage or Storage()
    dataset = file.create_dataset(
        _stored(item.names),
        item.value.shape,
        dtype,
        chunks=kept.chunks,
        maxshape=kept.maxshape,
        track_order=kept.track_order,
    )
    write_attributes(dataset, item.attrs)


def _with_references(value: np.ndarray[Any, Any], dtype: np.dtype[Any], file: h5py.File) -> np.ndarray[Any, Any]:
    """The elements as h5py takes them: references of the open file."""
    out: np.ndarray[Any, Any]
    if value.dtype.names:
        out = np.empty(value.shape, dtype)
        for name in value.dtype.names:
            member = value[name]
            out[name] = _with_references(member, dtype[name].base, file) if member.dtype.hasobject else member
        return out
    out = np.empty(value.shape, dtype)
    inner = h5py.check_vlen_dtype(dtype)
    for index in np.ndindex(value.shape):
        item = value[index]
        if isinstance(item, Reference):
            item = file[item.path].ref if item.path else h5py.Reference()
        elif isinstance(item, np.ndarray) and inner is not None:
            item = _with_references(item, inner, file) if item.dtype.hasobject and item.size else item.astype(inner)
        out[index] = item
    return out
