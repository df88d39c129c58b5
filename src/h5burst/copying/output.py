"""The new file: bytes appended in order, some of them set when the addresses that they hold are known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from h5burst._ext.descriptors import Descriptor
from h5burst.write.sink import Sink

if TYPE_CHECKING:
    from typing_extensions import Buffer

_GATHERED_BYTES = 1 << 20


class Writer(Protocol):
    """Takes bytes of the new file: an `Output`, or what only measures or counts."""

    def append(self, data: Buffer) -> int:
        """Put bytes behind all others. Returns their address."""
        ...

    def patch(self, address: int, data: bytes) -> None:
        """Set bytes that were appended."""
        ...


class Output:
    """A new file at `path`, whose address 0 is at byte `base`. Used in a `with` block."""

    def __init__(self, path: Path, base: int) -> None:
        self._path, self._base = path, base
        self._gathered = bytearray()
        self._written = 0  # bytes of the file that were handed on

    def __enter__(self) -> Output:
        self._sink = Sink(self._path, True, 1)
        self._sink.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._sink.__exit__(*error)

    @property
    def end(self) -> int:
        """Length of the file."""
        return self._written + len(self._gathered)

    def append(self, data: Buffer) -> int:
        view = memoryview(data).cast("B")
        address = self.end - self._base
        if view.nbytes < _GATHERED_BYTES:
            self._gathered += view
            if len(self._gathered) >= _GATHERED_BYTES:
                self.flush()
        else:
            self.flush()
            self._sink.write(view)
            self._written += view.nbytes
        return address

    def patch(self, address: int, data: bytes) -> None:
        at = address + self._base
        if at >= self._written:
            self._gathered[at - self._written : at - self._written + len(data)] = data
            return
        self.flush()
        opened = Descriptor.open(self._path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
        try:
            descriptor = opened.fileno()
            os.lseek(descriptor, at, os.SEEK_SET)
            while data:
                data = data[os.write(descriptor, data) :]
        finally:
            opened.close()

    def flush(self) -> None:
        """Hand on what is gathered."""
        if self._gathered:
            self._sink.write(memoryview(self._gathered))
            self._written += len(self._gathered)
            self._gathered = bytearray()


class SizeProbe:
    """Takes bytes and forgets them: how long an object's header becomes can be known before its data are written."""

    def append(self, data: Buffer) -> int:
        return 0

    def patch(self, address: int, data: bytes) -> None:
        pass


class CountingWriter:
    """Takes bytes and counts them: how long a copy would be can be known without writing it.

    end: where the first of them would be, and then the length of all.
    """

    def __init__(self, end: int) -> None:
        self.end = end

    def append(self, data: Buffer) -> int:
        address = self.end
        self.end += memoryview(data).nbytes
        return address

    def patch(self, address: int, data: bytes) -> None:
        pass

    def skip(self, size: int) -> int:
        """As `append` of so many bytes that nobody has to read."""
        address = self.end
        self.end += size
        return address

    def flush(self) -> None:
        pass
