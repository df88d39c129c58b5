"""Rows added to the end of an existing dataset: new chunks, and an index that keeps what it knows of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from h5burst import codecs
from h5burst._ext.h5parse import Kind
from h5burst.arrays import chunks
from h5burst.format import btree2_update, chunk_tree, data_layout, dataspace
from h5burst.format import object_header as oh
from h5burst.format.constants import UNDEFINED
from h5burst.format.object_header import Message, ObjectHeader
from h5burst.model.errors import UnsupportedFeatureError
from h5burst.read.elements import Elements
from h5burst.write import chunked
from h5burst.write.changes import Joined
from h5burst.write.edited_file import EditedFile
from h5burst.write.native import NeedsLibhdf5Error

if TYPE_CHECKING:
    from h5burst._ext.h5emit import TreeWriter


_KEPT_BYTES = 1 << 20  # of the last rows of a dataset


def _is_applied_here(filters: Sequence[codecs.Filter]) -> bool:
    """True where a pipeline is of the form that is written here: shuffle, one codec, checksum; each may be missing."""
    left = [step.id for step in filters]
    if left[:1] == [codecs.SHUFFLE]:
        del left[0]
    if left[-1:] == [codecs.FLETCHER32]:
        del left[-1]
    return len(left) <= 1 and all(codecs.by_id(number) is not None for number in left)


class AppendableDataset:
    """A dataset of the file that rows are appended to. Raises `NeedsLibhdf5Error` for one that only libhdf5 extends.

    After a commit, the one that `append` gives is that of the dataset as it is then.
    """

    def __init__(self, file: EditedFile, address: int) -> None:
        self._source = file.source
        try:
            elements = self._read_elements(file, address)
            dataset = elements.dataset
            if elements.layout_class != data_layout.CHUNKED or dataset.type.kind != Kind.PLAIN:
                raise NeedsLibhdf5Error("a dataset that is not chunked, or holds text")
            if dataset.layout[0] not in (4, 5) or dataset.type.subshape:
                raise NeedsLibhdf5Error("an index of chunks of the older kind")
            plan, fill = elements.plan, elements.fill
        except UnsupportedFeatureError as error:
            raise NeedsLibhdf5Error(str(error)) from error
        if not _is_applied_here(plan.filters):
            raise NeedsLibhdf5Error("filters that only libhdf5 applies")
        self.dtype, self.shape, self._limit = dataset.type.dtype, elements.shape, dataset.limits[0]
        self._plan = chunks.ChunkPlan(self.shape, self.dtype, plan.chunks, plan.filters, fill)
        self._key = chunk_tree.coordinates_of(len(self.shape))
        self._tail: np.ndarray[Any, Any] | None = None  # the rows of the last, incomplete chunks, where they are known
        self._tree: btree2_update.Index | None = None
        self._layout = chunk_tree.layout_message(self._plan, UNDEFINED)
        self._is_by_rows = chunked.is_stored_by_rows(self._plan)
        self._size_width = chunk_tree.size_width(self._plan)

    def _read_elements(self, file: EditedFile, address: int) -> Elements:
        self._elements: Elements | None = Elements(file.reader.parser.dataset(address))
        return self._elements

    def _index_of(self, elements: Elements) -> btree2_update.Index | None:
        """The index of chunks, where it is one that can be extended."""
        layout = elements.layout
        if layout.plain_edges:  # records do not say by themselves which chunks are without filters
            return None
        if layout.kind != data_layout.BTREE2 or layout.address == UNDEFINED:
            return None
        tree = btree2_update.Index(self._source, layout.address, chunk_tree.kind(self._plan), self._key)
        # The layout message repeats the size of nodes.
        return tree if tree.header.shape.node_bytes == btree2_update.NODE_BYTES else None

    def check(self, rows: Any, waiting: int, where: str) -> None:
        """Raise `ValueError` unless these rows fit after those of the dataset and `waiting` others."""
        check_rows(rows, self.shape, self.dtype, where)
        if self._limit != UNDEFINED and self.shape[0] + waiting + rows.shape[0] > self._limit:
            raise too_long(where, self._limit)

    def append(
        self,
        file: EditedFile,
        address: int,
        writer: TreeWriter,
        header: ObjectHeader,
        parts: list[Any],
        threads: int | None,
    ) -> AppendableDataset:
        """Write the chunks that hold the rows, and change the header's messages accordingly.

        address: of the dataset as it is.
        """
        plan, rows = self._plan, self.shape[0]
        per_chunk = plan.chunks[0]
        first = rows // per_chunk * per_chunk
        parts = parts if first == rows else [self._last_rows(file, address, first), *parts]
        tail = parts[0] if len(parts) == 1 else Joined.of(parts)
        if self._is_by_rows and isinstance(tail, np.ndarray) and tail.shape[0] <= per_chunk:
            corner = (first // per_chunk, *[0] * (len(self.shape) - 1))
            put = [chunk_tree.record(chunked.store_band(writer, tail, plan), corner, self._size_width)]
        else:
            new_plan = chunks.ChunkPlan(tail.shape, self.dtype, plan.chunks, plan.filters, plan.fill)
            entries = chunked.store_chunks(writer, tail, new_plan, threads)
            put = chunk_tree.records_of_grid(entries, new_plan, first // per_chunk)
        total = first + tail.shape[0]
        grown = AppendableDataset.__new__(AppendableDataset)
        grown.__dict__.update(self.__dict__)
        grown.shape = (total, *self.shape[1:])
        grown._elements, grown._tail = None, _last_chunk(tail, total % per_chunk)
        index = self._extended(file, address, writer, put, grown)
        header.replace(oh.DATA_LAYOUT, Message(oh.DATA_LAYOUT, 0, chunk_tree.leading_to(self._layout, index)))
        space = header.first(oh.DATASPACE)
        if space is None or space.flags & oh.SHARED:
            raise NeedsLibhdf5Error("a shared dataspace")
        header.replace(oh.DATASPACE, space._replace(body=dataspace.with_length(space.body, total)))
        return grown

    def _last_rows(self, file: EditedFile, address: int, first: int) -> np.ndarray[Any, Any]:
        if self._tail is not None:
            return self._tail
        elements = self._elements or self._read_elements(file, address)
        places = (range(first, self.shape[0]), *map(range, self.shape[1:]))
        return elements.read(self._source, places).view(self.dtype)

    def _extended(
        self, file: EditedFile, address: int, writer: TreeWriter, put: list[bytes], grown: AppendableDataset
    ) -> int:
        """The address of an index with these records."""
        tree, grown._tree = self._tree, None
        if tree is None:
            tree = self._index_of(self._elements or self._read_elements(file, address))
        if tree is not None and len(put[0]) == tree.header.shape.record_bytes:
            grown._tree = tree.updated(writer.append, put)
            if grown._tree is not None:
                return grown._tree.address
        elements = self._elements or self._read_elements(file, address)
        records = {self._key(record): record for record in [*self._known(elements), *put]}
        in_order = [records[number] for number in sorted(records)]
        return btree2_update.write(writer.append, chunk_tree.kind(self._plan), in_order)

    def _known(self, elements: Elements) -> list[bytes]:
        """Records of all chunks that are there."""
        index = elements.index(self._source)
        if not len(index.numbers):
            return []
        entries = zip(index.addresses.tolist(), index.sizes.tolist(), index.masks.tolist(), strict=True)
        places = np.stack(np.unravel_index(index.numbers, elements.plan.grid), axis=1)
        return chunk_tree.records(list(entries), places, chunk_tree.size_width(self._plan))


def _last_chunk(rows: Any, count: int) -> np.ndarray[Any, Any] | None:
    """The last `count` of some rows, where they are few enough to be kept in memory until the next edit."""
    if not count or not isinstance(rows, np.ndarray) or rows[:1].nbytes * count > _KEPT_BYTES:
        return None
    last: np.ndarray[Any, Any] = rows[-count:].copy()
    return last


def too_long(where: str, limit: int) -> ValueError:
    """The error for more rows than a dataset was made for."""
    return ValueError(f"{where} holds at most {limit} rows: write it with Storage(maxshape=(None, …))")


def check_rows(rows: Any, shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
    """Raise `ValueError` unless rows have the dtype of a dataset and its shape but for their number."""
    if not shape:
        raise ValueError(f"{where} is a scalar: nothing can be appended to it")
    if tuple(rows.shape[1:]) != tuple(shape[1:]) or len(rows.shape) != len(shape):
        raise ValueError(f"rows of shape {tuple(rows.shape)} cannot be appended to {where} of shape {tuple(shape)}")
    if np.dtype(rows.dtype) != dtype:
        raise ValueError(
            f"rows of dtype {rows.dtype} cannot be appended to {where} of dtype {dtype}: convert them first"
        )
