"""How many chunks are decoded, one at a time or two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from h5burst import codecs
from h5burst._ext.chunk_reading import ChunkReading
from h5burst.codecs import pipeline
from h5burst.read import many_chunks


@contextmanager
def counting_decoded() -> Iterator[list[int]]:
    """A list that gets one element for each chunk that is decoded while the block runs."""
    decoded: list[int] = []
    decode_pair = pipeline.decode_pair

    def counted(payloads: Any, *others: Any) -> None:
        decoded.extend([1] * len(payloads))
        decode_pair(payloads, *others)

    class Counted:
        """Chunks that are decoded without Python."""

        def __init__(self, *args: Any) -> None:
            self._reading = ChunkReading(*args)
            decoded.extend([1] * len(args[7]))  # the first element of each

        def __getattr__(self, name: str) -> Any:
            return getattr(self._reading, name)

    # Where it is called by `codecs.decode`, and where those call it that have two chunks.
    with (
        mock.patch.object(pipeline, "decode_pair", counted),
        mock.patch.object(codecs, "decode_pair", counted),
        mock.patch.object(many_chunks, "ChunkReading", Counted),
    ):
        yield decoded
