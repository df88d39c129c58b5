"""What an index asks of an array that is in a file: a box to read, and an index into that box."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np


class Selection(NamedTuple):
    """box: (start, stop) for each axis, none of it outside the array.

    Within: numpy's index into an array of that box.
    """

    box: tuple[tuple[int, int], ...]
    within: tuple[Any, ...]


def select(key: Any, shape: tuple[int, ...]) -> Selection:
    """Split an index as numpy understands it. Raises IndexError as numpy does."""
    parts = _expand(key if isinstance(key, tuple) else (key,), len(shape))
    box: list[tuple[int, int]] = []
    index: list[Any] = []
    for part in parts:
        if part is None or part is Ellipsis:  # the latter stands for no axis any more, but makes an array of a scalar
            index.append(part)
            continue
        if isinstance(part, np.ndarray) and part.dtype == bool:
            edges, within = _select_mask(part, shape[len(box) : len(box) + part.ndim], len(box))
        else:
            edge, within = _select_axis(part, shape[len(box)], len(box))
            edges = [edge]
        box += edges
        index.append(within)
    return Selection(tuple(box), tuple(index))


def _expand(parts: tuple[Any, ...], rank: int) -> list[Any]:
    """One part for each axis, or for several in the case of masks; new axes and the ellipsis stay in between."""
    parts = tuple(_plain(part) for part in parts)
    used = sum(part.ndim if _is_mask(part) else part is not None and part is not Ellipsis for part in parts)
    if used > rank:
        raise IndexError(f"too many indices for array: array is {rank}-dimensional, but {used} were indexed")
    ellipses = sum(part is Ellipsis for part in parts)
    if ellipses > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    rest = [slice(None)] * (rank - used)
    if not ellipses:
        return [*parts, *rest]
    at = next(place for place, part in enumerate(parts) if part is Ellipsis)
    return [*parts[: at + 1], *rest, *parts[at + 1 :]]


def _plain(part: Any) -> Any:
    """Integers, slices, None and Ellipsis as they are; lists and arrays as arrays."""
    if part is None or part is Ellipsis or isinstance(part, slice):
        return part
    if isinstance(part, (bool, np.bool_)):
        return np.asarray(part)
    if not isinstance(part, (list, tuple, np.ndarray)):
        try:
            return operator.index(part)
        except TypeError:
            pass
    array = np.asarray(part)
    if array.size == 0 and not isinstance(part, np.ndarray):
        array = array.astype(np.intp)
    if array.dtype != bool and array.dtype.kind not in "iu":
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and integer or boolean arrays are indices"
        )
    return array


def _is_mask(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype == bool


def _select_axis(part: Any, length: int, axis: int) -> tuple[tuple[int, int], Any]:
    if isinstance(part, int):
        if not -length <= part < length:
            raise IndexError(f"index {part} is out of bounds for axis {axis} with size {length}")
        place = part % length
        return (place, place + 1), 0
    if isinstance(part, slice):
        places = range(*part.indices(length))
        if not places:
            return (0, 0), slice(None)
        low, high = min(places[0], places[-1]), max(places[0], places[-1])
        return (low, high + 1), slice(None, None, places.step)
    if not part.size:
        return (0, 0), part.astype(np.intp)
    low, high = int(part.min()), int(part.max())
    if low < -length or high >= length:
        raise IndexError(f"index {low if low < -length else high} is out of bounds for axis {axis} with size {length}")
    part = np.where(part < 0, part.astype(np.int64) + length, part).astype(np.int64)
    low, high = int(part.min()), int(part.max())
    return (low, high + 1), part - low


def _select_mask(mask: np.ndarray[Any, Any], shape: tuple[int, ...], axis: int) -> tuple[list[tuple[int, int]], Any]:
    """A mask over one or more axes (none: a single truth value), cut to the box that holds its true elements."""
    if mask.shape != shape:
        raise IndexError(
            f"boolean index did not match indexed array along axis {axis}: shapes {shape} and {mask.shape} differ"
        )
    edges = []
    for k in range(mask.ndim):
        rows = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != k)))
        edges.append((int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0))
    return edges, mask[tuple(slice(*edge) for edge in edges)]
