"""Spontaneous activity: how synchronous units are, their bursts, and waves that run over the array.

Pure functions on arrays; `hdmea.steps` has the steps that run them on a recording. docs/waves.md has every definition,
its source, and how often each detection is wrong.
"""

from hdmea.spontaneous.bursts import BurstOptions, Bursts, burst_measures, bursts_in
from hdmea.spontaneous.distance import OverDistance, over_distance
from hdmea.spontaneous.measures import Rayleigh, rayleigh_test, wave_measures
from hdmea.spontaneous.records import WaveRecord, waves_of
from hdmea.spontaneous.synchrony import (
    correlation_index,
    count_correlation,
    cross_correlograms,
    pair_q_values,
    sttc,
    sttc_p_values,
)
from hdmea.spontaneous.waves import Wave, WaveOptions, find_waves_in

__all__ = [
    "BurstOptions",
    "Bursts",
    "OverDistance",
    "Rayleigh",
    "Wave",
    "WaveOptions",
    "WaveRecord",
    "burst_measures",
    "bursts_in",
    "correlation_index",
    "count_correlation",
    "cross_correlograms",
    "find_waves_in",
    "over_distance",
    "pair_q_values",
    "rayleigh_test",
    "sttc",
    "sttc_p_values",
    "wave_measures",
    "waves_of",
]
