"""Values and nodes between two processes: plain JSON, and the bytes of arrays behind it. Nothing in it is code."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import IO, Any, NamedTuple, cast

import h5py
import numpy as np

from h5burst.format import datatype
from h5burst.model.errors import CorruptFileError, CorruptStructureError, MissingFilterError, UnsupportedFeatureError
from h5burst.model.tagged_json import descr_of_json
from h5burst.model.tree import (
    AS_DEFAULT,
    Array,
    CommittedType,
    ExternalLink,
    Group,
    Link,
    Reference,
    SoftLink,
    Storage,
)
from h5burst.read.damaged import DamagedNode

_LENGTH = 8  # bytes of a length
_MAX_JSON = 1 << 31


class Unread(NamedTuple):
    """The data of an array in a lazy tree: where it is, what it is."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass
class _Packer:
    """Collects the bytes of arrays. A node that is there twice is sent once."""

    payload: list[bytes | memoryview]
    nodes: dict[int, int]

    def pack(self, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, Reference):
            return {"reference": value.path, "region": value.is_region, "elements": value.elements}
        if isinstance(value, bytes):
            return {"bytes": base64.b64encode(value).decode()}
        if isinstance(value, (Array, Group)):
            return self._node(value)
        if isinstance(value, Unread):
            return {"unread": value.names, "shape": value.shape, "type": _pack_dtype(value.dtype)}
        if isinstance(value, h5py.Empty):
            return {"empty": _pack_dtype(value.dtype)}
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, np.generic):
            return {"scalar": self._array(np.asarray(value))}
        raise UnsupportedFeatureError(f"values of type {type(value).__name__}")

    def _node(self, node: Array | Group) -> Any:
        if isinstance(node, DamagedNode):
            return {
                "damaged": [node.error.path, node.error.message],
                "filter": isinstance(node.error, MissingFilterError),
            }
        if id(node) in self.nodes:
            return {"again": self.nodes[id(node)]}
        attrs = [[name, self.pack(value)] for name, value in node.attrs.items()]
        if isinstance(node, Array):
            packed = {"data": self.pack(node.data), "attrs": attrs, "storage": self._storage(node.storage)}
        else:
            packed = {
                "members": [[name, self._node(child)] for name, child in node.children.items()],
                "links": [[name, self._link(link)] for name, link in node.links.items()],
                "attrs": attrs,
                "ordered": node.track_order,
            }
        self.nodes[id(node)] = len(self.nodes)
        return packed

    def _storage(self, storage: Storage | None) -> Any:
        if storage is None:
            return None
        null = None if storage.null_dtype is None else _pack_dtype(storage.null_dtype)
        fill = self.pack(storage.fillvalue)
        return {"chunks": storage.chunks, "maxshape": storage.maxshape, "fill": fill, "null": null} | {
            "ordered": storage.track_order
        }

    def _link(self, link: Link) -> Any:
        """Of the nodes that links lead to, only the child under their name."""
        if isinstance(link, str):
            return [link]
        if isinstance(link, CommittedType):
            return {"type": None if link.dtype is None else _pack_dtype(link.dtype)}
        return [link.file, link.path]

    def _array(self, array: np.ndarray[Any, Any]) -> Any:
        if array.dtype.kind == "O":
            packed = {"shape": array.shape, "items": [self.pack(item) for item in array.ravel().tolist()]}
            return packed if array.size else packed | {"type": _pack_dtype(array.dtype)}
        if array.dtype.names and array.dtype.hasobject:
            fields = [[name, self._array(np.asarray(array[name]))] for name in array.dtype.names]
            return {"shape": array.shape, "fields": fields}
        data = np.ascontiguousarray(array).tobytes()
        self.payload.append(data)
        return {"shape": array.shape, "type": _pack_dtype(array.dtype), "size": len(data)}


def _pack_objects(dtype: np.dtype[Any]) -> Any:
    """Facts that h5py knows of objects, which count where there are no elements: character set, kind."""
    text, reference = h5py.check_string_dtype(dtype), h5py.check_ref_dtype(dtype)
    if text is not None:
        return {"text": text.encoding}
    if reference is not None:
        return {"references": reference is h5py.RegionReference}
    inner = h5py.check_vlen_dtype(dtype)
    return "O" if inner is None else {"sequences": _pack_dtype(inner)}


def _pack_dtype(dtype: np.dtype[Any]) -> Any:
    """HDF5's own description of the dtype, where the parser gets back from it what went in; else numpy's."""
    if dtype.names and dtype.hasobject:  # as `_array` sends its elements: member by member
        members = [(name, dtype[name].base, dtype[name].shape) for name in dtype.names]
        return {"members": [[name, _pack_dtype(base), shape] for name, base, shape in members]}
    if dtype.hasobject:
        return _pack_objects(dtype)
    message = h5py.h5t.py_create(dtype, logical=True).encode()[2:]
    try:
        decoded = datatype.decode(message)
        if decoded.dtype == dtype and not decoded.subshape:
            return {"message": base64.b64encode(message).decode()}
    except (UnsupportedFeatureError, CorruptStructureError):
        pass
    return np.lib.format.dtype_to_descr(dtype)


