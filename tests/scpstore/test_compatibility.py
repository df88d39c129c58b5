"""Files go both ways between this package and one that knows format 1.0 alone; edits of others are honoured."""

from __future__ import annotations

import gc
import warnings
from datetime import date, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import plain_layout
import polars as pl
import pytest
import scipy.sparse as sp
import scp_strategies as scp
from hypothesis import given, settings
from hypothesis import strategies as st

from h5burst import escape_link
from scpstore import Assay, ScpContainer, ScpMatrix, load_hdf5, save_hdf5
from scpstore.io import IOFormatError

STEP = {"action": "normalise", "timestamp": "2024-01-02T03:04:05", "params": {"method": "median", "n": 3}}


def plain_content() -> dict[str, Any]:
    X = np.array([[1.5, np.nan, 0.0], [2.25, 4.0, -1.0]])
    M = np.array([[0, 2, 0], [5, 0, 1]])
    return {
        "obs": {
            "_index": ["s1", "s2"],
            "batch": ["β", ""],
            "age": [3, -4],
            "score": [0.5, np.nan],
            "ok": [True, False],
        },
        "assays": {
            "proteins": {
                "var": {"_index": ["p1", "p2", "p3"]},
                "layers": {
                    "raw": {"X": X, "M": M},
                    "sparse": {"X": sp.csr_matrix(np.nan_to_num(X)), "M": sp.csr_matrix(M)},
                },
            },
            "empty": {"var": {"_index": []}, "layers": {}},
        },
        "history": [STEP, {**STEP, "software_version": "1.2", "description": "why"}],
    }


# ---------------------------------------------------------------- theirs, read by us


def test_a_file_of_an_earlier_implementation_loads(tmp_path: Path) -> None:
    plain_layout.write(tmp_path / "theirs.h5", plain_content())
    loaded = load_hdf5(tmp_path / "theirs.h5")
    assert loaded.obs.schema == {
        "_index": pl.String, "age": pl.Int64, "batch": pl.String, "ok": pl.Boolean, "score": pl.Float64,
    }  # fmt: skip
    assert loaded.obs["batch"].to_list() == ["β", ""]
    assert loaded.obs["score"].null_count() == 0
    raw = loaded.assays["proteins"].layers["raw"]
    assert raw.X.dtype == np.float32
    np.testing.assert_array_equal(raw.X, plain_content()["assays"]["proteins"]["layers"]["raw"]["X"].astype("f4"))
    assert raw.M.dtype == np.int8
    assert raw.M.tolist() == [[0, 2, 0], [5, 0, 1]]
    assert loaded.assays["proteins"].layers["sparse"].M.dtype == np.int8
    assert loaded.assays["empty"].n_features == 0
    assert [step.software_version for step in loaded.history] == [None, "1.2"]
    assert [step.description for step in loaded.history] == [None, "why"]
    assert loaded.history[0].params == {"method": "median", "n": 3}


def test_what_was_theirs_stays_equal_when_saved_by_us(tmp_path: Path) -> None:
    plain_layout.write(tmp_path / "theirs.h5", plain_content())
    loaded = load_hdf5(tmp_path / "theirs.h5")
    loaded.save(tmp_path / "ours.h5")
    assert load_hdf5(tmp_path / "ours.h5") == loaded


@pytest.mark.parametrize("wrong", [0.5, 7.0, -1.0, np.nan])
def test_a_mask_without_whole_codes_is_refused(tmp_path: Path, wrong: float) -> None:
    content = plain_content()
    content["assays"]["proteins"]["layers"]["raw"]["M"] = np.array([[0, 0, 0], [0, wrong, 0]])
    plain_layout.write(tmp_path / "theirs.h5", content)
    with pytest.raises(IOFormatError, match=r"assays/proteins/layers/raw/M: M holds .* not a mask code .*theirs\.h5"):
        load_hdf5(tmp_path / "theirs.h5")


@pytest.mark.parametrize("missing", ["provenance", "assays/proteins/layers"])
def test_optional_parts_may_be_missing(tmp_path: Path, missing: str) -> None:
    plain_layout.write(tmp_path / "theirs.h5", plain_content())
    with h5py.File(tmp_path / "theirs.h5", "r+") as file:
        del file[missing]
    loaded = load_hdf5(tmp_path / "theirs.h5")
    assert loaded.history == [] or not loaded.assays["proteins"].layers


