"""Files of every earlier layout, written here with plain h5py, are read as what they are, resumed and edited."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from h5burst import Note
from h5burst.console import run
from hdmea.cli import app
from hdmea.features import compute_sta
from hdmea.io import add_section_windows, section_spike_times
from hdmea.pipeline import PipelineSession, extract_features, load_session_from_hdf5
from hdmea.session import layout
from hdmea.session.validate_layout import check_recording
from support.hdmea_recordings import recording, write_config
from support.hdmea_trees import assert_same_values

DATA = Path(__file__).parents[2] / "data" / "hdmea"
FIRST_VERSION = [DATA / "first_version_deferred.h5", DATA / "first_version_immediate.h5"]
MOVIE = "dense_noise_5x5"


def theirs(path: Path) -> Path:
    """A file of another program: single values of both shapes, an STA in each place, open features, no marks."""
    with h5py.File(path, "w") as file:
        file["metadata/acquisition_rate"] = 1000.0
        file["metadata/sample_interval"] = np.array([0.001])
        file["metadata/gsheet_row/age"] = 61
        file["metadata/gsheet_row/strain"] = "C57BL/6"
        file["metadata/frame_timestamps"] = np.arange(7, 4007, 10, dtype=np.uint64)
        file["stimulus/frame_time/default"] = np.arange(7, 4007, 10, dtype=np.uint64)
        file["stimulus/light_reference/raw_ch1"] = np.arange(4007, dtype=np.float32)
        file["stimulus/section_time/noise"] = np.array([[7, 3000]], np.uint64)
        file["source_files/cmcr_path"] = "/data/a.cmcr"
        file["source_files/cmtr_path"] = np.array(["/data/a.cmtr"], dtype=h5py.string_dtype())
        unit = file.create_group("units/unit_001")
        unit.attrs.update(row=3, col=4, global_id=7, spike_count=5)
        unit["spike_times"] = np.array([100, 250, 700, 1500, 2500], np.uint64)
        unit["waveform"] = np.ones(4, np.float32)
        unit["auto_label/axon_type"] = "rgc"
        unit["auto_label/score"] = 0.5
        section = unit.create_group("spike_times_sectioned/noise")
        section["full_spike_times"] = np.array([700, 1500, 2500], np.int64)
        section["trials_spike_times/0"] = np.array([700, 1500], np.int64)
        section["trials_spike_times/10"] = np.array([2500], np.int64)
        section["trials_spike_times/2"] = np.empty(0, np.int64)
        section["trials_start_end"] = np.array([[607, 1607], [1607, 2000], [2000, 3000]], np.int64)
        features = unit.create_group("features")
        features["sta_noise/data"] = np.ones((6, 5, 5), np.float32)
        features["sta_noise/data"].attrs["n_spikes"] = 12
        features["sta_noise/sta_geometry/center_row"] = 2.5
        features["sta_noise/sta_geometry/gaussian_fit/sigma_x"] = np.nan
        features["old_noise/sta"] = np.full((6, 5, 5), 2, np.float32)
        features["old_noise/sta"].attrs["n_spikes"] = 9
        features["old_noise"].attrs["center_x"] = 1.25
        features["ap_tracking/refined_soma/x"] = 10
        features["ap_tracking/refined_soma/t"] = 11.5
        features["ap_tracking/ap_pathway/direction"] = "left"
        features["ap_tracking/post_processed_data/axon_centroids"] = np.eye(3)
        features["frif/FRIF"] = np.zeros(9, np.float32)
        features["frif"].attrs["version"] = "0.9"
        features.create_group("nothing")
    return path


def test_file_of_another_program_is_read_as_its_names_say(tmp_path: Path) -> None:
    session = PipelineSession.load(theirs(tmp_path / "2024-05-07.h5"))

    assert session.dataset_id == "2024-05-07"
    assert {name: str(path) for name, path in session.source_files.items()} == {
        "cmcr_path": "/data/a.cmcr",
        "cmtr_path": "/data/a.cmtr",
    }
    assert session.metadata["gsheet_row"] == {"age": 61, "strain": "C57BL/6"}
    assert (session.metadata["acquisition_rate"], session.metadata["sample_interval"]) == (1000.0, 0.001)
    assert list(session.stimulus) == ["frame_times", "light_reference", "section_time"]
    assert session.stimulus["frame_times"]["default"].dtype == np.uint64
    unit = session.units["unit_001"]
    assert (unit["row"], unit["col"], unit["global_id"]) == (3, 4, 7)
    assert unit["auto_label"] == {"axon_type": "rgc", "score": 0.5}
    assert list(unit["spike_times_sectioned"]["noise"]["trials_spike_times"]) == [0, 2, 10]


def test_verify_notes_what_an_earlier_layout_has_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = theirs(tmp_path / "a.h5")

    assert run(app, ["verify", str(path)]) == 0

    said = capsys.readouterr().out
    assert said.startswith(f"{path}: OK\n")
    assert "note: /units/unit_001/spike_times_sectioned/noise: lacks the attribute n_trials" in said
    assert "note: /: lacks the attribute dataset_id" in said


def test_verify_of_an_earlier_layout_still_finds_what_is_wrong(tmp_path: Path) -> None:
    path = theirs(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["units/unit_001"].attrs["spike_count"] = 4

    wrong = [one for one in check_recording(path) if not isinstance(one, Note)]

    assert [str(one) for one in wrong] == ["/units/unit_001: spike_count is 4, but there are 5"]
    assert run(app, ["verify", str(path)]) == 1


def test_features_of_another_program_keep_their_shape(tmp_path: Path) -> None:
    features = PipelineSession.load(theirs(tmp_path / "a.h5")).units["unit_001"]["features"]

    assert_same_values(
        features["sta_noise"],
        {
            "data": np.ones((6, 5, 5), np.float32),
            "metadata": {"n_spikes": 12},
            "sta_geometry": {"center_row": 2.5, "gaussian_fit": {"sigma_x": float("nan")}},
        },
    )
    assert_same_values(
        features["sta_old_noise"], {"data": np.full((6, 5, 5), 2, np.float32), "metadata": {"n_spikes": 9}}
    )
    assert features["old_noise"] == {"center_x": 1.25}
    assert_same_values(
        features["ap_tracking"],
        {
            "refined_soma": {"x": 10, "t": 11.5},
            "ap_pathway": {"direction": "left"},
            "post_processed_data": {"axon_centroids": np.eye(3)},
        },
    )
    assert_same_values(features["frif"], {"FRIF": np.zeros(9, np.float32), "version": "0.9"})
    assert features["nothing"] == {}


@pytest.mark.parametrize("lazy", [False, True])
def test_file_of_another_program_saved_again_holds_the_same(tmp_path: Path, lazy: bool) -> None:
    first = PipelineSession.load(theirs(tmp_path / "a.h5"), lazy=lazy)

    again = PipelineSession.load(first.save(tmp_path / "b.h5"))

    first = PipelineSession.load(tmp_path / "a.h5")
    for name in ("units", "metadata", "stimulus", "source_files"):
        assert_same_values(getattr(again, name), getattr(first, name), name)
    assert again.dataset_id == "a"
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["metadata/gsheet_row/age"].shape == file["metadata/acquisition_rate"].shape == ()
        features = file["units/unit_001/features"]
        assert features["sta_old_noise/data"].shape == (6, 5, 5)
        assert "sta" not in features.get("old_noise", {})
        assert features["ap_tracking/refined_soma/t"][()] == 11.5
        assert features["sta_noise/sta_geometry/center_row"].shape == ()
        assert features["ap_tracking/ap_pathway/direction"].asstr()[()] == "left"


def test_both_names_of_frame_times_are_read_and_the_later_one_counts(tmp_path: Path) -> None:
    with h5py.File(theirs(tmp_path / "a.h5"), "r+") as file:
        file["stimulus/frame_times/default"] = np.array([1, 2], np.uint64)

    session = PipelineSession.load(tmp_path / "a.h5")

    assert session.stimulus["frame_times"]["default"].tolist() == [1, 2]
    assert "frame_time" not in session.stimulus


def test_source_files_as_attributes_of_a_group_are_read(tmp_path: Path) -> None:
    with h5py.File(theirs(tmp_path / "a.h5"), "r+") as file:
        del file["source_files"]
        file.create_group("source_files").attrs["cmtr_path"] = "x.cmtr"

    assert PipelineSession.load(tmp_path / "a.h5").source_files == {"cmtr_path": Path("x.cmtr")}


# ---------------------------------------------------------------- the first version's own files


def spikes(unit: int) -> Any:
    """The spikes that the kept files were made of: the recordings' generator of this directory, two units."""
    return recording(Path(), units=2, frames=600).units[f"unit_{unit:03d}"]["spike_times"]


