"""What `.cmcr` and `.cmtr` files have in common: how they are opened, and how their parts are read by name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hdmea.utils.exceptions import DataLoadError

MICROSECONDS = 1_000_000
CHIP_SIDE = 65
ACQUISITION = "Acquisition"


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn what goes wrong while `path` is read into `DataLoadError`."""
    try:
        yield
    except DataLoadError:
        raise
    except (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError, OverflowError) as error:
        raise DataLoadError(f"{path} cannot be read as a {kind} file: {error}", path, error) from error


def open_file(path: str | os.PathLike[str], kind: str) -> h5py.File:
    """An HDF5 file for reading. `FileNotFoundError` where there is none, `DataLoadError` where it is not HDF5."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    with reading(path, kind):
        return h5py.File(path, "r")


def plain(value: Any) -> Any:
    """An attribute or compound field as a Python value: text for bytes, a scalar for an array of one."""
    if isinstance(value, np.ndarray):
        return plain(value[()] if value.ndim == 0 else value[0]) if value.size == 1 else value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    return value.decode("utf-8", errors="replace").rstrip() if isinstance(value, bytes) else value


def attributes(node: h5py.HLObject) -> dict[str, Any]:
    """All attributes that hold something, as Python values."""
    return {name: plain(value) for name, value in node.attrs.items() if not isinstance(value, h5py.Empty)}


def fields(row: Any) -> dict[str, Any]:
    """One row of a compound dataset as a dict of Python values."""
    return {name: plain(row[name]) for name in row.dtype.names or ()}


def find_group(parent: h5py.Group, name: str, kind: str) -> h5py.Group | None:
    """The child of that name, else the first whose `ID.Type` is `kind`, else None."""
    names = [name] if name in parent else list(parent)
    for candidate in names:
        child = child_of(parent, candidate)
        if isinstance(child, h5py.Group) and (candidate == name or plain(child.attrs.get("ID.Type")) == kind):
            return child
    return None


def child_of(parent: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """The child of that name; None where there is none, or where a link leads nowhere."""
    try:
        child = parent[name]
    except (KeyError, OSError):
        return None
    return child if isinstance(child, (h5py.Group, h5py.Dataset)) else None


class TableReader:
    """Reads compound datasets, of which a file has thousands of one type: each type is translated once.

    Translating a compound type of 40 fields takes h5py longer than reading a unit's spikes.
    """

    def __init__(self) -> None:
        self._types: list[tuple[h5py.h5t.TypeID, np.dtype[Any]]] = []

    def read(self, parent: h5py.Group, name: str) -> np.ndarray[Any, Any] | None:
        """The table of that name as a one-dimensional structured array; None where it is missing or no table."""
        try:
            dataset = h5py.h5d.open(parent.id, name.encode("utf-8"))
        except (KeyError, OSError, TypeError):
            return None
        stored = dataset.get_type()
        if not isinstance(stored, h5py.h5t.TypeCompoundID):
            return None
        dtype = self._dtype_of(stored)
        if dtype.hasobject or dataset.get_space().get_simple_extent_type() == h5py.h5s.NULL:
            return np.atleast_1d(h5py.Dataset(dataset)[()]) if dataset.shape is not None else np.empty(0, dtype)
        table = np.empty(dataset.shape, dtype)
        if table.size:
            dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, table, stored)
        return np.atleast_1d(table)

    def _dtype_of(self, stored: h5py.h5t.TypeID) -> np.dtype[Any]:
        for known, dtype in self._types:
            if known.equal(stored):
                return dtype
        self._types.append((stored, np.dtype(stored.dtype)))
        return self._types[-1][1]


def meta_rows(stream: h5py.Group, name: str, tables: TableReader | None = None) -> list[dict[str, Any]]:
    """The rows of a stream's meta table; none where it is missing or no table."""
    table = (tables or TableReader()).read(stream, name)
    return [] if table is None else [fields(row) for row in table]


def tick_rate_hz(rows: list[dict[str, Any]]) -> float | None:
    """Samples a second from the first row's `Tick` in microseconds; None where it is missing or no duration."""
    tick = rows[0].get("Tick") if rows else None
    if not isinstance(tick, (int, float)) or not np.isfinite(tick) or tick <= 0:
        return None
    return MICROSECONDS / tick


def row_and_column(sensor_id: int) -> tuple[int, int]:
    """Row and column, from 1, of a sensor's number on the chip: it counts column by column."""
    column, row = divmod(sensor_id - 1, CHIP_SIDE)
    return row + 1, column + 1


def stream_rate_hz(acquisition: Mapping[str, Any] | h5py.Group) -> float | None:
    """The rate that an acquisition's streams give by their ticks. `ValueError` where they contradict one another."""
    rates = {}
    for name, kind, meta in (
        ("Sensor Data", "SensorStream", "SensorMeta"),
        ("Analog Data", "ChannelStream", "ChannelMeta"),
    ):
        stream = find_group(acquisition, name, kind)
        rate = None if stream is None else tick_rate_hz(meta_rows(stream, meta))
        if rate is not None:
            rates[name] = rate
    if len(set(rates.values())) > 1:
        raise ValueError(
            "streams of different rates: " + ", ".join(f"{name} {rate:g} Hz" for name, rate in rates.items())
        )
    return next(iter(rates.values()), None)
