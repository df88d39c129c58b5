"""Truth of a simulated recording, for the pipeline to find, as arrays and as a JSON file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.simulate.chip import Electrodes, Floats, Layout, TrueAlignment
from hdmea.simulate.options import SimulationOptions
from hdmea.simulate.population import Irregularities, Population, as_lists
from hdmea.simulate.spikes import Discharge
from hdmea.simulate.timeline import Timeline

TRUTH_VERSION = 2
IMAGE_END_S = 0.002  # how long after the spike an axon is looked at: the usual window of electrical images


@dataclass(frozen=True, slots=True)
class Truth:
    """Truth for the pipeline to find; one entry a unit, in the order of `unit_ids`.

    Attributes
    ----------
    unit_ids : list of str
        As `load_recording` names them.
    population : Population
        Receptive fields and responses of the cells.
    soma_row, soma_col : numpy.ndarray
        (units,) int64, electrode of the soma, 1-based on the chip (and on the patch, which is in its corner).
    spike_samples : list of numpy.ndarray
        Every spike of the sorted unit, (spikes,) int64 samples, for each unit.
    frame_samples : numpy.ndarray
        (frames,) int64, first sample of each frame that the pipeline counts.
    section_frames : dict of str to list
        (first frame of the movie, its length in frames) of each presentation, by movie.
    layout : Layout
        Somata and axons.
    electrodes : Electrodes
        Noise and faults.
    alignment : TrueAlignment or None
        Chip to stimulus; None where receptive fields are not over their somata.
    irregularities : Irregularities
        Surrounds, drift, bursts, silence and contamination.
    discharge : Discharge
        Also the spikes of the cells themselves.
    light_steps : numpy.ndarray
        (steps, 2) int64 samples [on, off) of the steps after the last frame.

    Examples
    --------
    >>> from hdmea.simulate import simulate_recording
    >>> truth = simulate_recording("lab", n_units=2, playlist=["baseline_127"], sensor_duration_s=0).truth
    >>> truth.unit_ids, list(truth.section_frames)
    (['unit_001', 'unit_002'], ['baseline_127'])
    """

    unit_ids: list[str]
    population: Population
    soma_row: npt.NDArray[np.int64]
    soma_col: npt.NDArray[np.int64]
    spike_samples: list[npt.NDArray[np.int64]]
    frame_samples: npt.NDArray[np.int64]
    section_frames: dict[str, list[tuple[int, int]]]
    layout: Layout
    electrodes: Electrodes
    alignment: TrueAlignment | None
    irregularities: Irregularities
    discharge: Discharge
    light_steps: npt.NDArray[np.int64]


def truth_file(truth: Truth, timeline: Timeline, options: SimulationOptions, patch: tuple[int, int]) -> dict[str, Any]:
    """The truth as plain values for JSON; spikes and frames are in the recording's own files."""
    return {
        "version": TRUTH_VERSION,
        "unit_ids": truth.unit_ids,
        "soma_row": truth.soma_row.tolist(),
        "soma_col": truth.soma_col.tolist(),
        "spike_count": [len(train) for train in truth.spike_samples],
        "section_frames": truth.section_frames,
        **as_lists(truth.population),
        "options": asdict(options),
        "clock": {"rate_hz": timeline.refresh_hz, "dropped_frames": timeline.dropped_frames.tolist()},
        "light_steps": truth.light_steps.tolist(),
        "events": {movie.name: [asdict(event) for event in movie.events] for movie, _ in timeline.shown},
        "chip": _chip(truth, options, patch),
        "alignment": None if truth.alignment is None else as_lists(truth.alignment),
        "irregularities": as_lists(truth.irregularities),
        "discharge": _discharge(truth.discharge),
    }


def axon_chords(layout: Layout, patch: tuple[int, int], pitch_um: float) -> tuple[Floats, Floats]:
    """Direction (degrees, from x to y) and length (electrodes) of each axon's part that an electrical image shows."""
    chords = [layout.visible_chord(unit, patch, IMAGE_END_S, pitch_um) for unit in range(len(layout))]
    angle, length = np.array(chords, np.float64).reshape(-1, 2).T
    return np.asarray(np.rad2deg(angle) % 360), np.asarray(length)


def _chip(truth: Truth, options: SimulationOptions, patch: tuple[int, int]) -> dict[str, Any]:
    angle, length = axon_chords(truth.layout, patch, options.chip.pitch_um)
    return {
        "patch": list(patch),
        "pitch_um": options.chip.pitch_um,
        **as_lists(truth.layout),
        "axon_visible_angle_deg": [value if np.isfinite(value) else None for value in angle.tolist()],
        "axon_visible_length": length.tolist(),
        "dead_columns": np.flatnonzero(truth.electrodes.is_dead.all(axis=0)).tolist(),
        "noise_sd": np.round(truth.electrodes.noise_sd.astype(np.float64), 3).tolist(),
    }


def _discharge(discharge: Discharge) -> dict[str, Any]:
    bar = discharge.bar_rate_hz
    return {
        "cell_spike_count": [len(train) for train in discharge.cells],
        "contamination": discharge.contamination.tolist(),
        "bar_rate_hz": None if bar is None else bar.tolist(),
    }
