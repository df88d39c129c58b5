"""An earlier state of a file as a file of its own: the same bytes, but for the 48 of the superblock."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from h5burst._ext.h5parse import HeadedStream, Source
from h5burst.model.errors import StaleFileError
from h5burst.read.file_objects import FileLike
from h5burst.read.history import At, History, HistoryState, opened

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BLOCK_BYTES, _BLOCKS = 1 << 12, 4


class StateFile(io.RawIOBase):
    """One state of a file, for reading: what `file_at` gives.

    It holds the file itself, whatever takes its place at the path, and HDF5's shared lock, which keeps libhdf5's
    writers out, and edits not. For one thread at a time, but for what `h5burst` reads through it.

    Attributes
    ----------
    name : str
        The file.
    state : HistoryState
        Its number, and what its superblock says.

    Examples
    --------
    >>> import h5burst, h5py
    >>> h5burst.save("then.h5", {"a": 1}, overwrite=True)
    >>> with h5burst.edit("then.h5") as tx:
    ...     tx.set_attributes((), {"b": 2})
    >>> with h5burst.file_at("then.h5", 0) as stream, h5py.File(stream) as file:
    ...     "b" in file.attrs
    False
    """

    def __init__(self, path: str, at: At, *, trust: bool = False, expected: HistoryState | None = None) -> None:
        super().__init__()
        self.name = path
        self._trust, self._descriptor = trust, -1
        with opened(path, trust=trust) as log:
            if log.file.locked_for_writing:
                raise BlockingIOError(errno.EAGAIN, "another program has it open for writing: close it there", path)
            if expected is not None and not log.history.holds(expected):
                raise StaleFileError(path)
            self.state = expected if expected is not None else log.history.state(at)
            self._seen = log.history.witness()
            self.size = log.history.size
            self._descriptor = log.file.held.detach()
        self._source = Source(self._descriptor, self.size, 0, _BLOCK_BYTES, _BLOCKS)
        self._stream = stream = HeadedStream(self._source, self.state.head, self.state.base, self._label())
        # libhdf5 asks for some 20 pieces to open a file: without a step of the interpreter for each it is there sooner.
        self.seek, self.tell, self.readinto = stream.seek, stream.tell, stream.readinto  # type: ignore[method-assign]

    def __reduce__(self) -> tuple[Any, ...]:  # type: ignore[override]
        return _reopened, (self.name, self.state, self._trust)

    def __repr__(self) -> str:
        return f"<state {self.state.number} of {self.name}>"

    # ------------------------------------------------------------ a raw stream

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor of the file as it is now; for its first bytes see `read_into`."""
        self._check_open()
        return self._descriptor

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, as in any stream.

        Parameters
        ----------
        offset : int
            Bytes from there.
        whence : int
            0: the beginning; 1: where it is; 2: the end.

        Returns
        -------
        int
            The place.

        Raises
        ------
        ValueError
            For a place before the beginning.
        """
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """As of any stream."""
        return self._stream.tell()

    def readinto(self, buffer: Buffer) -> int:
        """Fill a buffer as far as the file goes.

        Parameters
        ----------
        buffer : buffer
            Writable bytes.

        Returns
        -------
        int
            How many were filled.
        """
        return self._stream.readinto(buffer)

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill a buffer with the bytes from `offset` on: as the file was, at the superblock.

        Parameters
        ----------
        offset : int
            The first byte.
        view : memoryview
            To be filled.
        """
        self._stream.read_into(offset, view)

    def check(self) -> None:
        """Find out whether this is still a state of the file, which nobody but edits has changed.

        Raises
        ------
        StaleFileError
            Where it is not.
        """
        self._check_open()
        (head_at, head), (behind_at, behind) = self._seen
        if self._source.holds(head_at, head) and self._source.holds(behind_at, behind):
            return
        history = History(self._descriptor, self.name, trust=self._trust)
        if not history.holds(self.state):
            raise StaleFileError(self.name)
        self._seen = history.witness()

    def close(self) -> None:
        """Let the file go."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._stream.close()
            os.close(descriptor)
        super().close()

    def _label(self) -> str:
        return f"state {self.state.number} of {self.name}"

    def _check_open(self) -> None:
        if self._descriptor < 0:
            raise ValueError(f"{self._label()} was closed")


def _reopened(path: str, state: HistoryState, trust: bool) -> StateFile:
    return StateFile(path, state.number, trust=trust, expected=state)


def file_at(path: str | os.PathLike[str], at: At = -1, *, trust: bool = False) -> StateFile:
    """An earlier state of a file as a read-only file object, for whatever reads HDF5 files from such objects.

    Parameters
    ----------
    path
        Of a file that was edited (see `log`).
    at
        The state: its number (negative: from the newest, which is -1), a `Commit` of its `log`, or a time: a datetime
        with a zone, or ISO text (UTC where it names none), for the state that was the newest then.
    trust
        As of `log`.

    Returns
    -------
    StateFile
        Close it, or use it in a `with` block; it is pickled as path and state.

    Raises
    ------
    LookupError
        There is no such state, or none any more; the message says why.
    TypeError, ValueError
        For what names no state.
    CorruptFileError, OSError
        For a file, or a record of its history, that cannot be read.

    Examples
    --------
    >>> import numpy as np, h5burst, h5py
    >>> h5burst.save("edited.h5", {"a": np.arange(3)}, overwrite=True)
    >>> with h5burst.edit("edited.h5") as tx:
    ...     tx.remove("a")
    True
    >>> h5py.File(h5burst.file_at("edited.h5", 0))["a"][:]
    array([0, 1, 2])
    """
    return StateFile(os.path.abspath(path), at, trust=trust)


def located(path: FileLike, at: At | None) -> FileLike:
    """The file, or the state of it that is asked for."""
    return path if at is None else file_at(_as_path(path), at)


@contextlib.contextmanager
def located_meanwhile(path: FileLike, at: At | None) -> Iterator[FileLike]:
    """As `located`, until the end of the block."""
    if at is None:
        yield path
        return
    with file_at(_as_path(path), at) as stream:
        yield stream


def _as_path(path: FileLike) -> str | os.PathLike[str]:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"earlier states are those of a file at a path, not of {type(path).__name__}")
    return path
