"""SpikeInterface on our recordings: its templates, its metrics, its own comparison of sortings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hdmea.features.eimage_sta import compute_eimage_sta
from hdmea.pipeline import PipelineSession, create_session
from hdmea.simulate import SimulatedRecording
from hdmea.utils.exceptions import ConfigurationError, DataLoadError, MissingInputError
from support.hdmea_recordings import recording

si = pytest.importorskip("spikeinterface.core")
if not hasattr(si, "create_sorting_analyzer"):
    pytest.skip("spikeinterface before 0.101 has no SortingAnalyzer", allow_module_level=True)

from hdmea.spikeinterface import CmcrRecording, SessionSorting, session_from_analyzer  # noqa: E402
from support.sources import Rows  # noqa: E402

WINDOW = (-10, 40)


@pytest.fixture(scope="module")
def stream(small_recording: SimulatedRecording) -> np.ndarray[Any, Any]:
    """The sensor data by h5py (frames, rows, columns)."""
    with h5py.File(small_recording.cmcr_path) as file:
        data: np.ndarray[Any, Any] = file["Acquisition/Sensor Data/SensorData 1 1"][()]
    return data


@pytest.fixture(scope="module")
def inside(simulated: Path, stream: np.ndarray[Any, Any]) -> PipelineSession:
    """The simulated recording with the spikes whose window is well inside the sensor data."""
    session = PipelineSession.load(simulated)
    for unit in session.units.values():
        spikes = unit["spike_times"]
        unit["spike_times"] = spikes[(spikes >= 100) & (spikes < len(stream) - 100)]
        assert len(unit["spike_times"]) >= 3
    return session


@pytest.fixture(scope="module")
def analyzer(inside: PipelineSession, small_recording: SimulatedRecording) -> Any:
    """Templates of all spikes of the filtered stream, in one chunk, so that its filter sees what ours sees."""
    from spikeinterface.preprocessing import highpass_filter

    raw = CmcrRecording(small_recording.cmcr_path)
    filtered = highpass_filter(
        raw, freq_min=100.0, filter_order=2, filter_mode="sos", dtype="float32", direction="forward-backward"
    )
    made = si.create_sorting_analyzer(SessionSorting(inside), filtered, sparse=False)
    made.compute("random_spikes", method="all")
    rate = small_recording.sampling_rate
    how = {"ms_before": -WINDOW[0] / rate * 1000, "ms_after": WINDOW[1] / rate * 1000}
    whole = {"n_jobs": 1, "chunk_duration": f"{small_recording.duration_s}s", "progress_bar": False}
    made.compute("templates", **how, **whole)
    return made


# ---------------------------------------------------------------- the sensor stream


def test_stream_has_the_vendors_traces_places_and_gains(
    small_recording: SimulatedRecording, stream: np.ndarray[Any, Any]
) -> None:
    made = CmcrRecording(small_recording.cmcr_path)

    assert made.get_num_samples() == len(stream)
    assert made.sampling_frequency == small_recording.sampling_rate
    assert made.get_dtype() == np.int16
    assert np.array_equal(made.get_traces(), stream.reshape(len(stream), -1))
    some = made.get_traces(start_frame=70, end_frame=75, channel_ids=made.channel_ids[[7, 3]])
    assert np.array_equal(some, stream.reshape(len(stream), -1)[70:75, [7, 3]])
    # SensorID = 65 (column - 1) + row; electrodes 16 µm apart; the stream is row by row
    assert made.channel_ids[1] == 66
    assert made.channel_ids[6] == 2
    assert np.array_equal(made.get_channel_locations()[[0, 1, 6]], [[0, 0], [16, 0], [0, 16]])
    assert np.allclose(made.get_channel_gains(), 1.0)  # the simulator counts microvolts
    assert np.allclose(made.get_channel_offsets(), 0.0)
    assert made.get_probe().contact_positions.shape == (36, 2)
    scaled = made.get_traces(start_frame=0, end_frame=3, return_in_uV=True)
    assert np.allclose(scaled, stream.reshape(len(stream), -1)[:3])
    assert CmcrRecording(small_recording.cmcr_path, pitch_um=32.0).get_channel_locations()[1, 0] == 32.0


def test_stream_survives_json_pickle_and_worker_processes(
    small_recording: SimulatedRecording, stream: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    import pickle

    made = CmcrRecording(small_recording.cmcr_path)
    made.dump_to_json(tmp_path / "recording.json")

    again = si.load(tmp_path / "recording.json")
    assert isinstance(again, CmcrRecording)
    assert np.array_equal(again.get_traces(start_frame=5, end_frame=9), made.get_traces(start_frame=5, end_frame=9))
    copied = pickle.loads(pickle.dumps(made))  # noqa: S301 - our own bytes
    assert np.array_equal(copied.get_traces(end_frame=4), made.get_traces(end_frame=4))
    saved = made.save(folder=tmp_path / "copy", n_jobs=2, chunk_duration="0.5s", progress_bar=False, verbose=False)
    assert np.array_equal(saved.get_traces(), stream.reshape(len(stream), -1))


def test_a_stream_of_twenty_gigabytes_is_exposed_without_being_read(
    small_recording: SimulatedRecording, tmp_path: Path
) -> None:
    """A full chip's stream with holes: opening it and reading a tenth of a second stay small."""
    import shutil

    big = tmp_path / "big.cmcr"
    shutil.copy(small_recording.cmcr_path, big)
    with h5py.File(big, "r+") as file:
        group = file["Acquisition/Sensor Data"]
        attributes = dict(group["SensorData 1 1"].attrs)
        del group["SensorData 1 1"]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((2_400_000, 65, 65))
        dataset = h5py.Dataset(h5py.h5d.create(group.id, b"SensorData 1 1", h5py.h5t.STD_I16LE, space, properties))
        dataset.attrs.update(attributes)
        dataset[2_000_000, 3, 4] = 77
    assert big.stat().st_size > 20e9
    assert big.stat().st_blocks * 512 < 1e9
    script = (
        "import resource, sys; from hdmea.spikeinterface import CmcrRecording\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "made = CmcrRecording(sys.argv[1])\n"
        "part = made.get_traces(start_frame=2_000_000, end_frame=2_002_000)\n"
        "assert part[0, 3 * 65 + 4] == 77 and part.sum() == 77 and made.get_num_samples() == 2_400_000\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(big)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 120  # MiB, of which the part is 17


def test_files_without_a_stream_are_refused(tmp_path: Path, small_recording: SimulatedRecording) -> None:
    import shutil

    with pytest.raises(FileNotFoundError):
        CmcrRecording(tmp_path / "no.cmcr")
    with pytest.raises(DataLoadError):
        CmcrRecording(small_recording.cmtr_path)
    with pytest.raises(ConfigurationError, match="pitch_um"):
        CmcrRecording(small_recording.cmcr_path, pitch_um=0)
    shutil.copy(small_recording.cmcr_path, bare := tmp_path / "bare.cmcr")
    with h5py.File(bare, "r+") as file:
        del file["Acquisition/Sensor Data"]
    with pytest.raises(DataLoadError, match="no sensor stream"):
        CmcrRecording(bare)


# ---------------------------------------------------------------- sortings


def test_sorting_has_spikes_properties_and_sections(simulated: Path, session: PipelineSession) -> None:
    made = SessionSorting(simulated)

    assert list(made.unit_ids) == list(session.units)
    assert made.sampling_frequency == session.metadata["acquisition_rate"]
    for row, (name, unit) in enumerate(session.units.items()):
        assert np.array_equal(made.get_unit_spike_train(name), unit["spike_times"])
        part = made.get_unit_spike_train(name, start_frame=20_000, end_frame=90_000)
        spikes = unit["spike_times"]
        assert np.array_equal(part, spikes[(spikes >= 20_000) & (spikes < 90_000)])
        assert made.get_property("row")[row] == unit["row"]
        assert made.get_property("x_um")[row] == (unit["col"] - 1) * 16.0
        value = unit["features"]["baseline_127"]["data"]["cv2"]
        assert made.get_property("baseline_127.cv2")[row] == value
        assert made.get_property("original_name")[row] == unit["original_name"]
    sections = made.get_annotation("sections")
    for name, rows in session.stimulus["section_time"].items():
        assert sections[name]["presentations"] == np.asarray(rows).tolist()
        trials = session.units["unit_001"]["spike_times_sectioned"][name]["trials_start_end"]
        assert sections[name]["trials"] == np.asarray(trials).tolist()
    assert made.get_annotation("recording") == "simulated"
    assert list(SessionSorting(session, ["unit_003"]).unit_ids) == ["unit_003"]


def test_sorting_survives_spikeinterfaces_own_files(simulated: Path, tmp_path: Path) -> None:
    made = SessionSorting(simulated)

    again = si.load(json.loads(json.dumps(made.to_dict(recursive=True), default=str)))
    saved = made.save(folder=tmp_path / "saved")

    for other in (again, saved):
        for name in made.unit_ids:
            assert np.array_equal(other.get_unit_spike_train(name), made.get_unit_spike_train(name))
        assert np.array_equal(other.get_property("baseline_127.cv2"), made.get_property("baseline_127.cv2"))
    assert isinstance(again, SessionSorting)
    assert len(made.to_spike_vector()) == sum(len(made.get_unit_spike_train(name)) for name in made.unit_ids)


def test_sorting_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    session = recording(tmp_path)
    with pytest.raises(ConfigurationError, match="unit_9"):
        SessionSorting(session, ["unit_9"])
    del session.metadata["acquisition_rate"]
    with pytest.raises(MissingInputError, match="acquisition_rate"):
        SessionSorting(session)


# ---------------------------------------------------------------- analyzers


def test_templates_equal_our_electrical_images(
    analyzer: Any, inside: PipelineSession, small_recording: SimulatedRecording, stream: np.ndarray[Any, Any]
) -> None:
    trains = {name: unit["spike_times"] for name, unit in inside.units.items()}
    ours = compute_eimage_sta(Rows(stream), trains, sampling_rate=small_recording.sampling_rate, window_range=WINDOW)

    theirs = analyzer.get_extension("templates").get_templates()

    for row, name in enumerate(trains):
        image = ours.features[name]["data"]
        difference = theirs[row].reshape(image.shape) - image  # one count is one microvolt
        assert np.abs(difference).max() < 1e-5 * np.abs(image).max()


def test_quality_metrics_run_and_agree_with_the_spikes(analyzer: Any, inside: PipelineSession) -> None:
    pytest.importorskip("sklearn")
    analyzer.compute("noise_levels")
    analyzer.compute("quality_metrics", metric_names=["num_spikes", "firing_rate", "isi_violation", "snr"])

    metrics = analyzer.get_extension("quality_metrics").get_data()

    for name, unit in inside.units.items():
        assert metrics.loc[name, "num_spikes"] == len(unit["spike_times"])
        assert metrics.loc[name, "firing_rate"] == pytest.approx(len(unit["spike_times"]) / 2.0)
        assert metrics.loc[name, "snr"] > 1


def test_session_from_analyzer_has_spikes_images_places_and_sections(
    analyzer: Any, inside: PipelineSession, tmp_path: Path
) -> None:
    session = session_from_analyzer(analyzer, output_dir=tmp_path)

    assert session.dataset_id == "simulated"
    assert list(session.units) == list(inside.units)
    theirs = analyzer.get_extension("templates").get_templates()
    for row, (name, unit) in enumerate(inside.units.items()):
        found = session.units[name]
        assert np.array_equal(found["spike_times"], unit["spike_times"])
        image = found["features"]["eimage_sta"]
        assert np.array_equal(image["data"].reshape(50, 36), theirs[row])
        assert image["metadata"]["pre_samples"] == 10
        assert image["metadata"]["unit"] == "uV"
        assert image["metadata"]["n_spikes"] == len(unit["spike_times"])
        assert (found["row"], found["col"]) == (unit["row"], unit["col"])
        assert found["unit_meta"]["baseline_127.cv2"] == unit["features"]["baseline_127"]["data"]["cv2"]
    assert session.metadata["electrode_pitch_um"] == 16.0
    for name, rows in inside.stimulus["section_time"].items():
        assert np.array_equal(session.stimulus["section_time"][name], rows)
    saved = PipelineSession.load(session.save())
    assert saved.units["unit_001"]["features"]["eimage_sta"]["data"].shape == (50, 6, 6)


def test_session_from_anybodys_analyzer(tmp_path: Path) -> None:
    """Generated by SpikeInterface: no grid, its own unit names, locations computed by it."""
    made, sorting = si.generate_ground_truth_recording(
        durations=[5.0], num_channels=8, num_units=4, sampling_frequency=20_000.0, seed=0
    )
    analyzer = si.create_sorting_analyzer(sorting, made, sparse=False)
    analyzer.compute(["random_spikes", "templates", "unit_locations"], progress_bar=False)

    session = session_from_analyzer(analyzer, "generated", output_dir=tmp_path)

    assert list(session.units) == ["unit_001", "unit_002", "unit_003", "unit_004"] or len(session.units) == 4
    locations = analyzer.get_extension("unit_locations").get_data()
    for row, (own, unit) in enumerate(zip(sorting.unit_ids, session.units.values(), strict=True)):
        assert np.array_equal(unit["spike_times"], sorting.get_unit_spike_train(own))
        assert (unit["unit_meta"]["x_um"], unit["unit_meta"]["y_um"]) == tuple(locations[row, :2])
        assert unit["original_name"] == str(own)
        assert {"eimage_sta", "template"} & unit["features"].keys()
    assert session.metadata["recording_duration_s"] == 5.0
    session.save()


def test_missing_spikeinterface_is_said_with_the_install_line() -> None:
    script = "import sys; sys.modules['spikeinterface'] = None; import hdmea.spikeinterface"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "pip install 'h5burst[neuro]'" in done.stderr


def test_an_empty_session_is_an_empty_sorting(tmp_path: Path) -> None:
    session = create_session("none", output_dir=tmp_path)
    session.add_metadata({"acquisition_rate": 20_000.0})

    assert len(SessionSorting(session).unit_ids) == 0
