"""The average of a movie over windows around trigger frames: of every train of triggers, in one pass over the movie.

Windows are not cut out. How often a frame is shown at a lag is the number of a train's windows that start so many
frames earlier, so the sum at that lag is a product of those numbers with the frames: integer products, of four bytes
at once where the machine has them. Frames that are equal to the one before (a pattern that is held) are multiplied
once, by the number of windows that start anywhere in the run.

Memory beyond the movie and the result is one tile of the movie, as it is and packed, and the sums of a block of
trains: under 64 MB, whatever the number of triggers, frames and pixels.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from h5burst import parallel_map, simd, split_evenly, thread_count
from h5burst._ext import sta as _ext
from hdmea.kernels.trains import checked_integers, checked_offsets

TILE_BYTES = 8 << 20  # of the movie at a time; packed it takes as much again
SUM_BYTES = 16 << 20  # of sums at a time
LAGS = 1024  # at a time
_PIECES = 4  # of work for each thread
_LIMIT = 2**62  # of a window's edges, so that no sum with a frame number overflows


Range: TypeAlias = tuple[int, int]  # first, and one past the last
_Tile: TypeAlias = tuple[NDArray[np.int64], NDArray[Any]]  # starts of runs, packed strips


@dataclass(frozen=True, slots=True)
class _Kind:
    """Kind of arithmetic for a movie's pixels.

    tile: dtype in which they are read; word, total: of packed strips and of sums; item: bytes a pixel in a strip;
    block: words between two foldings of sums, so that they and their weights stay in the cache; flip: bits to invert,
    which moves values by `-bias` into the range that the packed products want.
    """

    tile: str
    word: str
    total: str
    item: int
    block: int
    flip: int = 0
    bias: int = 0


_KINDS = {
    np.dtype(np.bool_): _Kind("u1", "i4", "i8", 1, 512),
    np.dtype(np.uint8): _Kind("u1", "i4", "i8", 1, 512),
    np.dtype(np.int8): _Kind("u1", "i4", "i8", 1, 512, 0x80, -0x80),
    np.dtype(np.int16): _Kind("u2", "i4", "i8", 2, 512),
    np.dtype(np.uint16): _Kind("u2", "i4", "i8", 2, 512, 0x8000, 0x8000),
}
_INTEGER = _Kind("i8", "i8", "i8", 8, 64)
_FLOAT = _Kind("f8", "f8", "f8", 8, 64)


def triggered_average(
    movie: NDArray[Any],
    triggers: NDArray[Any],
    offsets: NDArray[Any],
    window: tuple[int, int],
    *,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The mean, over each train's triggers f, of `movie[f + window[0] : f + window[1]]`.

    A trigger is used if its window is within the movie. Integer movies are summed exactly and divided once, in double
    precision; float movies are summed in double precision.

    Parameters
    ----------
    movie : (frames, …) bool, integers or floats
        In any unit; may be memory-mapped. Fastest are 8 bits, then 16, with each frame contiguous.
    triggers : (n,) integers
        Numbers of frames: those of all trains one after another, each in any order.
    offsets : (trains + 1,) integers
        Train i is ``triggers[offsets[i] : offsets[i + 1]]``.
    window : (low, high)
        First frame, and one past the last, relative to a trigger.
    out : (trains, window[1] - window[0], …) float32, optional
        Where to write the means, instead of a new array.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    means : (trains, window[1] - window[0], …) float32
        In the unit of `movie`; NaN for a train of which no trigger is used.
    counts : (trains,) int64
        How many triggers of each train are used.

    Raises
    ------
    TypeError
        `movie` is not a real array, `triggers` or `offsets` not integers, `window` not two integers.
    ValueError
        A shape does not fit; `window` is empty; `offsets` descend or leave `triggers`; `out` does not fit; a movie of
        64-bit integers has values so large that their sum might not fit into 64 bits.

    References
    ----------
    Chichilnisky 2001, Network: Comput. Neural Syst. 12:199 (the spike-triggered average).
    """
    low, high = _checked_window(window)
    kind = _checked_movie(movie)
    events = _checked_triggers(triggers, offsets)
    pixels = int(np.prod(movie.shape[1:], dtype=np.int64))
    means = _checked_out(out, (events.offsets.size - 1, high - low, *movie.shape[1:]))
    counts = np.zeros(len(means), np.int64)
    _ext.count(events.triggers, events.offsets, low, high, len(movie), counts)
    flat = means.reshape(len(means), high - low, pixels)
    if not counts.any():
        flat[...] = np.nan
    elif flat.size:
        _Average(movie, kind, events, (low, high), counts, flat, threads).compute()
    return means, counts