def test_optional_history_fields_may_be_missing(tmp_path: Path) -> None:
    plain_layout.write(tmp_path / "theirs.h5", plain_content())
    with h5py.File(tmp_path / "theirs.h5", "r+") as file:
        del file["provenance/history/description"], file["provenance/history/software_version"]
    assert [step.description for step in load_hdf5(tmp_path / "theirs.h5").history] == [None, None]


def test_fixed_length_text_is_text(tmp_path: Path) -> None:
    plain_layout.write(tmp_path / "theirs.h5", plain_content())
    with h5py.File(tmp_path / "theirs.h5", "r+") as file:
        file["obs/fixed"] = np.array(["ä".encode(), b"b"], dtype="S4")
    assert load_hdf5(tmp_path / "theirs.h5").obs["fixed"].to_list() == ["ä", "b"]


def test_another_id_column_is_found(tmp_path: Path) -> None:
    content = plain_content()
    content["obs"]["sample"] = content["obs"].pop("_index")
    content["obs"]["batch"] = ["same", "same"]
    plain_layout.write(tmp_path / "theirs.h5", content)
    assert load_hdf5(tmp_path / "theirs.h5").sample_id_col == "sample"


# ---------------------------------------------------------------- ours, read by them


def our_container() -> ScpContainer:
    obs = pl.DataFrame(
        {
            "_index": ["s1", "s2"],
            "z": pl.Series([1, None], dtype=pl.Int8),
            "a": pl.Series(["x", None], dtype=pl.Categorical),
            "day": [date(2024, 1, 1), None],
            "at": [datetime(2024, 1, 1, 12), datetime(2025, 1, 1)],
            "list": [[1, 2], None],
            "flag": [True, None],
            "f": pl.Series([1.5, None], dtype=pl.Float32),
            "odd/name": ["n", "m"],
        }
    )
    X = np.array([[1.5, np.nan, 0.0], [2.25, 4.0, -1.0]])
    M = np.array([[0, 2, 0], [5, 0, 1]])
    layers = {"raw": ScpMatrix(X, M), "coo": ScpMatrix(sp.coo_matrix(np.nan_to_num(X)), sp.csc_matrix(M))}
    container = ScpContainer(obs, {"proteins": Assay(pl.DataFrame({"_index": ["p1", "p2", "p3"]}), layers)})
    container.log_operation("normalise", {"method": "median", "n": 3})
    container.log_operation("filter", {"ids": ("a", "b")}, description="")
    return container


def test_a_plain_reader_sees_plain_columns(tmp_path: Path) -> None:
    our_container().save(tmp_path / "ours.h5")
    obs = plain_layout.read(tmp_path / "ours.h5")["obs"]
    assert obs["_index"].tolist() == ["s1", "s2"]
    np.testing.assert_array_equal(obs["z"], [1.0, np.nan])
    assert obs["a"].tolist() == ["x", ""]
    np.testing.assert_array_equal(obs["day"], [19723.0, np.nan])
    assert obs["at"].tolist() == [1704110400000000, 1735689600000000]
    assert obs["list"].tolist() == ["[1, 2]", ""]
    np.testing.assert_array_equal(obs["flag"], [1.0, np.nan])
    np.testing.assert_array_equal(obs["f"], np.array([1.5, np.nan], "f4"))
    assert obs[escape_link("odd/name")].tolist() == ["n", "m"]
    assert set(obs) == {"_index", "z", "a", "day", "at", "list", "flag", "f", escape_link("odd/name")}


def test_a_plain_reader_sees_matrices_and_history(tmp_path: Path) -> None:
    container = our_container()
    container.save(tmp_path / "ours.h5")
    read = plain_layout.read(tmp_path / "ours.h5")
    for name, matrix in container.assays["proteins"].layers.items():
        theirs = read["assays"]["proteins"]["layers"][name]
        for part in ("X", "M"):
            ours, seen = getattr(matrix, part), theirs[part]
            dense = [value.toarray() if sp.issparse(value) else value for value in (ours, seen)]
            np.testing.assert_array_equal(*dense)
    assert read["history"][0]["params"] == {"method": "median", "n": 3}
    assert [step["description"] for step in read["history"]] == ["", ""]