@pytest.mark.parametrize("path", FIRST_VERSION, ids=lambda path: path.stem)
def test_file_of_the_first_version_is_read(path: Path) -> None:
    session = PipelineSession.load(path)

    assert session.dataset_id == "first"
    animal = session.metadata["animal"]
    assert animal == {
        "strain": "C57BL/6",
        "age_days": 61,
        "weight_g": 21.5,
        "notes": None,
        "genotype": "Größe",
        "nothing": {},
    }
    assert session.stimulus["frame_times"]["default"].tolist() == list(range(7, 6007, 10))
    assert session.source_files == {"cmcr_path": Path("/data/rec.cmcr"), "cmtr_path": Path("/data/rec.cmtr")}
    assert {"load_recording", "add_section_time", "compute_sta", "extract_features"} <= session.completed_steps
    for number in (1, 2):
        np.testing.assert_array_equal(session.units[f"unit_{number:03d}"]["spike_times"], spikes(number))
    unit = session.units["unit_001"]
    assert unit["unit_meta"] == {"snr": 4.5, "tag": "good", "count": 7}
    assert unit["spike_times_sectioned"]["grey"]["pad_margin"] == (0.05, 0.0)
    features = unit["features"]
    assert features[f"sta_{MOVIE}"]["data"].shape == (5, 5, 5)
    assert features[f"sta_{MOVIE}"]["metadata"]["cover_range"] == (-5, 0)
    assert MOVIE not in features
    assert_same_values(
        features["mine"],
        {"data": {"value": 1.5, "trace": np.arange(4.0), "nested": {"deep": "text"}}, "metadata": {"version": "1"}},
    )
    assert_same_values(
        features["array"], {"data": np.arange(6, dtype=np.int16).reshape(2, 3), "metadata": {"by": "me"}}
    )
    assert_same_values(session.units["unit_002"]["features"]["open"], {"x": 1, "y": np.arange(3)})
    assert set(features["frif"]["data"]) == {"FRIF", "FRIF_x_axis"}
    assert set(features["frif"]["metadata"]) == {"version", "params_hash", "extracted_at"}


