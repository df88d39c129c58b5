"""AnnData, pandas and CSV in and out."""

from __future__ import annotations

import warnings
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from scpstore import Assay, ScpContainer, ScpMatrix, load_hdf5
from scpstore.core import AssayExtras, Extras, RawValues
from scpstore.core.exceptions import AssayNotFoundError, LayerNotFoundError
from scpstore.io import (
    IOFormatError,
    IOWriteError,
    from_anndata,
    from_mudata,
    read_csv,
    read_h5ad,
    read_h5mu,
    read_report,
    to_anndata,
    to_mudata,
    write_csv,
    write_h5mu,
)
from scpstore.io.interchange import write_h5ad

anndata = pytest.importorskip("anndata")
pd = pytest.importorskip("pandas")


def an_anndata() -> Any:
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "kind": pd.Categorical(["b", "a", None], categories=["b", "a", "never"]),
            "count": pd.array([1, None, 3], dtype="Int16"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "text": ["x", None, "z"],
            "real": np.array([1.5, np.nan, 3.0], "f4"),
            "whole": np.array([1, 2, 3], "u2"),
            "ok": [True, False, True],
            "at": pd.to_datetime(["2024-01-01T00:00", None, "2024-03-31T01:30"]).tz_localize("Europe/Zurich"),
            "took": pd.to_timedelta([1, None, 3], unit="s"),
            "numbers": pd.Categorical([3, 1, 3]),
        },
        index=["s0", "s1", "s2"],
    )
    var = pd.DataFrame({"gene": ["g0", "g1"]}, index=["p0", "p1"])
    layers = {"raw": sp.csr_matrix(rng.normal(size=(3, 2))), "mask": np.array([[0, 1], [2, 3], [4, 6]], np.int8)}
    return anndata.AnnData(X=rng.normal(size=(3, 2)).astype("f4"), obs=obs, var=var, layers=layers)


def test_from_anndata_takes_tables_layers_and_mask() -> None:
    adata = an_anndata()
    container = from_anndata(adata, assay="proteins")
    assert container.obs.schema == {
        "_index": pl.String, "kind": pl.Enum(["b", "a", "never"]), "count": pl.Int16, "flag": pl.Boolean,
        "text": pl.String, "real": pl.Float32, "whole": pl.UInt16, "ok": pl.Boolean,
        "at": pl.Datetime("ns", "Europe/Zurich")
        if str(adata.obs["at"].dtype).startswith("datetime64[ns")
        else container.obs.schema["at"],
        "took": container.obs.schema["took"], "numbers": pl.Int64,
    }  # fmt: skip
    assert container.obs["kind"].to_list() == ["b", "a", None]
    assert container.obs["count"].to_list() == [1, None, 3]
    assert container.obs["flag"].to_list() == [True, None, False]
    assert container.obs["text"].to_list() == ["x", None, "z"]
    assert container.obs["at"].to_list()[2].isoformat() == "2024-03-31T01:30:00+01:00"
    assert container.obs["at"].null_count() == 1
    assert container.obs["took"].to_list() == [timedelta(seconds=1), None, timedelta(seconds=3)]
    layers = container.assays["proteins"].layers
    assert list(layers) == ["X", "raw"]
    assert layers["X"].X.dtype == np.float32
    assert layers["X"].M.tolist() == [[0, 1], [2, 3], [4, 6]]
    assert layers["raw"].X.format == "csr"


def test_there_and_back(tmp_path: Path) -> None:
    adata = an_anndata()
    container = from_anndata(adata)
    container.save(tmp_path / "a.h5")
    back = to_anndata(load_hdf5(tmp_path / "a.h5"), "proteins", "X")
    np.testing.assert_array_equal(back.X, adata.X)
    np.testing.assert_array_equal(back.layers["mask"], adata.layers["mask"])
    for name in adata.obs.columns.drop(["at", "took", "numbers"]):
        pd.testing.assert_series_equal(back.obs[name], adata.obs[name], check_index_type=False)
    assert (back.obs["at"].dropna() == adata.obs["at"].dropna()).all()
    assert from_anndata(back).obs.drop("at", "took").equals(container.obs.drop("at", "took"))


def test_a_layer_called_mask_that_holds_no_codes_stays_a_layer() -> None:
    adata = an_anndata()
    adata.layers["mask"] = np.full((3, 2), 9, np.int8)
    layers = from_anndata(adata).assays["proteins"].layers
    assert layers["X"].M is None
    assert list(layers) == ["X", "raw", "mask"]