def test_units_of_dates_are_written_for_the_reader(tmp_path: Path) -> None:
    our_container().save(tmp_path / "ours.h5")
    with h5py.File(tmp_path / "ours.h5") as file:
        assert file["obs/day"].attrs["units"] == "days since 1970-01-01"
        assert file["obs/at"].attrs["units"] == "microseconds since 1970-01-01T00:00:00"


@settings(max_examples=15)
@given(container=scp.containers())
def test_any_file_of_ours_is_read(tmp_path_factory: pytest.TempPathFactory, container: ScpContainer) -> None:
    path = tmp_path_factory.mktemp("ours") / "ours.h5"
    save_hdf5(container, path)
    read = plain_layout.read(path)
    assert set(read["obs"]) == {escape_link(name) for name in container.obs.columns}
    assert all(len(column) == container.n_samples for column in read["obs"].values())
    assert set(read["assays"]) == {escape_link(name) for name in container.assays}


# ---------------------------------------------------------------- ours, edited by others


@pytest.fixture
def edited(tmp_path: Path) -> Any:
    """Saves `our_container`, lets a function edit the open file, and loads it."""

    def edit(change: Any) -> ScpContainer:
        our_container().save(tmp_path / "ours.h5", overwrite=True)
        with h5py.File(tmp_path / "ours.h5", "r+") as file:
            change(file)
        return load_hdf5(tmp_path / "ours.h5")

    return edit


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("z", 7.0, 7),
        ("a", "new", "new"),
        ("day", 0.0, date(1970, 1, 1)),
        ("list", "[5]", [5]),
        ("flag", 0.0, False),
        ("f", 2.5, 2.5),
    ],
)
def test_a_cell_that_was_null_and_was_edited_has_the_new_value(
    edited: Any, column: str, value: Any, expected: Any
) -> None:
    def change(file: Any) -> None:
        file[f"obs/{column}"][1] = value

    loaded = edited(change)
    assert loaded.obs[column].to_list()[1] == expected
    assert loaded.obs[column].dtype == our_container().obs[column].dtype


@pytest.mark.parametrize(("column", "value"), [("z", 0.5), ("z", 300.0), ("list", "no JSON"), ("flag", 2.0)])
def test_a_value_that_the_dtype_has_no_place_for_is_kept_with_a_warning(edited: Any, column: str, value: Any) -> None:
    def change(file: Any) -> None:
        file[f"obs/{column}"][0] = value

    with pytest.warns(UserWarning, match=rf"obs/{column} no longer fits the dtype that it was saved with"):
        loaded = edited(change)
    assert loaded.obs[column].to_list()[0] == value


def test_a_replaced_column_is_read_as_it_is(edited: Any) -> None:
    def change(file: Any) -> None:
        del file["obs/day"]
        file["obs/day"] = np.array([1.5, 2.5])

    assert edited(change).obs["day"].to_list() == [1.5, 2.5]


def test_added_and_removed_columns_are_honoured(edited: Any) -> None:
    def change(file: Any) -> None:
        del file["obs/day"]
        file["obs/another"] = np.array([1, 2])

    columns = edited(change).obs.columns
    assert "day" not in columns
    assert columns[-1] == "another"


def test_a_changed_matrix_is_read_as_it_is(edited: Any) -> None:
    def change(file: Any) -> None:
        group = file["assays/proteins/layers/coo"]
        for part in ("data", "indices", "indptr"):
            del group[f"X_{part}"]
        group["X_data"], group["X_indices"], group["X_indptr"] = [9.0], [1], [0, 0, 1]

    X = edited(change).assays["proteins"].layers["coo"].X
    assert X.format == "coo"
    assert X.toarray().tolist() == [[0, 0, 0], [0, 9, 0]]


def test_edited_history_is_read_as_it_is(edited: Any) -> None:
    def change(file: Any) -> None:
        file["provenance/history/description"][1] = "edited"

    assert edited(change).history[1].description == "edited"


