"""Waves: bursts of neighbouring units that began one after another, joined to events in space and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hdmea.kernels.bursts import Neighbours, clusters, interval_bursts, linked_counts, surprises
from hdmea.spontaneous.trains import NAN, Floats, Ints, Trains, trains_in_seconds
from hdmea.spontaneous.wave_fit import fit_plane

ORIGIN_SHARE = 0.1  # of a wave's units, the first ones
ORIGIN_MIN_UNITS = 3
BRIDGED_RADII = 3.0  # longest gap between neighbours
TOGETHER_SHARE = 0.2  # of the active units, where there are no positions


@dataclass(frozen=True)
class WaveOptions:
    """Options of the search for waves.

    Attributes
    ----------
    interval_s : float
        Longest interval inside a burst.
    min_spikes : int
        Fewest spikes of a burst.
    chance_per_hour : float
        Bursts that are so unlikely that a Poisson unit of the same rate would have this many of them in an hour are not
        bursts.
    neighbours : int
        The radius is such that the median unit has so many other places within it; gaps of up to three radii are
        bridged along the edges of the triangulation of all places.
    radius_um : float or None
        Instead: units within it are neighbours.
    min_speed_um_s : float
        Slowest front that is followed: onsets of neighbours belong together within their distance by this speed.
    onset_s : float
        Onsets of neighbours belong together within this time, however near the units are.
    core_units : int
        Neighbouring units that a burst must be linked to for the wave to go on from there.
    min_units : int or None
        Fewest units of a wave; default 5, or 2 % of the active units where that is more.

    Raises
    ------
    ValueError
        A number that cannot be meant.

    Examples
    --------
    >>> from hdmea.spontaneous import WaveOptions
    >>> WaveOptions(min_speed_um_s=200).neighbours
    12
    """

    interval_s: float = 0.25
    min_spikes: int = 3
    chance_per_hour: float = 2.0
    neighbours: int = 12
    radius_um: float | None = None
    min_speed_um_s: float = 75.0
    onset_s: float = 0.5
    core_units: int = 3
    min_units: int | None = None

    def __post_init__(self) -> None:
        counts = {"min_spikes": (self.min_spikes, 2), "neighbours": (self.neighbours, 1)}
        counts |= {"core_units": (self.core_units, 1)}
        counts |= {} if self.min_units is None else {"min_units": (self.min_units, 2)}
        if wrong := [
            f"{name} must be at least {least}, got {given_value}"
            for name, (given_value, least) in counts.items()
            if given_value < least
        ]:
            raise ValueError("; ".join(wrong))
        if not (self.interval_s > 0 and self.min_speed_um_s > 0 and self.onset_s >= 0 and self.chance_per_hour > 0):
            raise ValueError("interval_s, chance_per_hour and min_speed_um_s must be positive, onset_s not negative")
        if self.radius_um is not None and not self.radius_um > 0:
            raise ValueError(f"radius_um must be positive, got {self.radius_um}")


@dataclass(frozen=True, eq=False)
class Wave:
    """One wave.

    Attributes
    ----------
    start_s, duration_s : float
        The first onset of a burst, and the time from it to the last spike of a burst.
    units : (n,) int64
        Numbers of the units that took part, in the order of their onsets.
    onsets_s : (n,) float64
        When each began to burst.
    spikes : int
        Spikes of the bursts that are the wave.
    unit_share : float
        Units that took part, of the active ones (those with as many spikes as a burst needs).
    area_mm2 : float
        Convex hull of the units' places; 0 where they are on a line, NaN without positions.
    speed_um_s, speed_se_um_s : float
        Of a plane front fitted to the onsets; NaN where none fits, as are the next three.
    direction_deg, direction_se_deg : float
        Toward which the wave goes, counter-clockwise from +x in the axes of the positions, from 0 to 360.
    r_squared : float
        Share of the onsets' variance that the plane explains.
    origin_um : (2,) float64
        Mean place of the tenth of the units that were first, three at least; NaN without positions.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.spontaneous import find_waves_in
    >>> places = np.array([[x, y] for x in range(0, 800, 200) for y in range(0, 800, 200)])
    >>> bursts = [10 + y / 150 + np.arange(12) * 0.1 for _, y in places]
    >>> (wave,) = find_waves_in(bursts, places, duration_s=60)
    >>> wave.start_s, round(wave.speed_um_s), round(wave.direction_deg), len(wave.units), round(wave.area_mm2, 2)
    (10.0, 150, 90, 16, 0.36)
    """

    start_s: float
    duration_s: float
    units: Ints
    onsets_s: Floats
    spikes: int
    unit_share: float
    area_mm2: float
    speed_um_s: float
    speed_se_um_s: float
    direction_deg: float
    direction_se_deg: float
    r_squared: float
    origin_um: Floats


def find_waves_in(
    trains_s: Sequence[npt.ArrayLike],
    positions_um: npt.ArrayLike | None,
    *,
    duration_s: float,
    options: WaveOptions | None = None,
) -> list[Wave]:
    """The waves of a recording.

    Parameters
    ----------
    trains_s : sequence of (n,) float
        Spikes of each unit in seconds from the recording's start; sorted first where they are not.
    positions_um : (units, 2) float or None
        Places of the units, x and y; units whose place is NaN are left out. None: events of units that burst at the
        same time, without speed, direction and place.
    duration_s : float
        Length of the recording; spikes beyond it are left out.
    options : WaveOptions, optional
        Parameters.

    Returns
    -------
    list of Wave
        In the order of their starts.

    Raises
    ------
    ValueError
        Times that are none, positions that do not fit the trains, a duration that is not positive.

    Notes
    -----
    The algorithm is this project's own, after the clusters of bursts of Maccione et al. 2014, J Physiol 592:1545;
    docs/waves.md has it step by step, and how often it is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.spontaneous import find_waves_in
    >>> places = np.array([[x, y] for x in range(0, 800, 200) for y in range(0, 800, 200)])
    >>> bursts = [10 + (y - x) / 200 + np.arange(12) * 0.1 for x, y in places]
    >>> (wave,) = find_waves_in(bursts, places, duration_s=60)
    >>> round(wave.direction_deg), round(wave.speed_um_s), wave.origin_um
    (135, 141, array([533.33333333,  66.66666667]))
    """
    places = None if positions_um is None else np.asarray(positions_um, np.float64)
    if places is not None and places.shape != (len(trains_s), 2):
        raise ValueError(f"positions {places.shape} are not ({len(trains_s)}, 2), as many as there are trains")
    return waves_in(trains_in_seconds(trains_s, duration_s), places, options or WaveOptions())


def waves_in(trains: Trains, places: Floats | None, options: WaveOptions) -> list[Wave]:
    """As `find_waves_in`, of trains that are checked."""
    units = np.arange(len(trains)) if places is None else np.flatnonzero(np.isfinite(places).all(axis=1))
    active = units[trains.counts[units] >= options.min_spikes]
    if len(active) < 2:
        return []
    bursts = _bursts(trains, active, options)
    min_units = options.min_units or max(5, int(np.ceil(0.02 * len(active))))
    events = _together(bursts, len(active)) if places is None else _spreading(bursts, places[active], trains, options)
    waves = []
    for event in events:
        first = event[np.unique(bursts.unit[event], return_index=True)[1]]  # of each unit, its first burst of the event
        if len(first) >= min_units:
            waves.append(_wave(bursts, event, first, active, places, trains))
    return sorted(waves, key=lambda wave: wave.start_s)


@dataclass(frozen=True)
class _Bursts:
    """Bursts of all active units, unit after unit: the unit (its place among the active ones), samples, spikes."""

    unit: Ints
    start: Ints
    stop: Ints
    spikes: Ints
    offsets: Ints


def _bursts(trains: Trains, active: Ints, options: WaveOptions) -> _Bursts:
    inside = trains.samples(options.interval_s, "interval_s")
    length = trains.stop - trains.start
    rows = []
    for unit in active:
        train = trains[unit]
        by_interval = interval_bursts(train, at_start=inside, inside=inside, between=0, min_spikes=options.min_spikes)
        an_hour = 3600.0 * len(train) / length * trains.sampling_frequency  # spikes, each of which may begin a burst
        unlikely = surprises(train, by_interval, rate=len(train) / length, given=1) >= np.log(
            an_hour / options.chance_per_hour
        )
        by_interval = by_interval[unlikely]
        rows.append(
            np.column_stack(
                [train[by_interval[:, 0]], train[by_interval[:, 1] - 1], by_interval[:, 1] - by_interval[:, 0]]
            )
        )
    counts = [len(row) for row in rows]
    start, stop, spikes = np.concatenate(rows).T
    offsets = np.cumsum([0, *counts])
    return _Bursts(np.repeat(np.arange(len(active)), counts), np.ascontiguousarray(start), stop, spikes, offsets)


def neighbour_radius_um(places: Floats, neighbours: int) -> float:
    """The distance within which the median unit has so many other places; of fewer places, the farthest."""
    from scipy.spatial import cKDTree

    distinct = np.unique(places, axis=0)
    if len(distinct) < 2:
        return 1.0
    distances = cKDTree(distinct).query(distinct, k=min(neighbours, len(distinct) - 1) + 1)[0]
    return float(np.median(distances[:, -1])) * (1 + 1e-6)


def neighbour_pairs(places: Floats, radius_um: float) -> tuple[Ints, Ints]:
    """Pairs of units that are neighbours: within the radius, and across gaps, along the edges of Delaunay's triangles.

    Edges of the triangulation are taken up to three radii.
    """
    from scipy.spatial import Delaunay, QhullError, cKDTree

    near = cKDTree(places).query_pairs(radius_um, output_type="ndarray").astype(np.int64).reshape(-1, 2)
    distinct, at = np.unique(places, axis=0, return_inverse=True)
    try:
        corners = Delaunay(distinct).simplices if len(distinct) > 3 else np.empty((0, 3), np.int64)
    except QhullError:  # on a line
        corners = np.empty((0, 3), np.int64)
    sides = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])
    edges = np.unique(np.sort(sides, axis=1), axis=0)
    apart = np.hypot(*(distinct[edges[:, 0]] - distinct[edges[:, 1]]).T)
    edges = edges[(apart > radius_um) & (apart <= BRIDGED_RADII * radius_um)]
    members = np.split(np.argsort(at.ravel(), kind="stable"), np.cumsum(np.bincount(at.ravel()))[:-1])
    across = [(u, v) for p, q in edges for u in members[p] for v in members[q]]
    first, second = np.concatenate([near, np.array(across, np.int64).reshape(-1, 2)]).T
    return np.ascontiguousarray(first), np.ascontiguousarray(second)


def _spreading(bursts: _Bursts, places: Floats, trains: Trains, options: WaveOptions) -> list[Ints]:
    """Bursts that were linked in space and time, a list of their numbers for each event."""
    radius = options.radius_um or neighbour_radius_um(places, options.neighbours)
    first, second = neighbour_pairs(places, radius)
    apart = np.hypot(*(places[first] - places[second]).T)
    delays = np.rint(np.maximum(apart / options.min_speed_um_s, options.onset_s) * trains.sampling_frequency)
    neighbours = Neighbours(len(places), first, second, delays.astype(np.int64))
    links = linked_counts(bursts.start, bursts.offsets, neighbours)
    cluster = clusters(bursts.start, bursts.offsets, neighbours, links >= options.core_units)
    order = np.lexsort((bursts.start, cluster))
    ordered = cluster[order]
    parts = np.split(order, np.flatnonzero(np.diff(ordered)) + 1)
    return [part for part in parts if len(part) and cluster[part[0]] >= 0]


def _together(bursts: _Bursts, active: int) -> list[Ints]:
    """Bursts of the times at which a fifth of the active units, five at least, burst at once."""
    needed = max(5, int(np.ceil(TOGETHER_SHARE * active)))
    times = np.concatenate([bursts.start, bursts.stop])
    steps = np.repeat([1, -1], len(bursts.start))
    order = np.lexsort((-steps, times))  # a burst that begins when another one ends overlaps it
    at_once = np.cumsum(steps[order]) >= needed
    begins = times[order][at_once & ~np.append(False, at_once[:-1])]
    ends = times[order][np.append(False, at_once[:-1]) & ~at_once]
    by_start = np.argsort(bursts.start, kind="stable")
    events: list[Ints] = []
    used = np.zeros(len(bursts.start), bool)
    for begin, end in zip(begins, ends, strict=True):
        members = by_start[(bursts.start[by_start] <= end) & (bursts.stop[by_start] >= begin)]
        if len(events) and used[members].any():
            events[-1] = np.concatenate([events[-1], members[~used[members]]])
        else:
            events.append(members)
        used[members] = True
    return events


def _wave(bursts: _Bursts, event: Ints, first: Ints, active: Ints, places: Floats | None, trains: Trains) -> Wave:
    first = first[np.argsort(bursts.start[first], kind="stable")]
    onsets_s = (bursts.start[first] - trains.start) / trains.sampling_frequency
    units = active[bursts.unit[first]]
    stop_s = float(bursts.stop[event].max() - trains.start) / trains.sampling_frequency
    xy = np.full((len(units), 2), NAN) if places is None else places[units]
    fit = fit_plane(onsets_s, xy)
    earliest = max(ORIGIN_MIN_UNITS, round(ORIGIN_SHARE * len(units)))
    return Wave(
        start_s=float(onsets_s[0]),
        duration_s=stop_s - float(onsets_s[0]),
        units=units,
        onsets_s=onsets_s,
        spikes=int(bursts.spikes[event].sum()),
        unit_share=len(units) / len(active),
        area_mm2=hull_area_mm2(xy),
        speed_um_s=fit.speed_um_s,
        speed_se_um_s=fit.speed_se_um_s,
        direction_deg=fit.direction_deg,
        direction_se_deg=fit.direction_se_deg,
        r_squared=fit.r_squared,
        origin_um=xy[:earliest].mean(axis=0),
    )


def hull_area_mm2(places: Floats) -> float:
    """Area of the convex hull of places in µm; 0 where they are on a line, NaN where one is unknown."""
    from scipy.spatial import ConvexHull, QhullError

    if not np.isfinite(places).all():
        return NAN
    distinct = np.unique(places, axis=0)
    if len(distinct) < 3:
        return 0.0
    try:
        return float(ConvexHull(distinct).volume) * 1e-6
    except QhullError:  # on a line
        return 0.0
