"""The datatype message: what h5py makes of a dtype as bytes, and bytes as the dtype that h5py gives them."""

from __future__ import annotations

import functools
import struct
from typing import Any, NamedTuple

import h5py
import numpy as np

from h5burst._ext.h5emit import NeedsLibhdf5Error
from h5burst._ext.h5parse import Kind
from h5burst.format.constants import REFERENCE_BYTES
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

LARGEST_ELEMENT = (1 << 31) - 1  # bytes
MAX_DEPTH = 32  # types inside types; what people write has three or four
MAX_RANK = 32

ENCODING_PREFIX = 2  # H5Tencode puts an object class and a version before the message
MESSAGE_LIMIT = 32768  # leaves room for the rest of an attribute's message
FIXED_POINT, FLOATING_POINT, STRING, OPAQUE, COMPOUND, ENUMERATION, VARIABLE_LENGTH, ARRAY = 0, 1, 3, 5, 6, 8, 9, 10
_SIMPLE = (FIXED_POINT, FLOATING_POINT, STRING)
_NOT_COVERED = {2: "time", 4: "bit field", 7: "reference", 11: "complex"}

# Size to bit offset, precision, exponent location and size, mantissa location and size, exponent bias; sign location.
_IEEE = {
    2: ((0, 16, 10, 5, 0, 10, 15), 15),
    4: ((0, 32, 23, 8, 0, 23, 127), 31),
    8: ((0, 64, 52, 11, 0, 52, 1023), 63),
}
_PADDING = {0: Kind.NULL_TERMINATED, 1: Kind.PLAIN, 2: Kind.SPACE_PADDED}


class Datatype(NamedTuple):
    """Form of elements in the file and in memory.

    size: bytes of an element in the file. kind: what must be done to make the bytes in the file those of `dtype`.
    subshape: of a top-level array type, whose elements are further axes of the array.
    """

    dtype: np.dtype[Any]
    size: int
    kind: Kind
    subshape: tuple[int, ...] = ()


def encode(dtype: Any) -> bytes:
    """Body of the datatype message of a numpy dtype, or of variable-length text for `str` (UTF-8) and `bytes` (ASCII).

    Raises `NeedsLibhdf5Error` for a dtype that h5py does not know, and for one whose elements are not in a file as they
    are in memory.
    """
    if dtype is str or dtype is bytes:
        return _text_message("utf-8" if dtype is str else "ascii")
    if dtype.metadata is None and dtype.fields is None:
        return _simple_message(dtype)
    return _message(dtype)


@functools.cache
def _text_message(encoding: str) -> bytes:
    message = bytearray(h5py.h5t.py_create(h5py.string_dtype(encoding), logical=True).encode()[ENCODING_PREFIX:])
    message[4:8] = REFERENCE_BYTES.to_bytes(4, "little")  # the size field
    return bytes(message)


def _message(dtype: np.dtype[Any]) -> bytes:
    text = h5py.check_string_dtype(dtype)
    if text is not None and text.length is None:
        return _text_message(text.encoding)
    if dtype.hasobject:
        raise NeedsLibhdf5Error(f"a dtype with objects in it: {dtype}")
    try:
        datatype = h5py.h5t.py_create(dtype, logical=True)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise NeedsLibhdf5Error(str(error)) from error
    if datatype.get_size() != dtype.itemsize or datatype.dtype != dtype:
        raise NeedsLibhdf5Error(f"a dtype that HDF5 lays out differently: {dtype}")
    message = datatype.encode()[ENCODING_PREFIX:]
    if len(message) > MESSAGE_LIMIT:
        raise NeedsLibhdf5Error("a dtype with a very long description")
    return bytes(message)


# Equal dtypes without metadata and fields are stored alike; with them, they may differ in what only h5py looks at.
_simple_message = functools.lru_cache(maxsize=1024)(_message)


def decode(message: bytes) -> Datatype:
    """Raises `UnsupportedFeatureError` for what only libhdf5 converts, `CorruptStructureError` for what cannot be a
    datatype.
    """
    if message[:1] and message[0] & 15 == COMPOUND:  # of many members, and a file's tables often have the same ones
        decoded = _compound_of(message)
        return decoded._replace(dtype=decoded.dtype.newbyteorder("|"))  # a copy: members can be renamed in place
    return (_simple_of if message[:1] and message[0] & 15 in _SIMPLE else _decoded)(message)


