"""Simulated recordings with known truth: ganglion cells under a playlist of stimuli, as the vendor's files."""

from hdmea.simulate.recording import (
    DEFAULT_PLAYLIST,
    FULL_PLAYLIST,
    SimulatedRecording,
    Truth,
    simulate_recording,
)
from hdmea.simulate.sensor import SensorStream

__all__ = [
    "DEFAULT_PLAYLIST",
    "FULL_PLAYLIST",
    "SensorStream",
    "SimulatedRecording",
    "Truth",
    "simulate_recording",
]
