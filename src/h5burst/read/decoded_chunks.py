"""The chunks that were decoded last, for arrays that are read in small parts, such as row after row."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeAlias

from h5burst._ext.h5parse import ProcessLock
from h5burst.runtime.buffers import Bytes

Key: TypeAlias = "tuple[int, int]"  # which dataset's chunk, and its number

MAX_BYTES = 8 << 20  # of all chunks that are kept
MAX_OF_ONE = 2 << 20


class DecodedChunks:
    """Chunks of one file by dataset and number; those that were not used for longest go first."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._chunks: OrderedDict[Key, Bytes] = OrderedDict()
        self._lock = ProcessLock()

    def get(self, key: Key) -> Bytes | None:
        """A chunk that is kept; it must not be written to."""
        with self._lock.of_this_process():
            chunk = self._chunks.get(key)
            if chunk is not None:
                self._chunks.move_to_end(key)
            return chunk

    def get_all(self, dataset: int, numbers: Iterable[int]) -> list[Bytes | None]:
        """As `get`, several chunks of a dataset."""
        chunks = self._chunks
        with self._lock.of_this_process():
            found = [chunks.get((dataset, number)) for number in numbers]
            for number, chunk in zip(numbers, found, strict=True):
                if chunk is not None:
                    chunks.move_to_end((dataset, number))
        return found

    def put(self, key: Key, chunk: Bytes) -> None:
        """Keep a chunk, if there is room for it at all."""
        if chunk.nbytes > min(MAX_OF_ONE, self._max_bytes):
            return
        with self._lock.of_this_process():
            if key not in self._chunks:
                self._chunks[key] = chunk
                self._bytes += chunk.nbytes
            while self._bytes > self._max_bytes:
                self._bytes -= self._chunks.popitem(last=False)[1].nbytes
