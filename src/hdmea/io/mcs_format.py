"""Common parts of `.cmcr` and `.cmtr` files: how they are opened, and how their parts are read by name.

They are not trusted: the engine's own parser reads them, lazily, so that nothing is read before it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from h5burst import Array, CorruptFileError, DamagedNode, Group, LazyArray, Node, read_tree
from hdmea.utils.discovery import existing
from hdmea.utils.exceptions import DataLoadError

MICROSECONDS = 1_000_000
CHIP_SIDE = 65
ACQUISITION = "Acquisition"
_UNREADABLE = (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError, OverflowError)
_STREAM_TABLES = {
    "SensorMeta": ("Sensor Data", "SensorStream"),  # and the name and kind of the stream that has the table
    "ChannelMeta": ("Analog Data", "ChannelStream"),
}


@dataclass(frozen=True)
class BlockSource:
    """Rows that a function reads, from a start to a stop, as `h5burst.ArraySource`."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[int, int], np.ndarray[Any, Any]]


def row_sources(data: LazyArray, kind: str) -> list[BlockSource]:
    """The rows of (rows, samples). Their reading raises `DataLoadError` where the file does not give the samples."""
    path, (count, *shape), dtype = Path(data.path), data.shape, data.dtype

    def read(row: int, start: int, stop: int) -> np.ndarray[Any, Any]:
        try:
            part: np.ndarray[Any, Any] = data[row, start:stop]
        except _UNREADABLE as error:
            raise _unreadable(path, kind, error) from error
        return part

    return [BlockSource(tuple(shape), dtype, partial(read, row)) for row in range(count)]


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn what goes wrong while `path` is read into `DataLoadError`."""
    try:
        yield
    except DataLoadError:
        raise
    except _UNREADABLE as error:
        raise _unreadable(path, kind, error) from error


def _unreadable(path: Path, kind: str, error: Exception) -> DataLoadError:
    return DataLoadError(f"{path} cannot be read as a {kind} file: {error}", path, error)


def open_file(path: str | os.PathLike[str], kind: str, ahead: int = 0) -> Group:
    """An HDF5 file as a lazy tree. `FileNotFoundError` where there is none, `DataLoadError` where it is not HDF5.

    ahead: as of `read_tree`, for a file of which nothing is damaged. Of another one all is read when it is used.
    """
    path = existing(path)
    with reading(path, kind):
        if ahead:
            with suppress(CorruptFileError):
                return read_tree(path, lazy=True, ahead=ahead)
        return read_tree(path, lazy=True)


def plain(value: Any) -> Any:
    """An attribute or compound field as a Python value: text for bytes, a scalar for an array of one."""
    if isinstance(value, np.ndarray):
        return plain(value[()] if value.ndim == 0 else value[0]) if value.size == 1 else value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    return value.decode("utf-8", errors="replace").rstrip() if isinstance(value, bytes) else value


def attributes(node: Node) -> dict[str, Any]:
    """All attributes that hold something, as Python values."""
    return {name: plain(value) for name, value in node.attrs.items() if value is not None}


def fields(row: Any) -> dict[str, Any]:
    """One row of a compound dataset as a dict of Python values."""
    return {name: plain(row[name]) for name in row.dtype.names or ()}


def groups_in(parent: Group) -> dict[str, Group]:
    """The groups in a group. Raises `CorruptFileError` for a child that is damaged: it may be one of them."""
    groups = {}
    for name, child in parent.children.items():
        if isinstance(child, DamagedNode):
            child.fail()
        if isinstance(child, Group):
            groups[name] = child
    return groups


def find_group(parent: Group, name: str, kind: str) -> Group | None:
    """The child of that name, else the first group whose `ID.Type` is `kind`, else None."""
    if name in parent.children:
        child = parent.children[name]
        if isinstance(child, DamagedNode):
            child.fail()
        return child if isinstance(child, Group) else None
    groups = groups_in(parent).values()
    return next((group for group in groups if plain(group.attrs.get("ID.Type")) == kind), None)


def read_table(parent: Group, name: str) -> np.ndarray[Any, Any] | None:
    """The table of that name as a one-dimensional structured array; None where it is missing or not a table."""
    child = parent.children.get(name)
    if not isinstance(child, Array) or child.data is None or child.data.dtype.names is None:
        return None
    return np.atleast_1d(np.asarray(child.data))


def meta_rows(stream: Group, name: str) -> list[dict[str, Any]]:
    """The rows of a stream's meta table; none where it is missing or not a table."""
    table = read_table(stream, name)
    return [] if table is None else [fields(row) for row in table]


def stream_facts(acquisition: Group) -> dict[str, dict[str, Any]]:
    """First row of the meta table of each stream, by the table's name."""
    facts = {}
    for name, (stream, kind) in _STREAM_TABLES.items():
        group = find_group(acquisition, stream, kind)
        if group is not None and (rows := meta_rows(group, name)):
            facts[name] = rows[0]
    return facts


def stream_rate_hz(facts: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Rate that the streams give by their `Tick` in microseconds, None where none does; facts: of `stream_facts`.

    Raises `ValueError` where they contradict one another.
    """
    ticks = {_STREAM_TABLES[name][0]: row.get("Tick") for name, row in facts.items()}
    rates = {
        stream: MICROSECONDS / tick
        for stream, tick in ticks.items()
        if isinstance(tick, (int, float)) and np.isfinite(tick) and tick > 0
    }
    if len(set(rates.values())) > 1:
        raise ValueError(
            "streams of different rates: " + ", ".join(f"{name} {rate:g} Hz" for name, rate in rates.items())
        )
    return next(iter(rates.values()), None)
