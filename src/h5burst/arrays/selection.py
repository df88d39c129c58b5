"""Selections of an index in an array that is in a file: places of each axis to read, and an index into those."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

AxisIndices: TypeAlias = "range | np.ndarray[Any, np.dtype[np.int64]]"  # along one axis, ascending, none twice
Box: TypeAlias = "tuple[tuple[int, int], ...]"


class Selection(NamedTuple):
    """places: those of each axis that are asked for, none of them outside the array.

    Within: numpy's index into an array of just these places.
    """

    places: tuple[AxisIndices, ...]
    within: tuple[Any, ...]


def bounding_box(places: tuple[AxisIndices, ...]) -> Box:
    """The smallest box that holds all places: (start, stop) for each axis."""
    return tuple((int(axis[0]), int(axis[-1]) + 1) if len(axis) else (0, 0) for axis in places)


def relative_index(places: tuple[AxisIndices, ...], box: Box) -> tuple[Any, ...]:
    """Numpy's index of places into an array of a box that holds them."""
    slices = [
        (slice(axis[0] - start, axis[-1] + 1 - start, axis.step) if axis else slice(0, 0))
        for axis, (start, _) in zip(places, box, strict=True)
        if isinstance(axis, range)
    ]
    if not places:
        return (...,)  # an array of one element, not the element
    if len(slices) == len(places):
        return tuple(slices)
    return np.ix_(*(np.asarray(axis, np.int64) - start for axis, (start, _) in zip(places, box, strict=True)))


def select(key: Any, shape: tuple[int, ...]) -> Selection:
    """Split an index as numpy understands it. Raises IndexError as numpy does."""
    if shape and isinstance(key, (int, slice)) and not isinstance(key, bool):  # the same as below, in less time
        first, within = _select_axis(key, shape[0], 0)
        return Selection((first, *map(range, shape[1:])), (within,))
    parts = _expand(key if isinstance(key, tuple) else (key,), len(shape))
    places: list[AxisIndices] = []
    index: list[Any] = []
    for part in parts:
        if part is None or part is Ellipsis:  # the latter stands for no axis any more, but makes an array of a scalar
            index.append(part)
            continue
        if isinstance(part, np.ndarray) and part.dtype == bool:
            axes, within = _select_mask(part, shape[len(places) : len(places) + part.ndim], len(places))
        else:
            axis, within = _select_axis(part, shape[len(places)], len(places))
            axes = [axis]
        places += axes
        index.append(within)
    return Selection(tuple(places), tuple(index))


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
    at = next(axis for axis, part in enumerate(parts) if part is Ellipsis)
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


def _select_axis(part: Any, length: int, axis: int) -> tuple[AxisIndices, Any]:
    if isinstance(part, int):
        if not -length <= part < length:
            raise IndexError(f"index {part} is out of bounds for axis {axis} with size {length}")
        at = part % length
        return range(at, at + 1), 0
    if isinstance(part, slice):
        places = range(*part.indices(length))
        if len(places) == 1:
            return range(places[0], places[0] + 1), slice(None)
        return (places, slice(None)) if places.step > 0 else (places[::-1], slice(None, None, -1))
    if not part.size:
        return range(0), part.astype(np.intp)
    low, high = int(part.min()), int(part.max())
    if low < -length or high >= length:
        raise IndexError(f"index {low if low < -length else high} is out of bounds for axis {axis} with size {length}")
    part = part.astype(np.int64)
    indices, within = np.unique(np.where(part < 0, part + length, part), return_inverse=True)
    return _run(indices), within.reshape(part.shape)


def _run(places: np.ndarray[Any, np.dtype[np.int64]]) -> AxisIndices:
    """Ascending places as a range where they are in one run."""
    if not len(places):
        return range(0)
    first, last = int(places[0]), int(places[-1])
    return range(first, last + 1) if last - first + 1 == len(places) else places


def _select_mask(mask: np.ndarray[Any, Any], shape: tuple[int, ...], axis: int) -> tuple[list[AxisIndices], Any]:
    """A mask over one or more axes (none: a single truth value), cut to the places that hold its true elements."""
    if mask.shape != shape:
        raise IndexError(
            f"boolean index did not match indexed array along axis {axis}: shapes {shape} and {mask.shape} differ"
        )
    places = [
        _run(np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != k))))
        for k in range(mask.ndim)
    ]
    return places, mask[np.ix_(*(np.asarray(axis, np.int64) for axis in places))] if places else mask
