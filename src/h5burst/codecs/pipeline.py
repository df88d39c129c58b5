"""HDF5's filter pipeline: which filters storage options mean, and their work on the bytes of one chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from h5burst._ext import shuffle as kernels
from h5burst.codecs import registry
from h5burst.codecs.codec import OPTIONAL, ChunkError, ChunkLayout, Codec, Filter
from h5burst.codecs.options import check_codec
from h5burst.model.tree import Storage
from h5burst.runtime.buffers import Bytes, thread_buffer

if TYPE_CHECKING:
    from typing_extensions import Buffer

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3  # filter IDs
_CHECKSUM_BYTES = 4


def filters_for(storage: Storage, itemsize: int, chunk_bytes: int = 0) -> tuple[Filter, ...]:
    """Filter pipeline for these storage options and chunks of this size: shuffle, codec, fletcher32 always last.

    Raises ValueError for an unknown codec or a level that it does not have.
    """
    filters = []
    check_codec(storage)
    if storage.codec is not None:
        codec = registry.by_name(storage.codec)
        level = codec.default_level if storage.level is None else storage.level
        if codec.is_shuffled and itemsize > 1:
            filters.append(Filter(SHUFFLE, OPTIONAL, (itemsize,), "shuffle"))
        values = codec.client_values(level, itemsize, chunk_bytes)
        filters.append(Filter(codec.filter_id, OPTIONAL, values, codec.filter_name))
    filters.append(Filter(FLETCHER32, 0, (), "fletcher32"))
    return tuple(filters)


def prepare_libhdf5(filters: Sequence[Filter]) -> None:
    """Make sure that libhdf5 knows these filters."""
    for _, codec in _codecs(filters):
        if codec is not None:
            codec.prepare_libhdf5()


def is_threaded(filters: Sequence[Filter]) -> bool:
    """True where `encode` needs no libhdf5 and its lock, so that it may work in any thread."""
    return all(codec is not None and codec.is_threaded() for _, codec in _codecs(filters))


def can_decode(filters: Sequence[Filter]) -> bool:
    """True where `decode` knows all these filters, in this order; else libhdf5 has to read the dataset."""
    return all(
        codec is not None and codec.can_decode() and not (number and codec.needs_size)
        for number, (_, codec) in enumerate(_codecs(filters))
    )


def max_ratio(filters: Sequence[Filter]) -> int | None:
    """The most bytes that one stored byte can become; None where a format has no bound."""
    ratio = 1
    for _, codec in _codecs(filters):
        if codec is None or codec.max_ratio is None:
            return None
        ratio *= codec.max_ratio
    return ratio


def _codecs(filters: Sequence[Filter]) -> Iterator[tuple[Filter, Codec | None]]:
    """The compressors among filters, None for unknown ones."""
    for step in filters:
        if step.id not in (SHUFFLE, FLETCHER32):
            yield step, registry.by_id(step.id)


def _known(step: Filter) -> Codec:
    codec = registry.by_id(step.id)
    if codec is None:
        raise LookupError(f"filter {step.id} ({step.name or 'unnamed'}) is not known")
    return codec


def fitted(filters: Sequence[Filter], samples: Iterable[Bytes], itemsize: int) -> tuple[Filter, ...]:
    """These filters for a dataset some of whose chunks are given: without shuffle, if they get smaller without it.

    It is left out of a dataset, not of a chunk: libhdf5 keeps a chunk's filter mask when it writes the chunk again and
    its new bytes are as many as the old.
    """
    for number, step in enumerate(filters[:-1]):
        codec = registry.by_id(filters[number + 1].id) if step.id == SHUFFLE else None
        if codec is not None and codec.prefers_unshuffled(samples, filters[number + 1].values, itemsize):
            return (*filters[:number], *filters[number + 1 :])
    return tuple(filters)


def is_fitted(filters: Sequence[Filter]) -> bool:
    """True where `fitted` has nothing to choose, so that it needs no samples."""
    return all(step.id != SHUFFLE for step in filters)


def encoding_hint(data: Bytes, filters: Sequence[Filter], itemsize: int) -> Any:
    """A hint for `encode` on chunks of the same array. It costs several times an `encode`."""
    layout = ChunkLayout(itemsize)
    for step in filters:
        if step.id == SHUFFLE:
            data, layout = _shuffle(data, step, itemsize)
        elif step.id != FLETCHER32:
            return _known(step).hint(data, step.values, layout)
    return None


def encode(data: Bytes, filters: Sequence[Filter], itemsize: int, hint: Any = None) -> tuple[int, bytes | bytearray]:
    """Filter mask and payload of one chunk. hint: of a chunk of the same array (`encoding_hint`).

    The mask is 0 for all codecs of this package: what does not get smaller becomes a longer stream (`Codec.stored`).
    """
    mask, layout = 0, ChunkLayout(itemsize)
    current: Any = data
    for bit, step in enumerate(filters):
        if step.id == SHUFFLE:
            current, layout = _shuffle(data, step, itemsize)
        elif step.id == FLETCHER32:
            current = _with_checksum(current)
        else:
            codec = _known(step)
            encoded = codec.encode(current, step.values, layout, hint)
            if encoded is None:  # it does not get smaller
                encoded = codec.stored(current, step.values)
            if encoded is None:
                mask |= 1 << bit
            else:
                current = encoded
    # Without a checksum at the end this may still be a buffer that the next chunk uses again.
    return mask, current if isinstance(current, (bytes, bytearray)) else bytes(current)


def _shuffle(data: Bytes, step: Filter, itemsize: int) -> tuple[Bytes, ChunkLayout]:
    width = step.values[0] if step.values else itemsize
    shuffled = thread_buffer("shuffled", data.size)
    kernels.shuffle(data, width, shuffled)
    return shuffled, ChunkLayout(itemsize, max(1, width))


def _with_checksum(data: Any) -> bytearray:
    payload = data if isinstance(data, bytearray) else bytearray(memoryview(data))
    payload += kernels.fletcher32(np.frombuffer(payload, np.uint8)).to_bytes(_CHECKSUM_BYTES, "little")
    return payload


def decode(payload: Buffer, filters: Sequence[Filter], filter_mask: int, itemsize: int, out: Bytes) -> None:
    """Undo a pipeline into `out`, which is as long as a chunk. Raises `ChunkError` for damaged data."""
    decode_pair([payload], filters, filter_mask, itemsize, [out])


def decode_pair(
    payloads: Sequence[Buffer], filters: Sequence[Filter], filter_mask: int, itemsize: int, outs: Sequence[Bytes]
) -> None:
    """As `decode`, for one chunk or two of the same filters and mask, which some codecs do faster at once."""
    steps = [step for bit, step in enumerate(filters) if not filter_mask >> bit & 1]
    chunk_bytes = outs[0].size
    sizes = _sizes_before(steps, chunk_bytes)
    currents = [np.frombuffer(memoryview(payload), np.uint8) for payload in payloads]
    for number in reversed(range(len(steps))):
        step = steps[number]
        if step.id == FLETCHER32:
            currents = [_checked(current) for current in currents]
        elif step.id == SHUFFLE:
            # Not into `outs` before the end: a compressor's bytes may be as many as its chunk's, which come there.
            targets = outs if number == 0 else [None] * len(currents)
            currents = [_unshuffle(*both, step, itemsize) for both in zip(currents, targets, strict=True)]
        else:
            is_last = number == 0 and sizes[0] == chunk_bytes
            places = outs if is_last else _places(len(currents), sizes[number], chunk_bytes)
            currents = _decompressed(currents, step, places, sizes[number] is not None)
    for current, out in zip(currents, outs, strict=True):
        if current.size != out.size:
            raise ChunkError(f"a chunk of {out.size} bytes came out as {current.size}")
        if current is not out:
            out[:] = current


def _sizes_before(steps: Sequence[Filter], size: int) -> list[int | None]:
    """Bytes that each filter was given when the chunk was written; None behind a compressor."""
    sizes: list[int | None] = []
    given_bytes: int | None = size
    for step in steps:
        sizes.append(given_bytes)
        if step.id == FLETCHER32:
            given_bytes = None if given_bytes is None else given_bytes + _CHECKSUM_BYTES
        elif step.id != SHUFFLE:
            given_bytes = None
    return sizes


def _checked(payload: Bytes) -> Bytes:
    if payload.size < _CHECKSUM_BYTES:
        raise ChunkError("a chunk is too short for its checksum")
    data = payload[:-_CHECKSUM_BYTES]
    if kernels.fletcher32(data) != int.from_bytes(payload[-_CHECKSUM_BYTES:].tobytes(), "little"):
        raise ChunkError("the fletcher32 checksum of a chunk is wrong: the file is damaged")
    return data


def _unshuffle(data: Bytes, out: Bytes | None, step: Filter, itemsize: int) -> Bytes:
    target = out if out is not None and out.size == data.size else np.empty(data.size, np.uint8)
    kernels.unshuffle(data, step.values[0] if step.values else itemsize, target)
    return target


def _places(count: int, size: int | None, chunk_bytes: int) -> list[Bytes]:
    """Memory for so many chunks on their way.

    size: bytes that must come out; where another compressor was before (None), a little more than a chunk at most.
    """
    if size is None:
        return [np.empty(chunk_bytes + chunk_bytes // 8 + 1024, np.uint8) for _ in range(count)]
    return [thread_buffer(f"decompressed {number}", size) for number in range(count)]


def _decompressed(datas: Sequence[Bytes], step: Filter, outs: Sequence[Bytes], is_exact: bool) -> list[Bytes]:
    try:
        return _known(step).decode_into(datas, step.values, outs, is_exact=is_exact)
    except ValueError as error:
        raise ChunkError(f"a {step.name or 'compressed'} chunk does not decompress ({error}): it is damaged") from error
