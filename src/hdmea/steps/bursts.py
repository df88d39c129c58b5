"""Bursts of every unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hdmea.session.session import PipelineSession
from hdmea.spontaneous.bursts import BurstOptions, bursts_of
from hdmea.spontaneous.records import BURSTS, bursts_record
from hdmea.steps.per_unit import Unit, run_units
from hdmea.steps.results import StepResult
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.steps.spontaneous import activity_of, options_from

STEP = "measure_bursts"


def check_options(arguments: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` for options of `measure_bursts` that there are not, or that cannot be meant."""
    options_from(BurstOptions, arguments.get("options"), STEP)


def measure_bursts(
    hdf5_path: Target = None,
    *,
    options: BurstOptions | Mapping[str, Any] | None = None,
    force: bool = False,
    session: PipelineSession | None = None,
) -> StepResult | PipelineSession:
    """Find the bursts of every unit (`hdmea.spontaneous.bursts_in`).

    `units[id]["features"]["bursts"]["data"]` holds the measures of `hdmea.spontaneous.burst_measures`, and of each
    burst `first_spikes`, `last_spikes` (places in the train), `start_s`, `stop_s` and `surprise`; its `metadata`
    has the options.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    options
        Method and parameters, as a `hdmea.spontaneous.BurstOptions` or a dict of its fields.
    force
        Measure again units that have it; otherwise they are skipped.
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
    The methods are those of `hdmea.spontaneous.bursts_in`.

    Examples
    --------
    >>> from hdmea.pipeline import PipelineSession, measure_bursts
    >>> session = measure_bursts(options={"min_spikes": 4}, force=True, session=PipelineSession.load("waves.h5"))
    >>> session.units["unit_001"]["features"]["bursts"]["data"]["burst_count"]
    2.0
    """
    chosen = options_from(BurstOptions, options, STEP)

    def step(recording: PipelineSession) -> Outcome[StepResult]:
        activity = activity_of(recording, STEP)
        trains, numbers = activity.trains, {name: k for k, name in enumerate(activity.unit_ids)}
        pending = [name for name in numbers if force or BURSTS not in (recording.units[name].get("features") or {})]

        def compute(unit_id: str, unit: Unit) -> tuple[dict[str, Any], str]:
            bursts = bursts_of(trains, numbers[unit_id], chosen)
            return bursts_record(bursts, len(trains[numbers[unit_id]]), trains.duration_s, chosen), ""

        def store(unit_id: str, unit: Unit, record: dict[str, Any]) -> tuple[str, ...]:
            unit.setdefault("features", {})[BURSTS] = record
            return ("units", unit_id, "features", BURSTS)

        return run_units(STEP, recording, pending, len(numbers) - len(pending), compute, store)

    return run_step(STEP, step, hdf5_path, session)
