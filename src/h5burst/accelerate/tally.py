"""Counts, bytes and seconds of what was taken over, and of what was not and why."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Sums:
    """Calls that were taken over, bytes of the arrays and seconds of the calls."""

    calls: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Tally:
    """Of this process since its start."""

    reads: Sums = field(default_factory=Sums)
    writes: Sums = field(default_factory=Sums)
    left: Counter[str] = field(default_factory=Counter)


_lock = threading.Lock()
_tally = Tally()


def note(is_write: bool, size: int, seconds: float) -> None:
    with _lock:
        sums = _tally.writes if is_write else _tally.reads
        sums.calls += 1
        sums.bytes += size
        sums.seconds += seconds


def note_left(reason: str) -> None:
    with _lock:
        _tally.left[reason] += 1


def current() -> Tally:
    with _lock:
        return Tally(
            Sums(_tally.reads.calls, _tally.reads.bytes, _tally.reads.seconds),
            Sums(_tally.writes.calls, _tally.writes.bytes, _tally.writes.seconds),
            Counter(_tally.left),
        )
