"""Every single value of a unit, under a name that tells where it is, with an explanation where there is one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hdmea.features.registry import FeatureRegistry
from hdmea.features.scalars import Scalar, single_values, unit_values, without_doubles

LONGEST_TEXT = 300
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
KNOWN_UNITS = {
    *(
        "spikes/s",
        "count",
        "%",
        "s",
        "ms",
        "um",
        "um^2",
        "Hz",
        "degrees",
        "frames",
        "m/s",
        "pixels",
        "pixels^2",
        "bits",
    ),
    *("bits/spike", "electrodes", "ADC counts", "samples", "uV", "mV", "SD"),
}
ENDINGS = {"_um": "um", "_um2": "um^2", "_ms": "ms", "_deg": "degrees", "_hz": "Hz", "_frames": "frames", "_m_s": "m/s"}


def shown(one: Scalar) -> Scalar:
    """A value as the page shows it: numbers with ten digits, None for one that is not finite."""
    if isinstance(one, float):
        return float(f"{one:.10g}") if math.isfinite(one) else None
    return one


def scalars(values: Mapping[Any, Any]) -> Iterator[tuple[str, Scalar]]:
    """All single values in nested dicts, by their path; arrays, long texts and features' metadata are left out."""
    yield from _shown(single_values(values))


def values_of(unit: Mapping[str, Any]) -> dict[str, Scalar]:
    """A unit's own values, and those of its features as feature/value."""
    return dict(_shown(without_doubles(unit_values(unit)).items()))


def _shown(values: Iterable[tuple[tuple[str, ...], Scalar]]) -> Iterator[tuple[str, Scalar]]:
    for path, one in values:
        if not (isinstance(one, str) and len(one) > LONGEST_TEXT):
            yield "/".join(path), shown(one)


def unit_and_meaning(text: str) -> tuple[str, str]:
    """An explanation as the unit with which it begins, empty for one that begins with words, and the rest."""
    first = re.split(r"[,;:]| of | over | from | before | along ", text, maxsplit=1)[0].strip()
    if first not in KNOWN_UNITS:
        return "", text
    return first.replace("um", "µm"), text[len(first) :].lstrip(",;: ")


def explanation(name: str) -> str:
    """Explanation of a value and its unit, as its feature says; empty for one that nobody explains."""
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
