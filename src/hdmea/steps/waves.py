"""Waves that run over the array."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from hdmea.session.session import PipelineSession
from hdmea.spontaneous.measures import wave_measures
from hdmea.spontaneous.records import WAVES, waves_record
from hdmea.spontaneous.waves import WaveOptions, waves_in
from hdmea.steps.results import StepResult
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.steps.spontaneous import activity_of, options_from

STEP = "find_waves"


def check_options(arguments: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` for options of `find_waves` that there are not, or that cannot be meant."""
    options_from(WaveOptions, arguments.get("options"), STEP)


def find_waves(
    hdf5_path: Target = None,
    *,
    options: WaveOptions | Mapping[str, Any] | None = None,
    force: bool = False,
    session: PipelineSession | None = None,
) -> StepResult | PipelineSession:
    """Find the waves of a recording (`hdmea.spontaneous.find_waves_in`).

    `metadata["waves"]` holds them as arrays, a wave an element, which `hdmea.spontaneous.waves_of` gives as records,
    and in `measures` what `hdmea.spontaneous.wave_measures` says of them. A recording without positions has events of
    units that burst at once, without speed and direction, and a warning.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    options
        Parameters, as a `hdmea.spontaneous.WaveOptions` or a dict of its fields.
    force
        Find them again.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    StepResult or PipelineSession
        Counts of units; or `session`.

    Raises
    ------
    MissingInputError
        The recording has no units, or nothing tells its length.
    ConfigurationError
        Options that there are not, or that cannot be meant.

    Notes
    -----
    The method is that of `hdmea.spontaneous.find_waves_in`.

    Examples
    --------
    >>> from hdmea.pipeline import PipelineSession, find_waves
    >>> session = find_waves(options={"min_units": 8}, force=True, session=PipelineSession.load("waves.h5"))
    >>> session.metadata["waves"]["measures"]["wave_count"]
    2.0
    """
    chosen = options_from(WaveOptions, options, STEP)

    def step(recording: PipelineSession) -> Outcome[StepResult]:
        started = time.perf_counter()
        activity = activity_of(recording, STEP)
        outcome = Outcome(StepResult(recording.hdf5_path, STEP))
        if not force and WAVES in recording.metadata:
            outcome.result.units_skipped = len(activity.unit_ids)
            return outcome
        trains = activity.trains
        if activity.known_places is None:
            outcome.warn(f"{STEP}: no unit has a place, so waves are units that burst at once, without speed")
        waves = waves_in(trains, activity.known_places, chosen)
        active = int((trains.counts >= chosen.min_spikes).sum())
        measures = wave_measures(waves, spikes=len(trains.times), units=active, duration_s=trains.duration_s)
        recording.metadata[WAVES] = waves_record(waves, measures, activity.unit_ids, chosen)
        outcome.changed.append(("metadata", WAVES))
        outcome.result.units_processed, outcome.result.warnings = len(activity.unit_ids), outcome.warnings
        outcome.result.elapsed_seconds = time.perf_counter() - started
        return outcome

    return run_step(STEP, step, hdf5_path, session)
