"""Edits of an HDF5 file that happen whole or not at all.

Nothing that is in the file is overwritten: new objects, and new headers of the groups on the way to them, are written
after its end, and the superblock is switched to them in one write. See `docs/transactions.md`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import numpy as np

from h5burst.codecs import check_codec
from h5burst.model.errors import CorruptFileError, UnsupportedFeatureError, naming_file
from h5burst.model.source import is_source
from h5burst.model.tree import Array, Group, Node, Storage, escape_link, path_names
from h5burst.read.lazy import open_tree
from h5burst.runtime.threads import thread_count
from h5burst.write.appendable import AppendableDataset, check_rows
from h5burst.write.changes import REMOVED, Joined, ObjectChange, Removed, merged_attributes, overlaid
from h5burst.write.commit import commit
from h5burst.write.copied_edit import CopiedEdit
from h5burst.write.edit_writer import EditWriter
from h5burst.write.edited_file import EditedFile
from h5burst.write.native import NeedsLibhdf5Error
from h5burst.write.notes import EditNote, note_of
from h5burst.write.preflight import check_attributes, validated

Path = tuple[str, ...]
_Holder = ObjectChange | Group | Array
_DEEPEST = 256  # groups on the way to a change, each of which is rewritten by a call inside a call


def edit(
    path: str | os.PathLike[str],
    message: str | None = None,
    *,
    wait: float = 0,
    history: bool = True,
    flush: bool = True,
    storage: Storage | None = None,
    threads: int | None = None,
) -> Transaction:
    """A transaction on an HDF5 file, for use in a `with` block.

    Leaving the block commits; an exception, a kill or a full disk leaves the file as it was.

    Parameters
    ----------
    path
        An existing HDF5 file, written by any program.
    message
        What the edit is for, at most 4 KiB of UTF-8: `log` shows it. Who gets the file can read it.
    wait
        Seconds for which it is tried again where others have the file open for writing.
    history
        Whether the commit leaves a record, so that the state before it can be read and restored. Without one, earlier
        states of the file are not offered any more. With `H5BURST_HISTORY=0` no edit leaves one.
    flush
        Whether to wait until the disk has the bytes. Without, an edit takes a fraction of the time, and a kill still
        leaves the old or the new file; a power cut soon after may leave one that cannot be read.
    storage
        How arrays are stored that name nothing themselves (None: uncompressed).
    threads
        For the filters of large arrays (None: as many as this process may use).

    Raises
    ------
    BlockingIOError
        Another transaction, or another program, has the file open for writing, also at the end of `wait`. Readers do
        not matter.
    TypeError, ValueError
        For a message or a waiting time that cannot be.
    CorruptFileError, UnfinishedFileError, OSError
        The file cannot be read, or an interrupted writer has left it; the message says what to do.

    Returns
    -------
    Transaction
        With `put`, `set_attributes`, `remove`, `append` and `tree`.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("recording.h5", {"units": {"unit_001": {}, "unit_007": {}}}, overwrite=True)
    >>> with h5burst.edit("recording.h5") as tx:
    ...     tx.put(("units", "unit_001", "features"), h5burst.Array(np.arange(3)))
    ...     tx.set_attributes(("units",), {"reviewed": True})
    ...     tx.remove(("units", "unit_007"))
    True
    """
    return Transaction(path, message, wait=wait, history=history, flush=flush, storage=storage, threads=threads)


class Transaction:
    """An edit, as `edit` gives it. Its methods check their arguments at once; nothing is written before the block ends.

    For one thread at a time, in the process that began it. A path is a tuple of logical names, or one text with "/"
    between them; () is the root.

    Attributes
    ----------
    way : str
        "append": new bytes after the file's end; "copy": libhdf5 edits a copy, which then replaces the file.
    reason : str
        Why the way is "copy", and why a commit leaves no history where it should.
    path : str
        Of the file.
    message : str, optional
        What `log` will say of it; may be set until the block ends.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("edited.h5", {"a": np.arange(3)}, overwrite=True)
    >>> with h5burst.edit("edited.h5") as tx:
    ...     tx.put(("b",), h5burst.Array(np.arange(4)))
    ...     sorted(tx.tree().children)
    ['a', 'b']
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        message: str | None = None,
        *,
        wait: float = 0,
        history: bool = True,
        flush: bool = True,
        storage: Storage | None = None,
        threads: int | None = None,
    ) -> None:
        thread_count(threads)  # a number that cannot be is refused before anything is done
        self._keeps_history, self._message, self._note = history, message, note_of(message, history)
        self._flush = flush
        self.path = os.fspath(path)
        self._storage, self._threads = storage, threads
        if not isinstance(storage, (Storage, type(None))):
            raise TypeError(f"storage must be a Storage, such as Storage('gzip'), not {storage!r}")
        if storage is not None:
            check_codec(storage)
        self._file = EditedFile(path, wait=wait)
        self._is_open = True
        self._copied: CopiedEdit | None = None
        self.reason = ""
        try:
            self._begin()
        except BaseException:
            self._close()
            raise

    def _begin(self) -> None:
        """Take up what the file is now: at first, and after each commit."""
        self._writer = EditWriter(self._storage, self._threads)
        self._log: list[tuple[str, Any]] = []  # all requests, in case they must be repeated in a copy
        self._owned: dict[int, Group] = {}  # groups that were made here, not given by the caller
        self._root: ObjectChange | None = None
        if self._file.copy_reason is not None:
            self._copy(self._file.copy_reason)
        else:
            self._or_copy(self._look_at_root)

    @property
    def way(self) -> str:
        """The way in which the file is edited.

        "append": new bytes after its end, in a time that depends on what changes. "copy": libhdf5 edits a copy, which
        then replaces the file, because of what `reason` says.
        """
        return "append" if self._copied is None else "copy"

    @property
    def message(self) -> str | None:
        """The message for `log`; may be set until the block ends. Raises as `edit` does for what is no message."""
        return self._message

    @message.setter
    def message(self, message: str | None) -> None:
        self._check_open()
        self._note = note_of(message, self._keeps_history)
        self._message = message

    # ------------------------------------------------------------ edits

    def put(self, path: str | Path, node: Node) -> None:
        """Create or replace what is at a path; missing groups on the way are made.

        Parameters
        ----------
        path : str or tuple of str
            As stored, or logical names one by one; at least one name.
        node : Group or Array
            Its data may be array sources, which are read when the block ends, those of this very file included; what
            else it holds must not be changed until then.

        Raises
        ------
        UnsupportedValueError
            For what HDF5 cannot hold.
        ValueError
            For an empty path, and after the block's end.
        OSError
            Where a dataset is in the way.
        """
        self._check_open()
        names = path_names(path)
        if not names:
            raise ValueError("put needs the name of the node: the path is empty")
        node = validated(node, storage=self._storage, path=names, target=self.path)
        self._do("put", (names, node), lambda: self._put(names, node))

    def set_attributes(self, path: str | Path, attrs: Mapping[str, object]) -> None:
        """Set attributes of the object at a path. Others stay; None removes one.

        Parameters
        ----------
        path : str or tuple of str
            Of a group or dataset.
        attrs : Mapping
            By name, as of `Group`.

        Raises
        ------
        KeyError
            Where there is no such object.
        UnsupportedValueError
            For what HDF5 cannot hold.
        """
        self._check_open()
        names = path_names(path)
        check_attributes(attrs, names)
        kept = dict(attrs)
        self._do("set_attributes", (names, kept), lambda: self._set_attributes(names, kept))

    def remove(self, path: str | Path) -> bool:
        """Remove the object at a path with everything below it.

        Parameters
        ----------
        path : str or tuple of str
            At least one name.

        Returns
        -------
        bool
            False where there is no such object.
        """
        self._check_open()
        names = path_names(path)
        if not names:
            raise ValueError("remove needs the name of the node: the path is empty")
        return bool(self._do("remove", (names,), lambda: self._remove(names)))

    def append(self, path: str | Path, rows: Any) -> None:
        """Append rows to a dataset that may grow along its first axis (`Storage(maxshape=(None, …))`).

        Parameters
        ----------
        path : str or tuple of str
            Of the dataset.
        rows : numpy.ndarray or ArraySource
            Shape (rows, *shape[1:]), of the dataset's dtype.

        Raises
        ------
        KeyError
            Where there is no such object.
        ValueError
            For a dataset or rows that do not fit.
        """
        self._check_open()
        names = path_names(path)
        given = rows if is_source(rows) else np.asanyarray(rows)
        self._do("append", (names, given), lambda: self._append(names, given))

    # ------------------------------------------------------------ reading

    def tree(self) -> Group:
        """The whole file as it will be, lazily read: what is not changed comes from the file."""
        self._check_open()
        if self._copied is not None:
            return self._copied.tree()
        tree = overlaid(self._change(), open_tree(self._file.path))
        if not isinstance(tree, Group):
            raise CorruptFileError(self.path, "the root is not a group")
        return tree

    def __getitem__(self, path: str | Path) -> Node:
        """The node at a path as it will be; `KeyError` where there is none."""
        return self.tree()[path]

    def __contains__(self, path: str | Path) -> bool:
        return path in self.tree()

    # ------------------------------------------------------------ the two ways

    def _do(self, verb: str, arguments: tuple[Any, ...], work: Callable[[], Any]) -> Any:
        """Note an edit where the file can be appended to, else make it in the copy."""
        if self._copied is None:
            try:
                if len(arguments[0]) > _DEEPEST:
                    raise NeedsLibhdf5Error(f"more than {_DEEPEST} groups inside each other")
                with self._naming_damage():
                    result = work()
                self._log.append((verb, arguments))
                return result
            except NeedsLibhdf5Error as reason:
                self._copy(str(reason))
        return getattr(self._copied, verb)(*arguments)

    def _or_copy(self, work: Callable[[], None]) -> None:
        try:
            with self._naming_damage():
                work()
        except NeedsLibhdf5Error as reason:
            self._copy(str(reason))

    def _naming_damage(self) -> _NamingDamage:
        return _NamingDamage(self.path)

    def _copy(self, reason: str) -> None:
        """Make what was asked for so far in a copy of the file."""
        self.reason = reason
        self._copied = CopiedEdit(self._file.path, self._storage, self._threads)
        for verb, arguments in self._log:
            getattr(self._copied, verb)(*arguments)
        self._log.clear()

    def _look_at_root(self) -> None:
        self._root = ObjectChange(self._file.look_up(self._file.start.root))

    def _change(self) -> ObjectChange:
        if self._root is None:
            raise CorruptFileError(self.path, "it has no root")
        return self._root

    # ------------------------------------------------------------ by appending

    def _put(self, path: Path, node: Node) -> None:
        self._writer.check(node)
        holder = self._group(path[:-1])
        holder.children[path[-1]] = node

    def _group(self, path: Path) -> ObjectChange | Group:
        """The group at a path, made where it is missing."""
        holder: ObjectChange | Group = self._change()
        for number, name in enumerate(path):
            child = self._child(holder, name)
            if child is None:
                child = self._own(Group())
                holder.children[name] = child
            if isinstance(child, Array) or (isinstance(child, ObjectChange) and child.existing.links is None):
                where = "/".join(path[: number + 1])
                raise OSError(f"/{where} in {self.path} is a dataset, not a group: remove it first")
            holder = child
        return holder

    def _child(self, holder: ObjectChange | Group, name: str) -> _Holder | None:
        """A child that may be changed from here on; None where there is none."""
        child = holder.children.get(name)
        if isinstance(child, Removed):
            return None
        if isinstance(child, Group) and id(child) not in self._owned:
            child = self._own(Group(dict(child.children), dict(child.attrs), dict(child.links), child.track_order))
            holder.children[name] = child
        if child is not None or isinstance(holder, Group):
            return child
        if holder.existing.links is None:
            return None
        link = holder.existing.links.find(escape_link(name).encode())
        if link is None:
            return None
        if link.address is None:
            raise NeedsLibhdf5Error(f"a soft or external link on the way ({name})")
        change = ObjectChange(self._file.look_up(link.address))
        holder.children[name] = change
        return change

    def _own(self, group: Group) -> Group:
        self._owned[id(group)] = group
        return group

    def _object(self, path: Path) -> tuple[ObjectChange | Group | None, _Holder]:
        """The object at a path and what holds it. `KeyError` where there is none."""
        holder: ObjectChange | Group | None = None
        target: _Holder | None = self._change()
        for name in path:
            if isinstance(target, Array) or target is None:
                raise KeyError(f"nothing at /{'/'.join(path)} in {self.path}")
            holder, target = target, self._child(target, name)
        if target is None:
            raise KeyError(f"nothing at /{'/'.join(path)} in {self.path}")
        return holder, target

    def _set_attributes(self, path: Path, attrs: dict[str, Any]) -> None:
        self._writer.check_attributes({name: value for name, value in attrs.items() if value is not None})
        holder, target = self._object(path)
        if isinstance(target, ObjectChange):
            target.attrs.update(attrs)
        elif isinstance(target, Group):
            target.attrs = merged_attributes(target.attrs, attrs)
        elif holder is not None:
            holder.children[path[-1]] = Array(target.data, merged_attributes(target.attrs, attrs), target.storage)

    def _remove(self, path: Path) -> bool:
        try:
            _, holder = self._object(path[:-1])
        except KeyError:
            return False
        if isinstance(holder, Array):
            return False
        name = path[-1]
        if isinstance(holder, Group):
            return holder.children.pop(name, None) is not None
        child, links = holder.children.get(name), holder.existing.links
        if isinstance(child, Removed) or links is None:
            return False
        in_file = links.find(escape_link(name).encode()) is not None
        if in_file:
            holder.children[name] = REMOVED
        elif child is not None:
            del holder.children[name]
        return in_file or child is not None

    def _append(self, path: Path, rows: Any) -> None:
        holder, target = self._object(path)
        where = f"/{'/'.join(path)}"
        if isinstance(target, ObjectChange):
            if not target.existing.is_dataset:
                raise ValueError(f"{where} is not a dataset")
            growing: AppendableDataset | None = self._file.growing.get(target.existing.address)
            if growing is None:
                growing = AppendableDataset(self._file, target.existing.address)
                self._file.growing[target.existing.address] = growing
            growing.check(rows, sum(part.shape[0] for part in target.rows), where)
            if rows.shape[0]:
                target.rows.append(rows)
            return
        if not isinstance(target, Array) or holder is None or target.data is None:
            raise ValueError(f"{where} is not a dataset that rows can be appended to")
        check_rows(rows, target.data.shape, np.dtype(target.data.dtype), where)
        storage = target.storage or Storage()
        limit = None if storage.maxshape is None else storage.maxshape[0]
        if storage.maxshape is None or (limit is not None and target.data.shape[0] + rows.shape[0] > limit):
            raise ValueError(f"{where} may not grow so far: write it with Storage(maxshape=(None, …))")
        holder.children[path[-1]] = Array(Joined.of([target.data, rows]), target.attrs, target.storage)

    # ------------------------------------------------------------ the end

    def commit(self, message: str | None = None) -> None:
        """Commit what was asked for so far, and go on: the file stays open and locked for the next changes.

        Each commit is a whole one: readers and `follow` see it, `log` lists it, and what fails later leaves it. The
        end of the block commits the rest. It does nothing where nothing was changed since the last one.

        Parameters
        ----------
        message : str, optional
            Of this commit; None: that of the transaction.

        Raises
        ------
        TypeError, ValueError
            For what is no message, and after the block's end.
        OSError
            The file is edited as a copy (see `way`), which is committed at the block's end alone; what was asked for
            waits for that. Or the commit failed: the file is as the last one left it, and the transaction has ended.

        Examples
        --------
        >>> import numpy as np, h5burst
        >>> h5burst.save("live.h5", {}, overwrite=True)
        >>> with h5burst.edit("live.h5", "recording") as tx:
        ...     for number in range(3):
        ...         tx.put(f"block {number}", h5burst.Array(np.full(1000, number)))
        ...         tx.commit(f"block {number}")
        >>> [commit.message for commit in h5burst.log("live.h5")]
        ['block 2', 'block 1', 'block 0', None]
        """
        self._check_open()
        note = self._note if message is None else note_of(message, self._keeps_history)
        try:
            if self._copied is None:
                if self._change().is_empty:
                    return
                self._or_copy(lambda: self._append_all(note))
                if self._copied is None:
                    self._file.go_on()
                    self._begin()
                    return
        except BaseException as error:
            if self._copied is not None:
                self._copied.abandon(error)
            self._close()
            raise
        problem = f"is edited as a copy, which is committed at the end of its block alone ({self.reason})"
        raise OSError(errno.ENOTSUP, problem, self.path)

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_open:
            return
        try:
            if error is None:
                self._commit()
            elif self._copied is not None:
                self._copied.abandon(error)
        finally:
            self._close()

    def _commit(self) -> None:
        self._file.check_process()  # the copy, too, is the parent's
        if self._copied is None and self._change().is_empty:
            return
        try:
            if self._copied is None:
                self._or_copy(lambda: self._append_all(self._note))
            if self._copied is not None:
                self._file.check_unchanged()
                self._copied.commit(self.reason)
        except BaseException as error:
            if self._copied is not None:
                self._copied.abandon(error)
            raise

    def _append_all(self, note: EditNote | None) -> None:
        root = self._change()
        self.reason = commit(self._file, root, self._writer, note, flush=self._flush)

    def _close(self) -> None:
        self._is_open = False
        self._file.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise ValueError(f"the transaction on {self.path} has ended: begin another with h5burst.edit")
        self._file.check_process()


class _NamingDamage(naming_file):
    """Also what only libhdf5 knows, as `NeedsLibhdf5Error`."""

    __slots__ = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if isinstance(error, UnsupportedFeatureError):
            raise NeedsLibhdf5Error(str(error)) from error
