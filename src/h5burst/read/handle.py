"""A file that is read: where it is, which state of it is looked at, and what is known of it between two reads.

Every lazy node holds the handle of its file and an address. A handle may keep its file open from one read to the next:
for `h5burst.open` until it is closed, for all within a `keeping_open` block, a few files at a time. A kept file is
locked only while it is read, so that it can be written to by others in between; then, and when it is replaced, the next
read finds another stamp and raises `StaleFileError`. Windows replaces nothing that is open: there only blocks keep.
"""

from __future__ import annotations

import contextlib
import errno
import os
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from h5burst._ext.h5parse import KeptFile, ProcessLock, Reading
from h5burst.read.decoded_chunks import DecodedChunks
from h5burst.read.file_objects import FileObject, Location
from h5burst.read.open_file import OpenFile, OpenObject, Stamp

Target: TypeAlias = "int | bytes | tuple[bytes, bytes]"  # of a link: an address, a path, a file and a path

_MAX_KEPT = 8  # files: of each, a descriptor
_IS_WINDOWS = os.name == "nt"
_TOO_MANY = (errno.EMFILE, errno.ENFILE)


class State(NamedTuple):
    """The state of a file that is looked at: the newest, as its superblock says, or the one that an earlier edit left.

    root: address of the root group's header; base: where address 0 is; end: bytes from the file's beginning to where
    the state ends.
    """

    root: int
    base: int
    end: int


class FileHandle:
    """One file, or file object, as all that reads it shares it.

    location: where it is. stamp: which file that must be; None: whatever is there when it is first opened. state: which
    state of it is looked at; None: the newest one then. links: of groups that were looked into, by address. kept: the
    file, while it is kept open. misfits: what is wrong, by the path of the object where it was met, although all that
    is read is right.
    """

    __slots__ = ("__weakref__", "_chunks", "_holders", "kept", "links", "location", "misfits", "path", "stamp", "state")

    def __init__(self, location: Location, stamp: Stamp | None = None, state: State | None = None) -> None:
        then = location.state if isinstance(location, FileObject) else None
        if state is None and then is not None:
            state = State(then.root, then.base, then.end)
        self.location, self.stamp, self.state = location, stamp, state
        self.path = location if isinstance(location, str) else location.path
        self.links: dict[int, dict[str, Target]] = {}
        self.misfits: dict[str, str] = {}
        self._chunks: DecodedChunks | None = None
        self.kept: KeptFile | None = None
        self._holders = 0

    @property
    def chunks(self) -> DecodedChunks:
        """Chunks of it that were decoded last."""
        if self._chunks is None:
            self._chunks = DecodedChunks()
        return self._chunks

    @property
    def is_far(self) -> bool:
        """True where every request for bytes is slow: it is a file object."""
        return isinstance(self.location, FileObject)

    def open(self) -> Opened:
        """The file, open and locked for reading until it is closed. Raises `StaleFileError` where it is another one."""
        if isinstance(self.location, FileObject):
            file = OpenObject(self.location, self.stamp)
            self.stamp = file.stamp
            return file
        opened = self._borrow()
        if opened is not None:
            return opened
        new = _opened(self.location, self.stamp)
        if self.stamp is None:
            self.stamp = new.stamp
        return self._keep(new) or new

    def hold(self) -> None:
        """Keep the file open between reads until `release`, as far as the system allows that."""
        with _lock.of_this_process():
            self._holders += not _IS_WINDOWS

    def release(self) -> None:
        """Undo one `hold`."""
        with _lock.of_this_process():
            self._holders = max(0, self._holders - 1)
            if not self._is_held():
                self._drop()

    def _is_held(self) -> bool:
        return self._holders > 0 or bool(_blocks)

    # ------------------------------------------------------------ what is kept open

    def _borrow(self) -> Reading | None:
        """The file that is kept open, if it is still the one at the path, and nobody writes it."""
        kept = self.kept
        if kept is None:
            return None
        is_same = self._is_at_path() if _IS_WINDOWS else kept.is_at_path
        with _lock.of_this_process():
            if kept is not self.kept:
                return None
            if not is_same or not kept.is_here:
                self._drop()
                return None
            reading = kept.read(self)
            if reading is not None:
                _order.move_to_end(id(self))
            return reading

    def _is_at_path(self) -> bool:
        try:
            return Stamp.of(os.stat(self.path)) == self.stamp
        except OSError:
            return False

    def _keep(self, file: OpenFile) -> Reading | None:
        """Keep a file that was opened, if that is wanted; it stays locked until what is given here is closed."""
        with _lock.of_this_process():
            if not self._is_held() or self.kept is not None or file.locked_for_writing or file.stamp != self.stamp:
                return None
            kept = KeptFile(file.held, os.fsencode(file.path), file.stamp, file.is_locked)
            reading = kept.read(self)
            if reading is None:
                return None
            _order[id(self)] = weakref.ref(self)  # before it is kept: an interruption may come between
            self.kept = kept
            while len(_order) > _MAX_KEPT:
                oldest, reference = next(iter(_order.items()))
                _drop(reference)
                _order.pop(oldest, None)  # that of a handle whose `_drop` was interrupted
            return reading

    def _drop(self) -> None:
        """Keep the file no longer; it is closed when nobody reads it any more."""
        with _lock.of_this_process():
            kept, self.kept = self.kept, None
            _order.pop(id(self), None)
            if kept is not None:
                kept.forget()

    def __del__(self) -> None:
        if getattr(self, "kept", None) is not None:  # `__init__` may have been interrupted
            self._drop()

    def __reduce__(self) -> tuple[Any, ...]:
        return FileHandle, (self.location, self.stamp, self.state)


Opened: TypeAlias = "OpenFile | OpenObject | Reading"

_lock = ProcessLock()
_order: OrderedDict[int, weakref.ref[FileHandle]] = OrderedDict()  # handles that keep files, the longest unused first
_blocks: set[object] = set()  # of the `keeping_open` blocks that have begun


def _opened(path: str, expected: Stamp | None) -> OpenFile:
    try:
        return OpenFile(path, expected)
    except OSError as error:
        if error.errno not in _TOO_MANY or not _order:
            raise
    _drop_all()
    return OpenFile(path, expected)


def _drop(reference: weakref.ref[FileHandle], only_unheld: bool = False) -> None:
    handle = reference()
    if handle is not None and not (only_unheld and handle._is_held()):
        handle._drop()


def _drop_all(only_unheld: bool = False) -> None:
    with _lock.of_this_process():
        for reference in list(_order.values()):
            _drop(reference, only_unheld)


@contextlib.contextmanager
def keeping_open() -> Iterator[None]:
    """Files that are read lazily within the block are opened once, and closed at its end.

    For who reads many parts of lazy trees one after the other. A file that changes meanwhile is stale, as ever.

    Yields
    ------
    None

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("kept.h5", {"a": np.arange(3), "b": np.arange(4)}, overwrite=True)
    >>> tree = h5burst.read_tree("kept.h5", lazy=True)
    >>> with h5burst.keeping_open():
    ...     [int(np.sum(node.data)) for node in tree.children.values()]
    [3, 6]
    """
    block = object()
    try:
        _blocks.add(block)
        yield
    finally:
        _blocks.discard(block)
        with _lock.of_this_process():
            if not _blocks:
                _drop_all(only_unheld=True)
