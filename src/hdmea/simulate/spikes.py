"""Poisson spikes from firing rates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hdmea.simulate.population import Population, firing_rates, resting_rate_hz
from hdmea.simulate.timeline import Timeline

REFRACTORY_S = 0.002
SPIKE_STREAM = 1  # keeps each unit's random numbers apart from those of other purposes
_UNITS_AT_ONCE = 64


def draw_spikes(
    population: Population, timeline: Timeline, grid: tuple[int, int], seed: int
) -> list[npt.NDArray[np.int64]]:
    """Each unit's spikes: sorted samples, none closer than the refractory period."""
    edges = np.concatenate([[0], timeline.frame_samples, [timeline.sample_count]]).astype(np.float64)
    refractory = round(REFRACTORY_S * timeline.sampling_rate)
    spikes = []
    for first in range(0, len(population), _UNITS_AT_ONCE):
        part = population.part(slice(first, first + _UNITS_AT_ONCE))
        rates = firing_rates(part, timeline, grid)
        for n in range(len(part)):
            rng = np.random.default_rng([seed, SPIKE_STREAM, first + n])
            rate = np.concatenate([[resting_rate_hz()], rates[:, n]])
            spikes.append(_poisson(rate / timeline.sampling_rate, edges, refractory, rng))
    return spikes


def _poisson(
    rate_per_sample: npt.NDArray[np.float64], edges: npt.NDArray[np.float64], refractory: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """An inhomogeneous Poisson process of piecewise constant rate between `edges`: uniform in its expected count."""
    expected = np.concatenate([[0.0], np.cumsum(rate_per_sample * np.diff(edges))])
    at = np.sort(rng.uniform(0, expected[-1], rng.poisson(expected[-1])))
    samples = np.interp(at, expected, edges).astype(np.int64)
    far_enough = np.diff(samples, prepend=-refractory) >= max(refractory, 1)
    return np.asarray(samples[far_enough & (samples < edges[-1])])
