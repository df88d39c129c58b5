"""A section as an xarray dataset."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from hdmea import to_xarray
from hdmea.pipeline import PipelineSession
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from support.hdmea_recordings import RATE_HZ, recording

xarray = pytest.importorskip("xarray")


def cut(session: PipelineSession, bounds: list[list[int]], name: str = "m") -> None:
    """Sections by these samples, of every unit, by masks."""
    for unit in session.units.values():
        spikes = unit["spike_times"].astype(np.int64)
        trials = {n: spikes[(spikes >= a) & (spikes < b)] for n, (a, b) in enumerate(bounds)}
        section = {"trials_spike_times": trials, "trials_start_end": np.array(bounds, np.int64)}
        unit.setdefault("spike_times_sectioned", {})[name] = section


def test_counts_are_those_of_a_histogram_over_each_trials_own_frames(tmp_path: Path) -> None:
    session = recording(tmp_path)
    rng = np.random.default_rng(1)
    frames = np.cumsum(rng.integers(8, 13, 500)).astype(np.uint64)  # an uneven clock
    session.metadata["frame_timestamps"] = frames
    cut(session, [[int(frames[10]), int(frames[40])], [int(frames[200]), int(frames[230])]])

    found = to_xarray(session, "m")

    assert found["count"].dims == ("unit", "trial", "time")
    assert found.sizes == {"unit": 3, "trial": 2, "time": 30}
    for name, unit in session.units.items():
        for trial, first in enumerate((10, 200)):
            edges = frames[first : first + 31].astype(float)
            expected = np.histogram(unit["spike_times"][unit["spike_times"] < edges[-1]], edges)[0]
            assert found["count"].sel(unit=name, trial=trial).values.tolist() == expected.tolist()
            rates = expected / (np.diff(edges) / RATE_HZ)
            assert np.allclose(found["rate"].sel(unit=name, trial=trial), rates)
            assert np.allclose(found["frame_time"][trial], (edges[:-1] - edges[0]) / RATE_HZ)
    assert np.allclose(found["start"], [frames[10] / RATE_HZ, frames[200] / RATE_HZ])
    assert found["rate"].attrs["units"] == "Hz"
    assert found["time"].attrs["units"] == "s"
    assert found["y"].values.tolist() == [0.0, 16.0, 32.0]
    assert found["y"].attrs["units"] == "um"


def test_trials_that_lack_frames_and_units_without_the_section_are_named(tmp_path: Path) -> None:
    session = recording(tmp_path)
    frames = session.metadata["frame_timestamps"].astype(int)
    cut(session, [[frames[0], frames[20]], [frames[100], frames[110]], [frames[200], frames[220]]])
    del session.units["unit_002"]["spike_times_sectioned"]

    found = to_xarray(session, "m")

    assert found["trial"].values.tolist() == [0, 2]
    assert found.attrs["incomplete_trials"] == [1]
    assert found.attrs["units_without_section"] == ["unit_002"]
    assert found["unit"].values.tolist() == ["unit_001", "unit_003"]


def test_windows_get_even_bins_of_the_length_asked_for(tmp_path: Path) -> None:
    session = recording(tmp_path)
    cut(session, [[3, 5003], [6003, 10_953]])

    found = to_xarray(session.save(), "m", bin_s=0.25)

    assert found.sizes["time"] == 19  # the shorter trial has 4.95 s
    assert found.attrs["bins"] == "even"
    spikes = session.units["unit_001"]["spike_times"].astype(int)
    expected = np.histogram(spikes[spikes < 3 + 19 * 250], 3 + 250 * np.arange(20))[0]
    assert found["count"].sel(unit="unit_001", trial=0).values.tolist() == expected.tolist()
    assert to_xarray(session, "m").sizes["time"] == 49  # 0.1 s where nothing is said


def test_dataset_goes_to_netcdf_and_back(tmp_path: Path) -> None:
    session = recording(tmp_path)
    cut(session, [[0, 1000]])
    made = to_xarray(session, "m")

    made.to_netcdf(tmp_path / "m.nc", engine="h5netcdf")

    with xarray.open_dataset(tmp_path / "m.nc", engine="h5netcdf") as read:
        assert read["count"].equals(made["count"])


def test_wrong_requests_say_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = recording(tmp_path)
    with pytest.raises(MissingInputError, match="section_spike_times"):
        to_xarray(session, "m")
    cut(session, [[0, 1000]])
    with pytest.raises(MissingInputError, match="there are: m"):
        to_xarray(session, "other")
    with pytest.raises(ConfigurationError, match="bin_s"):
        to_xarray(session, "m", bin_s=0.0)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"pip install 'h5burst\[arrays\]'"):
        to_xarray(session, "m")
