"""Passages of a bright bar over each pixel of a movie, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from h5burst import parallel_map
from h5burst._ext import passages as _ext

Frames = npt.NDArray[np.int32]

AREA_PX = 50  # half of the bar's length, and its width


class _Movie(Protocol):
    """Part of an array of frames (frames, height, width) that is used; slices of frames are read one part at a time."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def ndim(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> np.ndarray[Any, Any]: ...


def bar_passages(
    movie: _Movie, parts: Sequence[tuple[int, int]], threads: int | None = None, *, area_px: int = AREA_PX
) -> tuple[Frames, Frames]:
    """The frames in which each pixel becomes bright and dark again, in each part of a movie.

    Parameters
    ----------
    movie : (frames, height, width) real numbers
        Brightness, in any unit; an array, or what reads frames when it is sliced.
    parts : sequence of (start, stop)
        The frames [start, stop) of each part.
    threads : int, optional
        The result does not depend on it.
    area_px : int
        Side of the square about a pixel that tells which of several passages is its own.

    Returns
    -------
    on, off : (parts, height, width) int32
        Frames from the movie's first: the frame of the rise, and the first one after it that is darker than half of
        it. Where a pixel rises several times, by more than half of its largest rise (it is where two lanes of the bar
        overlap or touch), it is the time that is nearest to when the area about it is brightest. -1 where nothing
        rises; `off` is the part's end where nothing falls.

    Raises
    ------
    ValueError
        The movie does not have three axes, or a part is not in it.

    Notes
    -----
    The measure is this project's own; docs/geometry.md tells what it is used for.
    """
    if movie.ndim != 3 or movie.dtype.kind not in "buif":
        raise ValueError(f"a movie holds real numbers (frames, height, width), not {movie.dtype} {movie.shape}")
    if outside := [part for part in parts if not 0 <= part[0] < part[1] <= len(movie)]:
        raise ValueError(f"frames {outside[0]} are not in a movie of {len(movie)} frames")
    height, width = movie.shape[1:]
    on, off = np.empty((len(parts), height, width), np.int32), np.empty((len(parts), height, width), np.int32)

    def fill(index: int) -> None:
        start, stop = parts[index]
        first = max(start - 1, 0)  # a part's first frame may be brighter than the one before it
        frames = movie[first:stop]
        frames = np.ascontiguousarray(frames, np.uint8 if frames.dtype in (np.uint8, np.bool_) else np.float32)
        state, begun = np.empty((3, height, width), np.float32), np.empty((2, height, width), np.int32)
        _ext.passages(frames, np.empty((height + 1, width)), state, begun, on[index], off[index], area_px)
        seen = on[index] >= 0
        on[index][seen] += first
        off[index][seen] += first

    parallel_map(fill, range(len(parts)), threads)
    return on, off
