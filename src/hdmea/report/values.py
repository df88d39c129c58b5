"""Every single value of a unit, under a name that tells where it is, with an explanation where there is one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from hdmea.features.registry import FeatureRegistry

Scalar: TypeAlias = str | bool | int | float | None

DEEPEST = 6  # levels of nested dicts that are looked into
BESIDES = ("features", "spike_times_sectioned")
OWN = {
    "rate": "spikes/s, spikes over the recording's length",
    "spikes": "count, spikes of the whole recording",
    "violations": "%, intervals below 1.5 ms",
}


UNITS = {
    "center_row": "row of the fitted centre; electrodes of the chip, or pixels of the movie, from 0",
    "center_col": "column of the fitted centre; electrodes of the chip, or pixels of the movie, from 0",
    "direction_angle": "degrees from x (columns) towards y (rows), of the axon from the soma",
    "velocity_m_s": "m/s, along the axon",
    "length_um": "um, along the axon",
    "peak_lag_ms": "ms before the spike, of the time course's largest value",
    "z": "the peak over the SD of the noise",
    "r_squared": "of the fit",
    "reason": "why there is no result; empty where there is one",
}
ENDINGS = {"_um": "um", "_um2": "um^2", "_ms": "ms", "_deg": "degrees", "_hz": "Hz", "_frames": "frames", "_m_s": "m/s"}


def single(found: Any) -> tuple[bool, Scalar]:
    """Whether this is one value, and that value; a number that is not finite is None."""
    if isinstance(found, np.ndarray) and found.ndim == 0:
        found = found[()]
    if isinstance(found, np.generic):
        found = found.item()
    if isinstance(found, bytes):
        found = found.decode("utf-8", "replace")
    if found is None or isinstance(found, (str, bool, int)):
        return True, found
    if isinstance(found, float):
        return True, float(f"{found:.10g}") if math.isfinite(found) else None
    return False, None


def scalars(values: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Scalar]]:
    """All single values in nested dicts, by their path; arrays, long texts and features' metadata are left out."""
    for name, found in values.items():
        if isinstance(found, Mapping):
            if depth < DEEPEST and name != "metadata":
                yield from scalars(found, prefix if name == "data" else f"{prefix}{name}/", depth + 1)
            continue
        is_single, one = single(found)
        if is_single and not (isinstance(one, str) and len(one) > 300):
            yield f"{prefix}{name}", one


def values_of(unit: Mapping[str, Any]) -> dict[str, Scalar]:
    """A unit's own values, and those of its features as feature/value."""
    own = {name: one for name, one in unit.items() if name not in BESIDES}
    return dict(scalars(own)) | dict(scalars(unit.get("features") or {}))


def explanation(name: str) -> str:
    """What a value is and its unit, as its feature says; empty for one that nobody explains."""
    feature, _, rest = name.partition("/")
    if not rest:
        return OWN.get(name, "")
    last = rest.rpartition("/")[2]
    if FeatureRegistry.is_registered(feature):
        schema: dict[str, str] = FeatureRegistry.get_metadata(feature)["output_schema"]
        if rest in schema:
            return schema[rest]
    if feature == "unit_meta":
        return "as the sorter's table of units has it"
    return UNITS.get(last) or next((unit for end, unit in ENDINGS.items() if last.endswith(end)), "")
