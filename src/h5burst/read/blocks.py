"""Reading rows of a source in blocks, ahead of the computation."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from h5burst.model.source import ArraySource, BufferedSource, Rows
from h5burst.read.lazy import LazyArray


def read_ahead(
    source: ArraySource, step: int, *, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, Rows]]:
    """Rows [start, stop) of a source in blocks, each read while the caller works on the one before.

    Parameters
    ----------
    source : ArraySource
        Read by one other thread, in ascending order. Of a `LazyArray` each chunk is decoded once.
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
    filler = _filler(source)
    rows = min(step, stop - start)
    buffers = [np.empty((rows, *source.shape[1:]), source.dtype) for _ in firsts[:2]] if filler is not None else []

    def read(number: int) -> Rows:
        first, last = firsts[number], min(firsts[number] + step, stop)
        if filler is None:
            return source.read(first, last)
        out = buffers[number % 2][: last - first]
        filler.read_into(first, out)
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


def _filler(source: ArraySource) -> BufferedSource | _WholeChunks | None:
    """Something that fills buffers with rows of a source, if there is anything that does."""
    if isinstance(source, LazyArray):
        deep = (source.chunks or (1,))[0]
        return _WholeChunks(source, deep) if deep > 1 else source
    return source if isinstance(source, BufferedSource) else None


class _WholeChunks:
    """Rows of a dataset in ascending order, of which each chunk is decoded once.

    source: an array that is stored in chunks of `deep` rows. Of a band of chunks that a block cuts, the rest is kept.
    """

    def __init__(self, source: BufferedSource, deep: int) -> None:
        self._source, self._deep = source, deep
        self._band: tuple[int, Rows] | None = None

    def read_into(self, start: int, out: Rows) -> None:
        """Whole bands straight into `out`; the last partial one is kept for the next read."""
        deep, length = self._deep, self._source.shape[0]
        done = 0
        while done < len(out):
            number, inside = divmod(start + done, deep)
            rows = min(deep, length - number * deep)
            count = min(rows - inside, len(out) - done)
            if count == rows:
                whole = (len(out) - done) // deep * deep or count
                self._source.read_into(start + done, out[done : done + whole])
                done += whole
                continue
            if self._band is None or self._band[0] != number:
                band = np.empty((rows, *out.shape[1:]), out.dtype)
                self._source.read_into(number * deep, band)
                self._band = number, band  # only what was read whole
            out[done : done + count] = self._band[1][inside : inside + count]
            done += count
