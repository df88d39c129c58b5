"""Simulated recordings with known truth: ganglion cells under a playlist of stimuli, as the vendor's files."""

from hdmea.simulate.mcs_h5 import McsH5Options, SimulatedMcsH5, simulate_mcs_h5
from hdmea.simulate.options import (
    REALISTIC,
    TWELVE_TYPES,
    AlignmentOptions,
    AxonOptions,
    CellOptions,
    CellType,
    ChipOptions,
    ClockOptions,
    LightStepOptions,
    NoiseOptions,
    SimulationOptions,
)
from hdmea.simulate.recording import DEFAULT_PLAYLIST, FULL_PLAYLIST, SimulatedRecording, simulate_recording
from hdmea.simulate.sensor import SensorStream
from hdmea.simulate.truth import Truth

__all__ = [
    "DEFAULT_PLAYLIST",
    "FULL_PLAYLIST",
    "REALISTIC",
    "TWELVE_TYPES",
    "AlignmentOptions",
    "AxonOptions",
    "CellOptions",
    "CellType",
    "ChipOptions",
    "ClockOptions",
    "LightStepOptions",
    "McsH5Options",
    "NoiseOptions",
    "SensorStream",
    "SimulatedMcsH5",
    "SimulatedRecording",
    "SimulationOptions",
    "Truth",
    "simulate_mcs_h5",
    "simulate_recording",
]