def test_columns_that_pandas_has_nothing_for_become_text() -> None:
    obs = pl.DataFrame({"_index": ["a", "b"], "day": [date(2024, 1, 2), None], "list": [[1], None]})
    container = ScpContainer(
        obs, {"p": Assay(pl.DataFrame({"_index": ["x"]}), {"X": ScpMatrix(sp.coo_matrix([[1.0], [0.0]]))})}
    )
    with pytest.warns(UserWarning, match="becomes text") as caught:
        adata = to_anndata(container, "p", "X")
    assert sum("becomes text" in str(warning.message) for warning in caught) == 2
    assert adata.obs["day"].fillna("").tolist() == ["2024-01-02", ""]
    assert adata.obs["list"].fillna("").tolist() == ["[1]", ""]
    assert adata.X.format == "csr"


def test_unknown_names() -> None:
    container = from_anndata(an_anndata())
    with pytest.raises(AssayNotFoundError, match="'proteins'"):
        to_anndata(container, "none", "X")
    with pytest.raises(LayerNotFoundError, match="'X', 'raw'"):
        to_anndata(container, "proteins", "none")


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    container = from_anndata(an_anndata())
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ImportError, match="pip install anndata"):
        to_anndata(container, "proteins", "X")


def test_dates_become_text_in_an_h5ad_file(tmp_path: Path) -> None:
    container = from_anndata(an_anndata())
    with pytest.warns(UserWarning, match="'at' of dtype datetime64.* becomes text|'took' of dtype timedelta"):
        write_h5ad(container, tmp_path / "a.h5ad", "proteins", "X")
    back = from_anndata(anndata.read_h5ad(tmp_path / "a.h5ad"))
    assert back.obs["at"].to_list() == ["2024-01-01T00:00:00+01:00", None, "2024-03-31T01:30:00+01:00"]
    assert back.obs.drop("at", "took", "numbers").equals(container.obs.drop("at", "took", "numbers"))
    assert back.assays["proteins"].layers["X"] == container.assays["proteins"].layers["X"]
    with pytest.raises(IOWriteError, match="File already exists"), pytest.warns(UserWarning, match="becomes text"):
        write_h5ad(container, tmp_path / "a.h5ad", "proteins", "X")


@pytest.mark.parametrize("suffix", [".h5ad", ".h5mu"])
def test_a_column_of_text_without_values_is_written(tmp_path: Path, suffix: str) -> None:
    """Reports of DIA-NN without a FASTA have such columns of genes and descriptions; both assays, or one of them."""
    if suffix == ".h5mu":
        pytest.importorskip("mudata")
    empty = pl.Series([None, None], dtype=pl.String)
    assays = {
        name: Assay(
            pl.DataFrame({"_index": [f"{name}1", f"{name}2"], "Genes": empty, **more}), {"X": ScpMatrix(np.eye(2))}
        )
        for name, more in (("a", {}), ("b", {"description": empty, "name": ["x", None]}))
    }
    assays = assays if suffix == ".h5mu" else {"b": assays["b"]}
    container = ScpContainer(pl.DataFrame({"_index": ["s", "t"], "note": empty}), assays)
    path = tmp_path / f"a{suffix}"
    if suffix == ".h5mu":
        write_h5mu(container, path)
    else:
        write_h5ad(container, path, "b")
    again = read_h5mu(path) if suffix == ".h5mu" else read_h5ad(path, "b")
    assert again.obs["note"].to_list() == [None, None]
    for name, assay in again.assays.items():
        assert assay.var["Genes"].to_list() == [None, None], name
    assert again.assays["b"].var["description"].to_list() == [None, None]
    assert again.assays["b"].var["name"].to_list() == ["x", None]


