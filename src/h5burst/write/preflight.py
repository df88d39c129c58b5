"""Limits of what HDF5 holds exactly: the check that every tree passes before the first byte of it is written."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

import h5py
import numpy as np

from h5burst import codecs
from h5burst._ext.h5emit import holds_references_or_sequences
from h5burst._ext.treenodes import TreeScanner
from h5burst.model.source import is_source
from h5burst.model.tree import (
    AS_DEFAULT,
    MAX_DEPTH,
    Array,
    ExternalLink,
    Group,
    Node,
    Reference,
    Storage,
    UnsupportedValueError,
    escape_attribute,
    escape_link,
    fill_bytes,
    is_encodable,
    storage_of,
)
from h5burst.write.materialized import NeedsMaterializingError, materialized, needs_materializing

_REFERENCES = "references and sequences of variable length are written only with a whole file, by write_tree"
MAX_RANK = 32  # of the file format
MAX_NAME_BYTES = 60_000  # a link or attribute message holds 64 KiB

_PLAIN_SCALARS = frozenset({str, bool, int, float, complex})
_PLAIN_VALUES = frozenset({bool, float, complex, *(np.dtype(code).type for code in "?bhilqBHILQefdFD")})
_INT_RANGE = range(-(1 << 63), 1 << 64)
_TEXT_AT_ONCE = 65536
_MAX_SHOWN_BITS = 256  # of an integer in a message; Python refuses to write out some thousand digits
_SHORT_NAME = MAX_NAME_BYTES // 12  # an escape makes up to twelve bytes of a character
_scanner = TreeScanner(Array, Group, _PLAIN_VALUES, _SHORT_NAME, MAX_RANK)


NodeT = TypeVar("NodeT", bound=Node)


def validated(
    node: NodeT, *, storage: Storage | None = None, path: tuple[str, ...] = (), target: str | None = None
) -> NodeT:
    """The node, after `validate`; a `materialized` copy where it holds links or what is read lazily.

    target: the file that it is written to.
    """
    try:
        validate(node, storage=storage, path=path)
        return node
    except NeedsMaterializingError:
        checked = materialized(node, path, target)
    try:
        validate(checked, storage=storage, path=path)
    except ReferenceOrSequenceError as error:
        error.materialized = checked
        raise
    return checked


def validate(node: Node, *, storage: Storage | None = None, path: tuple[str, ...] = ()) -> None:
    """Check that HDF5 can hold `node` and everything below it exactly.

    storage: for arrays that name none. path: where the node will be, for the messages. Raises
    `UnsupportedValueError`, which names the node, for a value, name, depth or cycle that HDF5 cannot hold; ValueError
    for an unknown codec or level, or chunks of the wrong rank.
    """
    default = storage or Storage()
    codecs.check_codec(default)
    _check_node(node, path, default)
    if not isinstance(node, Group):
        return
    _check_members(node, path)
    to_check = None
    if type(node) is Group:  # chunks by default might not fit an array: then each is looked at
        to_check = _scanner.nodes_to_check(node, path, MAX_DEPTH, default.chunks is not None)
    if to_check is None:
        _validate_each(node, path, default)
        return
    for where, child in to_check:
        _check_name(where[-1], escape_link, where)
        _check_node(child, where, default)
        if isinstance(child, Group):
            _check_members(child, where)


def _validate_each(node: Group, path: tuple[str, ...], default: Storage) -> None:
    """Check all nodes below a group one by one."""
    # Depth first without recursion: the path from the root is the stack, which shows cycles and depth at once.
    names = list(path)
    ancestors = {id(node)}
    stack = [(node, iter(node.children.items()))]
    while stack:
        group, children = stack[-1]
        for name, child in children:
            where = (*names, name)
            _check_name(name, escape_link, where)
            _check_node(child, where, default)
            if isinstance(child, Group):
                _check_members(child, where)
            if isinstance(child, Group) and (child.children or id(child) in ancestors):
                if id(child) in ancestors:
                    raise UnsupportedValueError("a group that holds itself", _text_path(where))
                if len(where) > MAX_DEPTH:
                    raise UnsupportedValueError(f"more than {MAX_DEPTH} groups inside each other", _text_path(where))
                names.append(name)
                ancestors.add(id(child))
                stack.append((child, iter(child.children.items())))
                break
        else:
            stack.pop()
            ancestors.discard(id(group))
            if stack:
                names.pop()


def _check_members(group: Group, path: tuple[str, ...]) -> None:
    """The links of a group, and whether it is in memory."""
    if needs_materializing(group):
        raise NeedsMaterializingError
    for name, link in group.links.items():
        where = (*path, name)
        _check_name(name, escape_link, where)
        texts = (link.file, link.path) if isinstance(link, ExternalLink) else (link,)
        if not all(isinstance(text, str) and is_encodable(text) for text in texts):
            raise UnsupportedValueError(f"a link to {link!r}: give the path of a node", _text_path(where))
        if name in group.children:
            raise UnsupportedValueError("a link with the name of another member", _text_path(where))


def _text_path(path: tuple[str, ...]) -> str:
    return "/" + "/".join(str(name) for name in path)


def _check_name(name: Any, escape: Any, path: tuple[str, ...]) -> None:
    if not isinstance(name, str):
        raise UnsupportedValueError(f"a name must be text, not {type(name).__name__}", _text_path(path))
    if len(name) >= _SHORT_NAME and len(escape(name).encode()) > MAX_NAME_BYTES:
        raise UnsupportedValueError(
            f"a name of more than {MAX_NAME_BYTES} bytes", _text_path((*path[:-1], name[:40] + "…"))
        )


def _check_node(node: Any, path: tuple[str, ...], default: Storage) -> None:
    if isinstance(node, Array):
        try:
            _check_data(node.data, "data")
        except _NotRepresentableError as error:
            raise error.public(str(error), _text_path(path)) from error
        if node.storage is not None:
            _check_own_storage(node.storage, node.data, path)
        _check_storage(storage_of(node.storage, default) or default, node.data, path)
    elif not isinstance(node, Group):
        raise UnsupportedValueError(f"a node must be a Group or an Array, not {type(node).__name__}", _text_path(path))
    if node.attrs:
        check_attributes(node.attrs, path)


def check_attributes(attrs: Any, path: tuple[str, ...] = ()) -> None:
    """As `validate`, for the attributes of the object at `path`."""
    for name, value in attrs.items():
        if type(value) in _PLAIN_SCALARS and type(name) is str and len(name) < _SHORT_NAME:
            if (type(value) is str and not (value.isascii() and "\0" not in value)) or (
                type(value) is int and value not in _INT_RANGE
            ):
                _check_attribute(name, value, path)
        else:
            _check_attribute(name, value, path)


def _check_attribute(name: Any, value: Any, path: tuple[str, ...]) -> None:
    where = (*path[:-1], f"{path[-1]}@{name}") if path else (f"@{name}",)
    _check_name(name, escape_attribute, where)
    try:
        _check_value(value)
    except _NotRepresentableError as error:
        raise error.public(str(error), _text_path(where)) from error


class ReferenceOrSequenceError(UnsupportedValueError):
    """A reference, or a sequence of variable length: what only `h5burst.write.via_libhdf5` writes.

    materialized: the tree as `validated` would have given it; None if it was not made.
    """

    materialized: Node | None = None


class _NotRepresentableError(TypeError):
    """Why a value cannot be stored; the caller, which knows the path, adds where."""

    public = UnsupportedValueError


class _LeftToLibhdf5Error(_NotRepresentableError):
    public = ReferenceOrSequenceError


def _check_value(value: Any) -> None:
    """One attribute value."""
    if value is None:
        return
    if isinstance(value, str):
        _check_text((value,), str)
    elif type(value) is bytes:
        _check_text((value,), bytes)
    elif isinstance(value, h5py.Empty):
        _check_data(value, "an attribute")
    elif isinstance(value, (int, np.integer)):
        if int(value) not in _INT_RANGE:
            bits = int(value).bit_length()
            which = f"the integer {value}" if bits <= _MAX_SHOWN_BITS else f"an integer of {bits} bits"
            raise _NotRepresentableError(f"{which} does not fit 64 bits")
    elif isinstance(value, (bool, float, complex)):
        return
    elif isinstance(value, (np.generic, np.ndarray)):
        _check_data(np.asanyarray(value), "an attribute")
    else:
        if isinstance(value, Reference):
            raise _LeftToLibhdf5Error(_REFERENCES)
        raise _NotRepresentableError(f"an attribute of type {type(value).__name__}")


def _check_data(data: Any, subject: str) -> None:
    """The data of a dataset, or an attribute's array."""
    if data is None:
        return
    if isinstance(data, np.ma.MaskedArray):
        raise _NotRepresentableError(
            "a masked array: HDF5 has no place for its mask; fill it, or store the mask beside it"
        )
    if isinstance(data, h5py.Empty):
        check_dtype(data.dtype, of_nothing=True)
        return
    if isinstance(data, np.generic):
        data = np.asarray(data)
    if isinstance(data, np.ndarray):
        _check_array(data)
    elif is_source(data):
        if np.dtype(data.dtype).hasobject:
            raise NeedsMaterializingError
        check_dtype(np.dtype(data.dtype))
    else:
        raise _NotRepresentableError(
            f"{subject} of type {type(data).__name__}: give a numpy array, an ArraySource or None"
        )
    if len(data.shape) > MAX_RANK:
        raise _NotRepresentableError(f"{len(data.shape)} axes: HDF5 holds at most {MAX_RANK}")


