"""Memory that a deferred run takes beyond its data."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np

from hdmea.features import compute_sta
from hdmea.io import add_section_time, section_spike_times
from hdmea.pipeline import PipelineSession, extract_features
from support.hdmea_recordings import recording, write_config, write_playlist

MOVIES = {"noise": 2000, "a": 3000, "b": 3000}
MAX_PEAK = 1.3  # times the data


def large_recording(output_dir: Path) -> PipelineSession:
    """Eighty units of 10 000 spikes each, and a light trace of 20 MB."""
    session = recording(output_dir, units=80, frames=20_000)
    rng = np.random.default_rng(0)
    for unit in session.units.values():
        unit["spike_times"] = np.sort(rng.integers(0, 200_000, 10_000)).astype(np.uint64)
    session.stimulus["light_reference"]["raw_ch1"] = rng.random(5_000_000, dtype=np.float32)
    return session


def run(session: PipelineSession, directory: Path) -> None:
    files = write_playlist(directory, {"p": list(MOVIES)}, MOVIES)
    for movie, frames in MOVIES.items():
        write_config(directory, movie, start_frame=0, trial_length_frame=frames // 10, repeat=10)
    np.save(directory / "noise.npy", np.zeros((MOVIES["noise"], 15, 15), np.uint8))
    add_section_time(playlist_name="p", **files, session=session)
    section_spike_times(config_dir=directory, session=session)
    compute_sta(cover_range=(-20, 0), stimuli_dir=directory, session=session)
    extract_features(features=["frif"], session=session)
    session.save()


def test_deferred_run_with_its_save_stays_below_1_3_times_its_data(tmp_path: Path) -> None:
    run(large_recording(tmp_path / "warm"), tmp_path / "warm files")
    tracemalloc.start()
    try:
        session = large_recording(tmp_path / "out")
        tracemalloc.reset_peak()
        run(session, tmp_path / "files")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert session.memory_estimate_gb > 0.03
    assert peak < MAX_PEAK * session.memory_estimate_gb * 1e9
