"""The writer of one edit: it checks nodes while they are put, and writes them when the edit is committed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from h5burst.model.tree import Node, Storage
from h5burst.write.native import make_writer
from h5burst.write.sink import Sink

if TYPE_CHECKING:
    from h5burst._ext.h5emit import TreeWriter


class EditWriter:
    """storage: of arrays that name none. threads: for the filters of large arrays."""

    def __init__(self, storage: Storage | None, threads: int | None) -> None:
        self._storage, self.threads = storage, threads
        self._sink = Sink(os.devnull, True, threads)
        self._made: TreeWriter | None = None

    def _writer(self) -> TreeWriter:
        if self._made is None:
            self._made = make_writer(self._sink, self._storage, self.threads)
        return self._made

    def check(self, node: Node) -> None:
        """Raise `NeedsLibhdf5Error` for what only libhdf5 writes. Counts how many names nodes have."""
        self._writer().preflight(node)

    def check_attributes(self, attrs: dict[str, Any]) -> None:
        """As `check`, for attributes."""
        self._writer().preflight_attributes(attrs)

    def writing_to(self, stream: io.FileIO, address: int, before: Callable[[int], None]) -> _Writing:
        """A block with the writer, from an address on, where the stream is; once. before: as of `Sink`."""
        writer = self._writer()
        self._sink.to(stream, before)
        writer.start_at(address)
        writer.share_names(writer)  # all that is written is checked
        return _Writing(self._sink, writer)


class _Writing:
    """In a `with` block: the writer, whose thread and sink end with it."""

    __slots__ = ("_sink", "_writer")

    def __init__(self, sink: Sink, writer: TreeWriter) -> None:
        self._sink, self._writer = sink, writer

    def __enter__(self) -> TreeWriter:
        return self._writer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.close()
        finally:
            self._sink.__exit__(kind, error, trace)
