"""Features that a recording has the input for, as their `required_inputs` say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hdmea.features.base import FeatureExtractor
from hdmea.features.trials import member

SECTIONED, STA = "spike_times_sectioned", "sta"


def missing_inputs(
    extractor: type[FeatureExtractor],
    movie: str,
    units: Mapping[str, Mapping[str, Any]],
    stimulus: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> list[str]:
    """The required inputs of a feature that are nowhere in the recording.

    An input is a field of the units (one unit that has it is enough), of the stimulus or of the metadata, and it must
    not be empty. `spike_times_sectioned` is that of the movie, `sta` the spike-triggered average of the movie.
    """
    return [name for name in extractor.required_inputs if not _is_there(name, movie, units, stimulus, metadata)]


def _is_there(
    name: str,
    movie: str,
    units: Mapping[str, Mapping[str, Any]],
    stimulus: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> bool:
    if name == SECTIONED:
        return any(movie in (unit.get(SECTIONED) or {}) for unit in units.values())
    if name == STA:
        return any(has_sta(unit, movie) for unit in units.values())
    return any(_has_content(holder.get(name)) for holder in (metadata, stimulus, *units.values()))


def has_sta(unit: Mapping[str, Any], movie: str) -> bool:
    """True where a unit has the spike-triggered average of a movie, the feature `sta_{movie}`."""
    return member(unit, "features", f"{STA}_{movie}", "data") is not None


def _has_content(value: Any) -> bool:
    if value is None:
        return False
    try:
        return len(value) > 0
    except TypeError:  # a number, or an array or dataset of one
        return True
