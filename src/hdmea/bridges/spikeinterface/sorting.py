"""A session's units as a sorting of SpikeInterface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from spikeinterface.core import BaseSorting, BaseSortingSegment

from hdmea.bridges.binned import sections_of
from hdmea.bridges.tables import filled, wide_rows
from hdmea.bridges.units import Source
from hdmea.plot.figure_data import duration_of, opened
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import number
from hdmea.utils.exceptions import ConfigurationError, MissingInputError


class SessionSorting(BaseSorting):  # type: ignore[misc, unused-ignore]
    """The units of a recording as SpikeInterface has them.

    Properties of units: `row`, `col` (from 1; -1 where not known), `x_um`, `y_um` (NaN where not known), and every
    single value under `{stimulus}.{name}` (numbers missing in a unit are NaN, texts empty). Annotations: `recording`,
    `duration_s`, and `sections`: by name `presentations` and `trials`, lists of [start, stop) in samples.

    Parameters
    ----------
    source
        A session, or the path of its file. Spikes are read when they are asked for.
    unit_ids
        Units to take; default all.

    Raises
    ------
    MissingInputError
        The recording has no acquisition rate.
    ConfigurationError
        Units that the recording does not have.

    Examples
    --------
    >>> from hdmea.spikeinterface import SessionSorting
    >>> sorting = SessionSorting("recording.h5")
    >>> sorting.unit_ids[:2], len(sorting.get_unit_spike_train("unit_001"))
    (array(['unit_001', 'unit_002'], dtype='<U8'), 864)
    """

    def __init__(self, source: Source, unit_ids: Sequence[str] | None = None) -> None:
        session = opened(source)
        rate = number(session.metadata.get("acquisition_rate"))
        if not rate > 0:
            raise MissingInputError(
                f"{session.dataset_id} has no acquisition_rate: run load_recording first", None, "metadata"
            )
        names = list(session.units) if unit_ids is None else [str(name) for name in unit_ids]
        if unknown := [name for name in names if name not in session.units]:
            raise ConfigurationError(f"{session.dataset_id} has no units {', '.join(unknown)}")
        super().__init__(rate, names)
        self.add_sorting_segment(_Segment(session))
        self._add_properties(session, names)
        self.annotate(recording=session.dataset_id, sections=_sections(session))
        if np.isfinite(duration := duration_of(session)):
            self.annotate(duration_s=float(duration))
        if isinstance(source, PipelineSession):
            self._serializability.update(json=False, pickle=False)
            self._kwargs = {"source": source, "unit_ids": unit_ids}
        else:
            self._kwargs = {"source": str(source), "unit_ids": None if unit_ids is None else names}

    def _add_properties(self, session: PipelineSession, names: list[str]) -> None:
        frame, _, _ = wide_rows(session)
        rows = [list(session.units).index(name) for name in names]
        for column in frame.iter_columns():
            if column.name in ("recording", "unit") or column.dtype == pl.Null:
                continue
            self.set_property(column.name, filled(column)[rows])


def _sections(session: PipelineSession) -> dict[str, dict[str, list[list[int]]]]:
    """Presentations and trials of every section, in samples."""
    shown = session.stimulus.get("section_time") or {}
    sections: dict[str, dict[str, list[list[int]]]] = {}
    for name in dict.fromkeys([*map(str, shown), *sections_of(session)]):
        sections[name] = {"presentations": _rows(shown.get(name)), "trials": []}
        for unit in session.units.values():
            section = (unit.get("spike_times_sectioned") or {}).get(name)
            if section is not None and section.get("trials_start_end") is not None:
                sections[name]["trials"] = _rows(section["trials_start_end"])
                break
    return sections


def _rows(bounds: Any) -> list[list[int]]:
    rows: list[list[int]] = [] if bounds is None else np.asarray(bounds).astype(np.int64).reshape(-1, 2).tolist()
    return rows


class _Segment(BaseSortingSegment):  # type: ignore[misc, unused-ignore]
    """The whole recording: one segment."""

    def __init__(self, session: PipelineSession) -> None:
        super().__init__()
        self._session = session

    def get_unit_spike_train(
        self, unit_id: str, start_frame: int | None = None, end_frame: int | None = None
    ) -> np.ndarray[Any, Any]:
        """A unit's spikes in [start_frame, end_frame) in samples, int64, sorted."""
        stored = self._session.units[str(unit_id)].get("spike_times")
        train = np.sort(np.asarray(() if stored is None else stored, np.int64))
        first = 0 if start_frame is None else int(np.searchsorted(train, start_frame))
        last = len(train) if end_frame is None else int(np.searchsorted(train, end_frame))
        return train[first:last]
