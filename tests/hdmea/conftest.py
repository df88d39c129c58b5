"""Recordings that many tests read and none changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hdmea.features import FeatureRegistry
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


@pytest.fixture(autouse=True)
def _features_as_they_were() -> Iterator[None]:
    """A feature that a test registers, or a user's module of it, is unknown to the next test."""
    before = dict(FeatureRegistry._registry)
    yield
    if FeatureRegistry._registry != before:
        FeatureRegistry._registry.clear()
        FeatureRegistry._registry.update(before)
