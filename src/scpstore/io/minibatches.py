"""Rows of a layer in small batches, as programs that learn want them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import scipy.sparse as sp

from h5burst import is_source
from scpstore.core.exceptions import MissingDependencyError, ValidationError
from scpstore.core.matrix import ScpMatrix
from scpstore.core.sources import LazyRows, is_sparse_source, take

_AT_ONCE_BYTES = 64 << 20  # of rows that are read together, and shuffled among each other
_ENTRY_BYTES = 12


class Minibatch(NamedTuple):
    """Some samples of a layer.

    Attributes
    ----------
    rows
        Which: positions among the samples of the layer.
    values
        (rows, features), in the form that was asked for.

    Examples
    --------
    >>> from scptensor import load_hdf5
    >>> from scptensor.io import iter_minibatches
    >>> layer = load_hdf5("cells.h5").assays["proteins"].layers["X"]
    >>> first, *others = iter_minibatches(layer, batch_size=2, shuffle=False)
    >>> first.rows, first.values.shape
    (array([0, 1]), (2, 2))
    """

    rows: np.ndarray[Any, Any]
    values: Any


def iter_minibatches(
    layer: Any,
    batch_size: int = 256,
    block_rows: int = 16,
    *,
    shuffle: bool = True,
    seed: int | None = None,
    drop_last: bool = False,
    to: Literal["numpy", "csr", "torch"] = "numpy",
) -> Iterator[Minibatch]:
    """All rows of a layer once, in batches; the rows of the next batches are read meanwhile.

    Blocks of neighbouring rows are drawn in random order; so many of them as make some 64 MB are read together, and
    their rows are shuffled among each other.

    Parameters
    ----------
    layer
        A layer (`ScpMatrix`), of a file (`LazyMatrix`) or in memory; or its values: of an `.h5ad` file those of
        `read_h5ad(path, backed=True)`.
    batch_size
        Rows of a batch; the last may have fewer.
    block_rows
        Rows that are drawn together: 1 for rows drawn one by one, more for files that are read faster in stretches.
    shuffle
        False gives the rows in their order.
    seed
        Of the order; the same gives the same batches. None: another each time.
    drop_last
        Whether a last batch of fewer rows is left out.
    to
        "numpy": dense arrays, "csr": scipy's CSR matrices, "torch": dense tensors.

    Yields
    ------
    Minibatch
        `rows` and `values`.

    Raises
    ------
    ValidationError
        Sizes below 1, or another `to`.
    MissingDependencyError
        (An ImportError) "torch" without that package.

    Examples
    --------
    >>> from scptensor import load_hdf5
    >>> from scptensor.io import iter_minibatches
    >>> layer = load_hdf5("cells.h5", lazy=True).assays["proteins"].layers["X"]
    >>> sorted(row for batch in iter_minibatches(layer, 2, seed=1) for row in batch.rows.tolist())
    [0, 1, 2]
    """
    for name, size in (("batch_size", batch_size), ("block_rows", block_rows)):
        if size < 1:
            raise ValidationError(f"{name} must be at least 1, got {size}", name)
    if to not in ("numpy", "csr", "torch"):
        raise ValidationError(f"to must be numpy, csr or torch, got {to!r}", "to")
    convert = _CONVERT[to]() if to == "torch" else _CONVERT[to]
    values = layer.X if isinstance(layer, ScpMatrix) else layer
    return _batches(values, (batch_size, block_rows, shuffle, seed, drop_last), convert)


def _batches(values: Any, options: tuple[int, int, bool, int | None, bool], convert: Any) -> Iterator[Minibatch]:
    batch_size, block_rows, shuffle, seed, drop_last = options
    rng = np.random.default_rng(seed)
    groups = list(_groups(values, batch_size, block_rows, rng if shuffle else None))
    left_rows, left = np.zeros(0, np.int64), cast(Any, None)  # less than a batch
    rooms = _rooms(values, max(map(len, groups), default=0)) if shuffle else (None, None)
    with ThreadPoolExecutor(1, thread_name_prefix="minibatches") as ahead:
        waiting = ahead.submit(_ahead, values, groups[0], rooms[0]) if groups else None
        for number, rows in enumerate(groups):
            assert waiting is not None
            read = waiting.result()
            read = _read(values, rows, rooms[0]) if read is None else read
            number += 1
            waiting = ahead.submit(_ahead, values, groups[number], rooms[number % 2]) if number < len(groups) else None
            order = rng.permutation(len(rows)) if shuffle else None
            start = 0
            while start < len(rows):
                stop = min(start + batch_size - len(left_rows), len(rows))
                chosen = slice(start, stop) if order is None else order[start:stop]
                left_rows, left = np.concatenate([left_rows, rows[chosen]]), _below(left, read[chosen])
                if len(left_rows) == batch_size:
                    yield Minibatch(left_rows, convert(left))
                    left_rows, left = left_rows[:0], None
                start = stop
    if len(left_rows) and not drop_last:
        yield Minibatch(left_rows, convert(left))


def _groups(values: Any, batch_size: int, block_rows: int, rng: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Rows that are read together: blocks in random order, ascending within a group."""
    height = int(values.shape[0])
    starts = np.arange(0, height, block_rows)
    if rng is not None:
        starts = rng.permutation(starts)
    together = max(1, max(batch_size, _AT_ONCE_BYTES // _row_bytes(values)) // block_rows)
    for first in range(0, len(starts), together):
        rows = (starts[first : first + together, None] + np.arange(block_rows)).reshape(-1)
        yield np.sort(rows[rows < height])


def _row_bytes(values: Any) -> int:
    row_bytes = getattr(values, "row_bytes", None)
    if row_bytes is None and sp.issparse(values):
        row_bytes = values.nnz * _ENTRY_BYTES // max(1, values.shape[0])
    return int(row_bytes or max(1, values.shape[1] * np.dtype(values.dtype).itemsize))


def _rooms(values: Any, rows: int) -> tuple[Any, Any]:
    """Memory for the dense rows of a file that are read together, in turn; shuffled batches are copies of it."""
    if not is_source(values) or is_sparse_source(values):
        return None, None
    first, second = (np.empty((rows, values.shape[1]), values.dtype) for _ in range(2))
    return first, second


def _ahead(values: Any, rows: np.ndarray[Any, Any], room: np.ndarray[Any, Any] | None) -> Any:
    """Rows that are wanted later; None where the system reads them: there is nothing to decode, only to copy."""
    return None if isinstance(values, LazyRows) and values.prefetch(rows) else _read(values, rows, room)


def _read(values: Any, rows: np.ndarray[Any, Any], room: np.ndarray[Any, Any] | None) -> Any:
    if is_source(values):
        return take(values, rows, None, room)
    return (values.tocsr() if sp.issparse(values) else values)[rows]


def _below(first: Any, second: Any) -> Any:
    if first is None:
        return second
    return sp.vstack([first, second], format="csr") if sp.issparse(second) else np.concatenate([first, second])


def _numpy(rows: Any) -> Any:
    return rows.toarray() if sp.issparse(rows) else np.ascontiguousarray(rows)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("torch", "to='torch' needs the package torch: pip install torch") from error
    return lambda rows: torch.from_numpy(_numpy(rows))


_CONVERT: dict[str, Any] = {"numpy": _numpy, "csr": sp.csr_matrix, "torch": _torch}
