"""Spikes from firing rates: Poisson with a refractory period, drift, bursts, silence; and what a sorter mixes up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hdmea.simulate.options import CellOptions
from hdmea.simulate.population import Floats, Irregularities, Population
from hdmea.simulate.response import firing_rates, resting_rate_hz
from hdmea.simulate.timeline import Timeline

REFRACTORY_S = 0.002
BURST_INTERVAL_S = (0.003, 0.006)
SPIKE_STREAM = 1  # keeps each unit's random numbers apart from those of other purposes
MIXING_STREAM = 8
_UNITS_AT_ONCE = 32

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Discharge:
    """Each unit's spikes, sorted samples: `cells` what the cells fired; `sorted_units` what a sorter takes for it.

    bar_rate_hz: (units, directions) mean rate that the light asks for in each direction of the moving bar; None without
    such a movie. contamination: (units,) share of another cell's spikes in a unit's.
    """

    cells: list[Ints]
    sorted_units: list[Ints]
    contamination: Floats
    bar_rate_hz: Floats | None


def discharge(
    population: Population,
    irregularities: Irregularities,
    cells: CellOptions,
    timeline: Timeline,
    grid: tuple[int, int],
    seed: int,
) -> Discharge:
    """The spikes of all cells under what is shown; grid: of the noise movie."""
    edges = np.concatenate([[0], timeline.refresh_samples, [timeline.sample_count]]).astype(np.float64)
    middle_s = (edges[:-1] + edges[1:]) / 2 / timeline.sampling_rate
    fired: list[Ints] = []
    by_direction = []
    for first in range(0, len(population), _UNITS_AT_ONCE):
        rates = firing_rates(population.part(slice(first, first + _UNITS_AT_ONCE)), timeline, grid)
        by_direction.append(_bar_rates(rates, timeline))
        for n in range(rates.shape[1]):
            unit = first + n
            rng = np.random.default_rng([seed, SPIKE_STREAM, unit])
            rate = np.concatenate([[resting_rate_hz()], rates[:, n]])
            if irregularities.is_silent[unit]:
                rate[:] = cells.silent_rate_hz
            if irregularities.drift_trend[unit] or irregularities.drift_wave[unit]:
                rate *= np.exp(irregularities.log_gain(unit, middle_s, edges[-1] / timeline.sampling_rate))
            bursts = float(irregularities.burst_probability[unit]), cells.burst_spikes
            fired.append(spike_train(rate, edges, timeline.sampling_rate, rng, *bursts))
    mixed, share = _mix(fired, irregularities, seed)
    bar = np.concatenate(by_direction) if by_direction and by_direction[0].shape[1] else None
    return Discharge(fired, mixed, share, bar)


def spike_train(
    rate_hz: Floats,
    edges: Floats,
    sampling_rate: float,
    rng: np.random.Generator,
    burst_probability: float = 0.0,
    burst_spikes: float = 2.0,
) -> Ints:
    """An inhomogeneous Poisson process of piecewise constant rate between `edges` (samples), with bursts.

    With probability `burst_probability` a spike is followed by a geometric number of others, `burst_spikes` on average;
    the rate of first spikes is lower by as much. Of spikes nearer than the refractory period the later one is left out.
    """
    share = 1 / (1 + burst_probability * burst_spikes)
    expected = np.concatenate([[0.0], np.cumsum(rate_hz * np.diff(edges))]) * (share / sampling_rate)
    at = np.sort(rng.uniform(0, expected[-1], rng.poisson(expected[-1])))
    samples = np.interp(at, expected, edges)
    if burst_probability:
        more = np.where(rng.random(len(samples)) < burst_probability, rng.geometric(1 / burst_spikes, len(samples)), 0)
        steps = rng.uniform(*BURST_INTERVAL_S, int(more.sum())) * sampling_rate
        until = np.concatenate([[0.0], np.cumsum(steps)])
        first = np.cumsum(more) - more
        since = until[1:] - np.repeat(until[first], more)
        samples = np.sort(np.concatenate([samples, np.repeat(samples, more) + since]))
    whole = samples.astype(np.int64)
    return refractory(whole[whole < edges[-1]], max(round(REFRACTORY_S * sampling_rate), 1))


def refractory(samples: Ints, period: int) -> Ints:
    """Sorted samples without those that follow the one before them by less than `period`."""
    return np.asarray(samples[np.diff(samples, prepend=-period) >= period])


def _bar_rates(rates: Floats, timeline: Timeline) -> Floats:
    """Mean rate (units, directions) in each direction of the bar; no columns without a bar."""
    number = timeline.counted_frame
    means: dict[float, list[Floats]] = {}
    for movie, start in timeline.shown:
        for event in movie.events:
            if event.kind == "bar":
                within = (number >= start + event.start) & (number < start + event.stop)
                means.setdefault(event.value, []).append(rates[within].mean(axis=0))
    columns = [np.mean(means[direction], axis=0) for direction in sorted(means)]
    return np.stack(columns, axis=1) if columns else np.empty((rates.shape[1], 0))


def _mix(fired: list[Ints], irregularities: Irregularities, seed: int) -> tuple[list[Ints], Floats]:
    """Each unit's spikes with some of another cell's among them, and the share that those make up."""
    mixed, shares = [], np.zeros(len(fired))
    for unit, train in enumerate(fired):
        source, share = int(irregularities.contaminated_by[unit]), float(irregularities.contamination[unit])
        if source < 0:
            mixed.append(train)
            continue
        rng = np.random.default_rng([seed, MIXING_STREAM, unit])
        others = np.setdiff1d(fired[source], train)
        count = min(round(share / (1 - share) * len(train)), len(others))
        mixed.append(np.sort(np.concatenate([train, rng.choice(others, count, replace=False)])))
        shares[unit] = count / max(len(train) + count, 1)
    return mixed, shares
