"""Movies as few patterns and the order in which they are shown; cells weight each pattern once, files hold every frame.

A movie's file is `{movie}.npy`, (frames, height, width) uint8: the mean of green and blue. A movie of two colours has
`{movie}_green.npy` and `{movie}_blue.npy` besides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

WHITE = 255
GREY = 127
_PATTERNS_AT_ONCE = 128
_STEP_OF_WEIGHTS = 2.0**-36

Floats = npt.NDArray[np.float64]
Frames = npt.NDArray[np.uint8]


class Patterns(Protocol):
    """Some distinct frames of one colour, on a grid of (height, width) pixels."""

    def __len__(self) -> int: ...

    def project(self, rows: Floats, columns: Floats) -> Floats:
        """Σ luminance · rows · columns (patterns, views), for separable weights (views, height) and (views, width)."""

    def frames(self, numbers: npt.NDArray[np.int64], grid: tuple[int, int]) -> Frames:
        """Those patterns in full (n, height, width), uint8; a view where it can be."""

    def means(self) -> Floats:
        """Mean luminance of each pattern (patterns,)."""


def _exact(weights: Floats) -> Floats:
    """Weights in steps so coarse that sums of luminance times weight are exact.

    In any order, on any number of threads.
    """
    return np.asarray(np.rint(weights / _STEP_OF_WEIGHTS) * _STEP_OF_WEIGHTS)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Full fields of some luminance: levels (patterns,) uint8."""

    levels: Frames

    def __len__(self) -> int:
        return len(self.levels)

    def project(self, rows: Floats, columns: Floats) -> Floats:
        return np.asarray(self.levels.astype(np.float64)[:, None] * (rows.sum(axis=1) * columns.sum(axis=1)))

    def frames(self, numbers: npt.NDArray[np.int64], grid: tuple[int, int]) -> Frames:
        return np.broadcast_to(self.levels[numbers, None, None], (len(numbers), *grid))

    def means(self) -> Floats:
        return self.levels.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Dense:
    """Frames as they are: pixels (patterns, height, width) uint8."""

    pixels: Frames

    def __len__(self) -> int:
        return len(self.pixels)

    def project(self, rows: Floats, columns: Floats) -> Floats:
        weights = (rows[:, :, None] * columns[:, None, :]).reshape(len(rows), rows.shape[1] * columns.shape[1]).T
        weights = _exact(weights)
        flat = self.pixels.reshape(len(self.pixels), -1)
        parts = [
            flat[n : n + _PATTERNS_AT_ONCE].astype(np.float64) @ weights for n in range(0, len(flat), _PATTERNS_AT_ONCE)
        ]
        return np.concatenate(parts)

    def frames(self, numbers: npt.NDArray[np.int64], grid: tuple[int, int]) -> Frames:
        return self.pixels[numbers]

    def means(self) -> Floats:
        return np.asarray(self.pixels.mean(axis=(1, 2), dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Patches:
    """Frames that are black but for small squares, which do not share a pixel that is not black.

    pixels (squares, side, side) uint8, black where the square leaves the grid; corners (squares, 2) row and column of
    its first pixel, which may be up to `side` outside; pattern (squares,) whose each is, ascending and
    each number up to the last at least once; grid (height, width).
    """

    pixels: Frames
    corners: npt.NDArray[np.int64]
    pattern: npt.NDArray[np.int64]
    grid: tuple[int, int]

    def __len__(self) -> int:
        return int(self.pattern[-1]) + 1 if len(self.pattern) else 0

    def project(self, rows: Floats, columns: Floats) -> Floats:
        side = self.pixels.shape[1]
        window = np.arange(side)
        rows, columns = (np.pad(_exact(axis), ((0, 0), (side, side))).T for axis in (rows, columns))
        seen = np.empty((len(self.pixels), rows.shape[1]))
        for n in range(0, len(self.pixels), _PATTERNS_AT_ONCE):
            part = slice(n, n + _PATTERNS_AT_ONCE)
            at = self.corners[part, :, None] + side + window
            across = self.pixels[part].astype(np.float64) @ columns[at[:, 1]]  # (n, side, views)
            seen[part] = np.einsum("nsv,nsv->nv", across, rows[at[:, 0]])
        return self._by_pattern(seen)

    def frames(self, numbers: npt.NDArray[np.int64], grid: tuple[int, int]) -> Frames:
        images = np.zeros((len(numbers), *grid), np.uint8)
        for frame, number in zip(images, numbers.tolist(), strict=True):
            for first, band in self.bands(number):
                frame[first : first + len(band)] = band
        return images

    def means(self) -> Floats:
        return self._by_pattern(self.pixels.sum(axis=(1, 2), dtype=np.float64) / (self.grid[0] * self.grid[1]))

    def _by_pattern(self, values: Floats) -> Floats:
        """Sums over each pattern's squares (patterns, ...)."""
        sums = np.zeros((len(self), *values.shape[1:]))
        np.add.at(sums, self.pattern, values)
        return sums

    def bands(self, number: int) -> Iterator[tuple[int, Frames]]:
        """Of a pattern the first of rows that are not all black, and those rows (rows, width); several stretches."""
        squares = range(*np.searchsorted(self.pattern, [number, number + 1]).tolist())
        side, (height, width) = self.pixels.shape[1], self.grid
        spans = sorted((top, top + side) for top in self.corners[squares.start : squares.stop, 0].tolist())
        for first, last in _joined(spans):
            first, last = max(first, 0), min(last, height)
            band = np.zeros((max(last - first, 0), width), np.uint8)
            for square in squares:
                top, left = self.corners[square].tolist()
                begin, end, above, below = max(left, 0), min(left + side, width), max(top, first), min(top + side, last)
                if begin < end and above < below:
                    part = self.pixels[square, above - top : below - top, begin - left : end - left]
                    band[above - first : below - first, begin:end] |= part
            if band.size:
                yield first, band


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted stretches [start, stop), those that overlap as one."""
    joined: list[tuple[int, int]] = []
    for start, stop in spans:
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    return joined


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a movie shows: kind, its frames [start, stop), and its luminance, frequency (Hz) or direction."""

    kind: str
    start: int
    stop: int
    value: float


@dataclass(frozen=True, slots=True)
class Movie:
    """One stimulus. shown: (frames,) which pattern each frame is; background: luminance of the frames around it.

    green, blue: the same patterns in either colour (the same object for a movie without colours). grid: pixels of the
    file. events: for the truth file.
    """

    name: str
    green: Patterns
    blue: Patterns
    shown: npt.NDArray[np.int64]
    background: int
    grid: tuple[int, int]
    events: tuple[Event, ...] = ()

    @property
    def length(self) -> int:
        """Frames."""
        return len(self.shown)

    @property
    def has_colours(self) -> bool:
        """True where green and blue differ."""
        return self.green is not self.blue

    def mean_luminance(self) -> Floats:
        """Luminance of each frame as a photodiode sees it (frames,)."""
        return np.asarray(((self.green.means() + self.blue.means()) / 2)[self.shown])

    def frames(self, start: int = 0, stop: int | None = None, colour: str | None = None) -> Frames:
        """Frames [start, stop) (n, height, width) uint8 of "green", of "blue", or their mean."""
        numbers = self.shown[start:stop]
        green, blue = self.green.frames(numbers, self.grid), self.blue.frames(numbers, self.grid)
        if colour is not None or not self.has_colours:
            return blue if colour == "blue" else green
        return np.asarray((green.astype(np.uint16) + blue) // 2, np.uint8)

    def save(self, directory: Path) -> None:
        """Write the movie's files into `directory`."""
        if isinstance(self.green, Patches):
            _save_sparse(self, directory / f"{self.name}.npy")
            return
        np.save(directory / f"{self.name}.npy", self.frames(), allow_pickle=False)
        for colour in ("green", "blue") if self.has_colours else ():
            np.save(directory / f"{self.name}_{colour}.npy", self.frames(colour=colour), allow_pickle=False)


def _save_sparse(movie: Movie, path: Path) -> None:
    """Write only the rows that are not black: the rest of the file is a hole, which takes no space where it may."""
    patterns: Any = movie.green
    order = np.argsort(movie.shown, kind="stable")
    ends = np.searchsorted(movie.shown[order], np.arange(len(patterns)), side="right")
    height, width = movie.grid
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (movie.length, height, width)}
        np.lib.format.write_array_header_1_0(file, header)
        file.flush()
        begin = file.tell()
        os.truncate(file.fileno(), begin + movie.length * height * width)
        first = 0
        for number, end in enumerate(ends.tolist()):
            for row, band in patterns.bands(number):
                for frame in order[first:end].tolist():
                    file.seek(begin + (frame * height + row) * width)
                    file.write(band.data)
            first = end
