"""What a codec is: the class to derive from, and the terms of HDF5's filter pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from h5burst.runtime.buffers import Bytes

OPTIONAL = 1  # flag: a chunk that a filter cannot make smaller is stored without it


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a pipeline, in the order of writing: HDF5 filter ID, flags (1 = optional), client values."""

    id: int
    flags: int
    values: tuple[int, ...]
    name: str = ""


class ChunkError(OSError):
    """A chunk that does not decode: its checksum, its compressed stream or its length is wrong."""


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """How the bytes of a chunk are before a codec sees them.

    itemsize: bytes of an element; planes: stretches of equal length that the byte shuffle made of the chunk, 1 where it
    was left out.
    """

    itemsize: int
    planes: int = 1


class Codec(ABC):
    """A compressor of chunks. Derive, set the class attributes, and give an instance to `register`.

    Attributes
    ----------
    name
        As users ask for it: `Storage(codec=name)`.
    filter_id, filter_name
        The number that the HDF Group has registered for the filter, and the name that is stored beside it.
    levels, default_level
        What users may ask for; None for a codec without levels.
    is_shuffled
        Whether HDF5's byte shuffle goes before it.
    max_ratio
        Bytes that one encoded byte can become at most; None where the format has no bound.
    needs_size
        Whether `decode` must be told exactly how many bytes come out, because the format does not say.
    """

    name: ClassVar[str]
    filter_id: ClassVar[int]
    filter_name: ClassVar[str]
    levels: ClassVar[range | None] = range(10)
    default_level: ClassVar[int] = 0
    is_shuffled: ClassVar[bool] = True
    max_ratio: ClassVar[int | None] = None
    needs_size: ClassVar[bool] = False

    @abstractmethod
    def client_values(self, level: int, itemsize: int, chunk_bytes: int) -> tuple[int, ...]:
        """The numbers that are stored with the filter, as its author and h5py would store them."""

    @abstractmethod
    def encode(
        self, data: Bytes, values: tuple[int, ...], layout: ChunkLayout, hint: Any = None
    ) -> bytes | bytearray | None:
        """The bytes of a chunk, encoded; None where they do not get fewer. `hint`: what `hint` has returned."""

    @abstractmethod
    def decode(
        self, data: Bytes, values: tuple[int, ...], size: int, *, is_exact: bool = True, is_shuffled: bool = False
    ) -> bytes | bytearray | Bytes:
        """The bytes behind encoded ones.

        Parameters
        ----------
        data
            What `encode` made, or a stranger's file holds.
        size
            How many bytes must come out; with `is_exact` False, how many may.

        is_shuffled
            Whether shuffled bytes come out, or elements of one byte, which one decoder may be faster at than another.

        Raises
        ------
        ValueError
            For damaged data, and for a wrong length.
        """

    def decode_into(
        self,
        datas: Sequence[Bytes],
        values: tuple[int, ...],
        outs: Sequence[Bytes],
        *,
        is_exact: bool = True,
        is_shuffled: bool = False,
    ) -> list[Bytes]:
        """As `decode`, of one or two chunks, each of as many bytes as its `out` has.

        A codec that can puts them there, which spares a copy, and works on both at once. What is returned is where the
        bytes are.
        """
        return [
            np.frombuffer(self.decode(data, values, out.size, is_exact=is_exact, is_shuffled=is_shuffled), np.uint8)
            for data, out in zip(datas, outs, strict=True)
        ]

    def is_threaded(self) -> bool:
        """Whether `encode` and `decode` may be called from any thread, without libhdf5's lock."""
        return True

    def can_decode(self) -> bool:
        """Whether `decode` works here; else libhdf5 reads the dataset."""
        return True

    def prepare_libhdf5(self) -> None:  # noqa: B027  (most need nothing)
        """Make sure that libhdf5 finds the filter, too."""

    def prefers_unshuffled(self, data: Bytes, values: tuple[int, ...], itemsize: int) -> bool:
        """Whether this chunk gets clearly smaller where the byte shuffle before the codec is left out."""
        return False

    def hint(self, data: Bytes, values: tuple[int, ...], layout: ChunkLayout) -> Any:
        """What `encode` may go by for chunks of the same array; worth several times the time of an `encode`."""
        return None
