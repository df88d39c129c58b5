"""Recordings that many tests read and none changes."""

from __future__ import annotations

import pytest

from hdmea.simulate import SimulatedRecording, simulate_recording


@pytest.fixture(scope="session")
def small_recording(tmp_path_factory: pytest.TempPathFactory) -> SimulatedRecording:
    """Three units under noise and two other stimuli; two seconds of sensor data."""
    return simulate_recording(
        tmp_path_factory.mktemp("simulated"),
        n_units=3,
        patch=(6, 6),
        playlist=("perfect_dense_noise_15x15_15hz_r42_3min", "baseline_127", "step_up_5s_5i_b0_3x"),
        sensor_duration_s=2.0,
        sampling_rate=10_000.0,
        seed=3,
    )
