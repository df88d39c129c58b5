"""Spontaneous activity as the page of a recording shows it: raster, synchrony over distance, waves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from h5burst.page import finite_numbers, packed
from hdmea.report.values import shown
from hdmea.session.session import PipelineSession
from hdmea.spontaneous.records import SYNCHRONY, WAVES, waves_of
from hdmea.steps.per_unit import get_nested, pitch_um
from hdmea.steps.spontaneous import place_um

BINS = 1000
MAX_ROWS = 300  # of the raster; units beyond them share rows
MAX_WAVES = 500  # that are drawn one by one
_DISTANCE = ("edges_um", "mean", "null_low", "null_high")

Json = dict[str, Any]


@dataclass
class ActivitySums:
    """Sums over the units, gone through one by one; nothing where no step has looked for waves."""

    session: PipelineSession
    duration_s: float
    counts: list[npt.NDArray[np.uint16]] = field(default_factory=list)
    places: list[tuple[float, float]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    pitch_um: float = float("nan")

    def __post_init__(self) -> None:
        self.pitch_um = pitch_um(self.session)

    @property
    def is_shown(self) -> bool:
        """True where there is something to show."""
        has_any = any(isinstance(self.session.metadata.get(name), Mapping) for name in (SYNCHRONY, WAVES))
        return has_any and self.duration_s > 0

    def add(self, name: str, unit: Mapping[str, Any], times_s: npt.NDArray[np.float64]) -> None:
        """One unit's spikes in the bins of the raster, and its place."""
        if not self.is_shown:
            return
        counts = np.histogram(times_s, BINS, (0, self.duration_s))[0]
        self.counts.append(np.minimum(counts, 60_000).astype(np.uint16))
        self.places.append(place_um(unit, self.pitch_um))
        self.names.append(name)

    def finish(self) -> Json | None:
        """Everything for the page; None where there is nothing to show."""
        if not (self.is_shown and self.names):
            return None
        places = np.array(self.places)
        placed = bool(np.isfinite(places).all(axis=1).any())
        return {
            "places": [finite_numbers(axis) for axis in places.T] if placed else None,
            "raster": self._raster(places),
            "distance": self._distance(),
            "waves": self._waves(),
            "measures": self._measures(),
        }

    def _raster(self, places: npt.NDArray[np.float64]) -> Json:
        """Spikes in bins of time, a row a unit or some, from the first of the axis along which the array is longer."""
        ordered = np.where(np.isfinite(places), places, np.inf)
        finite = places[np.isfinite(places).all(axis=1)]
        axis = int(np.argmax(np.ptp(finite, axis=0))) if len(finite) else 0
        order = np.lexsort((ordered[:, 1 - axis], ordered[:, axis]))
        rows = np.array_split(np.array(self.counts, np.float64)[order], min(MAX_ROWS, len(order)))
        counts = np.array([row.sum(axis=0) for row in rows])
        top = max(float(np.quantile(counts[counts > 0], 0.95)), 1.0) if (counts > 0).any() else 1.0
        # A single spike is to be seen beside a burst.
        steps = np.where(counts > 0, 80 + np.minimum(counts / top, 1) * 175, 0)
        return {
            "rows": len(rows),
            "columns": BINS,
            "units": len(order),
            "axis": ("x", "y")[axis] if len(finite) else "",
            "values": packed(np.round(steps), "u1"),
        }

    def _distance(self) -> Json | None:
        distances = get_nested(self.session.metadata, SYNCHRONY, "sttc_over_distance")
        if not isinstance(distances, Mapping):
            return None
        curves = {name: finite_numbers(np.asarray(distances[name], np.float64)) for name in _DISTANCE}
        figures = {name: shown(float(distances[name])) for name in ("decay_um", "decay_se_um", "at_zero")}
        return {**curves, **figures, "dt": shown(float(get_nested(self.session.metadata, SYNCHRONY, "dt_s") or 0))}

    def _waves(self) -> list[Json]:
        if not isinstance(self.session.metadata.get(WAVES), Mapping):
            return []
        numbers = {name: k for k, name in enumerate(self.names)}
        waves = []
        for wave in waves_of(self.session)[:MAX_WAVES]:
            numbered = [
                (numbers[name], onset) for name, onset in zip(wave.units, wave.onsets_s, strict=True) if name in numbers
            ]
            onsets = [round(1000 * (onset - wave.start_s)) for _, onset in numbered]
            waves.append(
                {
                    "start": shown(wave.start_s),
                    "duration": shown(wave.duration_s),
                    "count": len(wave.units),
                    "share": shown(wave.unit_share),
                    "area": shown(wave.area_mm2),
                    "speed": shown(wave.speed_um_s),
                    "speedSe": shown(wave.speed_se_um_s),
                    "direction": shown(wave.direction_deg),
                    "r2": shown(wave.r_squared),
                    "origin": finite_numbers(wave.origin_um),
                    "units": packed([unit for unit, _ in numbered], "<u4"),
                    "onsets": packed(onsets, "<u4"),
                }
            )
        return waves

    def _measures(self) -> list[list[Any]]:
        stored = get_nested(self.session.metadata, WAVES, "measures")
        return [[name, shown(float(one))] for name, one in stored.items()] if isinstance(stored, Mapping) else []
