"""Tables of NWB files as they are stored: plain, ragged and text columns of a group."""

from __future__ import annotations

from typing import Any

import numpy as np

from h5burst import Array, Group

BLOCK_ELEMENTS = 1 << 18  # of a ragged column that are read at once


def text_of(value: Any) -> Any:
    """Bytes as text; anything else as it is."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value


class DynamicTable:
    """A DynamicTable: a group with `id`, `colnames` and a dataset a column, ragged ones with an index beside.

    Arrays are read when they are asked for.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._ends: dict[str, Any] = {}
        self._blocks: dict[str, tuple[int, Any]] = {}  # what was read last of a ragged column, and where it begins
        stored = group.attrs.get("colnames", ())
        self.names = [str(text_of(name)) for name in np.atleast_1d(np.asarray(stored, object)).tolist()]

    def __contains__(self, name: object) -> bool:
        return isinstance(self._group.children.get(str(name)), Array)

    def __len__(self) -> int:
        return len(self._data("id")) if "id" in self else 0

    def _data(self, name: str) -> Any:
        node = self._group.children[name]
        assert isinstance(node, Array)
        return node.data

    def dimensions(self, name: str) -> int:
        """Of a column's dataset; 0 for one that is not there."""
        return len(self._data(name).shape) if name in self and self._data(name) is not None else 0

    def is_single(self, name: str) -> bool:
        """True where a column holds one number or text a row."""
        if self.dimensions(name) != 1 or f"{name}_index" in self:
            return False
        data = self._data(name)
        return len(data) == len(self) and data.dtype.kind in "biufUSOT" and data.dtype.names is None

    def single(self, name: str) -> list[Any]:
        """A column of one value a row."""
        values = np.asarray(self._data(name)[:])
        return [text_of(value) for value in values.tolist()]

    def rows(self, name: str) -> Any:
        """A column's dataset, whose first axis are the rows; lazy."""
        return self._data(name)

    def ragged(self, name: str, row: int) -> Any:
        """One row of a ragged column. Raises `ValueError` for an index that descends or leaves the data."""
        if name not in self._ends:
            self._ends[name] = np.asarray(self._data(f"{name}_index")[:]).astype(np.int64)
            ends = self._ends[name]
            if (
                len(ends) != len(self)
                or np.any(np.diff(ends, prepend=0) < 0)
                or ends[-1:].sum() > len(self._data(name))
            ):
                raise ValueError(f"the index of {name} does not fit its data")
        ends = self._ends[name]
        start, stop = int(ends[row - 1]) if row else 0, int(ends[row])
        first, block = self._blocks.get(name, (0, np.empty(0)))
        if not first <= start <= stop <= first + len(block):
            first, block = start, np.asarray(self._data(name)[start : max(stop, start + BLOCK_ELEMENTS)])
            self._blocks[name] = first, block
        return block[start - first : stop - first]

    def identifier(self, row: int) -> int:
        """A row's ID."""
        if "id" not in self._ends:
            self._ends["id"] = np.asarray(self._data("id")[:]).astype(np.int64)
        return int(self._ends["id"][row])

    def attribute(self, name: str, attribute: str) -> float:
        """A numeric attribute of a column; NaN where there is none."""
        node = self._group.children.get(name)
        value = node.attrs.get(attribute) if node is not None else None
        return float(np.asarray(value).ravel()[0]) if value is not None else float("nan")

    def text_attribute(self, attribute: str) -> str:
        """A text of the table itself; empty where there is none."""
        return str(text_of(self._group.attrs.get(attribute, "")))
