"""A movie's sectioned spikes under another name, so that what is written for one set of stimuli works on another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hdmea.session.layout import DIRECTION_SECTION, numbered_trials
from hdmea.session.session import PipelineSession
from hdmea.steps.reasons import without_sections
from hdmea.steps.results import StepResult
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.utils.exceptions import ConfigurationError, MissingInputError

STEP = "copy_section"


def copy_section(
    hdf5_path: Target = None,
    *,
    source: str,
    target: str,
    trials: Sequence[int] | None = None,
    force: bool = False,
    session: PipelineSession | None = None,
) -> StepResult | PipelineSession:
    """Copy every unit's section `source` to the name `target`.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    source, target
        Names of sections.
    trials
        Numbers of the trials to take, in their new order: they are numbered from 0 on. Default all.
    force
        Replace a section of that name that is there; otherwise such units are skipped.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    StepResult or PipelineSession
        Counts of units; or `session`.

    Raises
    ------
    MissingInputError
        No unit has the section.
    ConfigurationError
        Names that are equal, trials that some unit does not have, or one trial twice.

    Examples
    --------
    >>> from hdmea.pipeline import copy_section
    >>> result = copy_section("recording.h5", source="moving_h_bar_s5_d8_3x", target="bars", trials=[0, 2])
    >>> result.units_processed
    12
    """
    if source == target:
        raise ConfigurationError(f"source and target are both {source!r}")
    if trials is not None and len(set(trials)) != len(list(trials)):
        raise ConfigurationError(f"trials holds a number twice: {list(trials)}")

    def step(recording: PipelineSession) -> Outcome[StepResult]:
        outcome = Outcome(StepResult(recording.hdf5_path, STEP))
        sections = {unit_id: unit.get("spike_times_sectioned") or {} for unit_id, unit in recording.units.items()}
        with_source = [unit_id for unit_id, named in sections.items() if source in named]
        if not with_source:
            message = without_sections(STEP, source, recording.stimulus.get("section_time") or {})
            raise MissingInputError(message, STEP, "spike_times_sectioned")
        pending = [unit_id for unit_id in with_source if force or target not in sections[unit_id]]
        copies = {unit_id: _copied(sections[unit_id][source], trials, unit_id) for unit_id in pending}
        for unit_id, copy in copies.items():
            recording.units[unit_id]["spike_times_sectioned"][target] = copy
            outcome.changed.append(("units", unit_id, "spike_times_sectioned", target))
        outcome.result.units_processed, outcome.result.units_skipped = len(copies), len(with_source) - len(copies)
        return outcome

    return run_step(STEP, step, hdf5_path, session)


def _copied(section: dict[str, Any], trials: Sequence[int] | None, unit_id: str) -> dict[str, Any]:
    numbered = numbered_trials(section["trials_spike_times"], unit_id)
    chosen = sorted(numbered) if trials is None else [int(trial) for trial in trials]
    if missing := [trial for trial in chosen if trial not in numbered]:
        raise ConfigurationError(f"{unit_id} has no trials {missing}; it has {sorted(numbered)}")
    spikes = [np.asarray(numbered[trial]).astype(np.int64) for trial in chosen]
    return {
        **{name: value for name, value in section.items() if name != DIRECTION_SECTION},
        "full_spike_times": np.unique(np.concatenate([np.empty(0, np.int64), *spikes])),
        "trials_spike_times": dict(enumerate(spikes)),
        "trials_start_end": np.asarray(section["trials_start_end"])[chosen].astype(np.int64),
    }
