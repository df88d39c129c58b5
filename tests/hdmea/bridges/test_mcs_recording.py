"""MCS-HDF5 files as recordings of SpikeInterface, and what NWB keeps of them."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from hdmea.pipeline import create_session, load_spikes
from hdmea.simulate import McsH5Options, SimulatedMcsH5, simulate_mcs_h5
from hdmea.utils.exceptions import ConfigurationError, DataLoadError

si = pytest.importorskip("spikeinterface.core")
if not hasattr(si, "create_sorting_analyzer"):
    pytest.skip("spikeinterface before 0.101 has no SortingAnalyzer", allow_module_level=True)

from hdmea.spikeinterface import McsH5Recording  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimulatedMcsH5:
    options = McsH5Options(gaps_s=[(0.6, 0.8)], ad_zero=7, start_us=40, background_hz=8.0, wave_interval_s=None)
    return simulate_mcs_h5(tmp_path_factory.mktemp("mcs") / "slice.h5", duration_s=2.0, options=options, seed=2)


def test_traces_places_gains_and_times_are_the_files(made: SimulatedMcsH5) -> None:
    recording = McsH5Recording(made.path)
    with h5py.File(made.path) as file:
        counts = file["Data/Recording_0/AnalogStream/Stream_0/ChannelData"][...]

    assert recording.channel_ids.tolist() == made.labels
    assert recording.get_num_segments() == 2
    assert [recording.get_num_samples(n) for n in (0, 1)] == [15_000, 30_000]
    assert recording.get_time_info(1)["t_start"] == pytest.approx(0.80004)
    assert np.array_equal(recording.get_traces(0), counts[:, :15_000].T)
    assert np.array_equal(recording.get_traces(1, start_frame=5, end_frame=9), counts[:, 15_005:15_009].T)
    one = recording.get_traces(1, channel_ids=["47"], end_frame=100)
    assert np.array_equal(one[:, 0], counts[made.labels.index("47"), 15_000:15_100])
    some = recording.get_traces(0, channel_ids=["87", "12"], end_frame=50)
    assert np.array_equal(some, counts[[59, 0], :50].T)
    volts = (counts[3, :10] - 7) * 59605e-12
    assert np.allclose(recording.get_traces(0, end_frame=10, return_in_uV=True)[:, 3], volts * 1e6)
    places = dict(zip(made.labels, recording.get_channel_locations().tolist(), strict=True))
    assert places["12"] == [0.0, 200.0]
    assert places["87"] == [1400.0, 1200.0]


def test_a_recording_goes_to_other_processes(made: SimulatedMcsH5, tmp_path: Path) -> None:
    recording = McsH5Recording(made.path)
    again = pickle.loads(pickle.dumps(recording))  # noqa: S301

    assert np.array_equal(again.get_traces(1, end_frame=30), recording.get_traces(1, end_frame=30))
    recording.dump_to_json(tmp_path / "recording.json")
    loaded = si.load(tmp_path / "recording.json")
    assert np.array_equal(loaded.get_traces(0, start_frame=14_990), recording.get_traces(0, start_frame=14_990))


def test_the_real_file_has_two_streams_of_electrodes_and_no_probe(test_data: Path) -> None:
    path = next((test_data / "mcs").glob("*.h5"))
    with pytest.raises(ConfigurationError, match=r"several streams of electrodes: give stream= one of"):
        McsH5Recording(path)
    recording = McsH5Recording(path, stream="Data Acquisition (1) Electrode Raw Data")

    assert recording.channel_ids.tolist() == [f"E{n}" for n in range(1, 9)]
    assert recording.sampling_frequency == 500.0
    assert not recording.has_probe()
    assert recording.get_time_info(0)["t_start"] == pytest.approx(0.1)
    assert recording.get_channel_gains()[0] == pytest.approx(381.470)  # µV a count
    with h5py.File(path) as file:
        stored = file["Data/Recording_0/AnalogStream/Stream_1/ChannelData"][...]
    assert np.array_equal(recording.get_traces(), stored.T)
    with pytest.raises(ConfigurationError, match="does not hold samples"):
        McsH5Recording(path, stream="Digital Events 1")
    with pytest.raises(DataLoadError, match="retinal-wave"):
        McsH5Recording(next((test_data / "retina_mea").glob("*.h5")))


def test_spikeinterface_makes_templates_of_the_electrodes_own_spikes(made: SimulatedMcsH5) -> None:
    recording = McsH5Recording(made.path)
    session = load_spikes(made.path, session=create_session("x"))
    label = "35"
    unit = next(one for one in session.units.values() if one["unit_meta"]["label"] == label)
    samples = np.asarray(unit["spike_times"]).astype(np.int64) - 1  # the recording's zero is a sample before the first
    inside = [samples[samples < 15_000], samples[samples >= 20_000] - 20_000]
    sorting = si.NumpySorting.from_unit_dict([{label: train} for train in inside], 25_000.0)
    analyzer = si.create_sorting_analyzer(sorting, recording, sparse=False, return_in_uV=True)
    quiet = {"n_jobs": 1, "progress_bar": False}
    analyzer.compute({"random_spikes": {"method": "all"}, "templates": {"ms_before": 1.0, "ms_after": 2.0}}, **quiet)

    template = analyzer.get_extension("templates").get_unit_template(label)
    assert int(np.ptp(template, axis=0).argmax()) == made.labels.index(label)
    assert np.allclose(template[:, made.labels.index(label)] / 1e6, unit["waveform"], atol=1e-7)


def test_nwb_keeps_units_places_and_waveforms(made: SimulatedMcsH5, tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    from hdmea.bridges.nwb import export_nwb
    from hdmea.bridges.nwb_facts import NwbFacts

    session = load_spikes(made.path, session=create_session("slice", output_dir=tmp_path))
    facts = NwbFacts(
        time_zone="Europe/Berlin", subject={"subject_id": "m1", "species": "Mus musculus", "sex": "F", "age": "P9D"}
    )
    path = export_nwb(session, tmp_path / "slice.nwb", facts=facts)

    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        assert len(file.units) == 60
        assert len(file.electrodes) == 64
        for index, unit in enumerate(session.units.values()):
            seconds = file.units["spike_times"][index]
            assert np.array_equal(np.round(seconds * 25_000.0), unit["spike_times"])
        assert file.session_start_time.isoformat() == "2024-01-01T00:00:00+01:00"