def _check_array(data: np.ndarray[Any, Any]) -> None:
    """An array in memory; a compound may have members of variable-length text."""
    if data.dtype.kind == "O":
        _check_objects(data)
    elif data.dtype.names is None or not data.dtype.hasobject:
        check_dtype(data.dtype)
    else:
        for name in data.dtype.names:
            _check_array(data[name])


def _is_told(dtype: np.dtype[Any]) -> bool:
    """True where a dtype with objects says what they are, in a compound as well."""
    if dtype.names is not None:
        members = [dtype[name].base for name in dtype.names]
        return dtype.hasobject and all(_is_told(member) for member in members if member.hasobject)
    return h5py.check_string_dtype(dtype) is not None or holds_references_or_sequences(dtype)


def check_dtype(dtype: np.dtype[Any], *, of_nothing: bool = False) -> None:
    """Raise TypeError unless HDF5 holds elements of this (not object) dtype exactly.

    of_nothing: it is that of a null dataspace, which may be text as well.
    """
    if of_nothing and _is_told(dtype):
        reason = unknown_reason(dtype)
    else:
        reason = _dtype_reason(dtype) if dtype.metadata is None else _find_dtype_reason(dtype)
    if reason:
        raise _NotRepresentableError(reason)


def unknown_reason(dtype: np.dtype[Any]) -> str:
    """Why there is no datatype of HDF5 for a dtype; empty text where there is one."""
    try:
        h5py.h5t.py_create(dtype, logical=True)
    except (TypeError, ValueError, RuntimeError) as error:
        return f"HDF5 cannot hold dtype {dtype}: {error}"
    return ""


