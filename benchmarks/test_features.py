"""All features of 300 units and the seven stimuli of a whole recording."""

from __future__ import annotations

import workloads
from harness import ROUNDS, alone

from hdmea.pipeline import extract_features


def test_features_of_300_units_and_7_stimuli(benchmark):
    """The first time, in which Numba loads its cached machine code, is not counted."""
    session = workloads.with_sections(workloads.simulated(0))
    movies = sorted({name for unit in session.units.values() for name in unit["spike_times_sectioned"]})
    assert len(movies) == 7
    alone(
        benchmark,
        lambda: extract_features(features=movies, force=True, session=session),
        rounds=min(ROUNDS, 3),
        units=len(session.units),
        target_s=2.5,
    )
