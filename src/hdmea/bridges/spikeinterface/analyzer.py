"""A SortingAnalyzer of SpikeInterface as a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdmea.io.si_sorting import read_sorting
from hdmea.session.session import PipelineSession
from hdmea.steps.load import common_metadata, finish_units
from hdmea.steps.per_unit import IMAGE, PITCH_UM
from hdmea.steps.run_step import Outcome
from hdmea.steps.sectioning import SectionResult, TrialWindows, cut_trials
from hdmea.utils.exceptions import ConfigurationError

ON_GRID = 0.01  # of a pitch: positions this close to a site are on it


def session_from_analyzer(
    analyzer: Any, dataset_id: str | None = None, *, output_dir: str | Path = "artifacts"
) -> PipelineSession:
    """A session with the spikes, templates and positions of a SortingAnalyzer.

    Parameters
    ----------
    analyzer
        A `spikeinterface.SortingAnalyzer` of one segment; with `templates` computed, units have electrical images.
    dataset_id
        Default: the sorting's annotation `recording`, else its folder's name, else "sorting".
    output_dir
        As of `PipelineSession`.

    Returns
    -------
    PipelineSession
        Deferred. `units[id]`: `spike_times`; the template of the channel with the largest amplitude as `waveform`;
        the electrode of that channel as `row`, `col` (from 1); the sorting's properties, and `x_um`, `y_um` of
        `unit_locations` (else of that channel), in `unit_meta`; `features["eimage_sta"]`: templates on the grid of the
        probe (samples, rows, columns) in the analyzer's unit (`unit` in the metadata: "uV" or "counts"), NaN at sites
        without a channel. Channels that are not on a grid: `features["template"]` (samples, channels) with their
        `positions_um`. Sections of a `SessionSorting` come back.

    Raises
    ------
    ConfigurationError
        More than one segment, or two units of one name.

    Examples
    --------
    >>> import spikeinterface.core as si
    >>> from hdmea.spikeinterface import session_from_analyzer
    >>> recording, sorting = si.generate_ground_truth_recording(durations=[2.0], num_channels=4, num_units=3, seed=0)
    >>> analyzer = si.create_sorting_analyzer(sorting, recording, sparse=False)
    >>> _ = analyzer.compute(["random_spikes", "templates"])
    >>> session = session_from_analyzer(analyzer, "day1")
    >>> session.unit_count
    3
    """
    if (segments := analyzer.get_num_segments()) != 1:
        raise ConfigurationError(f"the analyzer has {segments} segments: a session is one recording")
    sorting, rate = analyzer.sorting, float(analyzer.sampling_frequency)
    folder = getattr(analyzer, "folder", None)
    name = dataset_id or sorting.get_annotation("recording") or (Path(folder).stem if folder else "sorting")
    session = PipelineSession(str(name), output_dir=Path(output_dir))
    session.add_units(read_sorting(sorting).units)
    duration = analyzer.get_num_samples() / rate
    session.add_metadata(common_metadata(session.dataset_id, rate, duration))
    _add_templates(session, analyzer, rate)
    finish_units(session.units, rate, duration)
    _add_sections(session, sorting.get_annotation("sections"))
    session.mark_step_complete("load_spikes")
    return session


# ---------------------------------------------------------------- templates and places


@dataclass(frozen=True, slots=True)
class Grid:
    """Places of channels on a regular grid: row and column of each from 0, the grid's size, and its pitch."""

    row: np.ndarray[Any, Any]
    col: np.ndarray[Any, Any]
    pitch_um: float

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.row.max()) + 1, int(self.col.max()) + 1