def test_values_that_the_store_wrote_into_a_file_of_the_first_version_are_read() -> None:
    session = PipelineSession.load(FIRST_VERSION[1])

    assert (session.metadata["note"], session.metadata["count"], session.metadata["deep"]) == ("by hand", 3, {"x": 1.5})
    assert session.units["unit_002"]["features"]["mine"]["data"]["value"] == 2.5


@pytest.mark.parametrize("path", FIRST_VERSION, ids=lambda path: path.stem)
def test_file_of_the_first_version_saved_again_has_the_layout_of_this_one(path: Path, tmp_path: Path) -> None:
    session = PipelineSession.load(path)
    before = PipelineSession.load(path)

    again = PipelineSession.load(session.save(tmp_path / "again.h5"))

    for name in ("units", "metadata", "stimulus"):
        assert_same_values(getattr(again, name), getattr(before, name), name)
    with h5py.File(tmp_path / "again.h5") as file:
        assert file.attrs["hdmea_layout_version"] == 2
        assert file[f"units/unit_001/features/sta_{MOVIE}/data"].attrs["n_spikes"] > 0


@pytest.mark.parametrize("path", FIRST_VERSION, ids=lambda path: path.stem)
def test_immediate_steps_on_a_file_of_the_first_version_lose_nothing(path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(path, tmp_path / "first.h5"))
    before = PipelineSession.load(copy).units
    np.save(tmp_path / f"{MOVIE}.npy", np.random.default_rng(9).integers(0, 255, (120, 5, 5), np.uint8))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
        write_config(tmp_path, "grey", start_frame=0, trial_length_frame=20, repeat=3)
        extract_features(copy, ["frif"], force=True)
        add_section_windows(copy, length_s=1.0)
        compute_sta(copy, cover_range=(-3, 0), stimuli_dir=tmp_path, force=True)

    session = PipelineSession.load(copy)
    assert session.stimulus["section_time"].keys() == {MOVIE, "grey", "window"}
    for unit_id, unit in session.units.items():
        features, old = unit["features"], before[unit_id]["features"]
        assert features[f"sta_{MOVIE}"]["data"].shape == (3, 5, 5)
        for name in old.keys() - {f"sta_{MOVIE}", "frif"}:
            assert_same_values(features[name], old[name], name)


