"""Few, large requests for files of which every request is slow: blocks that are kept, and runs of chunks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from h5burst._ext.h5parse import Source

Fetch: TypeAlias = "Callable[[int, int], bytes | memoryview]"  # the bytes [start, stop) of a file

BLOCK_BYTES = 1 << 16
MAX_AHEAD = 16  # blocks that one request fetches when a file is read from front to back
KEPT_BLOCKS = 256
DIRECT_BYTES = 1 << 18  # what is as long is not kept: its reader has it
REQUEST_BYTES = 16 << 20  # of one request at most
GAP_BYTES = 1 << 18  # between two chunks that one request fetches: less than a request costs
RUN_BYTES = 8 << 20  # of chunks that one request fetches


class BlockCache:
    """The last blocks that were read of a file, for any number of threads.

    When the block after the last fetched one is read, the next ones are fetched too, twice as many each time: metadata
    and small arrays that were written together are fetched together.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, bytes | memoryview] = OrderedDict()
        self._next = -1  # the block after those that were fetched last
        self._ahead = 1

    def renew_lock(self) -> None:
        """In a forked child: a lock that another thread of the parent held would stay held for ever."""
        self._lock = threading.Lock()

    def read_into(self, fetch: Fetch, offset: int, out: memoryview) -> None:
        """Fill `out` with the bytes from `offset` on; all of them are in the file."""
        if len(out) >= DIRECT_BYTES:
            for start in range(0, len(out), REQUEST_BYTES):
                part = out[start : start + REQUEST_BYTES]
                part[:] = fetch(offset + start, offset + start + len(part))
            return
        with self._lock:
            first, last = offset // BLOCK_BYTES, (offset + len(out) - 1) // BLOCK_BYTES
            missing = [number for number in range(first, last + 1) if number not in self._blocks]
            if missing:
                self._load(fetch, missing[0], missing[-1] + 1)
            done = 0
            for number in range(first, last + 1):
                self._blocks.move_to_end(number)
                inside = offset + done - number * BLOCK_BYTES
                piece = self._blocks[number][inside : inside + len(out) - done]
                out[done : done + len(piece)] = piece
                done += len(piece)
            while len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)

    def _load(self, fetch: Fetch, start: int, stop: int) -> None:
        """Fetch blocks [start, stop) with one request, and perhaps some after them."""
        self._ahead = min(2 * self._ahead, MAX_AHEAD) if start == self._next else 1
        stop = max(stop, start + self._ahead)
        data = memoryview(fetch(start * BLOCK_BYTES, min(stop * BLOCK_BYTES, self._size)))
        for number in range(start, start + -(-len(data) // BLOCK_BYTES)):
            at = (number - start) * BLOCK_BYTES
            self._blocks[number] = bytes(data[at : at + BLOCK_BYTES])
            self._next = number + 1


class _Run:
    """Chunks that are fetched by one request, by the first thread that needs one, and kept until all are taken."""

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop
        self.waiting = 0  # chunks that are not taken yet
        self.data: np.ndarray[Any, np.dtype[np.uint8]] | None = None
        self.lock = threading.Lock()


class CoalescedChunks:
    """The chunks that one request of a user needs, those that are near each other fetched together, each once.

    places: address and bytes of each chunk, by its number.
    """

    def __init__(self, source: Source, places: Mapping[int, tuple[int, int]]) -> None:
        self._source = source
        self._places = places
        self._runs: dict[int, _Run] = {}
        run: _Run | None = None
        for number, (address, size) in sorted(places.items(), key=lambda item: item[1]):
            end = address + size
            if run is None or address - run.stop > GAP_BYTES or end - run.start > RUN_BYTES:
                run = _Run(address, end)
            run.stop = max(run.stop, end)
            run.waiting += 1
            self._runs[number] = run

    def take(self, number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The bytes of one chunk; each may be taken once, by any thread."""
        run, (address, size) = self._runs[number], self._places[number]
        with run.lock:
            if run.data is None:
                self._source.check_range(run.start, run.stop - run.start)
                data = np.empty(run.stop - run.start, np.uint8)
                self._source.read_into(run.start, data)
                run.data = data
            chunk = run.data[address - run.start : address - run.start + size]
            run.waiting -= 1
            if not run.waiting:
                run.data = None
        return chunk
