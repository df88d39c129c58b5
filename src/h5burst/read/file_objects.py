"""Files that are given not as a path but as an object with `read` and `seek`: in memory, already open, or remote."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import os
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np

from h5burst._ext.h5parse import Source
from h5burst.model.errors import CorruptFileError
from h5burst.read.block_cache import REQUEST_BYTES, BlockCache
from h5burst.runtime import private_files

SUFFIX = ".h5burst-copy"
_NAME = "h5burst"

Given = ParamSpec("Given")
Result = TypeVar("Result")
FileLike: TypeAlias = "str | os.PathLike[str] | Any"  # a path, or a binary file object with `read` and `seek`
Location: TypeAlias = "str | FileObject"


class FileObject:
    """A binary file object as a file of which any part can be read, by any number of threads.

    What is in memory, and what is an ordinary open file, is read where it is. Of anything else every read is taken for
    slow: blocks are kept and neighbours read along (`BlockCache`). Reading moves the object's position. It is pickled
    as the object is.

    Attributes: `path`, how errors name it; `size`, bytes; `descriptor`, of an ordinary file, else -1; `is_slow`.
    """

    def __init__(self, stream: Any, *, path: str | None = None, copy: str | None = None) -> None:
        self.state: Any = getattr(stream, "state", None) if hasattr(stream, "read_into") else None  # of a `StateFile`
        if self.state is None:
            _check(stream)
        self._stream = stream
        self._lock = threading.Lock()
        self._copy = copy  # path of a private file with the same content
        self.path = path if path is not None else name_of(stream)
        self.descriptor = _descriptor(stream) if self.state is None else int(stream.fileno())
        self.size = self._length()
        self.is_slow = self.descriptor < 0 and not isinstance(stream, io.BytesIO)
        self._cache = BlockCache(self.size) if self.is_slow else None
        self._fetch = _fetcher(stream, self.path) if self.is_slow else None
        _known.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return FileObject, (self._stream,)

    def __repr__(self) -> str:
        return f"<FileObject {self.path}>"

    def _length(self) -> int:
        if self.state is not None:
            return int(self._stream.size)
        if self.descriptor >= 0:
            return os.fstat(self.descriptor).st_size
        with self._lock:
            return int(self._stream.seek(0, os.SEEK_END))

    def current_size(self) -> int:
        """Bytes of it now, where asking costs nothing; of a state, which edits leave as it is, where that ends.

        Raises `StaleFileError` for a state that is none any more.
        """
        if self.state is not None:
            self._stream.check()
            return int(self.state.end)
        return self.size if self.is_slow else self._length()

    def read_into(self, offset: int, out: Any) -> None:
        """Fill a buffer with the bytes from `offset` on. Raises `OSError` where there are fewer."""
        view = memoryview(out)
        if self._cache is not None:
            self._cache.read_into(self._fetch or self.read_range, offset, view)
        elif self.state is not None:
            self._stream.read_into(offset, view)
        elif self.descriptor >= 0:
            Source(self.descriptor, self.size, slots=1, block_bytes=4096).read_into(
                offset, np.frombuffer(view, np.uint8)
            )
        else:
            data = self._stream.getbuffer()[offset : offset + len(view)]
            if len(data) < len(view):
                raise OSError(f"{self.path} became shorter while it was read")
            view[:] = data

    def read_range(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop), by seeking and reading."""
        parts = []
        with self._lock:
            self._stream.seek(start)
            while start < stop:
                data = self._stream.read(stop - start)
                if not data:
                    raise OSError(f"{self.path} ends {stop - start} bytes too early")
                parts.append(data)
                start += len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # ------------------------------------------------------------ a copy for those who need a path

    def library_path(self) -> str:
        """A private file with the same content, for libhdf5; removed with this object."""
        if self._copy is None:
            path = _copied(self)
            with self._lock:
                if self._copy is None:
                    self._copy = path
                    weakref.finalize(self, _remove, path, os.getpid())
                    return path
            _remove(path, os.getpid())
        return self._copy

    @contextlib.contextmanager
    def nearby(self) -> Any:
        """Itself, or a private copy where it is slow: for reading all of it, in a few large requests."""
        if not self.is_slow:
            yield self
            return
        path = self.library_path()
        with open(path, "rb", buffering=0) as stream:
            yield FileObject(stream, path=self.path, copy=path)

    def renew_locks(self) -> None:
        """In a forked child: a lock that another thread of the parent held would stay held for ever."""
        self._lock = threading.Lock()
        if self._cache is not None:
            self._cache.renew_lock()