def _find_dtype_reason(dtype: np.dtype[Any]) -> str:
    kinds = "biufcSVMm" if h5py.check_opaque_dtype(dtype) else "biufcSV"  # instants if h5py was asked to keep them
    if dtype.kind not in kinds or dtype.hasobject:
        return f"HDF5 cannot hold dtype {dtype}"
    if dtype.itemsize == 0:
        return f"HDF5 cannot hold elements of no bytes (dtype {dtype})"
    reason = unknown_reason(dtype)
    if reason:
        return reason
    kept = h5py.h5t.py_create(dtype, logical=True).dtype
    return "" if kept == dtype else f"HDF5 cannot hold dtype {dtype} exactly: it would become {kept}"


_dtype_reason = lru_cache(maxsize=1024)(_find_dtype_reason)


def _check_objects(data: np.ndarray[Any, Any]) -> None:
    """An object array must be variable-length text: only `str`, or only `bytes`."""
    if not data.size and holds_references_or_sequences(data.dtype):
        raise _LeftToLibhdf5Error(_REFERENCES)
    items = iter(data.flat)
    first = type(data.flat[0]) if data.size else str
    kind = bytes if issubclass(first, bytes) else str
    while part := list(islice(items, _TEXT_AT_ONCE)):
        types = set(map(type, part))
        if any(issubclass(each, (Reference, np.ndarray)) for each in types):
            raise _LeftToLibhdf5Error(_REFERENCES)
        if not all(issubclass(each, kind) for each in types):
            raise _NotRepresentableError("an object array must hold only str or only bytes")
        _check_text(part, kind)


def _check_text(items: Any, kind: type) -> None:
    whole = kind().join(items)
    if (b"\0" if kind is bytes else "\0") in whole:
        raise _NotRepresentableError("text with a NUL character: HDF5's variable-length text ends there")
    if kind is str and not whole.isascii():
        try:
            whole.encode()
        except UnicodeEncodeError as error:
            raise _NotRepresentableError("text with a lone surrogate, which UTF-8 cannot hold") from error


def _check_storage(storage: Storage, data: Any, path: tuple[str, ...]) -> None:
    codecs.check_codec(storage)
    rank = len(getattr(data, "shape", None) or ())
    if storage.chunks is not None and rank and (len(storage.chunks) != rank or min(storage.chunks) < 1):
        raise ValueError(f"chunks {storage.chunks} do not fit an array of shape {data.shape}")
    if storage.fillvalue is not None and hasattr(data, "dtype"):
        try:
            _check_fillvalue(storage.fillvalue, np.dtype(data.dtype))
        except ValueError as error:
            raise ValueError(f"{error} (at {_text_path(path)})") from error


def _check_fillvalue(value: Any, dtype: np.dtype[Any]) -> None:
    if dtype.kind != "O":
        fill_bytes(value, dtype)
        return
    if not isinstance(value, (str, bytes)):
        raise ValueError(f"the fill value {value!r} is not text, as the elements are")
    try:
        _check_text((value,), bytes if isinstance(value, bytes) else str)
    except _NotRepresentableError as error:
        raise ValueError(f"the fill value {value!r} is {error}") from error


def _check_own_storage(storage: Storage, data: Any, path: tuple[str, ...]) -> None:
    """Refuse what an array asks for itself and cannot have."""
    if storage.codec == AS_DEFAULT and storage.level is not None:
        reason = 'with the codec "default" the level is that of the file'
        raise ValueError(f"level {storage.level!r} (at {_text_path(path)}): {reason}: name a codec, or leave it out")
    if getattr(data, "shape", None):
        return
    for name in ("chunks", "maxshape"):
        if getattr(storage, name) is not None:
            subject = "a null dataspace" if getattr(data, "shape", None) is None else "a single value"
            raise ValueError(
                f"{name} {getattr(storage, name)} (at {_text_path(path)}): {subject} has no axes: leave it out"
            )
