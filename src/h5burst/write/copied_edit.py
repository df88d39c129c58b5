"""Edits that cannot be made by appending: of a copy, by libhdf5, and the copy replaces the file when it is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from h5burst.format import history, superblock
from h5burst.format.constants import LIBVER
from h5burst.model.errors import CorruptFileError, CorruptStructureError, UnsupportedFeatureError
from h5burst.model.source import as_source
from h5burst.model.tree import Group, Node, Storage, escape_attribute, escape_link
from h5burst.read.lazy import open_tree
from h5burst.runtime import durable
from h5burst.write import graft, heap_sums
from h5burst.write.appendable import check_rows, too_long

_ROWS_BYTES = 8 << 20
_MISTAKES = ("doesn't exist", "not found", "already exists")  # libhdf5's words about what the caller asked for
_LONGEST_REASON = 200  # characters


class CopiedEdit:
    """The same edits as a transaction's, made at once in a copy beside the file."""

    def __init__(self, path: Path, storage: Storage | None, threads: int | None) -> None:
        self._storage, self._threads = storage, threads
        self._stack = contextlib.ExitStack()
        self.path = path
        self._copy = self._stack.enter_context(durable.replacing(path, overwrite=True, edited=True))
        with self._or_nothing(), durable.annotating_oserror(path, "edit"):
            shutil.copyfile(path, self._copy)
            with self._open():
                pass

    @contextlib.contextmanager
    def _or_nothing(self) -> Any:
        """Remove the copy if the block fails."""
        try:
            yield
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise

    def _open(self) -> h5py.File:
        return h5py.File(self._copy, "r+", libver=LIBVER, locking=False)  # `replacing` holds the lock

    def _do(self, work: Callable[[h5py.File], Any]) -> Any:
        with durable.annotating_oserror(self.path, "edit"), self._naming_damage(), self._open() as file:
            return work(file)

    @contextlib.contextmanager
    def _naming_damage(self) -> Iterator[None]:
        """Turn h5py's errors about what libhdf5 cannot read into errors of the file."""
        try:
            yield
        except (KeyError, ValueError, RuntimeError) as error:
            message = str(error.args[0]) if error.args else ""
            if not message.startswith(("Unable to", "Can't")) or any(words in message for words in _MISTAKES):
                raise
            raise CorruptFileError(self.path, message) from error

    def put(self, path: tuple[str, ...], node: Node) -> None:
        self._do(lambda file: graft.graft(file, path, node, storage=self._storage, threads=self._threads))

    def set_attributes(self, path: tuple[str, ...], attrs: Mapping[str, Any]) -> None:
        def work(file: h5py.File) -> None:
            kept = {name: value for name, value in attrs.items() if value is not None}
            target = file["/".join(map(escape_link, path))] if path else file
            for name in attrs.keys() - kept.keys():
                if escape_attribute(name) in target.attrs:
                    del target.attrs[escape_attribute(name)]
            graft.write_attributes(target, kept)

        self._do(work)

    def remove(self, path: tuple[str, ...]) -> bool:
        return bool(self._do(lambda file: graft.remove(file, path)))

    def append(self, path: tuple[str, ...], rows: Any) -> None:
        source = as_source(rows)

        def work(file: h5py.File) -> None:
            dataset = file["/".join(map(escape_link, path))]
            where = "/" + "/".join(path)
            if not isinstance(dataset, h5py.Dataset):
                raise ValueError(f"{where} is not a dataset")
            check_rows(rows, dataset.shape, dataset.dtype, where)
            limit, start = dataset.maxshape[0], dataset.shape[0]
            if dataset.chunks is None or (limit is not None and start + rows.shape[0] > limit):
                raise too_long(where, start if limit is None else limit)
            dataset.resize(start + rows.shape[0], axis=0)
            step = max(1, _ROWS_BYTES // max(1, dataset.dtype.itemsize * dataset.size // max(1, dataset.shape[0])))
            for first in range(0, rows.shape[0], step):
                last = min(first + step, rows.shape[0])
                dataset[start + first : start + last] = source.read(first, last)

        self._do(work)

    def tree(self) -> Group:
        """The copy as it is now, lazily read."""
        return open_tree(self._copy)

    def commit(self, reason: str) -> None:
        """Put the copy in the place of the file. reason: why it is a copy, and so has no earlier states."""
        with durable.annotating_oserror(self.path, "edit"):
            heap_sums.keep_sums(self._copy)
            self._explain(reason)
        self._stack.close()

    def _explain(self, reason: str) -> None:
        """State behind the end of the copy why it has no history, where no reader looks."""
        with open(self._copy, "rb+", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            try:
                end = superblock.read_whole(stream.fileno(), size).end
            except (CorruptStructureError, UnsupportedFeatureError):
                return  # libhdf5 alone reads it: `log` says so anyway
            if end == size:
                stream.seek(end)
                stream.write(history.encode_trailer(None, 0, f"edited as a copy: {reason}"[:_LONGEST_REASON]))

    def abandon(self, error: BaseException) -> None:
        """Remove the copy."""
        with contextlib.suppress(type(error)):
            self._stack.__exit__(type(error), error, error.__traceback__)
