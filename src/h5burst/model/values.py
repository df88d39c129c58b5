"""Python values to nodes and back: the one table that says how each type is stored.

A marker is written only where a plain reader of the file would not guess the type: attribute `h5burst.type` on a
dataset or group, `h5burst.types` (JSON: name to type) for the attributes of a group, `h5burst.keys` for a dict whose
keys were integers, `h5burst.text` for text in which NULs or lone surrogates had to be escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal
from urllib.parse import unquote

import numpy as np

from h5burst.model.source import ArraySource, is_source
from h5burst.model.tagged_json import from_json, load_json, to_json
from h5burst.model.tree import Array, Group, Node, UnsupportedValueError

__all__ = [
    "Scalars",
    "decode",
    "decode_attributes",
    "decode_value",
    "encode",
    "encode_attributes",
    "encode_value",
    "from_json",
    "to_json",
]

Scalars = Literal["datasets", "scalar_datasets", "attributes"]

TYPE, TYPES, KEYS, TEXT = "h5burst.type", "h5burst.types", "h5burst.keys", "h5burst.text"
_MARKERS = frozenset({TYPE, TYPES, KEYS, TEXT})
_PLAIN_SCALARS = (bool, int, float, complex, str)
_STORED_KINDS = {"M": "i", "m": "i", "U": "O", "S": "S"}  # kind of a marked dtype -> that of what is stored
_LEAST_REFUSED = 64 << 20  # bytes that text of fixed width may take
_WIDEST = 4096  # bytes of it for each character that is stored
_LIST_DTYPES: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float64, str: object}
_FLAT_KINDS = ("list", "tuple", "bytes", "numpy.bytes")  # stored as an array of one axis
_INT64 = range(-(2**63), 2**63)
_MAX_NESTING = 128  # of mappings and lists that become groups; files hold no deeper groups


# ---------------------------------------------------------------- mappings


def encode(
    values: Mapping[Any, Any], *, scalars: Scalars = "datasets", path: str = "", above: tuple[int, ...] = ()
) -> Group:
    """A group that holds `values` exactly.

    scalars: whether single values become datasets of shape (1,), datasets of shape (), or attributes of the group;
    arrays are datasets and mappings groups in any case. Keys are str or int. above: the identities of what it is in.
    Raises `UnsupportedValueError` with the path.
    """
    if id(values) in above:
        raise UnsupportedValueError("a dict or list that holds itself", path or "/")
    if len(above) >= _MAX_NESTING:
        raise UnsupportedValueError(f"more than {_MAX_NESTING} dicts and lists inside each other", path)
    above = (*above, id(values))
    group = Group(attrs=_key_marker(values, path))
    plain: dict[str, Any] = {}
    for key, value in values.items():
        name, where = str(key), f"{path}/{key}"
        if scalars == "attributes" and not _needs_node(value):
            plain[name] = value
        else:
            group.children[name] = encode_value(value, scalars=scalars, path=where, above=above)
    group.attrs.update(encode_attributes(plain, path=path))
    return group


def decode(group: Group, *, scalars: Scalars = "datasets") -> dict[Any, Any]:
    """The mapping that `encode` was given (with the same `scalars`).

    scalars: of a group without markers, "datasets" takes those of shape () and (1,) for single values, and
    "scalar_datasets" those of shape () alone, and the group's attributes for values, too.
    """
    values: dict[Any, Any] = {}
    if scalars != "datasets":
        values.update(decode_attributes(group.attrs))
    for name, node in group.children.items():
        values[name] = decode_value(node, scalars=scalars)
    if KEYS not in group.attrs:
        return values
    numbers = _integer_keys(group.attrs[KEYS], values)
    return {int(name) if name in numbers else name: value for name, value in values.items()}


def _key_marker(values: Mapping[Any, Any], path: str) -> dict[str, Any]:
    numbers = [str(key) for key in values if isinstance(key, (int, np.integer)) and not isinstance(key, bool)]
    texts = [key for key in values if isinstance(key, str)]
    if len(numbers) + len(texts) != len(values) or set(numbers) & set(texts):
        raise UnsupportedValueError("the keys of a dict must be text or integers, each name once", path or "/")
    if not numbers:
        return {}
    return {KEYS: "int" if not texts else json.dumps(sorted(numbers))}


def _integer_keys(marker: Any, names: Iterable[str]) -> set[str]:
    """The names that stand for integers: all where the marker is "int", else those of its JSON list."""
    if marker == "int":
        return set(names)
    listed = from_json(marker)
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise ValueError(f"unknown marker {KEYS}: {marker!r}")
    return set(listed)


def _needs_node(value: Any, depth: int = 0) -> bool:
    """Whether a value cannot be an attribute: arrays and mappings, and lists that hold them."""
    if isinstance(value, _PLAIN_SCALARS):
        return False
    if isinstance(value, (np.ndarray, Mapping)) or is_source(value):
        return True
    if depth > _MAX_NESTING:  # a list that holds itself, as far as anybody can see
        return True
    return isinstance(value, (list, tuple)) and any(_needs_node(item, depth + 1) for item in value)


# ---------------------------------------------------------------- single values as nodes


def encode_value(value: Any, *, scalars: Scalars = "datasets", path: str = "", above: tuple[int, ...] = ()) -> Node:
    """The node of one value. With scalars="attributes", an array of one element needs no marker."""
    if isinstance(value, Mapping):
        return encode(value, scalars=scalars, path=path, above=above)
    if isinstance(value, (list, tuple)) and any(_needs_node(item) for item in value):
        if id(value) in above:
            raise UnsupportedValueError("a dict or list that holds itself", path or "/")
        group = encode(dict(enumerate(value)), scalars=scalars, path=path, above=(*above, id(value)))
        group.attrs[TYPE] = "list" if isinstance(value, list) else "tuple"
        return group
    if value is None:
        return Array(None)
    if isinstance(value, np.ma.MaskedArray):
        parts = {"data": np.asarray(value.data), "mask": np.ma.getmaskarray(value)}
        group = encode(parts, scalars=scalars, path=path, above=above)
        group.attrs[TYPE] = "masked"
        return group
    if isinstance(value, np.ndarray):
        return _encode_array(value, scalars, path)
    if not isinstance(value, _PLAIN_SCALARS) and is_source(value):
        return _encode_source(value, scalars, path)
    stored, kind = _encode_scalar(value, path)
    return _scalar_node(stored, kind, () if scalars == "scalar_datasets" else (1,))


def decode_value(node: Node, *, scalars: Scalars = "datasets") -> Any:
    """The value that `encode_value` was given. A lazily read array stays lazy unless it holds a marked scalar."""
    kind = node.attrs.get(TYPE)
    if isinstance(node, Group):
        values = decode(node, scalars=scalars)
        if kind in ("list", "tuple"):
            items = [values[index] for index in range(len(values))]
            return items if kind == "list" else tuple(items)
        if kind == "masked":
            return np.ma.masked_array(np.asarray(values["data"]), mask=np.asarray(values["mask"]))
        return values
    data = node.data
    if data is None:
        return None
    if kind is None:
        single = (
            data.shape == () if scalars == "scalar_datasets" else scalars == "datasets" and data.shape in ((), (1,))
        )
        return _plain_scalar(_text(node, data).reshape(-1)[0]) if single else _text(node, data)
    if kind == "ndarray" or kind.startswith("ndarray:"):
        return _decode_array(_text(node, data), kind)
    flat = _text(node, data)
    return _decode_scalar(flat if kind in _FLAT_KINDS else flat.reshape(-1)[0], kind)


def _one_element_marker(shape: tuple[int, ...], scalars: Scalars) -> dict[str, Any]:
    return {TYPE: "ndarray"} if scalars != "attributes" and shape in ((), (1,)) else {}


def _encode_source(source: ArraySource, scalars: Scalars, path: str) -> Array:
    """As the array that the source reads; what is stored as something else than its bytes is read for that."""
    if source.dtype.kind in "Mm" and hasattr(source, "as_dtype"):
        stored = source.as_dtype(np.dtype(f"{source.dtype.byteorder}i8"))
        return Array(stored, {TYPE: f"ndarray:{source.dtype.str}"})
    if source.dtype.kind in "MmU":
        return _encode_array(np.asarray(source), scalars, path)
    return Array(source, _one_element_marker(source.shape, scalars))


def _encode_array(array: np.ndarray[Any, Any], scalars: Scalars, path: str) -> Array:
    kind = array.dtype.kind
    if kind in "Mm":
        return Array(array.view(f"{array.dtype.byteorder}i8"), {TYPE: f"ndarray:{array.dtype.str}"})
    if kind == "S" and array.dtype.itemsize == 0:
        return Array(array.astype("S1"), {TYPE: "ndarray:|S0"})
    if kind in "UT":
        node = _text_node(np.asarray(array, dtype=object).copy())
        node.attrs[TYPE] = f"ndarray:{array.dtype.str}" if kind == "U" else "ndarray:T"
        return node
    marker = _one_element_marker(array.shape, scalars)
    if kind == "O":
        node = _text_node(array, path)
        node.attrs.update(marker)
        return node
    return Array(array, marker)


def _decode_array(data: Any, kind: str) -> Any:
    dtype = kind.partition(":")[2]
    if not dtype:
        return data
    if dtype == "T":
        return np.asarray(data).astype(np.dtypes.StringDType())
    try:
        target = np.dtype(dtype)
    except TypeError as error:
        raise ValueError(f"a marker names the dtype {dtype[:80]!r}, which there is not") from error
    stored = np.asarray(data)
    if stored.dtype.kind != _STORED_KINDS.get(target.kind):
        raise ValueError(f"a marker says {str(target)[:80]} of an array of {stored.dtype}")
    if target.kind in "Mm":
        return stored.view(target)
    characters = sum(map(len, stored.flat)) if stored.dtype.kind == "O" else stored.size
    if stored.size * target.itemsize > max(_LEAST_REFUSED, _WIDEST * (characters + stored.size)):
        raise ValueError(f"a marker claims {str(target)[:80]} for {characters} characters in {stored.size} items")
    return stored.astype(target)


def _scalar_node(stored: Any, kind: str | None, shape: tuple[int, ...]) -> Array:
    marker = {TYPE: kind} if kind else {}
    if kind in _FLAT_KINDS:
        node = _text_node(stored) if stored.dtype == object else Array(stored)
    elif isinstance(stored, str):
        node = _text_node(np.array([stored], dtype=object).reshape(shape))
    else:
        node = Array(np.array([stored]).reshape(shape))
    node.attrs.update(marker)
    return node


# ---------------------------------------------------------------- attributes


def encode_attributes(values: Mapping[str, Any], *, path: str = "") -> dict[str, Any]:
    """`values` (no arrays, no mappings) as attributes of one object, with one more for the types if need be."""
    attrs: dict[str, Any] = {}
    types: dict[str, str] = {}
    for name, value in values.items():
        if name in _MARKERS:
            raise UnsupportedValueError(f"the name {name!r} is reserved", f"{path}@{name}")
        if isinstance(value, np.ndarray):
            attrs[name] = value
            continue
        stored, kind = (None, None) if value is None else _encode_scalar(value, f"{path}@{name}")
        if isinstance(stored, str) and _escape_text(stored) != stored:
            stored, kind = _escape_text(stored), f"escaped:{kind or 'str'}"
        attrs[name] = stored
        # A numpy scalar of any other dtype than Python's own is told from a Python scalar by that dtype.
        if kind and not (kind == "numpy" and not isinstance(_plain_scalar(stored), _PLAIN_SCALARS)):
            types[name] = kind
    if types:
        attrs[TYPES] = json.dumps(types, sort_keys=True)
    return attrs


def decode_attributes(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The values that `encode_attributes` was given; the engine's own markers are left out."""
    types = load_json(attrs[TYPES]) if TYPES in attrs else {}
    if not isinstance(types, dict) or not all(isinstance(kind, str) for kind in types.values()):
        raise ValueError(f"the attribute {TYPES} must be a JSON object of names and types")
    values: dict[str, Any] = {}
    for name, stored in attrs.items():
        if name in _MARKERS:
            continue
        kind = types.get(name)
        if kind and kind.startswith("escaped:"):
            kind, stored = kind[len("escaped:") :], unquote(stored, errors="surrogatepass")
        values[name] = _plain_scalar(stored) if kind is None else _decode_scalar(stored, kind)
    return values