def _unpack_dtype(packed: Any) -> np.dtype[Any]:
    if isinstance(packed, dict) and "members" in packed:
        return np.dtype([(name, _unpack_dtype(base), tuple(shape)) for name, base, shape in packed["members"]])
    if isinstance(packed, dict) and "message" not in packed:
        return _unpack_objects(packed)
    if isinstance(packed, dict):
        return datatype.decode(base64.b64decode(packed["message"])).dtype
    descr = descr_of_json(packed)
    return np.lib.format.descr_to_dtype(descr)


def _unpack_objects(packed: dict[str, Any]) -> np.dtype[Any]:
    dtype: Any
    if "text" in packed:
        dtype = h5py.string_dtype(packed["text"])
    elif "references" in packed:
        dtype = h5py.regionref_dtype if packed["references"] else h5py.ref_dtype
    else:
        dtype = h5py.vlen_dtype(_unpack_dtype(packed["sequences"]))
    return cast("np.dtype[Any]", dtype)


class _Unpacker:
    def __init__(self, payload: memoryview) -> None:
        self._payload = payload
        self._nodes: list[Array | Group] = []

    def unpack(self, packed: Any) -> Any:
        if packed is None or isinstance(packed, str):
            return packed
        if "reference" in packed:
            return Reference(packed["reference"], packed["region"], packed["elements"])
        if "bytes" in packed:
            return base64.b64decode(packed["bytes"])
        if "empty" in packed:
            return h5py.Empty(_unpack_dtype(packed["empty"]))
        if "scalar" in packed:
            return self.unpack(packed["scalar"])[()]
        if "unread" in packed:
            return Unread(tuple(packed["unread"]), tuple(packed["shape"]), _unpack_dtype(packed["type"]))
        if "shape" in packed:
            return self._array(packed)
        return self.node(packed)

    def node(self, packed: Any) -> Array | Group:
        if "damaged" in packed:
            return DamagedNode((MissingFilterError if packed["filter"] else CorruptFileError)(*packed["damaged"]))
        if "again" in packed:
            return self._nodes[int(packed["again"])]
        attrs = {name: self.unpack(value) for name, value in packed["attrs"]}
        node: Array | Group
        if "members" in packed:
            children = {name: self.node(child) for name, child in packed["members"]}
            links = {name: self._link(link, children.get(name)) for name, link in packed["links"]}
            node = Group(children, attrs, links, packed["ordered"])
        else:
            node = Array(self.unpack(packed["data"]), attrs, self._storage(packed["storage"]))
        self._nodes.append(node)
        return node

    def _storage(self, packed: Any) -> Storage | None:
        if packed is None:
            return None
        chunks, limits = (None if packed[name] is None else tuple(packed[name]) for name in ("chunks", "maxshape"))
        null = None if packed["null"] is None else _unpack_dtype(packed["null"])
        fill, ordered = self.unpack(packed["fill"]), packed["ordered"]
        return Storage(AS_DEFAULT, chunks=chunks, maxshape=limits, fillvalue=fill, null_dtype=null, track_order=ordered)

    def _link(self, packed: Any, node: Array | Group | None) -> Link:
        if isinstance(packed, dict):
            return CommittedType(None if packed["type"] is None else _unpack_dtype(packed["type"]))
        if len(packed) == 1:
            return SoftLink(packed[0], node)
        return ExternalLink(packed[0], packed[1], node)

    def _array(self, packed: Any) -> np.ndarray[Any, Any]:
        shape = tuple(packed["shape"])
        if "items" in packed:
            out = np.empty(len(packed["items"]), _unpack_dtype(packed.get("type", "O")))
            for i, item in enumerate(packed["items"]):
                out[i] = self.unpack(item)
            return out.reshape(shape)
        if "fields" in packed:
            fields = [(name, self._array(field)) for name, field in packed["fields"]]
            records = np.empty(shape, [(name, field.dtype, field.shape[len(shape) :]) for name, field in fields])
            for name, field in fields:
                records[name] = field
            return records
        data, self._payload = self._payload[: packed["size"]], self._payload[packed["size"] :]
        return np.frombuffer(bytearray(data), _unpack_dtype(packed["type"])).reshape(shape)


def send(stream: IO[bytes], message: dict[str, Any], value: Any = None) -> None:
    """Write a message, with a value under the name `value`."""
    packer = _Packer([], {})
    text = json.dumps({**message, "value": packer.pack(value)}).encode()
    size = sum(len(part) for part in packer.payload)
    stream.write(len(text).to_bytes(_LENGTH, "little") + size.to_bytes(_LENGTH, "little") + text)
    for part in packer.payload:
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes]) -> dict[str, Any] | None:
    """The next message; None at the end of the stream."""
    head = stream.read(2 * _LENGTH)
    if len(head) < 2 * _LENGTH:
        return None
    length, size = (int.from_bytes(part, "little") for part in (head[:_LENGTH], head[_LENGTH:]))
    if length > _MAX_JSON:
        return None
    text, payload = stream.read(length), stream.read(size)
    if len(text) < length or len(payload) < size:
        return None
    message: dict[str, Any] = json.loads(text)
    message["value"] = _Unpacker(memoryview(payload)).unpack(message["value"])
    return message
