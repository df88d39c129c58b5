"""Recordings for the flow `full`, small enough to go through it in a few seconds, and the arguments of its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hdmea.simulate import LightStepOptions, SimulatedRecording, SimulationOptions, simulate_recording

NOISE, STEP, BAR = "perfect_dense_noise_15x15_15hz_r42_3min", "step_up_5s_5i_b0_3x", "moving_h_bar_s5_d8_3x"
UNITS = [f"unit_{n:03d}" for n in range(1, 7)]
NEED_NOISE = ["compute_sta", "extract_rf_geometry", "fit_ln_model", "align_electrodes"]


def simulated(directory: Path, *playlist: str, light_steps: int = 0) -> SimulatedRecording:
    steps = LightStepOptions(count=light_steps, delay_s=1.0, on_s=2.0, off_s=2.0)
    return simulate_recording(
        directory,
        name="small",
        n_units=len(UNITS),
        patch=(12, 12),
        playlist=playlist,
        sensor_duration_s=1.0,
        sampling_rate=10_000.0,
        seed=5,
        options=SimulationOptions(light_steps=steps),
    )


def parameters_of(recording: SimulatedRecording) -> dict[str, dict[str, Any]]:
    """Arguments of the flow's steps, playlist aside."""
    playlist, lengths = str(recording.playlist_path), str(recording.movie_length_path)
    stimuli, configs = {"stimuli_dir": str(recording.stimuli_dir)}, {"config_dir": str(recording.config_dir)}
    return {
        "add_section_time": {"playlist_file_path": playlist, "movie_length_file_path": lengths},
        "add_section_time_analog": {"plot_duration": 3.0},
        "section_spike_times": configs,
        "section_by_direction": {**stimuli, **configs},
        **{step: stimuli for step in NEED_NOISE},
    }


def full_manifest(recording: SimulatedRecording, directory: Path, *names: str) -> Path:
    """A manifest of the same recording under several names."""
    rows = ["cmcr,cmtr,dataset_id,playlist"]
    rows += [f"{recording.cmcr_path},{recording.cmtr_path},{name},{recording.playlist_name}" for name in names]
    path = directory / "full.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path
