"""The store's rules: what each function writes, and the errors of opening and creating."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from hdmea.io import (
    create_recording_hdf5,
    get_stage1_status,
    list_features,
    list_units,
    mark_stage1_complete,
    open_recording_hdf5,
    write_feature_to_unit,
    write_metadata,
    write_source_files,
    write_stimulus,
    write_units,
)
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.hashing import params_hash
from support.open_elsewhere import open_elsewhere

UNIT = {
    "spike_times": np.array([1, 5, 9], np.uint64),
    "waveform": np.zeros(8, np.float32),
    "firing_rate_10hz": np.ones(2, np.float32),
    "row": 2,
    "col": 3,
    "global_id": 132,
}


# ---------------------------------------------------------------- create


def test_create_gives_an_open_file_with_groups_and_root_attributes(tmp_path: Path) -> None:
    with create_recording_hdf5(tmp_path / "new" / "r.h5", "rec", {"b": 1, "a": "x"}) as file:
        assert isinstance(file, h5py.File)
        assert set(file) == {"units", "stimulus", "metadata"}
        assert file.attrs["dataset_id"] == "rec"
        assert file.attrs["stage1_completed"] == np.False_
        assert file.attrs["stage1_params_hash"] == params_hash({"a": "x", "b": 1})
        assert json.loads(file.attrs["features_extracted"]) == []
        assert set(file.attrs) == {
            "dataset_id",
            "hdmea_pipeline_version",
            "hdmea_layout_version",
            "created_at",
            "updated_at",
            "stage1_completed",
            "stage1_params_hash",
            "features_extracted",
        }
        file["units"].create_group("unit_001")


def test_params_hash_is_sha256_over_sorted_compact_json() -> None:
    import hashlib

    expected = "sha256:" + hashlib.sha256(b'{"a":[1,2],"b":{"c":null}}').hexdigest()[:16]

    assert params_hash({"b": {"c": None}, "a": [1, 2]}) == expected
    assert params_hash(None) == params_hash({})


def test_params_that_json_cannot_hold_are_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match=r"the config must consist of what JSON can hold: .*object"):
        params_hash({"a": object()})


def test_create_warns_of_another_suffix(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hdmea"):
        create_recording_hdf5(tmp_path / "r.hdf5", "rec").close()
        assert not caplog.records
        create_recording_hdf5(tmp_path / "r.dat", "rec").close()

    assert [record.name.split(".")[0] for record in caplog.records] == ["hdmea"]


def test_create_refuses_an_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    path.write_bytes(b"mine")

    with pytest.raises(FileExistsError):
        create_recording_hdf5(path, "rec")

    assert path.read_bytes() == b"mine"


def test_create_with_overwrite_deletes_first(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    with create_recording_hdf5(path, "old") as file:
        write_units(file, {"unit_001": UNIT})

    with create_recording_hdf5(path, "new", overwrite=True) as file:
        assert file.attrs["dataset_id"] == "new"
        assert list_units(file) == []


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_create_with_overwrite_refuses_a_file_that_is_open_elsewhere(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "r.h5"
    create_recording_hdf5(path, "old").close()

    with open_elsewhere(path, mode), pytest.raises(OSError, match="already open for writing"):
        create_recording_hdf5(path, "new", overwrite=True)

    with open_recording_hdf5(path) as file:
        assert file.attrs["dataset_id"] == "old"


def test_create_with_overwrite_refuses_a_file_that_this_process_has_open(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    with create_recording_hdf5(path, "old") as file:
        with pytest.raises(OSError, match="already open for writing"):
            create_recording_hdf5(path, "new", overwrite=True)
        assert file.attrs["dataset_id"] == "old"


# ---------------------------------------------------------------- open


@pytest.mark.parametrize("mode", ["r", "r+", "a"])
def test_open_gives_the_file_in_each_mode(tmp_path: Path, mode: str) -> None:
    create_recording_hdf5(tmp_path / "r.h5", "rec").close()

    with open_recording_hdf5(tmp_path / "r.h5", mode) as file:
        assert file.mode == ("r" if mode == "r" else "r+")


def test_open_in_another_mode_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mode"):
        open_recording_hdf5(tmp_path / "r.h5", "w")


@pytest.mark.parametrize("mode", ["r", "r+", "a"])
def test_open_of_a_missing_file_is_file_not_found(tmp_path: Path, mode: str) -> None:
    with pytest.raises(FileNotFoundError):
        open_recording_hdf5(tmp_path / "no.h5", mode)

    assert not (tmp_path / "no.h5").exists()


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_open_of_a_locked_file_has_the_contract_message(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "r.h5"
    create_recording_hdf5(path, "rec").close()

    with open_elsewhere(path, "r+"), pytest.raises(OSError, match="single-writer") as caught:
        open_recording_hdf5(path, mode)

    assert str(caught.value) == (
        f"File is already open for writing: {path}. HDF5 supports single-writer access only. "
        "Close the file in other processes before writing."
    )


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(40)])
def test_open_of_an_unreadable_file_has_the_contract_message(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.h5"
    path.write_bytes(content)

    with pytest.raises(OSError, match="corrupted") as caught:
        open_recording_hdf5(path)

    assert str(caught.value) == f"Cannot read HDF5 file: {path}. The file may be corrupted or incomplete."


def test_open_of_a_directory_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Cannot read"):
        open_recording_hdf5(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="kills a process as POSIX does")
def test_open_of_a_file_whose_edit_was_killed_names_the_step_and_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    create_recording_hdf5(path, "rec").close()
    code = (
        "import os, h5py; from hdmea.session.interrupted import STEPS_IN_PROGRESS; "
        "from hdmea.io import open_recording_hdf5;"
        f"f = open_recording_hdf5({str(path)!r}, 'r+'); f.create_group('pipeline').attrs[STEPS_IN_PROGRESS] = "
        "'[\"compute_sta\"]'; f.flush(); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)

    for mode in ("r", "r+"):
        with pytest.raises(OSError, match="Cannot read HDF5 file") as caught:
            open_recording_hdf5(path, mode)
        assert f"h5clear -s {path}" in str(caught.value)
        assert "compute_sta was interrupted" in str(caught.value)


def test_open_warns_of_a_step_that_failed_while_it_wrote(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with create_recording_hdf5(tmp_path / "r.h5", "rec") as file:
        file.create_group("pipeline").attrs["steps_in_progress"] = '["compute_sta"]'

    with caplog.at_level(logging.WARNING, "hdmea"):
        open_recording_hdf5(tmp_path / "r.h5").close()

    assert "compute_sta was interrupted" in caplog.text


# ---------------------------------------------------------------- write


@pytest.fixture
def file(tmp_path: Path) -> Iterator[h5py.File]:
    with create_recording_hdf5(tmp_path / "r.h5", "rec") as opened:
        yield opened


def test_write_units_lays_out_each_unit(file: h5py.File) -> None:
    write_units(file, {"unit_001": {**UNIT, "spike_times": [1, 5, 9], "waveform": np.zeros(8)}})

    unit = file["units/unit_001"]
    assert unit["spike_times"].dtype == np.uint64
    assert unit["spike_times"].attrs["unit"] == "sample_index"
    assert unit["waveform"].dtype == np.float32
    assert unit["firing_rate_10hz"].dtype == np.float32
    assert {name: unit.attrs[name] for name in unit.attrs} == {"row": 2, "col": 3, "global_id": 132, "spike_count": 3}
    assert list(unit["features"]) == []


def test_write_units_needs_no_firing_rate_and_replaces_a_unit(file: h5py.File) -> None:
    write_units(file, {"unit_001": {**UNIT, "extra": np.arange(3)}})

    write_units(file, {"unit_001": {name: UNIT[name] for name in UNIT if name != "firing_rate_10hz"}})

    assert set(file["units/unit_001"]) == {"spike_times", "waveform", "features"}


def test_write_stimulus_lays_out_and_replaces_each_group_whole(file: h5py.File) -> None:
    write_stimulus(file, {"raw_ch1": [1, 2], "10hz_ch1": np.ones(2)}, {"m": [3, 4]}, {"m": [[0, 9]]})
    write_stimulus(file, {"1khz_ch1": np.zeros(3)})

    assert list(file["stimulus/light_reference"]) == ["1khz_ch1"]
    assert file["stimulus/light_reference/1khz_ch1"].dtype == np.float32
    assert file["stimulus/frame_time/m"].dtype == np.uint64
    assert file["stimulus/section_time/m"].dtype == np.uint64
    assert file["stimulus/section_time/m"].shape == (1, 2)


def test_write_metadata_makes_groups_of_dicts_and_datasets_of_scalars_and_text(file: h5py.File) -> None:
    write_metadata(file, {"acquisition_rate": 20000.0, "name": "ö", "sys_meta": {"deep": {"n": 3}}, "x": np.arange(4)})

    metadata = file["metadata"]
    assert metadata["acquisition_rate"].shape == (1,)
    assert metadata["acquisition_rate"][0] == 20000.0
    assert metadata["name"].shape == (1,)
    assert h5py.check_string_dtype(metadata["name"].dtype).encoding == "utf-8"
    assert h5py.check_string_dtype(metadata["name"].dtype).length is None
    assert metadata["name"].asstr()[0] == "ö"
    assert metadata["sys_meta/deep/n"][0] == 3
    assert metadata["x"].shape == (4,)


def test_write_feature_lays_out_data_and_metadata(file: h5py.File) -> None:
    write_units(file, {"unit_001": UNIT})

    write_feature_to_unit(
        file, "unit_001", "f", {"array": np.arange(3), "scalar": 2.5, "nested": {"a": np.ones(2)}}, {"version": "1.0"}
    )
    write_feature_to_unit(file, "unit_001", "e", {"x": 1}, {})

    feature = file["units/unit_001/features/f"]
    assert set(feature) == {"array", "nested"}
    assert feature.attrs["scalar"] == 2.5
    assert feature.attrs["version"] == "1.0"
    assert isinstance(feature["nested"], h5py.Group)
    assert json.loads(feature.attrs["hdmea.metadata_names"]) == ["version"]
    assert json.loads(file.attrs["features_extracted"]) == ["e", "f"]


def test_write_feature_replaces_one_of_that_name(file: h5py.File) -> None:
    write_units(file, {"unit_001": UNIT})
    write_feature_to_unit(file, "unit_001", "f", {"a": np.arange(3)}, None)

    write_feature_to_unit(file, "unit_001", "f", {"b": np.arange(2)}, None)

    assert list(file["units/unit_001/features/f"]) == ["b"]


def test_write_feature_to_an_unknown_unit_is_a_key_error(file: h5py.File) -> None:
    with pytest.raises(KeyError, match="unit_009"):
        write_feature_to_unit(file, "unit_009", "f", {}, None)


def test_write_source_files_says_what_was_on_disk(file: h5py.File, tmp_path: Path) -> None:
    there = tmp_path / "a.cmcr"
    there.touch()

    write_source_files(file, there, tmp_path / "no.cmtr")
    assert json.loads(file.attrs["source_files"]) == {
        "cmcr_path": str(there),
        "cmtr_path": str(tmp_path / "no.cmtr"),
        "cmcr_exists": True,
        "cmtr_exists": False,
    }
    write_source_files(file, str(there), None)
    assert json.loads(file.attrs["source_files"])["cmtr_path"] is None
    assert json.loads(file.attrs["source_files"])["cmtr_exists"] is False


# ---------------------------------------------------------------- ask


def test_stage1_status_before_and_after(file: h5py.File) -> None:
    before = get_stage1_status(file)
    mark_stage1_complete(file)
    after = get_stage1_status(file)

    assert before["completed"] is False
    assert after["completed"] is True
    assert set(after) == {"completed", "params_hash", "created_at", "updated_at"}
    assert after["params_hash"] == params_hash(None)
    assert after["updated_at"] > before["updated_at"]
    assert after["created_at"] == before["created_at"]
    assert file["pipeline"].attrs["stage1_completed"]


def test_list_units_and_features(file: h5py.File) -> None:
    assert list_units(file) == []
    write_units(file, {"unit_001": UNIT, "unit_002": UNIT})
    assert list_units(file) == ["unit_001", "unit_002"]
    assert list_features(file, "unit_001") == []
    write_feature_to_unit(file, "unit_001", "a/b", {"x": 1}, None)
    assert list_features(file, "unit_001") == ["a/b"]
    assert list_features(file, "unit_999") == []
