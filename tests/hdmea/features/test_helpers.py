"""Helpers compile where no directory for the cache is, and all of them before a batch forks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hdmea.features import compiling


def test_helpers_work_without_a_directory_for_their_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling._Places, "_locator_classes", [])
    double = compiling.compiled(lambda x: 2 * x)
    assert double(4) == 8


def test_after_warming_up_extractors_compile_nothing() -> None:
    """A process that is forked from a warm one loads no machine code."""
    code = """
import numpy as np
from hdmea.features import FeatureRegistry, harmonics, helpers, onset, psth, resampling

compiled = {
    f"{module.__name__}.{name}": function
    for module in (harmonics, helpers, onset, psth, resampling)
    for name, function in vars(module).items()
    if hasattr(function, "signatures") and function.__module__ == module.__name__
}
helpers.warm_up()
before = {name: len(function.signatures) for name, function in compiled.items()}
assert sum(map(bool, before.values())) >= 7, before  # the others are called by these
frames = np.arange(20000) * 333
metadata = {"acquisition_rate": 20000.0, "frame_timestamps": frames.astype(np.uint64), "recording_duration_s": 333.0}
spikes = np.sort(np.random.default_rng(0).integers(0, frames[-1], 8000))
for movie, (length, trials) in {
    "baseline_127": (180, 1), "step_up_5s_5i_b0_3x": (600, 3), "green_blue_3s_3i_3x": (720, 9),
    "freq_step_5st_3x": (1500, 3), "moving_h_bar_s5_d8_3x": (4520, 3), "frif": (600, 3),
}.items():
    windows = np.array([[frames[i * length + 50], frames[(i + 1) * length + 50]] for i in range(trials)])
    trains = {i: spikes[(spikes >= a) & (spikes < b)] for i, (a, b) in enumerate(windows)}
    for light in (frames[360 + 50], frames[60 + 50]):  # a response, so that every part of the measures runs
        trains[0] = np.sort(np.concatenate([trains[0], light + np.arange(60) * 50]))
    section = {"trials_spike_times": trains, "trials_start_end": windows}
    unit = {"spike_times": spikes.astype(np.uint64), "spike_times_sectioned": {movie: section}}
    FeatureRegistry.get(movie)().extract(unit, {}, metadata=metadata)
print({name: function.signatures for name, function in compiled.items() if len(function.signatures) != before[name]})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "{}", done.stdout + done.stderr
