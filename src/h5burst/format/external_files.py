"""The message that names other files with a dataset's elements, by texts in a local heap."""

from __future__ import annotations

from h5burst.format.total import total

_HEAP = slice(8, 16)  # address of the heap


@total("a message of external files")
def heap_of(message: bytes) -> int:
    """Address of the local heap with their names."""
    if len(message) < _HEAP.stop:
        raise ValueError
    return int.from_bytes(message[_HEAP], "little")


def with_heap(message: bytes, address: int) -> bytes:
    """The message with its names in another heap."""
    return message[: _HEAP.start] + address.to_bytes(8, "little") + message[_HEAP.stop :]