# ---------------------------------------------------------------- scalars and short lists


def _encode_scalar(value: Any, path: str) -> tuple[Any, str | None]:
    """What is stored, and the marker it needs (None: a plain reader gets it right)."""
    if isinstance(value, np.generic):
        return _encode_numpy_scalar(value)
    if type(value) in _PLAIN_SCALARS and (type(value) is not int or value in _INT64):
        return value, None
    if type(value) is bytes:
        return np.frombuffer(value, np.uint8), "bytes"
    if type(value) in (list, tuple) and (dtype := _common_dtype(value)) is not None:
        return np.array(value, dtype=dtype), type(value).__name__
    return to_json_at(value, path), "json"


def to_json_at(value: Any, path: str) -> str:
    try:
        return to_json(value)
    except UnsupportedValueError as error:
        raise UnsupportedValueError(str(error).rsplit(" (at ", 1)[0], f"{path}: {error.path}") from error


def _common_dtype(items: Iterable[Any]) -> Any:
    kinds = {type(item) for item in items}
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    if kind is int and not all(item in _INT64 for item in items):
        return None
    if kind is str and any(_escape_text(item) != item for item in items):
        return None
    return _LIST_DTYPES.get(kind)


def _encode_numpy_scalar(value: np.generic) -> tuple[Any, str]:
    if value.dtype.kind in "Mm":
        return np.int64(value.view("i8")), f"numpy:{value.dtype.str}"
    if value.dtype.kind == "U":
        return str(value), "numpy.str"
    if value.dtype.kind == "S":
        return np.frombuffer(value.tobytes(), np.uint8), "numpy.bytes"
    return value, "numpy"


