"""Base class of codecs, and the terms of HDF5's filter pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from h5burst.runtime.buffers import Bytes

DEFAULT_LEVELS = range(10)  # of a codec that names no others
OPTIONAL = 1  # flag: a chunk that a filter cannot make smaller is stored without it


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a dataset's pipeline, which is in the order of writing.

    Attributes
    ----------
    id
        HDF5's number of the filter.
    flags
        1 where a chunk that the filter cannot make smaller is stored without it, else 0.
    values
        The client values: numbers that are stored for the filter.
    name
        As stored beside the number; may be empty.

    Examples
    --------
    >>> from h5burst import Storage, codecs
    >>> codecs.filters_for(Storage(codec="gzip", level=4), itemsize=8)[1]
    Filter(id=1, flags=1, values=(4,), name='deflate')
    """

    id: int
    flags: int
    values: tuple[int, ...]
    name: str = ""


class ChunkError(OSError):
    """A chunk that does not decode: its checksum, its compressed stream or its length is wrong."""


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """Arrangement of the bytes of a chunk when a codec gets them.

    Attributes
    ----------
    itemsize
        Bytes of an element.
    planes
        Parts of equal length that the byte shuffle made of the chunk (all first bytes of elements, all second bytes and
        so on); 1 where it was left out.

    Examples
    --------
    >>> from h5burst.codecs import ChunkLayout
    >>> ChunkLayout(itemsize=8, planes=8)  # shuffled float64
    ChunkLayout(itemsize=8, planes=8)
    """

    itemsize: int
    planes: int = 1


class Codec(ABC):
    """A compressor of chunks: derive from it, set the class attributes, and give an instance to `register`.

    `docs/extending.md` has a whole one.

    Attributes
    ----------
    name
        As users ask for it: `Storage(codec=name)`.
    filter_id, filter_name
        The number that the HDF Group has registered for the filter, and the name that is stored beside it.
    levels, default_level
        What users may ask for, and what they get when they do not; None for a codec without levels.
    is_shuffled
        Whether HDF5's byte shuffle goes before it.
    max_ratio
        Bytes that one encoded byte can become at most; None where the format has no bound.
    needs_size
        Whether `decode` must be told exactly how many bytes come out, because the format does not say.

    Examples
    --------
    >>> from h5burst import codecs
    >>> gzip = codecs.by_name("gzip")
    >>> gzip.filter_id, gzip.filter_name, gzip.client_values(4, itemsize=8, chunk_bytes=1 << 20)
    (1, 'deflate', (4,))
    """

    name: ClassVar[str]
    filter_id: ClassVar[int]
    filter_name: ClassVar[str]
    levels: ClassVar[range | None] = DEFAULT_LEVELS
    default_level: ClassVar[int] = 0
    is_shuffled: ClassVar[bool] = True
    max_ratio: ClassVar[int | None] = None
    needs_size: ClassVar[bool] = False

    @abstractmethod
    def client_values(self, level: int, itemsize: int, chunk_bytes: int) -> tuple[int, ...]:
        """The numbers that are stored with the filter, as its author and h5py would store them.

        Parameters
        ----------
        level
            One of `levels`; `default_level` where the user gave none.
        itemsize
            Bytes of an element.
        chunk_bytes
            Bytes of a whole chunk.

        Returns
        -------
        tuple of int
            Each of 32 bits without a sign.
        """

    @abstractmethod
    def encode(
        self, data: Bytes, values: tuple[int, ...], layout: ChunkLayout, hint: Any = None
    ) -> bytes | bytearray | None:
        """Encode the bytes of a chunk.

        Parameters
        ----------
        data
            uint8 of shape (bytes,).
        values
            The client values.
        layout
            How the bytes are arranged.
        hint
            What `hint` has returned for a chunk of the same array, or None.

        Returns
        -------
        bytes, bytearray or None
            None where the bytes do not get fewer; the chunk is then `stored`.
        """

    def stored(self, data: Bytes, values: tuple[int, ...]) -> bytes | bytearray | None:
        """A chunk that does not get smaller, as a stream that `decode` and the filter in libhdf5 undo.

        Parameters
        ----------
        data
            uint8 of shape (bytes,): what `encode` has returned None for.
        values
            The client values.

        Returns
        -------
        bytes, bytearray or None
            More bytes than `data` has. None (the default): the chunk is stored without this filter, as its mask says.
            libhdf5 keeps that mask when another program writes the chunk again and the encoded bytes are just as many
            as the elements' bytes: the chunk is then misread. So give a stream if the format has one.
        """
        return None

    @abstractmethod
    def decode(
        self, data: Bytes, values: tuple[int, ...], size: int, *, is_exact: bool = True
    ) -> bytes | bytearray | Bytes:
        """Decode the bytes of a chunk.

        Parameters
        ----------
        data
            uint8 of shape (bytes,): what `encode` made, or what a file of any origin holds.
        values
            The client values that are stored in the file.
        size
            How many bytes the result must have.
        is_exact
            False where `size` is the most that the result may have.

        Returns
        -------
        bytes, bytearray or ndarray
            The decoded bytes; an array is uint8 of shape (bytes,).

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
    ) -> list[Bytes]:
        """Decode one chunk or two, each into memory that has the size of its result.

        The default calls `decode` for each. A codec that writes into `outs` itself saves a copy, and may work on both
        chunks at once.

        Parameters
        ----------
        datas
            The encoded chunks: one or two, each uint8 of shape (bytes,).
        values
            The client values that are stored in the file.
        outs
            Memory for the results: as many as `datas`, each uint8 of shape (bytes,).
        is_exact
            As of `decode`.

        Returns
        -------
        list of ndarray
            Where the results are, in `outs` or elsewhere: each uint8 of shape (bytes,).

        Raises
        ------
        ValueError
            As `decode`.
        """
        return [
            np.frombuffer(self.decode(data, values, out.size, is_exact=is_exact), np.uint8)
            for data, out in zip(datas, outs, strict=True)
        ]

    def is_threaded(self) -> bool:
        """True where `encode` and `decode` may be called from any thread, without libhdf5's lock."""
        return True

    def can_decode(self) -> bool:
        """True where `decode` works in this installation; where it does not, libhdf5 reads the dataset."""
        return True

    def prepare_libhdf5(self) -> None:  # noqa: B027  (most need nothing)
        """Make sure that libhdf5 finds the filter, too."""

    def prefers_unshuffled(self, samples: Iterable[Bytes], values: tuple[int, ...], itemsize: int) -> bool:
        """True where chunks like these of a dataset get clearly smaller without the byte shuffle before the codec."""
        return False

    def hint(self, data: Bytes, values: tuple[int, ...], layout: ChunkLayout) -> Any:
        """Look at a chunk for what `encode` may use for all chunks of the same array, such as a choice of method.

        It is called once an array, so it may take several times as long as `encode`.
        """
        return None
