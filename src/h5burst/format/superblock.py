"""The superblock: the first bytes of a file, which say what it is, how long it is, and where its root group is."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from h5burst._ext.h5parse import Source, lookup3
from h5burst.format.constants import UNDEFINED
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError
from h5burst.runtime.locks import BY_SWMR, SIGNATURE

SIZE = 48  # of the versions 2 and 3
_OTHER_SIZES = (2, 4)  # bytes of addresses and lengths; all that programs choose beside 8
_WRITTEN_TO = 1  # file consistency flag
_SEVERAL_FILES = (b"NCSAfami", b"NCSAmult")  # names of drivers that keep a file in several


class Superblock(NamedTuple):
    """version; base: where address 0 is in the file; root: address of the root group's object header.

    open_for_writing: a program has the file open for writing, or died while it had.
    """

    version: int
    base: int
    root: int
    open_for_writing: bool


def encode(root: int, end_of_file: int, *, version: int = 3, base: int = 0, extension: int = UNDEFINED) -> bytes:
    """A superblock of version 2 or 3.

    root: address of the root group's object header; end_of_file: length of the file, what is before its base address
    included; extension: address of the superblock extension.
    """
    fields = struct.pack(
        "<8sBBBBQQQQ",
        SIGNATURE,
        version,
        8,  # size of offsets
        8,  # size of lengths
        0,  # file consistency flags: nobody has it open for writing
        base,
        extension,
        end_of_file,
        root,
    )
    return fields + lookup3(fields).to_bytes(4, "little")


@total("its superblock", reads=True)
def read_superblock(descriptor: int, file_size: int, reader: Callable[[int, Any], None] | None = None) -> Superblock:
    """Raises `CorruptStructureError` for anything but a whole HDF5 file, `UnsupportedFeatureError` for one that only
    libhdf5 reads. reader: as of `Source`.
    """
    source = Source(descriptor, file_size, slots=1, block_bytes=4096, reader=reader)
    at = _find_signature(source)
    version = source.read(at + 8, 1)[0]
    if version in (2, 3):
        return _version_2(source.read(at, 48), version, at, file_size)
    if version in (0, 1):
        return _version_0(source.read, version, at, file_size)
    raise UnsupportedFeatureError(f"superblock version {version}")


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """True where a file has the signature of HDF5 files, at one of the places where it may be.

    Parameters
    ----------
    path : path-like
        Of something that is there.

    Returns
    -------
    bool
        False for a directory, and for a pipe, a device or a socket, which are not opened.

    Raises
    ------
    OSError
        The file cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from h5burst import is_hdf5
    >>> _ = Path("notes.txt").write_text("not a file of numbers")
    >>> is_hdf5("notes.txt")
    False
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        return False
    at, size = 0, status.st_size
    with open(path, "rb") as file:
        while at + len(SIGNATURE) <= size:
            file.seek(at)
            if file.read(len(SIGNATURE)) == SIGNATURE:
                return True
            at = 2 * at or 512
    return False


def _find_signature(source: Source) -> int:
    at = 0
    while at + 16 <= source.size:
        if source.read(at, 8) == SIGNATURE:
            return at
        at = 2 * at or 512
    raise CorruptStructureError("it is not an HDF5 file, or its beginning is lost")


def _version_2(data: bytes, version: int, at: int, file_size: int) -> Superblock:
    offset_size, length_size, flags = data[9:12]
    if offset_size in _OTHER_SIZES and lookup3(data[: (end := 12 + 4 * offset_size)]) == _u32(data, end):
        raise UnsupportedFeatureError("addresses of other than 8 bytes")
    base, _extension, end, root, checksum = struct.unpack_from("<QQQQI", data, 12)
    if lookup3(data[:44]) != checksum:
        raise CorruptStructureError("the checksum of its superblock is wrong")
    _check_end(at, base, end, file_size)
    if (offset_size, length_size) != (8, 8):
        raise UnsupportedFeatureError("addresses of other than 8 bytes")
    return Superblock(version, base, root, version == 3 and bool(flags & (_WRITTEN_TO | BY_SWMR)))


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _version_0(read: Callable[[int, int], bytes], version: int, at: int, file_size: int) -> Superblock:
    data = read(at, 24)
    # A damaged version number must not make a checksummed superblock pass for one without a checksum.
    if any(data[position] for position in (9, 10, 11, 12, 15)):
        raise CorruptStructureError("its superblock has impossible values")
    if (data[13], data[14]) != (8, 8):
        raise UnsupportedFeatureError("addresses of other than 8 bytes")
    rest = at + 24 + (4 if version == 1 else 0)
    base, _free, end, driver, _name, root = struct.unpack("<6Q", read(rest, 48))
    if driver < file_size - 16 and read(driver + 8, 8) in _SEVERAL_FILES:
        raise CorruptStructureError("it is one of several files, the parts of a larger one: join them with h5repart")
    _check_end(at, base, end, file_size)
    if driver != UNDEFINED:
        raise UnsupportedFeatureError("a driver of its own")
    return Superblock(version, base, root, False)