@total("a datatype message")
def _decoded(message: bytes) -> Datatype:
    return _decode(message, 0, 0)[0]


_compound_of = functools.lru_cache(maxsize=256)(_decoded)
_simple_of = functools.lru_cache(maxsize=256)(_decoded)


def _decode(message: bytes, at: int, depth: int) -> tuple[Datatype, int]:
    """One datatype and where it ends."""
    if depth > MAX_DEPTH:
        raise CorruptStructureError(f"a datatype nests more than {MAX_DEPTH} deep")
    kind, version = message[at] & 15, message[at] >> 4
    bits = int.from_bytes(message[at + 1 : at + 4], "little")
    (size,) = struct.unpack_from("<I", message, at + 4)
    if size == 0:
        raise CorruptStructureError("a datatype has no size")
    if size > LARGEST_ELEMENT:
        raise CorruptStructureError(f"an element of {size} bytes, more than numpy holds")
    if not 1 <= version <= 5:
        raise UnsupportedFeatureError(f"datatype version {version}")
    at += 8
    if kind == FIXED_POINT:
        return Datatype(_integer(message, at, bits, size), size, Kind.PLAIN), at + 4
    if kind == FLOATING_POINT:
        return Datatype(_float(message, at, bits, size), size, Kind.PLAIN), at + 12
    if kind == STRING:
        return _string(bits, size), at
    if kind == OPAQUE:
        return _opaque(message, at, bits, size)
    if kind == COMPOUND:
        return _compound(message, at, bits, size, version, depth)
    if kind == ENUMERATION:
        return _enumeration(message, at, bits, size, version, depth)
    if kind == VARIABLE_LENGTH:
        if bits & 15 != 1 or size != REFERENCE_BYTES:
            raise UnsupportedFeatureError("variable-length sequences")
        return Datatype(np.dtype(object), size, Kind.ASCII if bits >> 8 & 15 == 0 else Kind.UTF8), len(message)
    if kind == ARRAY:
        return _array(message, at, size, version, depth)
    raise UnsupportedFeatureError(f"{_NOT_COVERED.get(kind, 'unknown')} datatypes")


def _integer(message: bytes, at: int, bits: int, size: int) -> np.dtype[Any]:
    offset, precision = struct.unpack_from("<HH", message, at)
    if size not in (1, 2, 4, 8) or offset or precision != 8 * size:
        raise UnsupportedFeatureError("integers of odd sizes")
    return np.dtype(f"{'>' if bits & 1 else '<'}{'i' if bits & 8 else 'u'}{size}")


def _float(message: bytes, at: int, bits: int, size: int) -> np.dtype[Any]:
    fields = struct.unpack_from("<HHBBBBI", message, at)
    implied_one = bits >> 4 & 3 == 2
    if size not in _IEEE or bits & 0x40 or not implied_one or _IEEE[size] != (fields, bits >> 8 & 255):
        raise UnsupportedFeatureError("floating-point numbers other than IEEE 754's of 16, 32 and 64 bits")
    return np.dtype(f"{'>' if bits & 1 else '<'}f{size}")


def _string(bits: int, size: int) -> Datatype:
    padding, charset = bits & 15, bits >> 4 & 15
    if padding not in _PADDING or charset > 1:
        raise UnsupportedFeatureError("strings of unknown padding or character set")
    return Datatype(h5py.string_dtype("utf-8" if charset else "ascii", size), size, _PADDING[padding])


def _opaque(message: bytes, at: int, bits: int, size: int) -> tuple[Datatype, int]:
    length = bits & 255
    tag = message[at : at + length].split(b"\0")[0]
    dtype = np.dtype(f"V{size}")
    if tag.startswith(b"NUMPY:"):
        try:
            dtype = h5py.opaque_dtype(np.dtype(tag[6:].decode("ascii")))
        except (TypeError, ValueError) as error:
            raise CorruptStructureError(f"an opaque datatype is tagged {tag!r}") from error
        if dtype.itemsize != size or dtype.hasobject:
            raise CorruptStructureError(f"an opaque datatype of {size} bytes is tagged {tag!r}")
    return Datatype(dtype, size, Kind.PLAIN), at + length


