"""Single values of pandas, which need not be installed: NaT, NA, Timestamp, Timedelta.

They are subclasses of Python's own types, or look like them, and hold what these cannot: nanoseconds, and nothing.
Without pandas they come back as numpy's values of the same unit, and NA as None.
"""

from __future__ import annotations

import importlib
import sys
from datetime import timedelta, timezone
from typing import Any

import numpy as np

from h5burst.model.tree import UnsupportedValueError


def is_one(value: Any) -> bool:
    """True where this is a single value of pandas."""
    pandas: Any = sys.modules.get("pandas")
    if pandas is None or type(value).__module__.partition(".")[0] != "pandas":  # "pandas" itself from pandas 3 on
        return False
    return value is pandas.NaT or value is pandas.NA or isinstance(value, (pandas.Timestamp, pandas.Timedelta))


def parts_of(value: Any, path: str) -> list[Any]:
    """Parts that stand for a value of pandas in JSON. `UnsupportedValueError` for a time zone that cannot be kept."""
    pandas: Any = sys.modules["pandas"]
    if value is pandas.NaT or value is pandas.NA:
        return ["NaT" if value is pandas.NaT else "NA"]
    exact = value.asm8
    kind = "Timestamp" if isinstance(value, pandas.Timestamp) else "Timedelta"
    zone = _zone_of(value.tzinfo, path) if kind == "Timestamp" else None
    return [kind, int(exact.view("i8")), np.datetime_data(exact.dtype)[0], zone]


def from_parts(parts: list[Any]) -> Any:
    """The value of `parts_of`."""
    try:
        pandas: Any = importlib.import_module("pandas")
    except ImportError:
        pandas = None
    kind, *rest = parts
    if kind == "NA":
        return None if pandas is None else pandas.NA
    if kind == "NaT":
        return np.datetime64("NaT") if pandas is None else pandas.NaT
    number, unit, zone = rest
    if kind == "Timedelta":
        span = np.timedelta64(number, unit)
        return span if pandas is None else pandas.Timedelta(span)
    if kind != "Timestamp":
        raise ValueError(f"unknown value of pandas {kind!r}")
    moment = np.datetime64(number, unit)
    if pandas is None:
        return moment
    stamp = pandas.Timestamp(moment)
    if zone is None:
        return stamp
    return stamp.tz_localize("UTC").tz_convert(zone if isinstance(zone, str) else timezone(timedelta(seconds=zone)))


def _zone_of(zone: Any, path: str) -> str | float | None:
    """A time zone by its name, or a fixed offset in seconds."""
    if zone is None:
        return None
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)
    if isinstance(name, str):
        return name
    if isinstance(zone, timezone):
        return zone.utcoffset(None).total_seconds()
    raise UnsupportedValueError(f"time zone {zone!r} cannot be kept", path)