def _check_end(at: int, base: int, end: int, file_size: int) -> None:
    if base != at:
        raise UnsupportedFeatureError("a base address that is not the superblock's")
    if end > file_size:
        raise CorruptStructureError(f"it is cut short: {file_size} bytes are left of {end}")


class Whole(NamedTuple):
    """All that a superblock says which an edit has to keep.

    version, base, root as in `Superblock`; end: length of the file as it says; data: its bytes; extension: address or
    UNDEFINED; is_plain: what a version 2 superblock does not hold (sizes of old B-trees' nodes, an index of free space)
    is the default or not there; is_open_for_writing: as in `Superblock`.
    """

    version: int
    base: int
    root: int
    end: int
    data: bytes
    extension: int
    is_plain: bool
    is_open_for_writing: bool = False


@total("its superblock", reads=True)
def guess(descriptor: int, file_size: int) -> Whole | None:
    """Likely content of the superblock of a damaged file; None where there is none.

    One turned bit is set right where there is a checksum; beyond that nothing is checked.
    """
    source, at = Source(descriptor, file_size, slots=1, block_bytes=4096), 0
    with contextlib.suppress(CorruptStructureError):  # the signature itself may be damaged
        at = _find_signature(source)
    data = source.read(at, min(96, file_size - at)).ljust(96, b"\0")
    data = without_turned_bit(data[:SIZE]) + data[SIZE:]
    if not data.startswith(SIGNATURE):
        return None
    version = data[8]
    if version in (2, 3):
        extension, _, root = struct.unpack_from("<QQQ", data, 20)
        return Whole(version, at, root, file_size, data, extension, True)
    (root,) = struct.unpack_from("<Q", data, (24 if version == 0 else 28) + 40)
    return Whole(version, at, root, file_size, data, UNDEFINED, True)


def without_turned_bit(data: bytes) -> bytes:
    """A superblock of version 2 or 3 with the one bit set right without which it fits its checksum; else as it is."""
    for bit in range(8 * SIZE):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        corrected = bytes(changed)
        if lookup3(corrected[: SIZE - 4]) == _u32(corrected, SIZE - 4):
            return corrected
    return data


_OLD_DEFAULTS = (4, 16)  # K of the leaves and of the inner nodes of groups' B-trees
_OLD_CHUNK_DEFAULT = 32  # K of the B-trees of chunks


@total("its superblock", reads=True)
def read_whole(descriptor: int, file_size: int) -> Whole:
    """As `read_superblock`, for an edit that writes it anew. All that it says is of one state of the file."""
    source = Source(descriptor, file_size, slots=1, block_bytes=4096)
    at = _find_signature(source)
    data = source.read(at, SIZE) if source.size - at >= SIZE else b""
    if data[8:9] in (b"\2", b"\3"):
        return _whole(_version_2(data, data[8], at, file_size), data)
    return _whole(read_superblock(descriptor, file_size), source.read(at, 96))


def read_head(data: bytes, base: int) -> Whole:
    """As `read_whole`, of the first bytes of a superblock that was at `base`, and what follows them."""
    if data[: len(SIGNATURE)] != SIGNATURE:
        raise CorruptStructureError("its signature is another")
    if data[8] in (2, 3):
        return _whole(_version_2(data[:SIZE], data[8], base, UNDEFINED), data[:SIZE])
    if data[8] == 0:
        return _whole(_version_0(lambda at, length: data[at - base : at - base + length], 0, base, UNDEFINED), data)
    raise UnsupportedFeatureError(f"superblock version {data[8]}")


def _whole(brief: Superblock, data: bytes) -> Whole:
    if brief.version > 1:
        extension, end = struct.unpack_from("<QQ", data, 20)
        return Whole(brief.version, brief.base, brief.root, end, data, extension, True, brief.open_for_writing)
    fields = struct.unpack_from("<HH", data, 16)
    rest = 28 if brief.version == 1 else 24
    _, free, end = struct.unpack_from("<3Q", data, rest)
    chunk_k = struct.unpack_from("<H", data, 24)[0] if brief.version == 1 else _OLD_CHUNK_DEFAULT
    is_plain = fields == _OLD_DEFAULTS and chunk_k == _OLD_CHUNK_DEFAULT and free == UNDEFINED
    return Whole(brief.version, brief.base, brief.root, end, data, UNDEFINED, is_plain)