def test_values_of_a_family_beside_an_sta_of_the_first_version_both_stay(tmp_path: Path) -> None:
    copy = Path(shutil.copy(FIRST_VERSION[0], tmp_path / "first.h5"))
    before = PipelineSession.load(copy).units["unit_001"]["features"][f"sta_{MOVIE}"]

    def put(session: PipelineSession) -> Any:
        from hdmea.steps.run_step import Outcome

        session.units["unit_001"]["features"][MOVIE] = {"data": {"center_x": 2.0}, "metadata": {"version": "3"}}
        return Outcome(None, [("units", "unit_001", "features", MOVIE)])

    from hdmea.steps.run_step import run_step

    run_step("mine", put, copy, None)

    features = PipelineSession.load(copy).units["unit_001"]["features"]
    assert features[MOVIE] == {"data": {"center_x": 2.0}, "metadata": {"version": "3"}}
    assert_same_values(features[f"sta_{MOVIE}"], before)


@pytest.mark.parametrize(("version", "count"), [(1, 2), (2, 1)])
def test_an_sta_is_written_with_its_family_into_files_of_the_first_version_alone(version: int, count: int) -> None:
    """Whatever the newest version is: it must not be compared with that."""
    units = {"unit_001": {"features": {MOVIE: {}, f"sta_{MOVIE}": {}}}}
    changed = [("units", "unit_001", "features", MOVIE)]

    assert len(layout.paths_to_write(units, changed, version)) == count


# ---------------------------------------------------------------- sessions from files


def test_session_from_a_file_is_deferred_and_saves_there_without_overwrite(tmp_path: Path) -> None:
    path = recording(tmp_path).save()

    session = load_session_from_hdf5(path, dataset_id="other")

    assert session.is_deferred
    assert session.hdf5_path == path
    add_section_windows(length_s=2.0, session=session)
    section_spike_times(session=session)
    assert session.save() == path
    again = PipelineSession.load(path)
    assert again.dataset_id == "other"
    assert "window" in again.units["unit_001"]["spike_times_sectioned"]


@pytest.mark.parametrize("wanted", ["a", ["a"], ("a_one", "a_two")])
def test_features_that_are_not_wanted_stay_in_the_file(tmp_path: Path, wanted: Any) -> None:
    made = recording(tmp_path)
    for name in ("a_one", "a_two", "b"):
        made.add_feature("unit_001", name, {"x": 1}, {"version": name})
    path = made.save()

    session = load_session_from_hdf5(path, load_features=wanted)
    assert set(session.units["unit_001"]["features"]) == {"a_one", "a_two"}
    session.add_feature("unit_001", "b", {"x": 2})
    session.units["unit_001"]["features"].pop("b")
    session.save()
    session.add_metadata({"again": True})
    session.save()

    features = PipelineSession.load(path).units["unit_001"]["features"]
    assert set(features) == {"a_one", "a_two", "b"}
    assert features["b"] == {"data": {"x": 1}, "metadata": {"version": "b"}}


def test_session_from_what_is_no_session(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(FileNotFoundError):
        load_session_from_hdf5(tmp_path / "none.h5")
    with pytest.raises(ValueError, match=r"text\.h5"):
        load_session_from_hdf5(tmp_path / "text.h5")
    with pytest.raises(ValueError, match="dataset_id"):
        load_session_from_hdf5(recording(tmp_path).save(), dataset_id=" ")


# ---------------------------------------------------------------- trials


def test_trials_keyed_by_text_of_digits_are_trials(tmp_path: Path) -> None:
    session = recording(tmp_path)
    section = {
        "full_spike_times": np.array([5, 9]),
        "trials_spike_times": {"0": np.array([5]), "1": np.array([9])},
        "trials_start_end": np.array([[0, 6], [6, 12]]),
    }
    session.units["unit_001"]["spike_times_sectioned"] = {"m": section}

    loaded = PipelineSession.load(session.save())

    trials = loaded.units["unit_001"]["spike_times_sectioned"]["m"]["trials_spike_times"]
    assert {key: value.tolist() for key, value in trials.items()} == {0: [5], 1: [9]}
