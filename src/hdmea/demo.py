"""The demonstration: a recording is simulated, analysed, and what was found is held against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.session.session import PipelineSession
from hdmea.simulate import DEFAULT_PLAYLIST, SimulatedRecording, simulate_recording

NOISE, _, STEP, BAR, COLOURS, _ = DEFAULT_PLAYLIST
IMAGE_S = 15.0


@dataclass(frozen=True)
class Comparison:
    """One line of the comparison: what was looked at, how it came out, and whether that is good enough."""

    subject: str
    result: str
    passed: bool


def simulate_demo(directory: Path, units: int, seed: int) -> SimulatedRecording:
    """A recording of some ten minutes of stimuli and a few seconds of sensor data."""
    return simulate_recording(
        directory, n_units=units, patch=(8, 8), sensor_duration_s=IMAGE_S, cutout_samples=8, seed=seed, overwrite=True
    )


def analyse(
    recording: SimulatedRecording, output_dir: Path, dataset_id: str = "demo", image_s: float = IMAGE_S
) -> PipelineSession:
    """The whole pipeline on one deferred session, not saved; image_s: sensor data for electrical images, seconds."""
    from hdmea.features import compute_sta
    from hdmea.io import section_spike_times
    from hdmea.pipeline import add_section_time, create_session, extract_features, load_recording_with_eimage_sta

    session: PipelineSession = create_session(dataset_id, recording.cmcr_path, recording.cmtr_path, output_dir)
    load_recording_with_eimage_sta(recording.cmcr_path, recording.cmtr_path, duration_s=image_s, session=session)
    add_section_time(
        playlist_name=recording.playlist_name,
        playlist_file_path=recording.playlist_path,
        movie_length_file_path=recording.movie_length_path,
        session=session,
    )
    section_spike_times(config_dir=recording.config_dir, session=session)
    compute_sta(stimuli_dir=recording.stimuli_dir, session=session)
    extract_features(session=session)
    return session


def compare(session: PipelineSession, recording: SimulatedRecording) -> list[Comparison]:
    """Compare what was recovered with the truth."""
    truth, cells = recording.truth, recording.truth.population
    centres = np.stack([_values(session, NOISE, "center_x"), _values(session, NOISE, "center_y")], axis=1)
    distance = np.hypot(*(centres - cells.rf_center).T)
    near = float(np.mean(distance < 0.5))
    findings = [
        Comparison(
            "receptive-field centres",
            f"{near:.0%} within half a pixel, median {np.median(distance):.2f} pixels",
            near >= 0.95,
        ),
        _all_right("polarity (ON or OFF)", _values(session, NOISE, "polarity") == cells.polarity),
        _preferred_colours(_values(session, COLOURS, "preferred_color"), np.array(cells.preferred_color)),
        _all_right("electrical image peaks at the soma", _image_peaks(session) == _somata(truth)),
    ]
    selective = np.asarray(cells.is_direction_selective)
    if selective.any():
        significant = _values(session, BAR, "dsi_p_value")[selective] < 0.05
        findings.append(_all_right("direction-selective units found (p < 0.05)", significant))
        off = _values(session, BAR, "preferred_direction") - cells.preferred_direction_deg
        worst = float(np.abs((off[selective] + 180) % 360 - 180).max())
        findings.append(Comparison("preferred direction", f"off by {worst:.1f} degrees at most", worst < 22.5))
    return findings


def _values(session: PipelineSession, feature: str, name: str) -> npt.NDArray[Any]:
    return np.array([unit["features"][feature]["data"][name] for unit in session.units.values()])


def _all_right(title: str, right: npt.NDArray[np.bool_]) -> Comparison:
    by_unit = np.array([bool(np.all(row)) for row in right])
    return Comparison(title, f"right for {int(by_unit.sum())} of {len(by_unit)} units", bool(by_unit.all()))


def _preferred_colours(stored: npt.NDArray[np.str_], true: npt.NDArray[np.str_]) -> Comparison:
    """Compare the colours that were significant; of three trials, a test of p < 0.05 misses some."""
    significant = stored != "none"
    right = int((stored == true)[significant].sum())
    detected = int(significant.sum())
    return Comparison(
        "preferred colour (p < 0.05)",
        f"found for {detected} of {len(true)} units, right for {right} of them",
        right == detected and detected >= 0.9 * len(true),
    )


def _image_peaks(session: PipelineSession) -> npt.NDArray[np.int64]:
    peaks = []
    for unit in session.units.values():
        image = np.abs(np.asarray(unit["features"]["eimage_sta"]["data"])).max(axis=0)
        row, column = np.unravel_index(np.argmax(image), image.shape)
        peaks.append((int(row) + 1, int(column) + 1))
    return np.array(peaks)


def _somata(truth: Any) -> npt.NDArray[np.int64]:
    return np.stack([truth.soma_row, truth.soma_col], axis=1)
