"""Datasets of files that h5py holds open, their chunks filtered in threads: `compress_into` and `decompress_from`.

Chunks go through h5py as they are stored, one after another in the calling thread; what takes time, their filters, is
done by this package in as many threads as there are. So the file is what h5py would have made of it, but for the
compressed bytes.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable, Iterator
from itertools import tee
from typing import Any, NamedTuple

import h5py
import numpy as np

from h5burst import codecs
from h5burst.arrays import chunks
from h5burst.arrays.chunks import ChunkPart, ChunkPlan
from h5burst.arrays.selection import select
from h5burst.codecs import Filter
from h5burst.model.source import CastSource, is_source
from h5burst.runtime.threads import bounded_map

_BLOCK_BYTES = 16 << 20  # of a source that is written by h5py


def compress_into(dataset: h5py.Dataset, array: Any, *, threads: int | None = None) -> None:
    """Write all of a dataset of an open h5py file, compressing its chunks in threads.

    Parameters
    ----------
    dataset
        Of a file that is open for writing, made as usual: `file.create_dataset(name, shape, dtype, chunks=True,
        compression="gzip", shuffle=True)`. Any filters that this package knows, in any driver. With others, without
        chunks, or with elements that are not stored as they are in memory (variable-length text), h5py writes it.
    array
        Of the dataset's shape: an array, or a source of rows (`shape`, `dtype`, `read(start, stop)`). Of its dtype or
        one that numpy casts to it as "same_kind".
    threads
        For the filters; None: the CPUs that this process may use.

    Raises
    ------
    ValueError
        For another shape.
    TypeError
        For a dtype that cannot be cast, a masked array, and what is not a dataset.
    OSError
        When the file cannot be written, or is open for reading alone.

    Examples
    --------
    >>> import h5py, numpy as np, h5burst
    >>> data = np.arange(100_000.0)
    >>> with h5py.File("compressed.h5", "w") as file:
    ...     made = file.create_dataset("x", data.shape, data.dtype, chunks=True, compression="gzip", shuffle=True)
    ...     h5burst.compress_into(made, data)
    """
    _check_dataset(dataset)
    if dataset.file.mode == "r":
        raise OSError(
            errno.EROFS, f"{dataset.name} cannot be written: its file is open for reading", dataset.file.filename
        )
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("a masked array cannot be kept: fill it first (array.filled(value))")
    data = array if is_source(array) and not isinstance(array, np.ndarray) else np.asarray(array)
    if tuple(data.shape) != dataset.shape:
        raise ValueError(f"an array of shape {tuple(data.shape)} for the dataset {dataset.name} of {dataset.shape}")
    plan = _plan(dataset)
    if plan is None:
        _write_by_h5py(dataset, data)
        return
    if data.dtype != plan.dtype:
        if not np.can_cast(data.dtype, plan.dtype, "same_kind"):
            raise TypeError(f"{data.dtype} cannot be cast to the {plan.dtype} of the dataset {dataset.name}")
        data = CastSource(data, plan.dtype)
    if math.prod(plan.shape):
        masked = masked_chunks(dataset.id)
        for chunk in chunks.encode(data, plan, threads):
            put_chunk(dataset.id, chunk.offset, chunk.payload, masked, chunk.filter_mask)


def decompress_from(dataset: h5py.Dataset, selection: Any = ..., *, threads: int | None = None) -> Any:
    """Read a dataset of an open h5py file, or a part of it, decompressing its chunks in threads.

    Parameters
    ----------
    dataset
        Of an open h5py file, in any driver. What goes through filters that this package does not know, is not in
        chunks, or has elements that are not stored as they are in memory, is read by h5py.
    selection
        What `dataset[selection]` takes: integers, slices (of any step), `...`, lists and masks; what numpy takes
        beyond that, where this package decodes. `np.s_[...]` writes it.
    threads
        For the filters; None: the CPUs that this process may use.

    Returns
    -------
    numpy array or scalar
        As numpy would give for an array of the dataset's content.

    Raises
    ------
    IndexError
        For a selection that does not fit.
    OSError
        For damaged chunks.

    Examples
    --------
    >>> import h5py, numpy as np, h5burst
    >>> h5burst.save("numbers.h5", {"x": np.arange(100.0)}, overwrite=True)
    >>> with h5py.File("numbers.h5") as file:
    ...     h5burst.decompress_from(file["x"], np.s_[::40])
    array([ 0., 40., 80.])
    """
    _check_dataset(dataset)
    plan = _plan(dataset)
    if plan is None or isinstance(selection, (str, h5py.RegionReference)):
        return dataset[selection]
    chosen = select(selection, plan.shape)
    out = np.empty(tuple(map(len, chosen.places)), plan.dtype)
    if out.size:
        target = out.view(np.dtype((np.void, plan.dtype.itemsize)))
        fill = np.asarray(dataset.fillvalue, plan.dtype).tobytes()
        for _ in bounded_map(
            lambda item: chunks.put_part(item.stored, plan, item.part, target, fill),
            _stored(dataset, chunks.parts_of(plan, chosen.places)),
            threads if codecs.is_threaded(plan.filters) else 1,
        ):
            pass
    return out[chosen.within]


def _check_dataset(dataset: Any) -> None:
    if not isinstance(dataset, h5py.Dataset):
        raise TypeError(f"a dataset of an open h5py file is needed, not {type(dataset).__name__}")
    if not dataset:
        raise ValueError("the dataset's file is closed")


class _Stored(NamedTuple):
    part: ChunkPart
    stored: tuple[bytes, int] | None


def _stored(dataset: h5py.Dataset, parts: Iterator[ChunkPart]) -> Iterator[_Stored]:
    """Chunks as they are in the file, read in the calling thread: it may hold the lock that h5py then needs."""
    grid = [-(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
    asked, offsets = tee(parts)
    starts = (
        tuple(int(k) * chunk for k, chunk in zip(np.unravel_index(part.number, grid), dataset.chunks, strict=True))
        for part in offsets
    )
    for part, stored in zip(asked, stored_chunks(dataset.id, starts), strict=True):
        yield _Stored(part, stored)


def stored_chunks(dataset: h5py.h5d.DatasetID, starts: Iterable[tuple[int, ...]]) -> Iterator[tuple[bytes, int] | None]:
    """Payload and filter mask of the chunks that begin at these elements; None for one that was never written.

    HDF5 finds a chunk's bytes in no time, but needs as long as for all of them to say whether there is one. So that is
    asked once, when a first chunk cannot be read.
    """
    written: set[tuple[int, ...]] | None = None
    for start in starts:
        if written is None:
            try:
                mask, payload = dataset.read_direct_chunk(start)
            except (OSError, RuntimeError, MemoryError):  # the last for no bytes at all
                written = _written(dataset)
            else:
                yield (payload, mask) if payload else None
                continue
        if start in written:
            mask, payload = dataset.read_direct_chunk(start)
            yield payload, mask
        else:
            yield None


def masked_chunks(dataset: h5py.h5d.DatasetID) -> set[tuple[int, ...]]:
    """The first elements of chunks that some filter was not applied to."""
    starts: set[tuple[int, ...]] = set()

    def keep(info: h5py.h5d.StoreInfo) -> None:
        if info.filter_mask:
            starts.add(info.chunk_offset)

    if dataset.get_num_chunks():
        dataset.chunk_iter(keep)
    return starts


def put_chunk(
    dataset: h5py.h5d.DatasetID,
    start: tuple[int, ...],
    payload: bytes | bytearray | memoryview,
    masked: set[tuple[int, ...]],
    filter_mask: int = 0,
) -> None:
    """Write a chunk as it is stored. masked: as `masked_chunks` found it; libhdf5 keeps the mask of those in it, too,
    where the new bytes are as many as the old, so they get another length in between.
    """
    if start in masked:
        dataset.write_direct_chunk(start, bytes(payload) + b"\0", filter_mask)
        masked.remove(start)
    dataset.write_direct_chunk(start, payload, filter_mask)


def _written(dataset: h5py.h5d.DatasetID) -> set[tuple[int, ...]]:
    """The first elements of all chunks that are in the file."""
    starts: set[tuple[int, ...]] = set()

    def keep(info: h5py.h5d.StoreInfo) -> None:
        if info.size:
            starts.add(info.chunk_offset)

    dataset.chunk_iter(keep)
    return starts


def _plan(dataset: h5py.Dataset) -> ChunkPlan | None:
    """Plan of its chunks; None for a dataset that is left to h5py."""
    if dataset.chunks is None or not dataset.shape or dataset.is_virtual:
        return None
    dtype = dataset.dtype
    if dtype.hasobject or dtype.subdtype is not None:
        return None
    if h5py.h5t.py_create(dtype, logical=True) != dataset.id.get_type():  # elements are others in memory
        return None
    creation = dataset.id.get_create_plist()
    filters = []
    for index in range(creation.get_nfilters()):
        number, flags, options, name = creation.get_filter(index)
        filters.append(Filter(number, flags, tuple(options), name.decode("utf-8", "replace")))
    if not codecs.can_decode(filters):
        return None
    fill = np.array(dataset.fillvalue, dtype).tobytes()
    return ChunkPlan(dataset.shape, dtype, dataset.chunks, tuple(filters), fill if any(fill) else None)


def _write_by_h5py(dataset: h5py.Dataset, data: Any) -> None:
    if isinstance(data, np.ndarray):
        dataset[...] = data
        return
    row_bytes = max(1, math.prod(dataset.shape[1:]) * dataset.dtype.itemsize)
    step = max(1, _BLOCK_BYTES // row_bytes)
    for start in range(0, dataset.shape[0], step):
        stop = min(start + step, dataset.shape[0])
        dataset[start:stop] = data.read(start, stop)
