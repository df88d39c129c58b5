"""Synchrony of the units of a recording, pair by pair and over their distance."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from hdmea.session.session import PipelineSession
from hdmea.spontaneous.distance import null_matrices, over_distance
from hdmea.spontaneous.records import SYNCHRONY, VERSION, distance_record
from hdmea.spontaneous.synchrony import correlation_index_of, count_correlation_of, sttc_of
from hdmea.spontaneous.trains import Floats, Trains
from hdmea.steps.results import StepResult
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.steps.spontaneous import Activity, activity_of
from hdmea.utils.exceptions import ConfigurationError

STEP = "measure_synchrony"


def measure_synchrony(
    hdf5_path: Target = None,
    *,
    dt_s: float = 0.05,
    count_bin_s: float = 0.1,
    edges_um: Sequence[float] | None = None,
    shifts: int = 20,
    seed: int = 0,
    force: bool = False,
    session: PipelineSession | None = None,
) -> StepResult | PipelineSession:
    """Measure how synchronous all pairs of units are, and how that falls with their distance.

    `metadata["synchrony"]` holds `unit_ids`; `sttc` (units, units) float32; `sttc_mean`, the mean over pairs; and
    `sttc_over_distance`, `correlation_index_over_distance` and `count_correlation_over_distance`, each with the fields
    of `hdmea.spontaneous.OverDistance`, where two units have places; and the parameters.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    dt_s
        Spikes at most so many seconds apart are near, for tiling coefficient and correlation index.
    count_bin_s
        Bins of spike counts, in seconds.
    edges_um
        Edges of the bins of distance, ascending; default 20 bins from 0 to the largest distance.
    shifts
        How often all trains are shifted for the band that chance keeps within; 0: no band.
    seed
        Of the shifts, and of the samples of units for standard errors.
    force
        Measure again.
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
        Parameters that cannot be meant.

    Notes
    -----
    The methods are those of `hdmea.spontaneous.sttc`, `correlation_index`, `count_correlation` and `over_distance`.

    Examples
    --------
    >>> from hdmea.pipeline import PipelineSession, measure_synchrony
    >>> session = measure_synchrony(shifts=0, force=True, session=PipelineSession.load("waves.h5"))
    >>> session.metadata["synchrony"]["sttc"].shape, session.metadata["synchrony"]["dt_s"]
    ((16, 16), 0.05)
    """
    if not (dt_s > 0 and count_bin_s > 0 and shifts >= 0):
        raise ConfigurationError(f"{STEP}: dt_s ({dt_s}) and count_bin_s ({count_bin_s}) must be positive, shifts ≥ 0")

    def step(recording: PipelineSession) -> Outcome[StepResult]:
        started = time.perf_counter()
        activity = activity_of(recording, STEP)
        outcome = Outcome(StepResult(recording.hdf5_path, STEP))
        if not force and SYNCHRONY in recording.metadata:
            outcome.result.units_skipped = len(activity.unit_ids)
            return outcome
        measures: dict[str, Callable[[Trains], Floats]] = {
            "sttc": partial(sttc_of, dt=dt_s),
            "correlation_index": partial(correlation_index_of, dt=dt_s),
            "count_correlation": partial(count_correlation_of, bin_s=count_bin_s),
        }
        try:
            measured = _measured(activity, measures, edges_um, shifts, seed)
        except ValueError as error:
            raise ConfigurationError(f"{STEP}: {error}") from error
        options = {"dt_s": float(dt_s), "count_bin_s": float(count_bin_s), "shifts": int(shifts), "seed": int(seed)}
        recording.metadata[SYNCHRONY] = {"version": VERSION, **options, "unit_ids": activity.unit_ids, **measured}
        outcome.changed.append(("metadata", SYNCHRONY))
        outcome.result.units_processed = len(activity.unit_ids)
        outcome.result.elapsed_seconds = time.perf_counter() - started
        return outcome

    return run_step(STEP, step, hdf5_path, session)


def _measured(
    activity: Activity,
    measures: dict[str, Callable[[Trains], Floats]],
    edges_um: Sequence[float] | None,
    shifts: int,
    seed: int,
) -> dict[str, Any]:
    places = activity.known_places
    values: dict[str, Any] = {}
    for name, measure in measures.items():
        matrix = measure(activity.trains)
        if name == "sttc":
            pairs = matrix[np.triu_indices(len(matrix), 1)]
            defined = pairs[~np.isnan(pairs)]
            values["sttc"] = matrix.astype(np.float32)
            values["sttc_mean"] = float(defined.mean()) if len(defined) else float("nan")
        if places is not None and np.isfinite(places).all(axis=1).sum() > 1:
            null = null_matrices(activity.trains, measure, shifts, seed)
            profile = over_distance(matrix, places, edges_um=edges_um, null=null, seed=seed)
            values[f"{name}_over_distance"] = distance_record(profile)
    return values