def test_removed_assays_and_layers_are_honoured(edited: Any) -> None:
    def change(file: Any) -> None:
        del file["assays/proteins/layers/raw"]
        file.copy("assays/proteins", "assays/copy")

    loaded = edited(change)
    assert list(loaded.assays) == ["proteins", "copy"]
    assert list(loaded.assays["proteins"].layers) == ["coo"]


def test_the_extras_may_go(edited: Any) -> None:
    def change(file: Any) -> None:
        del file["scptensor"]

    loaded = edited(change)
    assert set(loaded.obs.columns) == set(our_container().obs.columns)


@given(st.integers(0, scp.ROWS).flatmap(scp.frames))
@settings(max_examples=20)
def test_frames_without_their_extras_still_load(tmp_path_factory: pytest.TempPathFactory, frame: pl.DataFrame) -> None:
    path = tmp_path_factory.mktemp("ours") / "ours.h5"
    ids = pl.Series("the id", range(frame.height), dtype=pl.Int64)
    save_hdf5(ScpContainer(frame.with_columns(ids), sample_id_col="the id"), path)
    with h5py.File(path, "r+") as file:
        del file["scptensor"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a long dtype went with the extras
        assert load_hdf5(path).obs.height == frame.height


# ---------------------------------------------------------------- names with "/", and params as other readers see them


def test_columns_and_layers_with_a_slash_in_files_of_others(tmp_path: Path) -> None:
    content = plain_content()
    content["obs"]["QC/score"] = [1.5, 2.5]
    content["assays"]["proteins"]["var"]["go/term/id"] = ["a", "b", "c"]
    layers = content["assays"]["proteins"]["layers"]
    layers["log/2"] = {"X": np.ones((2, 3))}
    layers["raw/deep/er"] = {"X": np.zeros((2, 3))}
    plain_layout.write(tmp_path / "theirs.h5", content)
    for lazy in (False, True):
        loaded = load_hdf5(tmp_path / "theirs.h5", lazy=lazy)
        assert loaded.obs["QC/score"].to_list() == [1.5, 2.5]
        assert loaded.assays["proteins"].var["go/term/id"].to_list() == ["a", "b", "c"]
        assert sorted(loaded.list_layers("proteins")) == ["log/2", "raw", "raw/deep/er", "sparse"]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            save_hdf5(loaded, tmp_path / f"ours{lazy}.h5")
            gc.collect()
        assert [str(one.message) for one in caught] == []  # what was kept in files until it was written is closed
        assert load_hdf5(tmp_path / f"ours{lazy}.h5") == loaded


def test_params_are_plain_json_to_other_readers_and_come_back_as_they_were(tmp_path: Path) -> None:
    params = {
        "axes": (0, 1), "base": np.float32(2.5), "seed": np.int64(7), "limit": float("nan"), "ids": {"b", "a"},
        "when": datetime(2024, 1, 2), "mask": np.array([[True], [False]]), "n": None, "path": Path("a/b"),
        "__type__": "mine", 3: "three",
    }  # fmt: skip
    container = ScpContainer(pl.DataFrame({"_index": ["s"]}))
    container.log_operation("odd", params)  # type: ignore[arg-type]
    save_hdf5(container, tmp_path / "a.h5")
    (step,) = plain_layout.read(tmp_path / "a.h5")["history"]
    seen = step["params"]
    assert np.isnan(seen.pop("limit"))
    assert seen == {
        "axes": [0, 1], "base": 2.5, "seed": 7, "ids": ["a", "b"], "when": "2024-01-02T00:00:00",
        "mask": [[True], [False]], "n": None, "path": "a/b", "__type__": "mine", "3": "three",
    }  # fmt: skip
    assert load_hdf5(tmp_path / "a.h5") == container


def test_params_that_another_program_edited_count(tmp_path: Path) -> None:
    container = ScpContainer(pl.DataFrame({"_index": ["s"]}))
    container.log_operation("odd", {"axes": (0, 1)})
    save_hdf5(container, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["provenance/history/params"][0] = '{"axes": [2]}'
    assert load_hdf5(tmp_path / "a.h5").history[0].params == {"axes": [2]}
