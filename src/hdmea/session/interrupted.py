"""What a file that HDF5 refuses to open, because its last edit was interrupted, says of that edit."""

from __future__ import annotations

import io
import json
from pathlib import Path

import h5py

from h5burst._ext.h5emit import lookup3
from h5burst.format import superblock

STEPS_IN_PROGRESS = "steps_in_progress"  # attribute of /pipeline: JSON list of steps that began to write
_FLAGS = 11  # place of the consistency flags in a superblock of version 2 or 3


def steps_in_progress(root: h5py.Group) -> list[str]:
    """The steps that began to write into an open file and did not end."""
    if "pipeline" not in root:
        return []
    return list(json.loads(root["pipeline"].attrs.get(STEPS_IN_PROGRESS, "[]")))


def interrupted_steps(path: Path) -> list[str]:
    """The same of a file that is marked as still being written; none where that cannot be read."""
    try:
        with open(path, "rb", buffering=0) as stream, h5py.File(_Unmarked(stream), "r") as file:
            return steps_in_progress(file)
    except (OSError, ValueError, KeyError, RuntimeError):
        return []


class _Unmarked(io.RawIOBase):
    """A file's bytes, but for the mark in its superblock."""

    def __init__(self, stream: io.FileIO) -> None:
        self._stream = stream
        head = bytearray(stream.read(superblock.SIZE))
        head[_FLAGS] = 0
        self._head = bytes(head[:-4]) + lookup3(bytes(head[:-4])).to_bytes(4, "little")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        start = self._stream.tell()
        count = self._stream.readinto(buffer) or 0
        inside = self._head[start : start + count]
        memoryview(buffer)[: len(inside)] = inside
        return count
