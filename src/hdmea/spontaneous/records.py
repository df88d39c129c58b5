"""Synchrony, bursts and waves as nested dicts under the names that files of recordings hold them by, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hdmea.session.session import PipelineSession
from hdmea.spontaneous.bursts import BurstOptions, Bursts, burst_measures
from hdmea.spontaneous.distance import OverDistance
from hdmea.spontaneous.trains import Floats, Trains
from hdmea.spontaneous.waves import Wave, WaveOptions
from hdmea.utils.exceptions import MissingInputError

BURSTS = "bursts"  # features/bursts of a unit
SYNCHRONY = "synchrony"  # metadata
WAVES = "waves"  # metadata
VERSION = "1.0.0"

Record = dict[str, Any]
_FIGURES = (
    *("start_s", "duration_s", "spikes", "unit_share", "area_mm2", "speed_um_s", "speed_se_um_s", "direction_deg"),
    *("direction_se_deg", "r_squared"),
)


@dataclass(frozen=True, eq=False)
class WaveRecord:
    """One wave of a recording, as `waves_of` gives it.

    Attributes
    ----------
    start_s, duration_s : float
        The first onset of a burst, and the time from it to the last spike of a burst.
    units : tuple of str
        Units that took part, in the order of their onsets.
    onsets_s : (n,) float64
        When each began to burst.
    spikes : int
        Spikes of the bursts that are the wave.
    unit_share, area_mm2 : float
        Units that took part, of the active ones; convex hull of their places.
    speed_um_s, speed_se_um_s, direction_deg, direction_se_deg, r_squared : float
        Of a plane front fitted to the onsets; NaN where none fits.
    origin_um : (2,) float64
        Mean place of the units that were first.

    Examples
    --------
    >>> from hdmea.pipeline import PipelineSession
    >>> from hdmea.spontaneous import waves_of
    >>> wave = waves_of(PipelineSession.load("waves.h5"))[0]
    >>> len(wave.units) == len(wave.onsets_s)
    True
    """

    start_s: float
    duration_s: float
    units: tuple[str, ...]
    onsets_s: Floats
    spikes: int
    unit_share: float
    area_mm2: float
    speed_um_s: float
    speed_se_um_s: float
    direction_deg: float
    direction_se_deg: float
    r_squared: float
    origin_um: Floats


def bursts_record(bursts: Bursts, spikes: int, duration_s: float, options: BurstOptions) -> Record:
    """The bursts of a unit: `features/bursts` of a file."""
    data = {
        **burst_measures(bursts, spikes, duration_s),
        "first_spikes": bursts.spikes[:, 0],
        "last_spikes": bursts.spikes[:, 1] - 1,
        "start_s": bursts.start_s,
        "stop_s": bursts.stop_s,
        "surprise": bursts.surprise,
    }
    return {"data": data, "metadata": {"version": VERSION, **asdict(options)}}


def distance_record(measure: OverDistance) -> Record:
    """A measure of pairs over distance: a part of `metadata/synchrony` of a file."""
    return {name: getattr(measure, name) for name in OverDistance.__dataclass_fields__}


def waves_record(
    waves: Sequence[Wave], measures: Mapping[str, float], unit_ids: Sequence[str], options: WaveOptions
) -> Record:
    """The waves of a recording: `metadata/waves` of a file. Units are numbers of `unit_ids`, wave after wave."""
    ends = np.cumsum([0, *(len(wave.units) for wave in waves)])
    columns = {name: np.array([getattr(wave, name) for wave in waves], _dtype(name)) for name in _FIGURES}
    return {
        "version": VERSION,
        "measures": dict(measures),
        "options": {name: value for name, value in asdict(options).items() if value is not None},
        "unit_ids": list(unit_ids),
        **columns,
        "origin_um": np.array([wave.origin_um for wave in waves], np.float64).reshape(-1, 2),
        "unit_offsets": ends,
        "units": np.concatenate([*(wave.units for wave in waves), np.empty(0, np.int64)]),
        "onsets_s": np.concatenate([*(wave.onsets_s for wave in waves), np.empty(0)]),
    }


def waves_of(session: PipelineSession) -> list[WaveRecord]:
    """The waves that `find_waves` found in a recording.

    Parameters
    ----------
    session
        With the results of the step.

    Returns
    -------
    list of WaveRecord
        In the order of their starts.

    Raises
    ------
    MissingInputError
        The step has not been run on it.

    Examples
    --------
    >>> from hdmea.pipeline import PipelineSession
    >>> from hdmea.spontaneous import waves_of
    >>> session = PipelineSession.load("waves.h5")
    >>> [round(wave.speed_um_s) for wave in waves_of(session)]
    [150, 150]
    """
    stored = session.metadata.get(WAVES)
    if not isinstance(stored, Mapping):
        raise MissingInputError(f"{session.dataset_id} has no metadata/waves: run find_waves first", "waves_of", WAVES)
    names = list(stored["unit_ids"])
    columns = {name: np.asarray(stored[name]).tolist() for name in _FIGURES}
    ends, units = np.asarray(stored["unit_offsets"]), np.asarray(stored["units"])
    onsets, origins = np.asarray(stored["onsets_s"], np.float64), np.asarray(stored["origin_um"], np.float64)
    return [
        WaveRecord(
            **{name: column[k] for name, column in columns.items()},
            units=tuple(names[unit] for unit in units[ends[k] : ends[k + 1]]),
            onsets_s=onsets[ends[k] : ends[k + 1]],
            origin_um=origins[k],
        )
        for k in range(len(ends) - 1)
    ]


def recording_trains(session: PipelineSession, unit_ids: Sequence[str], rate: float, duration_s: float) -> Trains:
    """The trains of some units of a recording, in samples from its start to its end."""
    from hdmea.spontaneous.trains import trains_of

    trains = [np.asarray(session.units[name]["spike_times"]) for name in unit_ids]
    return trains_of([train.astype(np.int64) for train in trains], rate, 0, max(1, round(duration_s * rate)))


def _dtype(name: str) -> type[Any]:
    return np.int64 if name == "spikes" else np.float64