def test_anndata_writes_text_without_values(tmp_path: Path) -> None:
    """Its own writer refuses objects that are all None, so that they are categories on the way."""
    empty = pl.Series([None, None], dtype=pl.String)
    var = pl.DataFrame({"_index": ["p", "q"], "Genes": empty, "name": ["x", None], "null": [None, None]})
    extras = Extras(
        obsm={"table": pl.DataFrame({"_index": ["s", "t"], "note": empty})},
        uns={"tables": {"one": pl.DataFrame({"_index": ["a", "b"], "note": empty})}},
        assays={"a": AssayExtras(raw=RawValues(np.eye(2), var.drop("null")))},
    )
    obs = pl.DataFrame({"_index": ["s", "t"], "note": empty})
    container = ScpContainer(obs, {"a": Assay(var, {"X": ScpMatrix(np.eye(2))})}, extras=extras)
    with pytest.warns(UserWarning, match="'null' of dtype Null becomes text"):
        adata = to_anndata(container, "a")
    expected = ScpContainer(
        obs, {"a": Assay(var.cast({"null": pl.String}), container.assays["a"].layers)}, extras=extras
    )
    assert from_anndata(adata, "a") == expected
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = read_h5ad(tmp_path / "a.h5ad", "a")
    assert again.obs.equals(obs)
    assert again.obs.schema == obs.schema
    assert again.assays["a"].var.drop("name").equals(expected.assays["a"].var.drop("name"))
    assert again.assays["a"].var.schema["Genes"] == pl.String
    assert again.assays["a"].var["name"].to_list() == ["x", None]
    assert again.extras.obsm["table"].equals(extras.obsm["table"])
    assert again.extras.uns["tables"]["one"].equals(extras.uns["tables"]["one"])
    assert again.extras.assays["a"].raw.var["Genes"].equals(empty)


def test_mudata_writes_text_without_values(tmp_path: Path) -> None:
    mudata = pytest.importorskip("mudata")
    empty = pl.Series([None, None], dtype=pl.String)
    assays = {
        name: Assay(pl.DataFrame({"_index": [f"{name}1", f"{name}2"], "Genes": genes}), {"X": ScpMatrix(np.eye(2))})
        for name, genes in (("a", empty), ("b", empty), ("c", ["x", None]))
    }
    container = ScpContainer(pl.DataFrame({"_index": ["s", "t"], "note": empty}), assays)
    mdata = to_mudata(container)
    assert from_mudata(mdata) == container
    mdata.write(tmp_path / "a.h5mu")
    again = from_mudata(mudata.read_h5mu(tmp_path / "a.h5mu"))
    assert again.obs.equals(container.obs)
    for name, assay in assays.items():
        assert again.assays[name].var["Genes"].to_list() == assay.var["Genes"].to_list(), name


@pytest.mark.parametrize("dtype", ["object", "category"])
def test_columns_without_values_come_back_as_they_were(dtype: str) -> None:
    adata = an_anndata()
    objects = np.array([None] * 3)
    adata.obs["empty"] = pd.Categorical(objects, pd.Index([], dtype=object)) if dtype == "category" else objects
    container = from_anndata(adata)
    assert container.obs.schema["empty"] == pl.String
    assert to_anndata(container, "proteins").obs["empty"].dtype == adata.obs["empty"].dtype


