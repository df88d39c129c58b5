"""Times at which the moving bar passes each pixel: from the movie itself, or from a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.io.stimulus_config import StimulusConfig
from hdmea.kernels.passages import bar_passages
from hdmea.utils.discovery import existing
from hdmea.utils.exceptions import ConfigurationError, DataLoadError

TABLE_SUFFIXES = (".npz", ".csv", ".parquet")
_HOW_TO_CONVERT = (
    "convert it once, where you trust the file: "
    "`d = pickle.load(open('t.pkl', 'rb')); np.savez('t.npz', row=[...], col=[...], on_0=[...], off_0=[...], ...)`"
)

Frames = npt.NDArray[np.int32]


@dataclass(frozen=True)
class BarTiming:
    """First and last frame of the bar over each pixel: (repetitions, directions, height, width), -1 for none."""

    on: Frames
    off: Frames

    def at(self, row: float, col: float) -> tuple[Frames, Frames] | None:
        """Frames (repetitions, directions) at the pixel nearest to a place; None outside the movie."""
        height, width = self.on.shape[2:]
        pixel = round(row), round(col)
        if not (0 <= pixel[0] < height and 0 <= pixel[1] < width):
            return None
        return self.on[:, :, pixel[0], pixel[1]], self.off[:, :, pixel[0], pixel[1]]


def slots(config: StimulusConfig) -> list[tuple[int, int]]:
    """The frames [start, stop) of each direction, repetition by repetition, from the movie's first."""
    parameters = config.parameters
    try:
        directions, length = len(parameters["directions_deg"]), int(parameters["direction_frames"])
    except KeyError as error:
        raise ConfigurationError(f"the config of {config.movie} lacks the parameter {error}") from error
    starts = config.section.trial_starts() + int(parameters.get("lead_frames", 0))
    return [(int(start) + n * length, int(start) + (n + 1) * length) for start in starts for n in range(directions)]


def timing_of_movie(path: Path, config: StimulusConfig) -> BarTiming:
    """The passages that the movie shows, computed once a movie. `FileNotFoundError`, `DataLoadError`."""
    if not path.exists():
        raise FileNotFoundError(f"Stimulus file not found: {path}, the frames of the bar movie")
    status = path.stat()
    return _computed(path, (status.st_mtime_ns, status.st_size), tuple(slots(config)), _directions(config))


def _directions(config: StimulusConfig) -> int:
    return len(config.parameters["directions_deg"])


class FileFrames:
    """A movie's file, read when it is sliced: pages of a mapped file would count as memory until the end."""

    def __init__(self, path: Path) -> None:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.memmap) or not mapped.flags.c_contiguous or mapped.ndim < 1:
            raise ValueError("it must hold frames one after the other (frames, height, width)")
        self.path, self.shape, self.dtype, self.ndim = path, mapped.shape, mapped.dtype, mapped.ndim
        self._offset, self._frame = mapped.offset, int(np.prod(mapped.shape[1:]))

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, part: slice, /) -> np.ndarray[Any, Any]:
        first, stop, _ = part.indices(len(self))
        at = self._offset + first * self._frame * self.dtype.itemsize
        values = np.fromfile(self.path, self.dtype, (stop - first) * self._frame, offset=at)
        return values.reshape(-1, *self.shape[1:])


@lru_cache(maxsize=4)
def _computed(path: Path, stamp: tuple[int, int], parts: tuple[tuple[int, int], ...], directions: int) -> BarTiming:
    """`stamp` tells one state of the file from another."""
    try:
        movie = FileFrames(path)
        inside = [part for part in parts if part[1] <= len(movie)]
        if not inside or len(inside) % directions:
            raise ValueError(f"{len(movie)} frames hold {len(inside)} of {len(parts)} directions")
        on, off = bar_passages(movie, inside)
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise DataLoadError(f"{path} cannot be read as the bar movie: {error}", path, error) from error
    shape = (len(inside) // directions, directions, *on.shape[1:])
    return BarTiming(on.reshape(shape), off.reshape(shape))


# ---------------------------------------------------------------- tables


def timing_of_table(path: Path, directions: int, size: tuple[int, int]) -> BarTiming:
    """The passages in a table with the columns row, col, on_0 …, off_0 …, direction by direction in each repetition.

    path: `.npz`, CSV or Parquet. size: (height, width) of the movie at least. Raises `FileNotFoundError`,
    `ConfigurationError` for a pickle, `DataLoadError` for another content.
    """
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise ConfigurationError(
            f"{path} is not a table that can be opened ({', '.join(TABLE_SUFFIXES)}); a pickle runs code when it is "
            f"opened: {_HOW_TO_CONVERT}"
        )
    existing(path)
    try:
        columns = _columns(path)
        rows, cols = columns["row"].astype(np.int64), columns["col"].astype(np.int64)
        count = sum(name.startswith("on_") for name in columns)
        if not count or count % directions:
            raise ValueError(f"{count} columns on_… are not a whole number of repetitions of {directions} directions")
        on = [columns[f"on_{n}"] for n in range(count)]
        off = [columns[f"off_{n}"] for n in range(count)]
    except KeyError as error:
        raise DataLoadError(f"{path} lacks the column {error}", path, error) from error
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise DataLoadError(f"{path} cannot be read as a table of the bar's timing: {error}", path, error) from error
    return BarTiming(_mapped(on, rows, cols, directions, size), _mapped(off, rows, cols, directions, size))


def _columns(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as stored:
            return {name: np.ravel(stored[name]) for name in stored.files}
    import polars as pl

    try:
        table = pl.read_csv(path) if path.suffix.lower() == ".csv" else pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise ValueError(str(error)) from error
    return {name: table[name].cast(pl.Float64).to_numpy() for name in table.columns}


def _mapped(
    columns: Sequence[np.ndarray[Any, Any]],
    rows: npt.NDArray[np.int64],
    cols: npt.NDArray[np.int64],
    directions: int,
    size: tuple[int, int],
) -> Frames:
    height, width = max(size[0], int(rows.max()) + 1), max(size[1], int(cols.max()) + 1)
    frames = np.full((len(columns), height, width), -1, np.int32)
    for n, column in enumerate(columns):
        values = np.asarray(column, np.float64)
        frames[n, rows, cols] = np.where(np.isfinite(values), values, -1).astype(np.int32)
    return frames.reshape(len(columns) // directions, directions, height, width)
