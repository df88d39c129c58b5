"""The target of the bytes of a file that is written: a new file, or a stream."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from typing import Any, BinaryIO

from h5burst._ext.preallocate import preallocate
from h5burst.runtime.threads import thread_count

FLUSHED_BYTES = 8 << 20
PREALLOCATED_BYTES = 16 << 20  # at a time, in a file that is larger than what is written at once
LARGE_BYTES = 1 << 20


class Sink:
    """The target of the bytes. A path is opened with the first of them: a tree that is not covered leaves it alone."""

    def __init__(
        self,
        target: BinaryIO | str | os.PathLike[str],
        flushing: bool,
        threads: int | None,
        before: Callable[[int], None] | None = None,
    ) -> None:
        self._target = target
        self._before = before  # called with the end of what is written next
        self._flushing = flushing
        self._threads = threads
        self._stream: Any = None
        self._opened: BinaryIO | None = None
        self._unflushed_bytes = 0  # written since the disk was last asked to take them
        self._end = 0  # of what is written
        self._preallocated = 0  # where the room ends that was asked for; 0 before the first time
        self._preallocation_unsupported = False  # by the file system: do not ask again

    def to(self, stream: BinaryIO | io.FileIO, before: Callable[[int], None]) -> Sink:
        """Write to an open stream, from where it is, instead of what was named first; before the first byte."""
        self._target, self._before = stream, before
        return self

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *error: object) -> None:
        if self._preallocated:
            with contextlib.suppress(OSError):  # what is too much is free again when the file is gone
                os.ftruncate(self._stream.fileno(), os.fstat(self._stream.fileno()).st_size)
        if self._opened is not None:
            self._opened.close()

    def write(self, view: memoryview) -> None:
        """Write all of a view: a raw stream may take less than it is given."""
        if self._stream is None:
            self._stream = self._open(self._target)
            self._end = self._stream.tell()
        view = view.cast("B")
        self.expect(view.nbytes)
        while view:
            written = self._stream.write(view)
            if not written:
                raise OSError(f"{getattr(self._stream, 'name', 'the stream')}: nothing more can be written")
            view = view[written:]

    def descriptor(self) -> int:
        """Of the file that a thread may write to instead; -1 if it is none, or if work has one thread alone."""
        return self._stream.fileno() if self._is_file() and thread_count(self._threads) > 1 else -1

    def expect(self, size: int) -> None:
        """Take note that `size` bytes are written next; all before them have been."""
        if self._flushing and self._unflushed_bytes >= FLUSHED_BYTES:
            self._start_flushing()
        if self._before is not None:
            self._before(self._end + size)
        self._preallocate(size)
        self._unflushed_bytes += size
        self._end += size

    def _is_file(self) -> bool:
        return isinstance(self._stream, io.FileIO)

    def _preallocate(self, size: int) -> None:
        """Reserve space on the disk before the bytes are written: this is faster, and the space is contiguous."""
        end = self._end + size
        if size < LARGE_BYTES or end <= self._preallocated or self._preallocation_unsupported or not self._is_file():
            return
        start = max(self._end, self._preallocated)
        self._preallocated = max(start + PREALLOCATED_BYTES, end)
        self._preallocation_unsupported = not preallocate(self._stream.fileno(), start, self._preallocated - start)

    def _start_flushing(self) -> None:
        """Let the disk take what was written while more is made, so that little is left for an fsync at the end."""
        if hasattr(os, "posix_fadvise") and self._is_file():
            with contextlib.suppress(OSError):  # best effort
                os.posix_fadvise(
                    self._stream.fileno(),
                    self._end - self._unflushed_bytes,
                    self._unflushed_bytes,
                    os.POSIX_FADV_DONTNEED,
                )
        self._unflushed_bytes = 0

    def _open(self, target: BinaryIO | str | os.PathLike[str]) -> Any:
        if isinstance(target, (str, os.PathLike)):
            self._opened = open(target, "wb", buffering=0)  # noqa: SIM115 - until the block ends
            return self._opened
        return target

    def write_at_start(self, data: bytes) -> None:
        """Overwrite the first bytes and leave the stream at its end."""
        end = self._end
        self._stream.seek(0)
        self.write(memoryview(data))
        self._end = end
        self._stream.seek(end)


class BehindUserBlock(io.RawIOBase):
    """The part of a file behind its user block, as a stream that begins there."""

    def __init__(self, path: str | os.PathLike[str], user_block: bytes) -> None:
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115
        self.base = len(user_block)
        self._file.write(user_block)

    def write(self, data: Any, /) -> int:
        return self._file.write(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(self.base + offset if whence == os.SEEK_SET else offset, whence) - self.base

    def tell(self) -> int:
        return self._file.tell() - self.base

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()