@dataclass(frozen=True, slots=True)
class _Events:
    triggers: NDArray[np.int64]
    offsets: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Ranges of trains, lags and strips of one computation; `pixel` is the first strip's first."""

    trains: Range
    lags: Range
    strips: Range
    pixel: int


class _Average:
    """One computation: the movie tile by tile, and for each the sums of as many trains and lags as memory allows."""

    def __init__(
        self,
        movie: NDArray[Any],
        kind: _Kind,
        events: _Events,
        window: Range,
        counts: NDArray[np.int64],
        means: NDArray[np.float32],
        threads: int | None,
    ) -> None:
        self._movie, self._kind, self._events, self._window = movie, kind, events, window
        self._counts, self._means, self._threads = counts, means, thread_count(threads)
        self._level = simd.level()
        self._held: tuple[tuple[Range, Range], _Tile] | None = None

    def compute(self) -> None:
        trains, lags, pixels = self._means.shape
        lags_at_once = _rounded_up(min(lags, LAGS), _ext.LAGS)
        strip_bytes = lags_at_once * _ext.STRIP * 8
        frames_at_once = TILE_BYTES // (_ext.STRIP * self._kind.item)
        frame_bytes = min(len(self._movie), frames_at_once) * self._kind.item
        strips = min(TILE_BYTES // (frame_bytes * _ext.STRIP), SUM_BYTES // 4 // strip_bytes, _strips(pixels))
        trains_at_once = max(1, SUM_BYTES // (strips * strip_bytes))
        sums = np.empty((min(trains, trains_at_once), strips, lags_at_once, _ext.STRIP), self._kind.total)
        for first, last in _steps(pixels, strips * _ext.STRIP):
            for some_lags in _steps(lags, LAGS):
                for some_trains in _steps(trains, trains_at_once):
                    whole = _Piece(some_trains, some_lags, (0, _strips(last - first)), first)
                    self._compute_block(whole, last, frames_at_once, sums)

    def _compute_block(self, whole: _Piece, last_pixel: int, frames_at_once: int, sums: NDArray[Any]) -> None:
        pieces = self._pieces(whole)
        lags = _rounded_up(whole.lags[1] - whole.lags[0], _ext.LAGS)
        own_sums = {piece: sums[_within(piece.trains, whole.trains), slice(*piece.strips), :lags] for piece in pieces}
        for frames in _steps(len(self._movie), frames_at_once):
            starts, strips = self._tile(frames, (whole.pixel, last_pixel))
            parallel_map(partial(self._compute_piece, starts, strips, last_pixel), own_sums.items(), self._threads)

    def _pieces(self, whole: _Piece) -> list[_Piece]:
        """Split by trains, and by strips where there are too few trains to go round."""
        piece_count = _PIECES * self._threads
        trains = [
            (whole.trains[0] + a, whole.trains[0] + b) for a, b in split_evenly(_length(whole.trains), piece_count)
        ]
        strips = split_evenly(whole.strips[1], piece_count // len(trains))
        return [replace(whole, trains=some, strips=part) for some in trains for part in strips]

    def _compute_piece(
        self,
        starts: NDArray[np.int64],
        strips: NDArray[Any],
        last_pixel: int,
        task: tuple[_Piece, NDArray[Any]],
    ) -> None:
        """Add what one tile has to one piece's sums; clear them before the movie's first, divide after its last."""
        piece, sums = task
        frames = len(self._movie)
        if starts[0] == 0:
            sums[...] = 0
        before = np.zeros(_length(self._window) + _ext.LAGS + frames + 1, np.int32)
        weights = np.empty((self._kind.block, sums.shape[2]), np.int32)
        offsets = self._events.offsets[piece.trains[0] : piece.trains[1] + 1]
        _ext.add(
            self._events.triggers, offsets, *self._window, frames, piece.lags[0],
            starts, strips[slice(*piece.strips)], self._kind.item, before, weights, sums, self._level,
        )  # fmt: skip
        if starts[-1] == frames:
            first, last = (piece.pixel + strip * _ext.STRIP for strip in piece.strips)
            means = self._means[slice(*piece.trains), slice(*piece.lags), first : min(last, last_pixel)]
            _ext.finish(sums, self._counts[slice(*piece.trains)], self._kind.bias, means)

    def _tile(self, frames: Range, pixels: Range) -> _Tile:
        """The tile, held until another is wanted: every block of trains wants the same where it is the only one."""
        if self._held is None or self._held[0] != (frames, pixels):
            self._held = None
            self._held = (frames, pixels), self._read_tile(frames, pixels)
        return self._held[1]

    def _read_tile(self, frames: Range, pixels: Range) -> _Tile:
        """The tile's runs of equal frames and its packed strips."""
        rows = self._read_rows(frames, pixels)
        starts = np.empty(len(rows) + 1, np.int64)
        runs = _ext.runs(rows.view(np.uint8), starts)
        a_word = 4 // rows.itemsize if self._kind.item <= 2 else 1
        words = -(-runs // a_word)
        strips = np.empty((_strips(rows.shape[1]), words, _ext.STRIP), self._kind.word)
        parallel_map(
            lambda strip: _ext.pack(rows, starts, runs, strip, strips[strip]), range(len(strips)), self._threads
        )
        ends = np.full(words * a_word + 1, len(rows), np.int64)
        ends[:runs] = starts[:runs]
        return ends + frames[0], strips

    def _read_rows(self, frames: Range, pixels: Range) -> NDArray[Any]:
        """Those pixels of those frames (frames, pixels), C-contiguous, in the dtype of the kind."""
        if self._movie[0].flags.c_contiguous:
            part = self._movie.reshape(len(self._movie), -1)[slice(*frames), slice(*pixels)]
        else:
            places: list[Any] = list(np.unravel_index(np.arange(*pixels), self._movie.shape[1:]))
            part = self._movie[tuple([slice(*frames), *places])]
        kind = self._kind
        if kind.item <= 2:
            rows = np.ascontiguousarray(part, part.dtype.newbyteorder("=")).view(kind.tile)
            return rows ^ rows.dtype.type(kind.flip) if kind.flip else rows
        if kind is _INTEGER and part.dtype.itemsize == 8:
            _check_sum(part, int(self._counts.max()))
        return np.ascontiguousarray(part, kind.tile)


def _check_sum(part: NDArray[Any], count: int) -> None:
    largest = max(abs(int(part.min())), abs(int(part.max())))
    if largest * count >= 2**63:
        raise ValueError(
            f"movie holds integers up to {largest}: {count} of them could leave 64 bits; give it as float64"
        )


def _steps(length: int, step: int) -> Iterator[Range]:
    return ((start, min(start + step, length)) for start in range(0, length, step))


def _length(span: Range) -> int:
    return span[1] - span[0]


def _within(part: Range, whole: Range) -> slice:
    return slice(part[0] - whole[0], part[1] - whole[0])


def _strips(pixels: int) -> int:
    return -(-pixels // _ext.STRIP)


def _rounded_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _checked_window(window: tuple[int, int]) -> tuple[int, int]:
    try:
        low, high = (operator.index(edge) for edge in window)
    except (TypeError, ValueError):
        raise TypeError(f"window must be two integers, got {window!r}") from None
    if not -_LIMIT < low < high < _LIMIT:
        raise ValueError(f"window must be (low, high) with low < high, got {window!r}")
    return low, high


def _checked_movie(movie: NDArray[Any]) -> _Kind:
    if not isinstance(movie, np.ndarray) or movie.dtype.kind not in "biuf":
        given_type = f"an array of {movie.dtype}" if isinstance(movie, np.ndarray) else type(movie).__name__
        raise TypeError(f"movie must be an array of a bool, integer or float dtype, got {given_type}")
    if movie.ndim < 2:
        raise ValueError(f"movie must have frames and pixels, got shape {movie.shape}")
    return _KINDS.get(movie.dtype.newbyteorder("="), _FLOAT if movie.dtype.kind == "f" else _INTEGER)


def _checked_triggers(triggers: NDArray[Any], offsets: NDArray[Any]) -> _Events:
    triggers = checked_integers(triggers, "triggers")
    offsets = checked_offsets(offsets, triggers.size)
    if np.diff(offsets).max(initial=0) > np.iinfo(np.int32).max:
        raise ValueError("triggers: more than 2 ** 31 - 1 in one train")
    if triggers.dtype == np.uint64:  # those beyond int64 are beyond any movie as well
        triggers = np.minimum(triggers, np.uint64(np.iinfo(np.int64).max))
    return _Events(np.require(triggers, np.int64, ["A", "C"]), offsets)


def _checked_out(out: NDArray[np.float32] | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if out is None:
        return np.empty(shape, np.float32)
    if not isinstance(out, np.ndarray) or out.dtype != np.float32 or out.shape != shape:
        raise ValueError(f"out must be float32 of shape {shape}")
    if not out.flags.c_contiguous or not out.flags.writeable or not out.dtype.isnative:
        raise ValueError("out must be C-contiguous, writable and in native byte order")
    return out
