"""A section of a recording as an xarray dataset: spikes by unit, trial and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hdmea.bridges import units as unit_facts
from hdmea.bridges.binned import TrialBins, trials_of
from hdmea.bridges.extras import required
from hdmea.bridges.units import Source
from hdmea.plot.figure_data import opened
from hdmea.session.session import PipelineSession

if TYPE_CHECKING:
    from xarray import Dataset
else:
    Dataset: TypeAlias = Any


def to_xarray(source: Source, stimulus: str, *, bin_s: float | None = None) -> Dataset:
    """The spikes of every unit in the frames (or even bins) of every trial of a section.

    Parameters
    ----------
    source
        A session, or the path of its file.
    stimulus
        The section: a movie, windows, analog steps.
    bin_s
        Even bins of that length in seconds; None: frames where the trials begin with one, else 0.1 s.

    Returns
    -------
    xarray.Dataset
        Dimensions `unit`, `trial`, `time`. Variables: `count` int32 (unit, trial, time), spikes in each bin; `rate`
        float64, the same in Hz by each bin's own length; `bin_s` float64 (trial, time), those lengths; `start` and
        `stop` float64 (trial), s from the recording's start. Coordinates: `unit` (IDs), `row`, `col` (from 1; NaN where
        not known), `x`, `y` (µm) of each unit; `trial` (numbers of the section's trials); `time`, s from the trial's
        start to the bin's (of frames: the mean over trials, each trial's own in `frame_time` (trial, time)). Each has
        the attribute `units`. Trials that lack frames of the longest are left out and named in the attribute
        `incomplete_trials`; even bins end with the last whole one of the shortest trial. Units without the section are
        left out and named in `units_without_section`.

    Raises
    ------
    MissingInputError
        No unit has trials of that section.
    ConfigurationError
        A bin that is not positive.
    MissingExtraError
        xarray is not installed.

    Examples
    --------
    >>> from hdmea import to_xarray
    >>> dataset = to_xarray("recording.h5", "moving_h_bar_s5_d8_3x")
    >>> dict(dataset["count"].sizes)
    {'unit': 12, 'trial': 3, 'time': 192}
    """
    xarray = required("xarray", "to_xarray")
    session = opened(source)
    trials = trials_of(session, stimulus, bin_s)
    lengths = [len(edges) - 1 for edges in trials.edges]
    bins = max(lengths, default=0) if trials.in_frames else min(lengths, default=0)
    kept = [trial for trial, length in enumerate(lengths) if length >= bins]
    names, counts = _counts(session, trials, kept, bins)
    edges = np.array([trials.edges[trial][: bins + 1] for trial in kept]).reshape(len(kept), bins + 1) / trials.rate_hz
    widths = np.diff(edges, axis=1)
    starts = edges[:, :-1] if bins else np.empty((len(kept), 0))
    places = [unit_facts.electrode_place(session, session.units[name]) for name in names]
    seconds, micrometres = {"units": "s"}, {"units": "um"}
    dataset: Dataset = xarray.Dataset(
        {
            "count": (("unit", "trial", "time"), counts, {"units": "count", "long_name": "spikes in the bin"}),
            "rate": (("unit", "trial", "time"), counts / widths[None], {"units": "Hz"}),
            "bin_s": (("trial", "time"), widths, seconds),
            "start": (("trial",), trials.starts_s[kept], {**seconds, "long_name": "from the recording's start"}),
            "stop": (("trial",), trials.stops_s[kept], {**seconds, "long_name": "from the recording's start"}),
        },
        {
            "unit": ("unit", np.array(names, dtype=str)),
            "row": (
                "unit",
                _numbers([electrode.row for electrode in places]),
                {"long_name": "electrode's row, from 1"},
            ),
            "col": (
                "unit",
                _numbers([electrode.col for electrode in places]),
                {"long_name": "electrode's column, from 1"},
            ),
            "x": ("unit", _numbers([electrode.x_um for electrode in places]), micrometres),
            "y": ("unit", _numbers([electrode.y_um for electrode in places]), micrometres),
            "trial": ("trial", np.array(kept, np.int64)),
            "time": ("time", starts.mean(axis=0) if kept else np.empty(bins), seconds),
            "frame_time": (("trial", "time"), starts, {**seconds, "long_name": "from the trial's start"}),
        },
        {
            "recording": session.dataset_id,
            "stimulus": stimulus,
            "acquisition_rate_hz": trials.rate_hz,
            "bins": "frames" if trials.in_frames else "even",
            "incomplete_trials": [trial for trial in range(len(trials)) if trial not in kept],
            "units_without_section": [name for name in session.units if name not in names],
        },
    )
    return dataset


def _counts(session: PipelineSession, trials: TrialBins, kept: list[int], bins: int) -> tuple[list[str], Any]:
    names, rows = [], []
    for name, unit in session.units.items():
        by_trial = trials.counts(session, unit)
        if by_trial is not None:
            names.append(name)
            rows.append([by_trial[trial][:bins] for trial in kept])
    return names, np.array(rows, np.int32).reshape(len(names), len(kept), bins)


def _numbers(values: list[Any]) -> Any:
    return np.array([np.nan if value is None else value for value in values], np.float64)