def _decode_scalar(stored: Any, kind: str) -> Any:
    if kind == "numpy":
        return stored
    if kind.startswith("numpy:"):
        return np.int64(stored).view(np.dtype(kind.partition(":")[2]))
    if kind == "numpy.str":
        return np.str_(stored)
    if kind in ("bytes", "numpy.bytes"):
        raw = np.asarray(stored, dtype=np.uint8).tobytes()
        return raw if kind == "bytes" else np.bytes_(raw)
    if kind in ("list", "tuple"):
        items = np.asarray(stored).tolist()
        return items if kind == "list" else tuple(items)
    if kind == "json":
        return from_json(stored)
    if kind == "str":
        return stored
    raise ValueError(f"unknown marker {kind!r}: the file was written by a newer version")


def _plain_scalar(stored: Any) -> Any:
    """Python's own scalar for the dtypes that Python has; anything else as it is."""
    if isinstance(stored, (np.bool_, np.int64, np.float64, np.complex128)):
        return stored.item()
    return stored


# ---------------------------------------------------------------- text


def _escape_text(text: str) -> str:
    """NUL ends HDF5's text and lone surrogates are not UTF-8: both become percent escapes, and so does "%"."""
    if "\0" not in text and (text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)):
        return text
    return "".join(_percent(c) if c in "%\0" or "\ud800" <= c <= "\udfff" else c for c in text)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _text_node(array: np.ndarray[Any, Any], path: str = "") -> Array:
    flat = array.ravel().tolist()
    if all(type(item) is str for item in flat):
        escaped = [_escape_text(item) for item in flat]
        if escaped == flat:
            return Array(array)
        stored = np.empty(len(flat), dtype=object)
        # One flag speaks for all items, so a "%" that needed no escape gets one too.
        stored[:] = [_escape_text(item) if _escape_text(item) != item else item.replace("%", "%25") for item in flat]
        return Array(stored.reshape(array.shape), {TEXT: "escaped"})
    if all(type(item) is bytes for item in flat) and not any(b"\0" in item for item in flat):
        return Array(array)
    raise UnsupportedValueError("an object array must hold only str, or only bytes without NUL", path or "/")


def _text(node: Array, data: Any) -> Any:
    if node.attrs.get(TEXT) != "escaped":
        return data
    plain = np.empty(data.size, dtype=object)
    plain[:] = [unquote(item, errors="surrogatepass") for item in np.asarray(data).ravel().tolist()]
    return plain.reshape(data.shape)
