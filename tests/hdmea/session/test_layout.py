"""The layout: what is where in the file, and that everything comes back as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdmea.pipeline import PipelineSession
from hdmea.session import layout
from hdmea.utils.exceptions import CheckpointError, ValidationError
from support.hdmea_recordings import recording
from support.hdmea_trees import assert_same_values


def roundtrip(session: PipelineSession, path: Path) -> PipelineSession:
    session.save(path, overwrite=True)
    return PipelineSession.load(path)


@pytest.fixture
def session(tmp_path: Path) -> PipelineSession:
    return recording(tmp_path)


# ---------------------------------------------------------------- the file


def test_root_has_the_attributes_of_the_store_and_the_groups_of_the_layout(session: PipelineSession) -> None:
    session.set_source_files(cmcr_path="x.cmcr")
    session.add_feature("unit_001", "b", {})
    session.add_feature("unit_002", "a", {})

    with h5py.File(session.save(), "r") as file:
        assert set(file) == {"units", "stimulus", "metadata", "pipeline"}
        assert set(file.attrs) == {
            "dataset_id",
            "hdmea_pipeline_version",
            "hdmea_layout_version",
            "created_at",
            "updated_at",
            "stage1_completed",
            "stage1_params_hash",
            "features_extracted",
            "source_files",
        }
        assert json.loads(file.attrs["features_extracted"]) == ["a", "b"]
        assert file.attrs["stage1_completed"]
        sources = {"cmcr_path": "x.cmcr", "cmtr_path": None, "cmcr_exists": False, "cmtr_exists": False}
        assert json.loads(file.attrs["source_files"]) == sources
        assert set(file["pipeline"].attrs) == {"stage1_completed", "stage1_timestamp"}


def test_session_info_holds_steps_sorted_and_warnings_as_text(session: PipelineSession) -> None:
    session.completed_steps = {"z", "a", "m"}
    session.warnings = ["zweite", "erste ü"]

    with h5py.File(session.save(), "r") as file:
        info = file["pipeline/session_info"]
        assert info["completed_steps"].asstr()[()].tolist() == ["a", "m", "z"]
        assert info["warnings"].asstr()[()].tolist() == ["zweite", "erste ü"]
        assert set(info.attrs) == {"saved_at"}


def test_units_lie_as_the_layout_says(session: PipelineSession) -> None:
    with h5py.File(session.save(), "r") as file:
        unit = file["units/unit_002"]
        assert set(unit.attrs) == {"row", "col", "global_id", "spike_count"}
        assert unit.attrs["spike_count"] == len(session.units["unit_002"]["spike_times"])
        assert {name: str(unit[name].dtype) for name in ("spike_times", "waveform", "firing_rate_10hz")} == {
            "spike_times": "uint64",
            "waveform": "float32",
            "firing_rate_10hz": "float32",
        }
        assert isinstance(unit["features"], h5py.Group)


def test_frame_times_and_a_sessions_own_frame_time_are_both_kept(session: PipelineSession, tmp_path: Path) -> None:
    session.stimulus["frame_times"] = {"m": np.array([1, 2], np.uint64)}
    session.stimulus["frame_time"] = {"note": 1}

    loaded = roundtrip(session, tmp_path / "r.h5")

    assert_same_values(loaded.stimulus, session.stimulus)
    with h5py.File(tmp_path / "r.h5", "r") as file:
        assert "m" in file["stimulus/frame_times"]
        assert file["stimulus/frame_time/note"].shape == ()


@pytest.mark.parametrize("name", ["a/b", ".", "..", "", "%~x", "ü µ", "a.b"])
def test_any_name_comes_back_as_it_was(session: PipelineSession, tmp_path: Path, name: str) -> None:
    unit = session.units["unit_001"]
    section = {
        "full_spike_times": np.array([1], np.int64),
        "trials_spike_times": {0: np.array([1], np.int64)},
        "trials_start_end": np.array([[0, 5]], np.int64),
    }
    unit["spike_times_sectioned"] = {name: section}
    session.add_feature("unit_001", name, {name: np.arange(3.0)}, {"version": "1"})
    session.stimulus["section_time"] = {name: np.array([[0, 5]], np.uint64)}
    session.metadata["sys_meta"] = {name: {name: 5}}

    loaded = roundtrip(session, tmp_path / "r.h5")

    assert_same_values(loaded.units, session.units)
    assert_same_values(loaded.stimulus, session.stimulus)
    assert_same_values(loaded.metadata, session.metadata)


def test_trials_are_in_order_of_their_numbers(session: PipelineSession, tmp_path: Path) -> None:
    trials = {n: np.array([n], np.int64) for n in range(25)}
    session.units["unit_001"]["spike_times_sectioned"] = {"m": {"trials_spike_times": trials}}

    loaded = roundtrip(session, tmp_path / "r.h5").units["unit_001"]["spike_times_sectioned"]["m"]

    assert list(loaded["trials_spike_times"]) == list(range(25))


# ---------------------------------------------------------------- features


@pytest.mark.parametrize(
    "feature",
    [
        {"data": {"x": np.arange(3), "y": 2.5, "flag": True, "text": "ja", "none": None}, "metadata": {"version": "1"}},
        {"data": {}, "metadata": {}},
        {"data": np.arange(6.0).reshape(2, 3), "metadata": {"n": 3, "limit": None}},
        {"data": 3, "metadata": {}},
        {"data": [1, "two"], "metadata": {}},
        {"data": None, "metadata": {"n": np.int16(3)}},
        {"data": {"n": 1, "metadata_names": "x", "nested": {"a": {"b": [1.5]}}}, "metadata": {"n": 2}},
        {"data": {"x": 1}, "metadata": {"hdmea.feature_form": "f", "hdmea.metadata.x": 4, "x": 2, "when": (1, 2)}},
        {"data": {"x": 1}, "metadata": {"array": np.arange(4), "dict": {"a": [1]}, "path": Path("a/b")}},
        {"data": {0: np.arange(2), 1: 5}, "metadata": {"version": "1"}},
        {"data": {"sta": np.ones((2, 2), np.float32)}, "metadata": {"n_spikes": 3, "cover_range": (-4, 0), "own": 1}},
        {"data": {"x": 1}, "metadata": {"n_spikes": 3}},
        np.arange(4),
        {"values": 3},
        {"data": {"hdmea.metadata_names": "x"}, "metadata": {"version": "1"}},
        {"data": np.ones(2), "metadata": {"n": 1}, "geometry": {"row": 1.5, "map": np.eye(2), "none": None}},
        {"data": {"x": 1}, "metadata": {}, "geometry": {"fit": {"r": np.float32(0.5), "name": "DoG"}}, "n": 3},
        {"data": {"geometry": 1}, "metadata": {"v": 1}, "geometry": {"row": 2}},
        {"metadata": {"by": "me"}, "soma": {"t": 1, "x": np.nan}, "path": [np.arange(2), None]},
        {"metadata": 5, "data": np.arange(2)},
        {"data": np.zeros((1,)), "metadata": {}, 3: {"4": "x"}, "h5burst.type": 1},
        {"data": np.zeros(()), "metadata": {}, "one": np.array([2.5]), "text": "Größe", "scalar": np.array(1)},
        {},
        7,
    ],
    ids=lambda feature: str(feature)[:40].replace("\n", ""),
)
def test_any_feature_comes_back_as_it_was(session: PipelineSession, tmp_path: Path, feature: Any) -> None:
    session.units["unit_001"]["features"] = {"f": feature}

    loaded = roundtrip(session, tmp_path / "r.h5").units["unit_001"]["features"]["f"]

    assert_same_values(loaded, feature)


def test_feature_without_our_marks_gives_its_attributes_as_values(session: PipelineSession) -> None:
    path = session.save()
    with h5py.File(path, "r+") as file:
        group = file.create_group("units/unit_001/features/theirs")
        group["x"] = np.arange(3)
        group.attrs["n"] = 5

    feature = PipelineSession.load(path).units["unit_001"]["features"]["theirs"]

    assert_same_values(feature, {"n": 5, "x": np.arange(3)})


def test_unit_without_features_comes_back_without(session: PipelineSession, tmp_path: Path) -> None:
    del session.units["unit_001"]["features"]
    session.units["unit_002"]["features"] = {}

    loaded = roundtrip(session, tmp_path / "r.h5")

    assert "features" not in loaded.units["unit_001"]
    assert loaded.units["unit_002"]["features"] == {}


# ---------------------------------------------------------------- values of any kind


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True),
    st.text(max_size=6),
    st.binary(max_size=4),
    st.builds(np.float32, st.floats(width=32, allow_nan=False)),
    st.builds(np.int8, st.integers(-128, 127)),
    st.just(Path("a/ü")),
)
arrays = st.builds(
    lambda shape, dtype: np.arange(int(np.prod(shape))).reshape(shape).astype(dtype),
    st.lists(st.integers(0, 3), min_size=0, max_size=3).map(tuple),
    st.sampled_from(["i1", "u8", "f2", "f8", "c16", "?", "U3", "M8[s]"]),
)
nested = st.recursive(
    st.one_of(scalars, arrays),
    lambda inner: st.one_of(
        st.dictionaries(st.text(max_size=4), inner, max_size=3),
        st.dictionaries(st.integers(-5, 99), inner, max_size=3),
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=40)
@given(
    metadata=st.dictionaries(st.text(max_size=5), nested, max_size=4),
    values=st.dictionaries(st.text(max_size=4), nested, max_size=3),
)
def test_everything_comes_back_with_its_type(
    tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, Any], values: dict[str, Any]
) -> None:
    session = PipelineSession(dataset_id="rec", metadata=metadata)
    session.add_units({"unit_001": {"unit_meta": values}})
    session.add_feature("unit_001", "f", values, {"metadata": 1})

    loaded = roundtrip(session, tmp_path_factory.mktemp("round") / "r.h5")

    assert_same_values(loaded.metadata, metadata)
    assert_same_values(loaded.units["unit_001"]["unit_meta"], values)
    assert_same_values(loaded.units["unit_001"]["features"]["f"], {"data": values, "metadata": {"metadata": 1}})


# ---------------------------------------------------------------- what cannot be stored


@pytest.mark.parametrize(
    "value",
    [
        np.array([3, -1]),
        np.array([1.5, np.nan]),
        np.array(["a"]),
        np.array([1 + 2j]),
        "text",
        [[1], [2, 3]],
        [[1, 2]],
        5,
    ],
)
def test_spike_times_that_are_none_are_a_validation_error_and_nothing_is_written(
    session: PipelineSession, tmp_path: Path, value: Any
) -> None:
    session.units["unit_001"]["spike_times"] = value

    with pytest.raises(ValidationError, match="unit_001/spike_times"):
        session.save()

    assert not list(tmp_path.glob("*"))
    assert session.is_deferred


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("spike_times", np.array([3, -1]), "holds negative values"),
        ("spike_times", np.array([1.5, np.nan]), "holds NaN or infinity"),
        ("spike_times", [[1, 2]], r"its shape is \(1, 2\)"),
        ("waveform", np.array(["2024-01-01"], "M8[D]"), r"it is of dtype datetime64\[D\]"),
        ("waveform", np.ma.masked_array([1.0, 2.0], [True, False]), "it has masked elements, .*: take them out"),
    ],
)
def test_a_field_that_cannot_be_stored_says_why(session: PipelineSession, field: str, value: Any, reason: str) -> None:
    session.units["unit_001"][field] = value
    with pytest.raises(ValidationError, match=f"unit_001/{field}.*{reason}"):
        session.save()


@pytest.mark.parametrize("value", [None, {"rise": 1.5}])
def test_a_field_that_is_not_an_array_comes_back_as_it_was(
    session: PipelineSession, tmp_path: Path, value: Any
) -> None:
    session.units["unit_001"]["waveform"] = value
    assert_same_values(roundtrip(session, tmp_path / "a.h5").units["unit_001"]["waveform"], value)


def test_a_section_that_is_not_one_comes_back_as_it_was(session: PipelineSession, tmp_path: Path) -> None:
    session.units["unit_001"]["spike_times_sectioned"] = {"odd": np.arange(3)}
    assert_same_values(
        roundtrip(session, tmp_path / "a.h5").units["unit_001"]["spike_times_sectioned"], {"odd": np.arange(3)}
    )


def test_a_trial_that_is_there_twice_is_a_validation_error(session: PipelineSession) -> None:
    trials = {1: np.arange(2), "1": np.arange(3)}
    session.units["unit_001"]["spike_times_sectioned"] = {"m": {"trials_spike_times": trials}}
    with pytest.raises(ValidationError, match="trial 1 is there twice"):
        session.save()


def test_a_dataset_in_the_place_of_a_feature_is_its_data(session: PipelineSession) -> None:
    path = session.save()
    with h5py.File(path, "r+") as file:
        file["units/unit_001/features/theirs"] = np.arange(3.0)
        file["units/unit_001/features/theirs"].attrs["by"] = "another program"
    feature = PipelineSession.load(path).units["unit_001"]["features"]["theirs"]
    assert_same_values(feature, {"data": np.arange(3.0), "metadata": {"by": "another program"}})


def test_a_file_of_a_later_layout_is_refused(session: PipelineSession) -> None:
    path = session.save()
    with h5py.File(path, "r+") as file:
        file.attrs["hdmea_layout_version"] = 99
    with pytest.raises(CheckpointError, match=r"has layout version 99; this program reads 1 to \d+: update hdmea"):
        PipelineSession.load(path)


def test_trials_with_other_keys_than_numbers_are_a_validation_error(session: PipelineSession) -> None:
    session.units["unit_001"]["spike_times_sectioned"] = {"m": {"trials_spike_times": {"first": np.arange(2)}}}

    with pytest.raises(ValidationError, match="first"):
        session.save()


def test_node_at_knows_no_other_paths(session: PipelineSession) -> None:
    with pytest.raises(KeyError):
        layout.node_at(session.units, session.metadata, session.stimulus, ("elsewhere",))
