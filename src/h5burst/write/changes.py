"""Changes of a transaction, collected name by name before any of it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np

from h5burst.model.source import ArraySource, as_source
from h5burst.model.tree import Array, Group, Node
from h5burst.write.edited_file import StoredObject


class Removed:
    """In the place of a child or a value: it is removed."""


REMOVED: Final = Removed()


@dataclass(slots=True)
class ObjectChange:
    """An object of the file: new attributes, new children, rows to append.

    A child is another `ObjectChange` of what is there, a node that is new, or REMOVED.
    """

    existing: StoredObject
    attrs: dict[str, Any] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)
    rows: list[np.ndarray[Any, Any] | ArraySource] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """True where nothing changes, in it and below it."""
        below = self.children.values()
        return not (self.attrs or self.rows) and all(isinstance(c, ObjectChange) and c.is_empty for c in below)


Child: TypeAlias = "ObjectChange | Group | Array | Removed"


def merged_attributes(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Attributes after a change; None in `new` removes one, in `old` it is one of a null dataspace."""
    return {name: value for name, value in {**old, **new}.items() if value is not None or name not in new}


def overlaid(change: ObjectChange, base: Node) -> Node:
    """A node of the file as it will be; `base` is read only where it has to be."""
    if isinstance(base, Array):
        data = base.data if base.data is None or not change.rows else Joined.of([base.data, *change.rows])
        return Array(data, merged_attributes(base.attrs, change.attrs), base.storage)
    children = dict(base.children)
    for name, child in change.children.items():
        if isinstance(child, Removed):
            children.pop(name, None)
        elif isinstance(child, ObjectChange):
            if name in children:  # else it is nothing that trees have, such as a committed datatype
                children[name] = overlaid(child, children[name])
        else:
            children[name] = child
    return Group(children, merged_attributes(base.attrs, change.attrs), base.links, base.track_order)


class Joined:
    """Rows of several arrays, one after the other: an `ArraySource`."""

    def __init__(self, parts: list[np.ndarray[Any, Any] | ArraySource]) -> None:
        self._parts = [as_source(part) for part in parts]
        self.dtype: np.dtype[Any] = np.dtype(parts[0].dtype)
        self.shape: tuple[int, ...] = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])

    @classmethod
    def of(cls, parts: list[np.ndarray[Any, Any] | ArraySource]) -> np.ndarray[Any, Any] | Joined:
        """The parts as one; arrays in memory as such an array."""
        in_memory = [part for part in parts if isinstance(part, np.ndarray)]
        return np.concatenate(in_memory) if len(in_memory) == len(parts) else cls(parts)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Rows [start, stop) as a C-ordered array."""
        blocks = [part.read(first, last) for part, first, last in self._pieces(start, stop)]
        empty = np.empty((0, *self.shape[1:]), self.dtype)
        return np.ascontiguousarray(np.concatenate(blocks) if blocks else empty, dtype=self.dtype)

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[ArraySource, int, int]]:
        before = 0
        for part in self._parts:
            first, last = max(start - before, 0), min(stop - before, part.shape[0])
            if first < last:
                yield part, first, last
            before += part.shape[0]

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self)[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        whole = self.read(0, self.shape[0])
        return whole if dtype is None else whole.astype(dtype)
