"""Arrays in nested dicts, lists and tuples: one traversal for all who count or move them.

Every array at any depth counts once, as part of the buffer that it looks at. Arrays that are in a file and are read
from there hold no memory and are not counted; a dict that is filled from a file when it is first looked at is not
looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from h5burst.memory.scratch import ScratchArray, ScratchView

Array = np.ndarray[Any, Any]

_SPILLED_KINDS = "biufcmMU"  # of arrays that are saved from a scratch file as they are saved from memory


@dataclass
class Buffer:
    """Memory that one or more arrays look at, and where these arrays are held: (container, key, array)."""

    base: Array
    nbytes: int
    places: list[tuple[Any, Any, Array]] = field(default_factory=list)

    @property
    def is_movable(self) -> bool:
        """True where all arrays are plain ones of a dtype for scratch files, in dicts and lists of ours to change."""
        return type(self.base) is np.ndarray and all(
            container is not None and type(array) is np.ndarray and array.dtype.kind in _SPILLED_KINDS
            for container, _, array in self.places
        )


def buffers(values: Iterable[Any]) -> dict[int, Buffer]:
    """Every piece of memory that arrays in `values` look at, by its identity."""
    pieces: dict[int, Buffer] = {}
    for container, key, array in arrays(values):
        if isinstance(array, np.ndarray):
            _add(pieces, container, key, array)
            if isinstance(array, np.ma.MaskedArray) and array.mask is not np.ma.nomask:
                _add(pieces, None, None, np.asarray(array.mask))
    return pieces


def resident_bytes(values: Iterable[Any]) -> int:
    """Bytes of the arrays in memory that nested dicts, lists and tuples hold.

    Parameters
    ----------
    values : iterable
        Containers or arrays.

    Returns
    -------
    int
        Each buffer counted once, however many arrays look at it; what is read from files counts nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from h5burst import resident_bytes
    >>> array = np.zeros(1000)
    >>> resident_bytes([{"a": array, "b": [array[:10]]}])
    8000
    """
    return sum(buffer.nbytes for buffer in buffers(values).values())


def spilled_bytes(values: Iterable[Any]) -> int:
    """Bytes of the arrays in scratch files that nested dicts, lists and tuples hold.

    Parameters
    ----------
    values : iterable
        Containers or arrays.

    Returns
    -------
    int
        Each array counted once.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from h5burst import Scratch, spilled_bytes
    >>> scratch = Scratch(Path("."), "example")
    >>> spilled_bytes([{"a": scratch.store(np.zeros(100_000))}])
    800000
    >>> scratch.close()
    """
    sizes = {}
    for _, _, array in arrays(values):
        if isinstance(array, (ScratchArray, ScratchView)):
            whole = array.whole if isinstance(array, ScratchView) else array
            sizes[id(whole)] = whole.nbytes
    return sum(sizes.values())


def arrays(values: Iterable[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Every array with the dict or list that holds it, and its key there; None holds what cannot be exchanged."""
    waiting: list[tuple[Any, Any, Any]] = [(None, None, value) for value in values]
    seen: set[int] = set()  # a container may hold itself
    while waiting:
        container, key, value = waiting.pop()
        if isinstance(value, (np.ndarray, ScratchArray, ScratchView)):
            yield container, key, value
        elif isinstance(value, (dict, list, tuple, Mapping)) and id(value) not in seen:
            seen.add(id(value))
            waiting += _members(value)


def _members(value: Any) -> list[tuple[Any, Any, Any]]:
    if isinstance(value, dict):
        return [(value, name, item) for name, item in dict.items(value)]  # of dict: a lazy one stays unread
    if isinstance(value, list):
        return [(value, index, item) for index, item in enumerate(value)]
    items = value.values() if isinstance(value, Mapping) else value
    return [(None, None, item) for item in items]


def _add(pieces: dict[int, Buffer], container: Any, key: Any, array: Array) -> None:
    base, nbytes = _memory_of(array)
    buffer = pieces.setdefault(id(base), Buffer(base, nbytes))
    buffer.nbytes = max(buffer.nbytes, nbytes)
    buffer.places.append((container, key, array))


def _memory_of(array: Array) -> tuple[Any, int]:
    """The owner of the memory that an array looks at, and its size."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    if array.base is None:
        return array, array.nbytes
    try:
        return array.base, memoryview(array.base).nbytes
    except TypeError:  # a base that does not show its memory
        return array.base, array.nbytes