def grid_of(places_um: np.ndarray[Any, Any]) -> Grid | None:
    """The grid on which channels are (channels, 2), x and y in µm; None where there is none of one pitch."""
    x, y = (axis - axis.min() for axis in places_um[:, :2].T)
    steps = np.concatenate([np.diff(np.unique(np.round(axis, 3))) for axis in (x, y)])
    if not len(steps):
        return None
    pitch = float(steps.min())
    cells = [np.rint(axis / pitch).astype(np.int64) for axis in (x, y)]
    off = max(float(np.abs(axis / pitch - cell).max()) for axis, cell in zip((x, y), cells, strict=True))
    sites = set(zip(*(cell.tolist() for cell in cells), strict=True))
    if off > ON_GRID or len(sites) < len(places_um) or (cells[0].max() + 1) * (cells[1].max() + 1) > 4 * len(sites):
        return None
    return Grid(cells[1], cells[0], pitch)


def _add_templates(session: PipelineSession, analyzer: Any, rate: float) -> None:
    places = np.asarray(analyzer.get_channel_locations(), np.float64)
    grid = grid_of(places)
    locations = analyzer.get_extension("unit_locations")
    stated = None if locations is None else np.asarray(locations.get_data(), np.float64)
    if grid is not None:
        session.add_metadata({PITCH_UM: grid.pitch_um})
    extension = analyzer.get_extension("templates")
    if extension is None:
        session.warnings.append("the analyzer has no templates: units have no electrical images")
    templates = None if extension is None else extension.get_templates(operator="average")
    for row, unit in enumerate(session.units.values()):
        xy = None if stated is None else stated[row]
        if templates is not None:
            image = np.asarray(templates[row], np.float32)
            peak = int(np.argmax(np.ptp(image, axis=0)))
            unit["waveform"] = np.ascontiguousarray(image[:, peak])
            xy = places[peak] if xy is None else xy
            if grid is not None and unit["row"] < 1:
                unit["row"], unit["col"] = int(grid.row[peak]) + 1, int(grid.col[peak]) + 1
            metadata = _how(analyzer, extension, rate, len(unit["spike_times"]))
            _add_image(unit, image, grid, places, metadata)
        if xy is not None:
            unit["unit_meta"] |= {"x_um": float(xy[0]), "y_um": float(xy[1])}


def _how(analyzer: Any, extension: Any, rate: float, spikes: int) -> dict[str, Any]:
    """Meaning of the axes and numbers of the templates."""
    scaled = bool(getattr(analyzer, "return_in_uV", getattr(analyzer, "return_scaled", False)))
    limit = None
    if (chosen := analyzer.get_extension("random_spikes")) is not None and chosen.params.get("method") != "all":
        limit = int(chosen.params["max_spikes_per_unit"])
    return {
        "n_spikes": spikes if limit is None else min(spikes, limit),
        "pre_samples": int(extension.nbefore),
        "post_samples": int(extension.nafter),
        "sampling_rate": rate,
        "spike_limit": limit,
        "unit": "uV" if scaled else "counts",
    }


def _add_image(
    unit: dict[str, Any], image: np.ndarray[Any, Any], grid: Grid | None, places: Any, metadata: dict[str, Any]
) -> None:
    if grid is None:
        unit["features"]["template"] = {"data": image, "metadata": metadata, "positions_um": places.copy()}
        return
    data = np.full((len(image), *grid.shape), np.nan, np.float32)
    data[:, grid.row, grid.col] = image
    unit["features"][IMAGE] = {"data": data, "metadata": metadata}


# ---------------------------------------------------------------- sections


def _add_sections(session: PipelineSession, sections: Any) -> None:
    """The sections that a `SessionSorting` was annotated with, and its spikes cut by them."""
    if not isinstance(sections, Mapping):
        return
    shown, trials = {}, {}
    for name, section in sections.items():
        if rows := section.get("presentations"):
            shown[str(name)] = np.array(rows, np.uint64).reshape(-1, 2)
        if rows := section.get("trials"):
            trials[str(name)] = TrialWindows(np.array(rows, np.int64).reshape(-1, 2), 1)
    if shown:
        session.add_stimulus({"section_time": shown})
    cut_trials(session, trials, ((0.0, 0.0), 0, 0), Outcome(SectionResult(True, 0, len(trials), 3, (0.0, 0.0), 0, 0)))
