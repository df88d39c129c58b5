"""Rows added to the end of an existing dataset: new chunks, and an index that keeps what it knows of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from h5burst import codecs
from h5burst._ext.h5parse import Dataset, Kind
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


def _is_applied_here(filters: Sequence[codecs.Filter]) -> bool:
    """True where a pipeline is of the form that is written here: shuffle, one codec, checksum; each may be missing."""
    left = [step.id for step in filters]
    if left[:1] == [codecs.SHUFFLE]:
        del left[0]
    if left[-1:] == [codecs.FLETCHER32]:
        del left[-1]
    return len(left) <= 1 and all(codecs.by_id(number) is not None for number in left)


class AppendableDataset:
    """A dataset of the file that rows are appended to. Raises `NeedsLibhdf5Error` for one that only libhdf5 extends."""

    def __init__(self, file: EditedFile, address: int, where: str) -> None:
        try:
            self._source = file.reader.source
            self._dataset: Dataset = file.reader.parser.dataset(address)
            self._elements = Elements(self._dataset)
            if self._elements.layout_class != data_layout.CHUNKED or self._dataset.type.kind != Kind.PLAIN:
                raise NeedsLibhdf5Error("a dataset that is not chunked, or holds text")
            if self._dataset.layout[0] not in (4, 5) or self._dataset.type.subshape:
                raise NeedsLibhdf5Error("an index of chunks of the older kind")
            self._plan = self._elements.plan
        except UnsupportedFeatureError as error:
            raise NeedsLibhdf5Error(str(error)) from error
        if not _is_applied_here(self._plan.filters):
            raise NeedsLibhdf5Error("filters that only libhdf5 applies")
        self.dtype, self.shape, self._where = self._dataset.type.dtype, self._elements.shape, where

    def check(self, rows: Any, waiting: int) -> None:
        """Raise `ValueError` unless these rows fit after those of the dataset and `waiting` others."""
        check_rows(rows, self.shape, self.dtype, self._where)
        limit = self._dataset.limits[0]
        if limit != UNDEFINED and self.shape[0] + waiting + rows.shape[0] > limit:
            raise too_long(self._where, limit)

    def append(self, writer: TreeWriter, header: ObjectHeader, parts: list[Any], threads: int | None) -> None:
        """Write the chunks that hold the rows, and change the header's messages accordingly."""
        plan, rows = self._plan, self.shape[0]
        per_chunk = plan.chunks[0]
        first = rows // per_chunk * per_chunk
        places = (range(first, rows), *map(range, self.shape[1:]))
        kept = self._elements.read(self._source, places).view(self.dtype) if first < rows else None
        parts = parts if kept is None else [kept, *parts]
        tail = parts[0] if len(parts) == 1 else Joined(parts)
        new_plan = chunks.ChunkPlan(tail.shape, self.dtype, plan.chunks, plan.filters, self._elements.fill)
        entries = chunked.store_chunks(writer, tail, new_plan, threads)
        put = chunk_tree.records_of_grid(entries, new_plan, first // per_chunk)
        total = first + tail.shape[0]
        address = self._index(writer, put)
        header.replace(oh.DATA_LAYOUT, Message(oh.DATA_LAYOUT, 0, chunk_tree.layout_message(plan, address)))
        space = header.first(oh.DATASPACE)
        if space is None or space.flags & oh.SHARED:
            raise NeedsLibhdf5Error("a shared dataspace")
        header.replace(oh.DATASPACE, space._replace(body=dataspace.with_length(space.body, total)))

    def _index(self, writer: TreeWriter, put: list[bytes]) -> int:
        layout, kind = self._elements.layout, chunk_tree.kind(self._plan)
        key = chunk_tree.coordinates_of(len(self.shape))
        is_whole = not layout.plain_edges  # else records do not say by themselves which chunks are without filters
        if is_whole and layout.kind == data_layout.BTREE2 and layout.address != UNDEFINED:
            tree = btree2_update.Index(self._source, layout.address, kind, key)
            is_ours = tree.header.shape.node_bytes == btree2_update.NODE_BYTES  # which the layout message repeats
            new = (
                tree.updated(writer.append, put) if is_ours and len(put[0]) == tree.header.shape.record_bytes else None
            )
            if new is not None:
                return new
        records = {key(record): record for record in [*self._known(), *put]}
        return btree2_update.write(writer.append, kind, [records[place] for place in sorted(records)])

    def _known(self) -> list[bytes]:
        """Records of all chunks that are there."""
        found = self._elements.index(self._source)
        if not len(found.numbers):
            return []
        entries = zip(found.addresses.tolist(), found.sizes.tolist(), found.masks.tolist(), strict=True)
        places = np.stack(np.unravel_index(found.numbers, self._plan.grid), axis=1)
        return chunk_tree.records(list(entries), places, chunk_tree.size_width(self._plan))


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
