"""Selections that are boxes: which part of a dataset they are, and which chunks hold it."""

from __future__ import annotations

import math
from operator import index
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np

Box: TypeAlias = "tuple[tuple[int, int], ...]"


def box_of(args: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Box, tuple[int, ...]] | None:
    """Start and stop along each axis, and the shape that the result has; None for all that is not a plain box.

    Integers, slices without steps, and one `...`: what h5py and numpy understand in the same way. What is empty or out
    of bounds is not one either.
    """
    axes = len(shape)
    given = [item for item in args if not isinstance(item, EllipsisType)]
    if len(args) - len(given) > 1 or len(given) > axes:
        return None
    before = next((k for k, item in enumerate(args) if isinstance(item, EllipsisType)), len(given))
    full = [*given[:before], *[slice(None)] * (axes - len(given)), *given[before:]]
    box, lengths = [], []
    for item, length in zip(full, shape, strict=True):
        if type(item) is slice:
            edges = _edges(item, length)
            if edges is None:
                return None
            lengths.append(edges[1] - edges[0])
        elif type(item) is int or isinstance(item, np.integer):
            at = index(item)
            at += length if at < 0 else 0
            if not 0 <= at < length:
                return None
            edges = (at, at + 1)
        else:
            return None
        box.append(edges)
    return tuple(box), tuple(lengths)


def _edges(item: slice, length: int) -> tuple[int, int] | None:
    if item.step is not None and not (type(item.step) is int and item.step == 1):
        return None
    if not all(edge is None or type(edge) is int or isinstance(edge, np.integer) for edge in (item.start, item.stop)):
        return None
    start, stop, _ = item.indices(length)
    return (start, stop) if start < stop else None


def volume(box: Box) -> int:
    return math.prod(stop - start for start, stop in box)


def touched(box: Box, chunk: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    """The box of whole chunks that holds a box, cut at the dataset's edge."""
    return tuple(
        (start // length * length, min(-(-stop // length) * length, extent))
        for (start, stop), length, extent in zip(box, chunk, shape, strict=True)
    )


def overlap(one: Box, other: Box) -> int:
    """Elements that two boxes share."""
    return math.prod(max(0, min(b, d) - max(a, c)) for (a, b), (c, d) in zip(one, other, strict=True))


def starts_of(box: Box, chunk: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The first element of each chunk that holds some of a box, in C order: (chunks, axes)."""
    axes = [
        np.arange(start // length * length, stop, length, dtype=np.int64)
        for (start, stop), length in zip(box, chunk, strict=True)
    ]
    starts = np.empty((math.prod(map(len, axes)), len(axes)), np.int64)
    for k, grid in enumerate(np.meshgrid(*axes, indexing="ij")):
        starts[:, k] = grid.ravel()
    return starts
