"""The single values of a unit, exactly as they are stored, each with the path of keys that leads to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

Scalar: TypeAlias = str | bool | int | float | None

DEEPEST = 6  # levels of nested dicts that are looked into
BESIDES = ("features", "spike_times_sectioned")  # of a unit: not values of its own


def single(value: Any) -> tuple[bool, Scalar]:
    """Tell whether this is one value, and that value as Python's own type."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    is_single = value is None or isinstance(value, (str, bool, int, float))
    return is_single, value if is_single else None


def single_values(values: Mapping[Any, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Scalar]]:
    """All single values in nested dicts by their path; arrays and features' metadata are left out.

    The key `data` of a feature is not part of a path: what is in it is the feature's own.
    """
    yield from _walk(values, path, 0)


def _walk(values: Mapping[Any, Any], path: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], Scalar]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            if depth < DEEPEST and name != "metadata":
                yield from _walk(value, path if name == "data" else (*path, str(name)), depth + 1)
            continue
        is_single, one = single(value)
        if is_single:
            yield (*path, str(name)), one


def unit_values(unit: Mapping[str, Any]) -> dict[tuple[str, ...], Scalar]:
    """A unit's own values, and those of its features by (feature, …, name)."""
    unit_level = {name: one for name, one in unit.items() if name not in BESIDES}
    if isinstance(
        sorter := unit_level.get("unit_meta"), Mapping
    ):  # the vendor's values are stored as arrays of one element
        unit_level["unit_meta"] = {name: _only_element(one) for name, one in sorter.items()}
    return dict(single_values(unit_level)) | dict(single_values(unit.get("features") or {}))


SORTER = "unit_meta"  # what the vendor's table of units says; loaded in full, it says the same in small letters again
_PLACES = {
    "row": "row",
    "column": "col",
    "sensorid": "global_id",
    "unitid": "unit_num",
}  # the unit's own, as it names them


def without_doubles(values: Mapping[tuple[str, ...], Scalar]) -> dict[tuple[str, ...], Scalar]:
    """The values of a unit without those of the vendor's table that are there already, under a name of other case or
    as the unit's own.
    """
    kept: dict[tuple[str, ...], Scalar] = {}
    seen: dict[str, list[Scalar]] = {}
    for path, value in values.items():
        if len(path) == 2 and path[0] == SORTER:
            name = path[1].casefold()
            plain = [values[(_PLACES[name],)]] if name in _PLACES and (_PLACES[name],) in values else []
            if any(_is_same(value, other) for other in (*plain, *seen.get(name, ()))):
                continue
            seen.setdefault(name, []).append(value)
        kept[path] = value
    return kept


def _is_same(one: Scalar, other: Scalar) -> bool:
    """True where two values are equal, as far as single precision goes."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (one != one and other != other) or abs(one - other) <= 1e-6 * abs(one)
    return one == other


def _only_element(value: Any) -> Any:
    return np.asarray(value).reshape(())[()] if getattr(value, "shape", None) == (1,) else value
