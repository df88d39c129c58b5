"""Why units have no result, said once for all units of one kind of reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

MAX_NAMES = 10
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")


def without_result(step: str, reasons: Mapping[str, str]) -> list[str]:
    """A sentence for each kind of reason: how many units, which ones, and why.

    reasons: by unit. Those that differ in their numbers alone are one kind, and the sentence gives the numbers' range:
    "2 to 31 spikes, at least 40 are needed".
    """
    kinds: dict[str, list[str]] = {}
    for unit_id, reason in reasons.items():
        kinds.setdefault(_NUMBER.sub("0", reason), []).append(unit_id)
    return [
        f"{step}: no result for {_names(unit_ids)}: {_in_common([reasons[unit_id] for unit_id in unit_ids])}"
        for unit_ids in kinds.values()
    ]


def without_sections(step: str, movie: str, shown: Iterable[str]) -> str:
    """Why units have no sectioned spikes of a movie, and what to do. shown: the movies that have sections."""
    movies = sorted(shown)
    if movies and movie not in movies:
        return f"{step} needs the sectioned spikes of {movie}, which was not shown; shown were: {', '.join(movies)}"
    first = "section_spike_times" if movies else "add_section_time and section_spike_times"
    return f"{step} needs the sectioned spikes of {movie}: run {first} first"


def _names(unit_ids: Sequence[str]) -> str:
    if len(unit_ids) == 1:
        return unit_ids[0]
    more = len(unit_ids) - MAX_NAMES
    listed = ", ".join(unit_ids[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"{len(unit_ids)} units ({listed})"


def _in_common(reasons: Sequence[str]) -> str:
    """The first reason, with the range of each number that is not the same in all."""
    columns = iter(zip(*(_NUMBER.findall(reason) for reason in reasons), strict=True))

    def spread(match: re.Match[str]) -> str:
        numbers = sorted(next(columns), key=float)
        return numbers[0] if float(numbers[0]) == float(numbers[-1]) else f"{numbers[0]} to {numbers[-1]}"

    return _NUMBER.sub(spread, reasons[0])