def _name(message: bytes, at: int, version: int) -> tuple[str, int]:
    end = message.find(0, at)
    if end < 0:
        raise CorruptStructureError("a member name in a datatype has no end")
    length = end - at + 1
    after = at + (length if version >= 3 else -(-length // 8) * 8)
    return message[at:end].decode("utf-8", "surrogateescape"), after


def _compound(message: bytes, at: int, bits: int, size: int, version: int, depth: int) -> tuple[Datatype, int]:
    names, formats, offsets = [], [], []
    offset_size = 4 if version < 3 else max(1, -(-size.bit_length() // 8))
    for _ in range(bits & 0xFFFF):
        name, at = _name(message, at, version)
        offset = int.from_bytes(message[at : at + offset_size], "little")
        at += offset_size
        if version == 1:
            if message[at]:
                raise UnsupportedFeatureError("array members of version 1 compounds")
            at += 28
        member, at = _decode(message, at, depth + 1)
        if member.kind is not Kind.PLAIN:
            raise UnsupportedFeatureError("compounds with text of another padding or of variable length")
        if offset + member.size > size:
            raise CorruptStructureError("a member of a compound is outside it")
        names.append(name)
        formats.append(np.dtype((member.dtype, member.subshape)) if member.subshape else member.dtype)
        offsets.append(offset)
    return Datatype(_compound_dtype(names, formats, offsets, size), size, Kind.PLAIN), at


def _compound_dtype(names: list[str], formats: list[Any], offsets: list[int], size: int) -> np.dtype[Any]:
    if names == ["r", "i"] and formats[0] == formats[1] and formats[0].kind == "f" and size > 4:
        if offsets != [0, size // 2] or size != 2 * formats[0].itemsize or size not in (8, 16):
            raise UnsupportedFeatureError("complex numbers of an unusual layout")
        return np.dtype(f"{formats[0].byteorder}c{size}")
    if not names or len(set(names)) != len(names):
        raise CorruptStructureError("a compound datatype has no members, or two of one name")
    try:
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})
    except (TypeError, ValueError) as error:
        raise CorruptStructureError(f"a compound datatype is impossible: {error}") from error


def _enumeration(message: bytes, at: int, bits: int, size: int, version: int, depth: int) -> tuple[Datatype, int]:
    base, at = _decode(message, at, depth + 1)
    if base.dtype.kind not in "iu" or base.size != size:
        raise UnsupportedFeatureError("enumerations of other than integers")
    names = []
    for _ in range(bits & 0xFFFF):
        name, at = _name(message, at, version)
        names.append(name)
    end = at + len(names) * size
    if end > len(message):
        raise CorruptStructureError("an enumeration has fewer values than names")
    members = dict(zip(names, np.frombuffer(message[at:end], base.dtype).tolist(), strict=True))
    if members == {"FALSE": 0, "TRUE": 1}:
        if size != 1:
            raise UnsupportedFeatureError("booleans of more than one byte")
        return Datatype(np.dtype(bool), 1, Kind.PLAIN), end
    return Datatype(h5py.enum_dtype(members, basetype=base.dtype), size, Kind.PLAIN), end


def _array(message: bytes, at: int, size: int, version: int, depth: int) -> tuple[Datatype, int]:
    rank = message[at]
    if not 1 <= rank <= MAX_RANK:
        raise CorruptStructureError(f"an array datatype has {rank} axes")
    at += 4 if version < 3 else 1
    shape = struct.unpack_from(f"<{rank}I", message, at)
    at += 4 * rank * (2 if version < 3 else 1)
    base, at = _decode(message, at, depth + 1)
    if base.kind is not Kind.PLAIN:
        raise UnsupportedFeatureError("arrays of text of another padding or of variable length")
    count = 1
    for length in shape:
        count *= length
    if count * base.size != size:
        raise CorruptStructureError("the size of an array datatype is not that of its elements")
    return Datatype(base.dtype, size, Kind.PLAIN, shape + base.subshape), at


def normalise(array: np.ndarray[Any, Any], kind: int) -> None:
    """Make text of fixed length end in NULs, as numpy's does; in place. array: C-contiguous, of a dtype "S"."""
    if not array.size:
        return
    text = array.reshape(-1).view(np.uint8).reshape(array.size, array.dtype.itemsize)
    if kind == Kind.NULL_TERMINATED:
        text[np.logical_or.accumulate(text == 0, axis=1)] = 0
    elif kind == Kind.SPACE_PADDED:
        text[~np.logical_or.accumulate(text[:, ::-1] != ord(" "), axis=1)[:, ::-1]] = 0
