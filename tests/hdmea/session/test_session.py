"""Sessions: what they are, how they change, how they are saved and come back."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from h5burst.codecs import registry
from h5burst.codecs.gzip import Gzip
from hdmea.bridges.info import recording_info
from hdmea.pipeline import PipelineSession, SaveState, create_session
from hdmea.pipeline.session import PipelineSession as FromModule
from hdmea.steps.frames import recording_end_sample
from hdmea.utils.exceptions import CheckpointError, ConfigurationError, HDMEAError
from support.hdmea_trees import assert_same_values


def filled_session(output_dir: Path, dataset_id: str = "rec") -> PipelineSession:
    session = create_session(dataset_id, output_dir=output_dir)
    session.add_units(
        {
            "unit_001": {
                "spike_times": np.array([5, 9, 12], np.uint64),
                "waveform": np.linspace(-1, 1, 7, dtype=np.float32),
                "firing_rate_10hz": np.zeros(4, np.float32),
                "row": 3,
                "col": 4,
                "global_id": 12,
                "unit_meta": {"SNR": 4.5, "name": "zelle_µ", "nothing": None},
                "features": {},
                "spike_times_sectioned": {
                    "movie": {
                        "full_spike_times": np.array([5, 9], np.int64),
                        "trials_spike_times": {0: np.array([5], np.int64), 1: np.empty(0, np.int64)},
                        "trials_start_end": np.array([[0, 8], [8, 12]], np.int64),
                    }
                },
            },
            "unit_1002": {"spike_times": np.empty(0, np.uint64), "row": -1, "col": -1, "global_id": -1},
        }
    )
    session.add_metadata({"dataset_id": dataset_id, "acquisition_rate": 20000.0, "sys_meta": {"a": {"b": 1}}})
    session.add_stimulus({"section_time": {"movie": np.array([[0, 12]], np.uint64)}, "light_reference": {}})
    session.add_feature("unit_001", "frif", {"FRIF": np.ones(3, np.float32), "n": 3}, {"version": "1", "n": 4})
    session.mark_step_complete("load_recording")
    session.warnings.append("achtung: ü")
    return session


# ---------------------------------------------------------------- what it is


@pytest.mark.parametrize("dataset_id", ["", "  ", "\n"])
def test_dataset_id_must_not_be_blank(dataset_id: str) -> None:
    with pytest.raises(ValueError, match="dataset_id"):
        PipelineSession(dataset_id=dataset_id)


def test_new_session_is_deferred_and_empty() -> None:
    session = PipelineSession(dataset_id="rec")

    assert session.save_state is SaveState.DEFERRED
    assert session.is_deferred
    assert not session.is_saved
    assert session.hdf5_path is None
    assert session.output_dir == Path("artifacts")
    assert session.unit_count == 0
    assert (session.units, session.metadata, session.stimulus, session.source_files) == ({}, {}, {}, {})
    assert (session.completed_steps, session.warnings, session.saved_at) == (set(), [], None)
    assert session.created_at is not None
    assert session.created_at.endswith("+00:00")
    assert SaveState.DEFERRED.value == "deferred"
    assert SaveState.SAVED.value == "saved"
    assert PipelineSession is FromModule


def test_output_dir_accepts_text() -> None:
    assert PipelineSession(dataset_id="rec", output_dir="some/where").output_dir == Path("some/where")  # type: ignore[arg-type]


def test_create_session_takes_the_stem_without_trailing_hyphens() -> None:
    assert create_session(cmcr_path="a/raw-1--.cmcr", cmtr_path="b/sorted-.cmtr").dataset_id == "sorted"
    assert create_session(cmcr_path=Path("a/raw-1--.cmcr")).dataset_id == "raw-1"
    assert create_session("given", cmcr_path="x.cmcr").dataset_id == "given"


def test_create_session_with_nothing_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="dataset_id"):
        create_session()


def test_create_session_does_not_look_for_its_files_and_keeps_their_paths() -> None:
    session = create_session(cmcr_path="no/such.cmcr")

    assert session.source_files == {"cmcr_path": Path("no/such.cmcr"), "cmtr_path": None}


def test_memory_estimate_counts_each_buffer_once_at_any_depth() -> None:
    session = PipelineSession(dataset_id="rec")
    base = np.zeros(1_000_000, np.uint8)
    trials = {n: base[n * 1000 : (n + 1) * 1000] for n in range(1000)}
    session.units["unit_001"] = {"spike_times_sectioned": {"m": {"trials_spike_times": trials, "full": base}}}
    session.metadata["deep"] = {"list": [np.zeros(500_000, np.uint8), {"x": (np.zeros(125_000, np.float64),)}]}

    assert session.memory_estimate_gb == pytest.approx(2.5e-3)


# ---------------------------------------------------------------- changing it


@pytest.mark.parametrize("unit_id", ["unit_1", "unit_01", "unit_abc", "001", "unit_0001x", "Unit_001", "unit_001\n"])
def test_add_units_refuses_other_ids_and_changes_nothing(unit_id: str) -> None:
    session = PipelineSession(dataset_id="rec")

    with pytest.raises(ValueError, match="unit_"):
        session.add_units({"unit_001": {"row": 1}, unit_id: {"row": 2}})

    assert session.units == {}


def test_add_units_merges_per_unit() -> None:
    session = PipelineSession(dataset_id="rec")
    session.add_units({"unit_001": {"row": 1, "col": 2}})

    session.add_units({"unit_001": {"col": 3}, "unit_1234": {"row": 4}})

    assert session.units == {"unit_001": {"row": 1, "col": 3}, "unit_1234": {"row": 4}}


def test_add_metadata_merges() -> None:
    session = PipelineSession(dataset_id="rec")
    session.add_metadata({"a": 1, "b": 2})
    session.add_metadata({"b": 3})

    assert session.metadata == {"a": 1, "b": 3}


def test_add_stimulus_merges_one_level_down() -> None:
    session = PipelineSession(dataset_id="rec")
    session.add_stimulus({"section_time": {"a": 1, "b": 2}, "note": "x"})
    session.add_stimulus({"section_time": {"b": 3, "c": 4}, "note": "y"})

    assert session.stimulus == {"section_time": {"a": 1, "b": 3, "c": 4}, "note": "y"}


def test_add_feature_holds_data_and_metadata() -> None:
    session = PipelineSession(dataset_id="rec")
    session.add_units({"unit_001": {}})

    session.add_feature("unit_001", "f", {"x": 1}, {"version": "2"})

    assert session.units["unit_001"]["features"] == {"f": {"data": {"x": 1}, "metadata": {"version": "2"}}}


def test_add_feature_to_an_unknown_unit_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="unit_007"):
        PipelineSession(dataset_id="rec").add_feature("unit_007", "f", 1)


# ---------------------------------------------------------------- save


def test_save_writes_to_the_default_path_and_makes_the_directory(tmp_path: Path) -> None:
    session = filled_session(tmp_path / "a" / "b")

    path = session.save()

    assert path == tmp_path / "a" / "b" / "rec.h5"
    assert path.exists()
    assert session.is_saved
    assert session.hdf5_path == path
    assert session.saved_at is not None


def test_save_refuses_an_existing_file_and_leaves_it(tmp_path: Path) -> None:
    path = tmp_path / "rec.h5"
    path.write_bytes(b"mine")
    session = filled_session(tmp_path)

    with pytest.raises(FileExistsError, match="already exists"):
        session.save()

    assert path.read_bytes() == b"mine"
    assert session.is_deferred
    assert session.hdf5_path is None


def test_save_with_overwrite_replaces_and_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "rec.h5").write_bytes(b"old")

    with caplog.at_level(logging.WARNING, "hdmea"):
        path = filled_session(tmp_path).save(overwrite=True)

    assert h5py.is_hdf5(path)
    assert any("Overwriting" in record.message for record in caplog.records)
    assert all(record.name.startswith("hdmea") for record in caplog.records)


def test_save_again_to_its_own_file_needs_no_overwrite(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    session = filled_session(tmp_path)
    path = session.save(tmp_path / "other.h5")
    session.add_metadata({"more": 1})

    with caplog.at_level(logging.WARNING, "hdmea"):
        assert session.save(path) == path
        assert session.save() == path

    assert not caplog.records
    again = PipelineSession.load(path)
    again.add_metadata({"more": 2})
    assert again.save() == path
    assert PipelineSession.load(path).metadata["more"] == 2


def test_save_over_a_file_that_others_changed_needs_overwrite(tmp_path: Path) -> None:
    session = filled_session(tmp_path)
    path = session.save()
    with h5py.File(path, "r+") as file:
        file["mine"] = np.arange(1000)

    with pytest.raises(FileExistsError, match="changed by others"):
        session.save()

    assert session.save(overwrite=True) == path


def test_failed_save_is_an_os_error_with_the_path_and_changes_nothing(tmp_path: Path) -> None:
    session = filled_session(tmp_path)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("no directory")

    with pytest.raises(OSError, match="file"):
        session.save(in_the_way / "rec.h5")

    assert session.is_deferred
    assert session.hdf5_path is None
    assert session.saved_at is None


@pytest.mark.parametrize("compression", ["gzip", "lzf", "blosc", "zstd"])
def test_save_compressed_comes_back_the_same(tmp_path: Path, compression: str) -> None:
    session = filled_session(tmp_path)
    session.stimulus["light_reference"]["raw_ch1"] = np.zeros(100_000, np.float32)

    path = session.save(compression=compression, compression_level=3)

    assert path.stat().st_size < 200_000
    assert_same_values(PipelineSession.load(path).stimulus, session.stimulus)


def test_save_takes_a_codec_that_somebody_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = type("MyCodec", (Gzip,), {"levels": range(3, 7)})()
    monkeypatch.setitem(registry._by_name, "my_codec", mine)
    session = filled_session(tmp_path)
    session.stimulus["light_reference"]["raw_ch1"] = np.zeros(100_000, np.float32)

    assert session.save(compression="my_codec").stat().st_size < 200_000
    with pytest.raises(ValueError, match="compression level of my_codec must be a whole number from 3 to 6, got 9"):
        session.save(compression="my_codec", compression_level=9, overwrite=True)
    with pytest.raises(ValueError, match="must be one of 'gzip', 'lzf', 'blosc', 'zstd', 'my_codec', None"):
        session.save(compression="rar", overwrite=True)


def test_save_uncompressed_is_the_default(tmp_path: Path) -> None:
    session = filled_session(tmp_path)
    session.stimulus["light_reference"]["raw_ch1"] = np.zeros(100_000, np.float32)

    with h5py.File(session.save(), "r") as file:
        assert file["stimulus/light_reference/raw_ch1"].compression is None


@pytest.mark.parametrize(("compression", "level"), [("zip", 4), ("gzip", 10), ("gzip", -1)])
def test_save_with_an_unknown_compression_is_a_value_error(tmp_path: Path, compression: str, level: int) -> None:
    with pytest.raises(ValueError, match="compression"):
        filled_session(tmp_path).save(compression=compression, compression_level=level)

    assert not (tmp_path / "rec.h5").exists()


# ---------------------------------------------------------------- saved and deferred


def change_by(name: str, session: PipelineSession) -> None:
    changes: dict[str, Any] = {
        "add_units": lambda: session.add_units({"unit_001": {"row": 9}}),
        "add_metadata": lambda: session.add_metadata({"x": 1}),
        "add_stimulus": lambda: session.add_stimulus({"x": {}}),
        "add_feature": lambda: session.add_feature("unit_001", "f", {}),
        "mark_step_complete": lambda: session.mark_step_complete("mine"),
        "set_source_files": lambda: session.set_source_files(cmcr_path="x.cmcr"),
    }
    changes[name]()


@pytest.mark.parametrize(
    "method",
    ["add_units", "add_metadata", "add_stimulus", "add_feature", "mark_step_complete", "set_source_files"],
)
def test_change_makes_a_saved_session_deferred_and_keeps_its_path(tmp_path: Path, method: str) -> None:
    session = filled_session(tmp_path)
    path = session.save()

    change_by(method, session)

    assert session.is_deferred
    assert session.hdf5_path == path


def test_ensure_saved_returns_the_path_of_a_saved_session(tmp_path: Path) -> None:
    session = filled_session(tmp_path)
    path = session.save()
    before = path.stat().st_mtime_ns

    assert session.ensure_saved() == path
    assert path.stat().st_mtime_ns == before


def test_ensure_saved_saves_a_changed_session_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    session = filled_session(tmp_path)
    path = session.save()
    session.add_metadata({"late": 5})

    with caplog.at_level(logging.WARNING, "hdmea"):
        assert session.ensure_saved(tmp_path / "elsewhere.h5") == path

    assert caplog.records
    assert PipelineSession.load(path).metadata["late"] == 5


def test_ensure_saved_uses_the_default_path_given(tmp_path: Path) -> None:
    assert filled_session(tmp_path).ensure_saved(tmp_path / "mine.h5") == tmp_path / "mine.h5"


# ---------------------------------------------------------------- checkpoints


def test_checkpoint_changes_nothing_in_the_session(tmp_path: Path) -> None:
    session = filled_session(tmp_path)
    before = (session.save_state, session.hdf5_path, session.saved_at, set(session.completed_steps))

    path = session.checkpoint(tmp_path / "new" / "c.h5", checkpoint_name="after load")

    assert path == tmp_path / "new" / "c.h5"
    assert (session.save_state, session.hdf5_path, session.saved_at, session.completed_steps) == before
    with h5py.File(path, "r") as file:
        info = file["pipeline/session_info"].attrs
        assert info["checkpoint_name"] == "after load"
        assert info["is_checkpoint"]


def test_checkpoint_overwrites_with_a_warning_or_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    session = filled_session(tmp_path)
    path = session.checkpoint(tmp_path / "c.h5", checkpoint_name="one")

    with caplog.at_level(logging.WARNING, "hdmea"):
        session.checkpoint(path, checkpoint_name="two")
    with pytest.raises(FileExistsError):
        session.checkpoint(path, overwrite=False)

    assert any("Overwriting" in record.message for record in caplog.records)
    assert PipelineSession.load(path).checkpoint_name == "two"


def test_bare_save_of_a_loaded_checkpoint_goes_to_the_default_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = filled_session(tmp_path).checkpoint(tmp_path / "c.h5")
    session = PipelineSession.load(checkpoint)
    assert session.is_saved
    assert session.hdf5_path == checkpoint

    path = session.save()

    assert path == Path("artifacts/rec.h5")
    assert PipelineSession.load(path).is_checkpoint_file is False
    with h5py.File(path, "r") as file:
        assert set(file["pipeline/session_info"].attrs) == {"saved_at"}


def test_saving_to_its_own_checkpoint_by_name_needs_no_overwrite(tmp_path: Path) -> None:
    session = PipelineSession.load(filled_session(tmp_path).checkpoint(tmp_path / "c.h5"))

    assert session.save(tmp_path / "c.h5") == tmp_path / "c.h5"
    assert session.save() == tmp_path / "c.h5"


# ---------------------------------------------------------------- load


def test_load_restores_everything_with_its_types(tmp_path: Path) -> None:
    session = filled_session(tmp_path)
    session.set_source_files(cmcr_path=tmp_path / "Ä.cmcr")
    session.metadata |= {
        "int": 3,
        "float": 2.5,
        "bool": True,
        "text": "日本語",
        "none": None,
        "empty": {},
        "path": tmp_path,
        "array": np.arange(6, dtype=np.int16).reshape(2, 3),
        "one": np.array([7]),
        "empty array": np.empty((0, 4), np.float32),
        "tuple": (1, "two", None),
        "list": [1.5, 2.5],
        "int keys": {1: "a", 2: {"b": np.float32(1)}},
    }
    session.add_feature("unit_001", "plain", np.arange(3.0), {"note": "ß", "nested": {"k": [1, None]}})
    session.units["unit_001"]["score"] = 0.25

    loaded = PipelineSession.load(session.save())

    assert loaded.is_saved
    assert loaded.hdf5_path == session.hdf5_path
    assert loaded.output_dir == Path("artifacts")
    for name in ("dataset_id", "units", "metadata", "stimulus", "source_files", "warnings", "created_at", "saved_at"):
        assert_same_values(getattr(loaded, name), getattr(session, name), name)
    assert loaded.completed_steps == {"load_recording"}
    assert all(type(step) is str for step in loaded.completed_steps)
    trials = loaded.units["unit_001"]["spike_times_sectioned"]["movie"]["trials_spike_times"]
    assert [type(trial) for trial in trials] == [int, int]


def test_load_casts_the_fields_of_the_layout_and_keeps_all_others(tmp_path: Path) -> None:
    session = PipelineSession(dataset_id="rec", output_dir=tmp_path)
    session.add_units(
        {"unit_001": {"spike_times": [3, 4], "waveform": np.arange(3.0), "mine": np.arange(3, dtype="i2")}}
    )
    session.add_stimulus({"frame_times": {"m": np.array([1, 2], np.int32)}, "mine": {"x": np.arange(2, dtype="i1")}})

    loaded = PipelineSession.load(session.save())

    unit = loaded.units["unit_001"]
    assert (unit["spike_times"].dtype, unit["waveform"].dtype, unit["mine"].dtype) == ("uint64", "float32", "int16")
    assert loaded.stimulus["frame_times"]["m"].dtype == np.uint64
    assert loaded.stimulus["mine"]["x"].dtype == np.int8
    with h5py.File(session.hdf5_path, "r") as file:
        assert "m" in file["stimulus/frame_times"]


def test_load_of_a_missing_file_is_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PipelineSession.load(tmp_path / "no.h5")


def no_session(kind: str, path: Path) -> None:
    if kind == "of a later version":
        with h5py.File(path, "w") as file:
            file.create_group("units")
            file.attrs["hdmea_layout_version"] = 99
    elif kind == "hdf5 without units":
        with h5py.File(path, "w") as file:
            file.attrs["dataset_id"] = "x"
    elif kind == "truncated":
        whole = filled_session(path.parent, "whole").save().read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes({"empty": b"", "text": b"no session at all"}[kind])


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "of a later version", "hdf5 without units"])
def test_load_of_what_is_no_session_is_a_checkpoint_error_and_a_value_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd.h5"
    no_session(kind, path)

    with pytest.raises(ValueError, match="odd") as caught:
        PipelineSession.load(path)

    assert isinstance(caught.value, CheckpointError)
    assert isinstance(caught.value, HDMEAError)
    assert caught.value.checkpoint_path == path


def test_groups_that_others_put_into_the_file_survive_saving_again(tmp_path: Path) -> None:
    path = filled_session(tmp_path).save()
    with h5py.File(path, "r+") as file:
        file["analysis/mine"] = np.arange(5)

    session = PipelineSession.load(path)
    session.add_metadata({"x": 1})
    session.save()

    with h5py.File(path, "r") as file:
        np.testing.assert_array_equal(file["analysis/mine"][()], np.arange(5))


def test_dataset_id_with_path_characters_stays_in_the_directory_and_comes_back(tmp_path: Path) -> None:
    session = filled_session(tmp_path / "out", "../a/b")

    path = session.save()

    assert path == tmp_path / "out" / "..%2Fa%2Fb.h5"
    assert PipelineSession.load(path).dataset_id == "../a/b"


def test_a_recording_is_as_long_as_it_was_loaded_else_as_its_longest_data(tmp_path: Path) -> None:
    session = create_session("rec", output_dir=tmp_path)
    assert np.isnan(session.duration_s())
    session.add_metadata({"acquisition_rate": 1000.0})
    session.add_units({"unit_001": {"spike_times": np.array([1, 3999], np.uint64)}})
    assert session.duration_s() == 4.0
    session.add_stimulus({"light_reference": {"raw_ch1": np.zeros(2500, np.float32)}})
    assert session.duration_s() == 4.0
    session.add_metadata({"frame_timestamps": np.array([0, 4999], np.uint64)})
    assert session.duration_s() == 5.0
    assert recording_info(session)["duration_s"] == recording_end_sample(session) / 1000 == 5.0
    session.add_metadata({"recording_duration_s": 7.5})
    assert recording_info(PipelineSession.load(session.save()))["duration_s"] == 7.5
