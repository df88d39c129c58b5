"""Reading a dataset in blocks of rows: as fast as its layout allows, and ahead of the computation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from h5burst._ext.h5parse import Kind
from h5burst.model.errors import UnsupportedFeatureError
from h5burst.model.source import ArraySource, BufferedSource, Rows
from h5burst.model.tree import Array, path_names
from h5burst.read.elements import Elements
from h5burst.read.lazy import LazyArray, LazyReader, open_tree
from h5burst.read.reader import Reader

_LAYOUTS = ("compact", "contiguous", "chunked")
_OTHER = "other"


def read_ahead(
    source: ArraySource, step: int, *, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, Rows]]:
    """Rows [start, stop) of a source in blocks, each read while the caller works on the one before.

    Parameters
    ----------
    source : ArraySource
        Read by one other thread, in ascending order.
    step : int
        Rows of a block.
    start, stop : int
        Half-open range of rows; None: to the end.

    Yields
    ------
    (int, numpy.ndarray)
        The block's first row and its data, which are valid until the next block is asked for: two buffers take turns
        where the source fills buffers (`read_into`).

    Raises
    ------
    ValueError
        For rows outside the source.
    Exception
        An error of the source, at its block.

    Examples
    --------
    >>> import numpy as np
    >>> from h5burst import as_source, read_ahead
    >>> [(first, block.sum()) for first, block in read_ahead(as_source(np.ones(5)), 2)]
    [(0, np.float64(2.0)), (2, np.float64(2.0)), (4, np.float64(1.0))]
    """
    stop = source.shape[0] if stop is None else stop
    if step < 1 or not 0 <= start <= stop <= source.shape[0]:
        raise ValueError(f"rows {start} to {stop} in steps of {step} of a source of {source.shape[0]} rows")
    firsts = range(start, stop, step)
    buffers = _buffers(source, min(step, stop - start), min(2, len(firsts)))

    def read(number: int) -> Rows:
        first, last = firsts[number], min(firsts[number] + step, stop)
        if not isinstance(source, BufferedSource):
            return source.read(first, last)
        out = buffers[number % 2][: last - first]
        source.read_into(first, out)
        return out

    reader = ThreadPoolExecutor(1, thread_name_prefix="h5burst-reader")
    try:
        coming = reader.submit(read, 0) if firsts else None
        for number, first in enumerate(firsts):
            assert coming is not None
            block = coming.result()
            coming = reader.submit(read, number + 1) if number + 1 < len(firsts) else None
            yield first, block
    finally:
        reader.shutdown(wait=True, cancel_futures=True)


def _buffers(source: ArraySource, rows: int, count: int) -> list[Rows]:
    if not isinstance(source, BufferedSource):
        return []
    return [np.empty((rows, *source.shape[1:]), source.dtype) for _ in range(count)]


class DatasetBlocks:
    """A dataset of an HDF5 file as a source of blocks of rows, read by this package's own parser.

    The file is parsed once and kept open. Contiguous data are read by position, straight into the caller's buffer: no
    lock that other readers wait for. Chunks are read by position and decoded in threads, each once when rows are asked
    for in ascending order: of a band of chunks that a block cuts, the rest is kept. What only libhdf5 reads is read by
    its child process. One thread at a time may read.

    Parameters
    ----------
    path : path-like
        The file, opened for reading; `close` it, or use the source as a context manager.
    name : str
        The dataset's stored path in the file.
    threads : int, optional
        For decoding chunks.

    Raises
    ------
    OSError
        The file cannot be opened; `CorruptFileError` where it, or the dataset, is damaged.
    KeyError
        There is no such dataset.
    ValueError
        It is scalar or null.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("rows.h5", {"x": np.arange(6).reshape(3, 2)}, overwrite=True)
    >>> with h5burst.DatasetBlocks("rows.h5", "x") as source:
    ...     source.read(1, 3)
    array([[2, 3],
           [4, 5]])
    """

    def __init__(self, path: str | os.PathLike[str], name: str, *, threads: int | None = None) -> None:
        self._source = _find(path, name)
        self._threads = threads
        self._band: tuple[int, Rows] | None = None
        self._reader: Reader | None = None
        self._elements: Elements | None = None
        if isinstance(self._source, LazyArray):
            self._open(self._source)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the dataset."""
        shape: tuple[int, ...] = self._source.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its elements in memory."""
        dtype: np.dtype[Any] = self._source.dtype
        return dtype

    def _open(self, array: LazyArray) -> None:
        """Keep the file open, if its elements have the same bytes in memory."""
        if array.address is None:
            return
        reader = LazyReader(array._handle)
        try:
            with reader.naming_damage(array.names):
                self._elements = _plain_elements(reader, array.address)
        except BaseException:
            reader.__exit__()
            raise
        if self._elements is None:
            reader.__exit__()
        else:
            self._reader = reader

    def __enter__(self) -> DatasetBlocks:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._reader is not None:
            self._reader.__exit__()
            self._reader = None

    @property
    def layout(self) -> str:
        """How rows are read: "compact", "contiguous" or "chunked" by position, or "other"."""
        return _OTHER if self._elements is None else _LAYOUTS[self._elements.layout_class]

    def read(self, start: int, stop: int) -> Rows:
        """Rows [start, stop) as a new array.

        Parameters
        ----------
        start, stop : int
            Half-open range of rows.

        Returns
        -------
        numpy.ndarray
            Shape (stop - start, *shape[1:]), of the dataset's dtype.

        Raises
        ------
        ValueError, OSError
            As `read_into`.
        """
        out = np.empty((max(stop - start, 0), *self.shape[1:]), self.dtype)
        self.read_into(start, out)
        return out

    def read_into(self, start: int, out: Rows) -> None:
        """Rows [start, start + len(out)) into an array of the caller's.

        Parameters
        ----------
        start : int
            The first row.
        out : numpy.ndarray
            Shape (rows, *shape[1:]), C-ordered, of the dataset's dtype.

        Raises
        ------
        ValueError
            For another shape or dtype, or rows outside the dataset, and once it is closed.
        OSError
            When reading fails, also for a file that ends before its data do, and for damaged chunks.
        """
        if out.dtype != self.dtype or out.shape[1:] != self.shape[1:] or not out.flags.c_contiguous:
            raise ValueError(f"out must be a C-ordered {self.dtype} array of shape (rows, {self.shape[1:]})")
        if not 0 <= start <= start + len(out) <= self.shape[0]:
            raise ValueError(f"rows {start} to {start + len(out)} of a dataset of {self.shape[0]}")
        if not out.size:
            return
        if self._elements is None:
            out[...] = self._source[start : start + len(out)]
        elif self._elements.layout_class == _LAYOUTS.index("chunked"):
            self._read_chunks(self._elements.plan.chunks[0], start, out)
        else:
            self._read_box(start, out)

    def _read_chunks(self, deep: int, start: int, out: Rows) -> None:
        """Band by band of chunks: whole ones straight into `out`, the last partial one is kept for the next read."""
        done = 0
        while done < len(out):
            number, inside = divmod(start + done, deep)
            rows = min(deep, self.shape[0] - number * deep)
            count = min(rows - inside, len(out) - done)
            if count == rows:
                whole = (len(out) - done) // deep * deep or count
                self._read_box(start + done, out[done : done + whole])
                done += whole
                continue
            if self._band is None or self._band[0] != number:
                band = np.empty((rows, *self.shape[1:]), self.dtype)
                self._read_box(number * deep, band)
                self._band = number, band  # only what was read whole
            out[done : done + count] = self._band[1][inside : inside + count]
            done += count

    def _read_box(self, start: int, out: Rows) -> None:
        elements, array = self._elements, self._source
        if self._reader is None or elements is None:
            raise ValueError(f"{array!r} is closed")
        box = [(start, start + len(out)), *((0, length) for length in self.shape[1:])]
        with self._reader.naming_damage(array.names):
            elements.read(self._reader.source, box, out=out.view(elements.raw), threads=self._threads)


def _find(path: str | os.PathLike[str], name: str) -> Any:
    """The data of the dataset at a stored path."""
    names = path_names(name)
    try:
        node = open_tree(path)[names]
    except KeyError:
        raise KeyError(f"there is no {name} in {os.fspath(path)}") from None
    if not isinstance(node, Array):
        raise KeyError(f"{name} in {os.fspath(path)} is not a dataset")
    if node.data is None or not node.data.shape:
        raise ValueError(f"dataset {name} in {os.fspath(path)} has no rows")
    return node.data


def _plain_elements(reader: Reader, address: int) -> Elements | None:
    """The elements of a dataset whose bytes in the file are those in memory; None for any other."""
    dataset = reader.parser.dataset(address)
    if dataset.type.kind != Kind.PLAIN or dataset.type.subshape:
        return None
    try:
        elements = Elements(dataset)
        elements.stored_bytes(reader.source)  # looks at the layout, and at the index and filters of chunks
        return elements
    except UnsupportedFeatureError:
        return None