def test_anndata_writes_real_reports(tmp_path: Path, test_data: Path) -> None:
    without_values = set()
    for report in sorted((test_data / "search_engine_reports").glob("*.t*")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what the readers say of these files
            container = read_report(report)
        for name, assay in container.assays.items():
            path = tmp_path / f"{report.stem}_{name}.h5ad"
            adata = to_anndata(container, name, next(iter(assay.layers)), layers="all")
            again = from_anndata(adata, name)
            assert again.obs.equals(container.obs), path.name
            assert again.assays[name].var.equals(assay.var), path.name
            assert again.history == container.history
            adata.var.columns = adata.var.columns.str.replace("/", "|")  # anndata 0.13 refuses "M/Z" of FragPipe
            adata.write_h5ad(path)
            var = read_h5ad(path, name).assays[name].var
            for column in assay.var:
                assert var[column.name.replace("/", "|")].to_list() == column.to_list(), (path.name, column.name)
                if column.null_count() == len(column):
                    without_values.add(path.name)
    assert len(without_values) >= 3  # the reports of DIA-NN and FragPipe have such columns


def test_h5ad_given_to_load_says_what_to_do(tmp_path: Path) -> None:
    anndata.AnnData(X=np.ones((2, 3))).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(
        IOFormatError, match=r"Missing required group: assays \(this looks like an AnnData file: see from_anndata\)"
    ):
        load_hdf5(tmp_path / "a.h5ad")


# ---------------------------------------------------------------- CSV


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_its_cell_table(tmp_path: Path) -> None:
    data = write(tmp_path / "x_data.csv", ",P1,P2,P 3\ns1,1,,-2.5\ns2,NA,4e3,0\n")
    write(tmp_path / "x_cells.csv", ",type,age\ns2,HeLa,3\ns1,Jurkat,4\n")
    container = read_csv(data, assay="a")
    assert container.obs.to_dict(as_series=False) == {"_index": ["s1", "s2"], "type": ["Jurkat", "HeLa"], "age": [4, 3]}
    assert container.assays["a"].feature_ids.to_list() == ["P1", "P2", "P 3"]
    np.testing.assert_array_equal(container.assays["a"].X, [[1, np.nan, -2.5], [np.nan, 4000, 0]])


def test_csv_without_a_cell_table(tmp_path: Path) -> None:
    container = read_csv(write(tmp_path / "x.csv", "id,P1\ns1,1\n"))
    assert container.obs.columns == ["_index"]
    assert container.assays["proteins"].X.tolist() == [[1.0]]


def test_cells_that_do_not_match_are_named(tmp_path: Path) -> None:
    data = write(tmp_path / "x.csv", ",P1\ns1,1\ns2,2\n")
    cells = write(tmp_path / "c.csv", ",type\ns1,a\ns9,b\n")
    with pytest.warns(UserWarning, match=r"1 samples .*\['s[29]'\]") as caught:
        container = read_csv(data, cells)
    assert len(caught) == 2
    assert container.obs["type"].to_list() == ["a", None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (",P1\ns1,abc\n", "line 2, column 'P1': 'abc' is not a number"),
        (",P1,P1\ns1,1,2\n", r"not unique: \['P1'\]"),
        (",P1\ns1,1\ns1,2\n", r"not unique: \['s1'\]"),
        (",P1\ns1,1,2,3\n", "line 2: 4 fields .comma-separated., the header has 2"),
    ],
)
def test_csv_that_is_no_matrix(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(IOFormatError, match=rf"x\.csv.*{message}"):
        read_csv(write(tmp_path / "x.csv", text))


def test_csv_there_and_back(tmp_path: Path) -> None:
    X = np.array([[1.0, np.nan, 1e-300], [np.pi, -0.0, 1 / 3]])
    obs = pl.DataFrame({"type": ["a", None], "_index": ["s1", "s,2"], "age": [1, None]})
    var = pl.DataFrame({"_index": ["P1", 'P "2"', "P3"]})
    container = ScpContainer(
        obs, {"p": Assay(var, {"X": ScpMatrix(X), "sparse": ScpMatrix(sp.csr_matrix(np.eye(2, 3)))})}
    )
    write_csv(container, tmp_path / "x_data.csv", "p", "X")
    back = read_csv(tmp_path / "x_data.csv", assay="p")
    assert back.assays["p"].X.tobytes() == X.tobytes()
    assert back.obs.equals(obs.select("_index", "type", "age"))
    assert back.assays["p"].var.equals(var)
    write_csv(container, tmp_path / "y.csv", "p", "sparse", cells=tmp_path / "z.csv")
    assert read_csv(tmp_path / "y.csv", tmp_path / "z.csv").assays["proteins"].X.tolist() == np.eye(2, 3).tolist()


def test_csv_does_not_overwrite_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    obs = pl.DataFrame({"_index": ["s"], "list": [[1]], "at": [datetime(2024, 1, 1)]})
    matrix = ScpMatrix(np.ones((1, 1)), np.ones((1, 1), np.int8))
    container = ScpContainer(obs, {"p": Assay(pl.DataFrame({"_index": ["x"]}), {"X": matrix})})
    with pytest.warns(UserWarning, match="the mask of layer 'X'|left out: \\['list'\\]") as caught:
        write_csv(container, tmp_path / "x.csv", "p", "X")
    assert len(caught) == 2
    assert (tmp_path / "x_cells.csv").read_text() == "_index,at\ns,2024-01-01T00:00:00.000000\n"
    with pytest.warns(UserWarning, match="mask"), pytest.raises(IOWriteError, match="File already exists"):
        write_csv(container, tmp_path / "x.csv", "p", "X")
    with pytest.raises(LayerNotFoundError):
        write_csv(container, tmp_path / "y.csv", "p", "none")
    with pytest.raises(AssayNotFoundError):
        write_csv(container, tmp_path / "y.csv", "none", "X")
