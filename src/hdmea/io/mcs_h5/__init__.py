"""MCS-HDF5 files (`.h5`) of MEA2100 and other systems: recordings and their streams, and their spikes as units."""

from hdmea.io.mcs_h5.grids import ElectrodeGrid
from hdmea.io.mcs_h5.recording import McsFile, McsRecording, is_mcs_h5, read_mcs
from hdmea.io.mcs_h5.records import McsChannel, McsSegment
from hdmea.io.mcs_h5.streams import (
    AnalogStream,
    AverageEntity,
    EventEntity,
    EventStream,
    FrameEntity,
    FrameStream,
    SegmentEntity,
    SegmentStream,
    TimeStampEntity,
    TimeStampStream,
)
from hdmea.io.mcs_h5.units import McsChoice, mcs_choice, read_mcs_units

__all__ = [
    "AnalogStream",
    "AverageEntity",
    "ElectrodeGrid",
    "EventEntity",
    "EventStream",
    "FrameEntity",
    "FrameStream",
    "McsChannel",
    "McsChoice",
    "McsFile",
    "McsRecording",
    "McsSegment",
    "SegmentEntity",
    "SegmentStream",
    "TimeStampEntity",
    "TimeStampStream",
    "is_mcs_h5",
    "mcs_choice",
    "read_mcs",
    "read_mcs_units",
]