def locate(file: FileLike) -> Location:
    """The place of a file: an absolute path, or an object.

    Raises `TypeError` for what is neither a path nor a binary file object.
    """
    if isinstance(file, FileObject):
        return file
    if callable(getattr(file, "read", None)):
        return FileObject(file)
    try:
        return os.path.abspath(os.fsdecode(file))
    except (TypeError, AttributeError) as error:  # fsspec's unopened files claim to be paths, and are not
        advice = ": open it first" if hasattr(file, "open") else ""
        raise TypeError(
            f"{type(file).__name__} is neither a path nor a binary file object with read and seek{advice}"
        ) from error


def accepts_file_objects(*names: str) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Let a function that reads files by their paths take file objects for the arguments of these names.

    It is given private copies, which are removed when it returns; its errors name the objects.
    """

    def decorate(function: Callable[Given, Result]) -> Callable[Given, Result]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            bound = signature.bind(*args, **kwargs)
            given = {name: bound.arguments[name] for name in names}
            files = {name: FileObject(file) for name, file in given.items() if hasattr(file, "read")}
            if not files:
                return function(*args, **kwargs)
            bound.arguments.update({name: file.library_path() for name, file in files.items()})
            try:
                return function(*bound.args, **bound.kwargs)
            except OSError as error:
                for file in files.values():
                    if (copy := file.library_path()) in str(error):
                        raise _with_object_name(file.path, copy, error) from error
                raise

        return call

    return decorate


def _with_object_name(path: str, copy: str, error: OSError) -> OSError:
    """An error about a private copy as one about what it is a copy of."""
    if isinstance(error, CorruptFileError):
        return type(error)(path, error.message, error.problems)
    return OSError(str(error).replace(copy, path))


def path_of(location: Location) -> str:
    """Name of a file in errors."""
    return location if isinstance(location, str) else location.path


def library_path(location: Location) -> str:
    """The path of a file for libhdf5."""
    return location if isinstance(location, str) else location.library_path()


def name_of(stream: Any) -> str:
    """Name that a file object gives itself, else its class."""
    for attribute in ("full_name", "url", "name"):
        name = getattr(stream, attribute, None)
        if isinstance(name, (str, bytes)) and name:
            return os.fsdecode(name)
    return f"<{type(stream).__name__}>"


def _check(stream: Any) -> None:
    name = name_of(stream)
    if not callable(getattr(stream, "read", None)) or not callable(getattr(stream, "seek", None)):
        raise TypeError(f"{name} has no read and seek: it is not a binary file object")
    try:
        nothing = stream.read(0)
    except io.UnsupportedOperation as error:
        raise ValueError(f"{name} is not open for reading: open it with 'rb'") from error
    if isinstance(nothing, (bytearray, memoryview)):
        raise TypeError(f"{name} gives {type(nothing).__name__} where it is read: wrap it so that its read gives bytes")
    if not isinstance(nothing, bytes):
        raise TypeError(f"{name} is not open in binary mode: open it with 'rb'")
    seekable = getattr(stream, "seekable", None)
    if callable(seekable) and not seekable():
        raise ValueError(f"{name} cannot seek, as HDF5 files need: read it into io.BytesIO")


def _descriptor(stream: Any) -> int:
    """Of an ordinary file that is open for reading alone, so that nothing of it waits in a buffer; else -1.

    Derived classes may do anything (those that decompress have the descriptor of what is compressed).
    """
    raw = stream.raw if type(stream) is io.BufferedReader else stream
    return int(raw.fileno()) if type(raw) is io.FileIO and not raw.writable() else -1


def _fetcher(stream: Any, name: str) -> Callable[[int, int], bytes | memoryview] | None:
    """A reader of ranges of a file of fsspec: past its own cache, which reads far more than is needed."""
    system: Any = getattr(stream, "fs", None)
    path = getattr(stream, "path", None)
    if not callable(getattr(system, "cat_file", None)) or not isinstance(path, str):
        return None

    def fetch(start: int, stop: int) -> bytes:
        data: bytes = system.cat_file(path, start=start, end=stop)
        if len(data) != stop - start:
            raise OSError(f"{name}: {len(data)} bytes came of {stop - start} at {start}")
        return data

    return fetch


def _copied(file: FileObject) -> str:
    directory = Path(tempfile.gettempdir())
    private_files.remove_abandoned(directory, _NAME, SUFFIX)
    path, descriptor = private_files.create(directory, _NAME, SUFFIX)
    try:
        with open(descriptor, "wb", buffering=0) as out:
            buffer = memoryview(bytearray(min(REQUEST_BYTES, max(1, file.size))))
            for start in range(0, file.size, len(buffer)):
                part = buffer[: min(len(buffer), file.size - start)]
                file.read_into(start, part)
                out.write(part)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return str(path)


def _remove(path: str, pid: int) -> None:
    if os.getpid() == pid:
        Path(path).unlink(missing_ok=True)


_known: weakref.WeakSet[FileObject] = weakref.WeakSet()


def _after_fork() -> None:
    for file in list(_known):
        file.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
