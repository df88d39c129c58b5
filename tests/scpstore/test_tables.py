"""Tables of any usual form, and the reports of search engines, become containers or an error that says where."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from scpstore import load_hdf5
from scpstore.core import ValidationError
from scpstore.io import IOFormatError, read_diann, read_maxquant, read_spectronaut, read_table, write_table

VALUES = [[1.5, None, -2.0], [0.25, 4.0, None]]


def text_table(separator: str, decimal: str = ".") -> str:
    rows = [["", "P1", "P2", "P3"]]
    for name, row in zip(["s1", "s2"], VALUES, strict=True):
        rows.append([name, *("" if v is None else str(v).replace(".", decimal) for v in row)])
    return "\n".join(separator.join(row) for row in rows) + "\n"


def write(path: Path, text: str) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def check_values(container: Any) -> None:
    assert container.sample_ids.to_list() == ["s1", "s2"]
    assert container.assays["proteins"].feature_ids.to_list() == ["P1", "P2", "P3"]
    np.testing.assert_array_equal(container.assays["proteins"].X, np.array(VALUES, float))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.csv.gz", "a.tsv.gz"])
@pytest.mark.parametrize(("separator", "decimal"), [("\t", "."), (",", "."), (";", "."), (";", ",")])
def test_text_of_any_usual_form(tmp_path: Path, name: str, separator: str, decimal: str) -> None:
    check_values(read_table(write(tmp_path / name, text_table(separator, decimal))))


def test_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": ["s1", "s2"], **{f"P{n + 1}": [row[n] for row in VALUES] for n in range(3)}})
    frame.write_parquet(tmp_path / "a.parquet")
    check_values(read_table(tmp_path / "a.parquet"))


def test_a_table_with_row_names_of_r(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", text_table("\t").removeprefix("\t"))
    check_values(read_table(path))


def test_quotes_and_marks_of_byte_order(tmp_path: Path) -> None:
    text = '\ufeff"id","P,1"\n"s ""1""",2\n'
    container = read_table(write(tmp_path / "a.csv", text))
    assert container.sample_ids.to_list() == ['s "1"']
    assert container.assays["proteins"].feature_ids.to_list() == ["P,1"]


def test_features_in_rows_with_annotations(tmp_path: Path) -> None:
    text = "protein\tgene\tlength\ts1\ts2\nP1\tACTB\t375\t1\t2\nP2\t\t100\t\t4\n"
    path = write(tmp_path / "a.tsv", text)
    container = read_table(path, orientation="features_in_rows", annotations=["gene", "length"])
    assert container.sample_ids.to_list() == ["s1", "s2"]
    assert container.assays["proteins"].var.to_dict(as_series=False) == {
        "_index": ["P1", "P2"], "gene": ["ACTB", None], "length": ["375", "100"],
    }  # fmt: skip
    np.testing.assert_array_equal(container.assays["proteins"].X, [[1, np.nan], [2, 4]])
    guessed = read_table(path, orientation="features_in_rows")
    assert guessed.assays["proteins"].var.columns == ["_index", "gene"]
    assert guessed.sample_ids.to_list() == ["length", "s1", "s2"]


@pytest.mark.parametrize("turned", [False, True])
def test_the_cell_table_tells_the_orientation(tmp_path: Path, turned: bool) -> None:
    text = "id,s1,s2\nP1,1,2\nP2,3,4\n" if turned else "id,P1,P2\ns1,1,3\ns2,2,4\n"
    write(tmp_path / "a_cells.csv", "cell;kind\ns2;b\ns1;a\n")
    container = read_table(write(tmp_path / "a.csv", text), orientation="auto")
    assert container.obs.to_dict(as_series=False) == {"_index": ["s1", "s2"], "kind": ["a", "b"]}
    assert container.assays["proteins"].X.tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize("cells", [None, "cell,kind\nx,a\n"])
def test_an_orientation_that_nothing_tells_is_asked_for(tmp_path: Path, cells: str | None) -> None:
    if cells:
        write(tmp_path / "a_cells.csv", cells)
    with pytest.raises(ValidationError, match="are the samples in rows or in columns"):
        read_table(write(tmp_path / "a.csv", text_table(",")), orientation="auto")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"P1 P2\n1 2\n", "one column only: expected columns separated by tabs, commas or semicolons"),
        (b"\tP1\tP2\ns1\t1\t2\ns2\t1", "line 3: 2 fields, the header has 3: the file ends within it"),
        (b",P1\ns1,1\ns2,1_000\n", "line 3, column 'P1': '1_000' is not a number"),
        (b",P1\ns1,#REF!\n", "line 2, column 'P1': '#REF!' is not a number"),
        (b",P1,P1\ns1,1,2\n", r"names in the header are not unique: \['P1'\]"),
        (b",P1\ns1,1\ns1,2\n", r"not unique: \['s1'\]"),
        (",Größe\ns1,1\n".encode("latin-1"), "is not text in UTF-8"),
        (",P1\ns1,1\n".encode("utf-16"), "is UTF-16, not text in UTF-8"),
        (b"PK\x03\x04 and so on", "a zip archive or Excel workbook"),
        (b"a,b\0\n1,2\n", "NUL"),
    ],
)
def test_what_is_not_a_table_says_where(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(IOFormatError, match=rf"x\.csv.*{message}"):
        read_table(tmp_path / "x.csv")


def test_what_is_not_a_table_of_parquet_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no" * 50)
    with pytest.raises(IOFormatError, match=r"x\.parquet cannot be read as a Parquet file: .*PAR1"):
        read_table(tmp_path / "x.parquet")
    pl.DataFrame({"cell": ["s1"]}).write_parquet(tmp_path / "y.parquet")
    with pytest.raises(IOFormatError, match=r"y\.parquet has one column only: expected IDs and values"):
        read_table(tmp_path / "y.parquet")


def test_annotations_that_are_not_there(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "id,gene,s1,s2\nP1,g,1,2\n")
    with pytest.raises(IOFormatError, match=r"a\.csv has no column 'mass': there are \['id', 'gene', 's1', 's2'\]"):
        read_table(table, orientation="features_in_rows", annotations=["mass"])
    read = read_table(table, orientation="features_in_rows", annotations=["gene"])
    assert read.assays["proteins"].var["gene"].to_list() == ["g"]


def test_columns_of_the_cell_table_have_the_dtype_that_fits(tmp_path: Path) -> None:
    cells = write(tmp_path / "kinds.csv", "id,n,x,flag,word,empty\ns1,1,1.5,true,a,\ns2,2,2,False,b,\n")
    obs = read_table(write(tmp_path / "a.csv", ",P1\ns1,1\ns2,2\n"), cells=cells).obs
    assert obs.dtypes[1:] == [pl.Int64, pl.Float64, pl.Boolean, pl.String, pl.String]
    assert obs["flag"].to_list() == [True, False]


def test_ids_of_the_cell_table_must_be_unique(tmp_path: Path) -> None:
    cells = write(tmp_path / "twice.csv", "id,kind\ns1,a\ns1,b\n")
    with pytest.raises(IOFormatError, match=r"twice\.csv: sample IDs in column 'id' are not unique"):
        read_table(write(tmp_path / "a.csv", ",P1\ns1,1\n"), cells=cells)


def test_a_fault_far_down_is_found(tmp_path: Path) -> None:
    lines = [",P1,P2", *(f"s{n},1,2" for n in range(500)), "last,1,2,3"]
    with pytest.raises(IOFormatError, match="line 502: 4 fields, the header has 3"):
        read_table(write(tmp_path / "a.csv", "\n".join(lines)))


@pytest.mark.parametrize("word", ["NA", "#N/A", "NaN", "n/a", "null", ""])
def test_words_for_what_is_missing(tmp_path: Path, word: str) -> None:
    container = read_table(write(tmp_path / "a.csv", f",P1,P2\ns1,{word},2\n"))
    np.testing.assert_array_equal(container.assays["proteins"].X, [[np.nan, 2]])


@pytest.mark.parametrize("last", ["last,1", "last", '"la,st",1'])
def test_a_line_that_ends_early_far_down_is_found(tmp_path: Path, last: str) -> None:
    lines = [",P1,P2", *(f"s{n},1,2" for n in range(500)), last]
    with pytest.raises(IOFormatError, match=r"a\.csv, line 502: [12] fields, the header has 3"):
        read_table(write(tmp_path / "a.csv", "\n".join(lines)))


def test_quoted_separators_and_line_ends_are_not_counted(tmp_path: Path) -> None:
    text = ',P1,P2\n"s,1",1,2\n"s\n2",3,\n'
    container = read_table(write(tmp_path / "a.csv", text))
    assert container.sample_ids.to_list() == ["s,1", "s\n2"]
    np.testing.assert_array_equal(container.assays["proteins"].X, [[1, 2], [3, np.nan]])


def test_empty_lines_at_the_end_are_no_samples(tmp_path: Path) -> None:
    assert read_table(write(tmp_path / "a.csv", ",P1,P2\ns1,1,2\n\n\n")).sample_ids.to_list() == ["s1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",P1,P2\ns1,1,2\n\ns2,3,4\n", "line 3 is empty, and rows follow"),
        ("\n,1,2\ns1,1,2\n", "line 1 is empty"),
        (",P1,P2\ns1,1,2,3\n", "line 2: 4 fields, the header has 3, the first without a name: add the name"),
        ("cell,P1\ns1,1,\ns2,2,\n", "line 2: 3 fields, the header has 2: each line ends with a separator: remove it"),
        ("P1,P2\ns1,1,2\ns1,3,4\n", r"line 2: 3 fields, the header has 2, .*not unique: 's1'.*row\.names = FALSE"),
        ("P1,P2\ns1,1,2\n,3,4\n", "line 2: 3 fields, the header has 2, .*some of it is empty"),
    ],
)
def test_lines_and_fields_too_many_say_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(IOFormatError, match=rf"a\.csv, {message}"):
        read_table(write(tmp_path / "a.csv", text))


def test_the_last_column_of_r_may_be_missing_everywhere(tmp_path: Path) -> None:
    container = read_table(write(tmp_path / "a.csv", '"P1","P2"\n"s1",1,NA\n"s2",2,NA\n'))
    np.testing.assert_array_equal(container.assays["proteins"].X, [[1, np.nan], [2, np.nan]])


REPORT = {"Run": "run{}", "Protein.Group": "P{}", "Precursor.Id": "AAK{}", "Precursor.Quantity": "1{}", "Q.Value": "0"}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("", "\t0.5", "the first column does not hold names of rows .in a DIA-NN report it must hold whole numbers"),
        ("", "\t", "each line ends with a separator: remove it"),
        ("7\t", "", "the first column does not hold names of rows .its values are not unique: '7'"),
    ],
)
def test_a_report_with_a_field_more_than_its_header_is_refused(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    rows = [before + "\t".join(REPORT.values()).format(n, n, n, n) + after for n in range(3)]
    path = write(tmp_path / "report.tsv", "\n".join(["\t".join(REPORT), *rows]))
    with pytest.raises(IOFormatError, match=rf"report\.tsv, line 2: 6 fields, the header has 5.*{message}"):
        read_diann(path)


def test_a_protein_matrix_with_a_column_without_a_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "report.pg_matrix.tsv", "Protein.Group\tGenes\trun1\nP1\tG1\t1\t2\nP2\tG2\t3\t4\n")
    with pytest.raises(IOFormatError, match=r"4 fields, the header has 3.*add the name that the header lacks"):
        read_diann(path)
    with pytest.raises(IOFormatError, match=r"4 fields, the header has 3.*add the name that the header lacks"):
        read_table(path, orientation="features_in_rows")


def test_a_report_that_r_wrote_has_the_numbers_of_its_rows(tmp_path: Path) -> None:
    rows = ["\t".join([f"{n * 3 + 1}", *REPORT.values()]).format(n, n, n, n) for n in range(3)]
    container = read_diann(write(tmp_path / "report.tsv", "\n".join(["\t".join(REPORT), *rows])))
    quantities = container.assays["precursors"].layers["Precursor.Quantity"].X
    assert container.sample_ids.to_list() == ["run0", "run1", "run2"]
    np.testing.assert_array_equal(np.diag(quantities), [10, 11, 12])


def test_a_missing_file() -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_table("none.csv")


@pytest.mark.parametrize("name", ["b.csv", "b.tsv", "b.txt", "b.parquet"])
def test_there_and_back(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a_cells.csv", "cell,kind,n\ns1,a,1\ns2,b,2\n")
    container = read_table(write(tmp_path / "a.csv", text_table(",")))
    written = write_table(container, tmp_path / name, "proteins", "X")
    assert written == [tmp_path / name, (tmp_path / f"b_cells.{name[2:]}")]
    assert read_table(tmp_path / name) == container


# ---------------------------------------------------------------- search engines

RUNS = ["run1", "run2", "run3"]


def diann_rows() -> list[dict[str, Any]]:
    """Two proteins of three precursors; AAK2 is not seen in run2, run3 sees nothing of PB."""
    rows = []
    quantities = {("run1", "AAK2"): 10.0, ("run1", "AAR3"): 20.0, ("run1", "CCK2"): 5.0, ("run2", "AAR3"): 21.0,
                  ("run2", "CCK2"): 6.0, ("run3", "AAK2"): 12.0}  # fmt: skip
    groups = {"AAK2": "PA;PA2", "AAR3": "PA;PA2", "CCK2": "PB"}
    for (run, precursor), quantity in quantities.items():
        group = groups[precursor]
        rows.append(
            {
                "File.Name": f"D:\\data\\{run}.raw", "Run": run, "Protein.Group": group, "Protein.Ids": group,
                "Genes": group.lower(), "PG.MaxLFQ": float(run[-1]) * (1 + (group == "PB")),
                "PG.Q.Value": 0.001 if run != "run2" else 0.02, "Precursor.Id": precursor,
                "Precursor.Quantity": quantity, "Q.Value": 0.05 if quantity == 5.0 else 0.001, "Other": "x",
            }
        )  # fmt: skip
    return rows


def save(rows: list[dict[str, Any]], path: Path) -> Path:
    frame = pl.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="\t")
    return path


@pytest.mark.parametrize("run_column", ["Run", "File.Name"])
@pytest.mark.parametrize("name", ["report.tsv", "report.parquet"])
def test_diann_report(tmp_path: Path, name: str, run_column: str) -> None:
    rows = [{k: v for k, v in row.items() if k not in {"Run", "File.Name"} - {run_column}} for row in diann_rows()]
    container = read_diann(save(rows, tmp_path / name))
    assert container.sample_ids.to_list() == RUNS
    precursors, proteins = container.assays["precursors"], container.assays["proteins"]
    assert precursors.feature_ids.to_list() == ["AAK2", "AAR3", "CCK2"]
    nan = np.nan
    np.testing.assert_array_equal(
        precursors.layers["Precursor.Quantity"].X, [[10, 20, 5], [nan, 21, 6], [12, nan, nan]]
    )
    assert precursors.layers["Precursor.Quantity"].M.tolist() == [[0, 0, 0], [2, 0, 0], [0, 2, 2]]
    np.testing.assert_array_equal(precursors.layers["Q.Value"].X[0], [0.001, 0.001, 0.05])
    np.testing.assert_array_equal(proteins.layers["PG.MaxLFQ"].X, [[1, 2], [2, 4], [3, nan]])
    assert proteins.var.to_dict(as_series=False) == {
        "_index": ["PA;PA2", "PB"], "Protein.Ids": ["PA;PA2", "PB"], "Genes": ["pa;pa2", "pb"],
    }  # fmt: skip
    (link,) = container.links
    assert (link.source_assay, link.target_assay) == ("precursors", "proteins")
    assert link.linkage.rows() == [("AAK2", "PA;PA2"), ("AAR3", "PA;PA2"), ("CCK2", "PB")]
    container.save(tmp_path / "a.h5")
    assert load_hdf5(tmp_path / "a.h5") == container


def test_a_threshold_marks_and_keeps(tmp_path: Path) -> None:
    container = read_diann(save(diann_rows(), tmp_path / "report.tsv"), q_value=0.01)
    quantity = container.assays["precursors"].layers["Precursor.Quantity"]
    assert quantity.M.tolist() == [[0, 0, 3], [2, 0, 0], [0, 2, 2]]
    assert quantity.X[0, 2] == 5.0
    assert container.assays["proteins"].layers["PG.MaxLFQ"].M.tolist() == [[0, 0], [3, 3], [0, 2]]


def test_rows_that_repeat_are_named(tmp_path: Path) -> None:
    rows = diann_rows()
    with pytest.raises(IOFormatError, match=r"Precursor.Id 'AAK2' of run 'run1' appears more than once"):
        read_diann(save([*rows, rows[0]], tmp_path / "report.tsv"))
    rows[1]["PG.MaxLFQ"] = 77.0
    with pytest.raises(IOFormatError, match=r"Protein.Group 'PA;PA2' of run 'run1' appears with different quantities"):
        read_diann(save(rows, tmp_path / "report.tsv"))


def test_diann_matrices(tmp_path: Path) -> None:
    heads = [f"D:\\data\\{run}.raw" for run in RUNS]
    proteins = [{"Protein.Group": g, "Genes": g.lower(), **dict(zip(heads, row, strict=True))}
                for g, row in {"PA": (1.0, None, 3.0), "PB": (4.0, 5.0, 6.0)}.items()]  # fmt: skip
    precursors = [{"Protein.Group": g, "Precursor.Charge": 2, "Precursor.Id": p, **dict(zip(heads, row, strict=True))}
                  for p, g, row in [("AAK2", "PA", (1.0, 2.0, None)), ("DDK2", "PC", (1.0, 1.0, 1.0))]]  # fmt: skip
    path = save(proteins, tmp_path / "report.pg_matrix.tsv")
    alone = read_diann(path)
    assert list(alone.assays) == ["proteins"]
    assert alone.sample_ids.to_list() == RUNS
    np.testing.assert_array_equal(alone.assays["proteins"].layers["PG.MaxLFQ"].X, [[1, 4], [np.nan, 5], [3, 6]])
    assert alone.assays["proteins"].layers["PG.MaxLFQ"].M.tolist() == [[0, 0], [2, 0], [0, 0]]
    save(precursors, tmp_path / "report.pr_matrix.tsv")
    both = read_diann(path)
    assert list(both.assays) == ["precursors", "proteins"]
    assert both.links[0].linkage.rows() == [("AAK2", "PA")]
    with pytest.raises(ValidationError, match="has no q-values"):
        read_diann(path, q_value=0.01)


def test_runs_that_the_cell_table_does_not_know_are_told(tmp_path: Path) -> None:
    cells = write(tmp_path / "cells.tsv", "run\tcell\nrun1\tHeLa\nrun2\tHeLa\nrun9\tx\n")
    with pytest.warns(UserWarning, match=r"cells\.tsv: 1 samples") as caught:
        container = read_diann(save(diann_rows(), tmp_path / "report.tsv"), cells)
    assert len(caught) == 2
    assert container.obs["cell"].to_list() == ["HeLa", "HeLa", None]


def test_spectronaut_long(tmp_path: Path) -> None:
    names = {"Run": "R.FileName", "Protein.Group": "PG.ProteinGroups", "Genes": "PG.Genes", "PG.MaxLFQ": "PG.Quantity",
             "PG.Q.Value": "PG.Qvalue", "Precursor.Id": "EG.PrecursorId", "Precursor.Quantity": "FG.Quantity",
             "Q.Value": "EG.Qvalue"}  # fmt: skip
    rows = [{names[k]: v for k, v in row.items() if k in names} for row in diann_rows()]
    rows[0]["FG.Quantity"] = None
    text = pl.DataFrame(rows).write_csv(separator="\t", null_value="Filtered")
    container = read_spectronaut(write(tmp_path / "report.tsv", text), q_value=0.01)
    assert list(container.assays) == ["precursors", "proteins"]
    assert container.assays["precursors"].layers["FG.Quantity"].M.tolist() == [[2, 0, 3], [2, 0, 0], [0, 2, 2]]
    np.testing.assert_array_equal(container.assays["proteins"].layers["PG.Quantity"].X, [[1, 2], [2, 4], [3, np.nan]])
    assert container.links[0].linkage.height == 3


def test_spectronaut_pivoted(tmp_path: Path) -> None:
    text = (
        "PG.ProteinGroups\tPG.Genes\t[1] a.raw.PG.Quantity\t[2] b.c.raw.PG.Quantity\t[1] a.raw.PG.Qvalue\n"
        "PA\tga\t1.5\tFiltered\t0.001\nPB\tgb\t2\t3\t0.5\n"
    )
    container = read_spectronaut(write(tmp_path / "r.tsv", text), q_value=0.01)
    assert container.sample_ids.to_list() == ["a", "b.c"]
    layers = container.assays["proteins"].layers
    np.testing.assert_array_equal(layers["PG.Quantity"].X, [[1.5, 2], [np.nan, 3]])
    assert layers["PG.Quantity"].M.tolist() == [[0, 3], [2, 0]]
    np.testing.assert_array_equal(layers["PG.Qvalue"].X, [[0.001, 0.5], [np.nan, np.nan]])
    assert container.assays["proteins"].var["PG.Genes"].to_list() == ["ga", "gb"]


MAXQUANT = (
    "Protein IDs\tMajority protein IDs\tGene names\tIntensity\tIntensity a\tIntensity b\tLFQ intensity a\t"
    "LFQ intensity b\tReverse\tPotential contaminant\tOnly identified by site\n"
    "P1;P2\tP1\tG1\t30\t10\t20\t11\t0\t\t\t\nREV__P3\tREV__P3\t\t1\t1\t0\t0\t0\t+\t\t\n"
    "CON__P4\tCON__P4\tG4\t5\t2\t3\t2\t3\t\t+\t+\n"
)


def test_maxquant(tmp_path: Path) -> None:
    container = read_maxquant(write(tmp_path / "proteinGroups.txt", MAXQUANT))
    proteins = container.assays["proteins"]
    assert container.sample_ids.to_list() == ["a", "b"]
    assert proteins.feature_ids.to_list() == ["P1;P2", "REV__P3", "CON__P4"]
    np.testing.assert_array_equal(proteins.layers["Intensity"].X, [[10, 1, 2], [20, np.nan, 3]])
    assert proteins.layers["LFQ intensity"].M.tolist() == [[0, 2, 0], [2, 2, 0]]
    assert proteins.var["reverse"].to_list() == [False, True, False]
    assert proteins.var["contaminant"].to_list() == [False, False, True]
    assert proteins.var["by_site"].to_list() == [False, False, True]
    dropped = read_maxquant(tmp_path / "proteinGroups.txt", drop=["reverse", "contaminant"])
    assert dropped.assays["proteins"].feature_ids.to_list() == ["P1;P2"]


@pytest.mark.parametrize("drop", ["reverse", ["decoy"]])
def test_what_cannot_be_dropped(tmp_path: Path, drop: Any) -> None:
    with pytest.raises(ValidationError, match="drop must be a list of reverse, contaminant, by_site"):
        read_maxquant(write(tmp_path / "proteinGroups.txt", MAXQUANT), drop=drop)


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_maxquant, "Protein IDs\tMajority protein IDs\tx\nA\tA\t1\n", "expected columns such as 'Intensity run'"),
        (
            read_spectronaut,
            "PG.ProteinGroups\t[1] a.raw.PG.Odd\nA\t1\n",
            r"expected .*with \[1\] run\.raw\.PG\.Quantity",
        ),
        (read_diann, "Run\tPrecursor.Id\tProtein.Group\na\tA\tb\n", "expected .*Protein.Group with PG.MaxLFQ"),
    ],
)
def test_a_report_without_quantities(tmp_path: Path, read: Any, content: str, message: str) -> None:
    with pytest.raises(IOFormatError, match=rf"a\.tsv is not a report of .*: {message}"):
        read(write(tmp_path / "a.tsv", content))


@pytest.mark.parametrize(
    "content",
    [
        "PG.ProteinGroups\t[1] a.raw.PG.Quantity\nA\t1\n",
        "R.FileName\tPG.ProteinGroups\tPG.Quantity\na\tA\t1\n",
    ],
)
def test_a_threshold_needs_q_values(tmp_path: Path, content: str) -> None:
    with pytest.raises(ValidationError, match=r"a\.tsv has no q-values: q_value needs the main report"):
        read_spectronaut(write(tmp_path / "a.tsv", content), q_value=0.01)


@pytest.mark.parametrize("read", [read_diann, read_spectronaut, read_maxquant])
def test_another_table_is_not_taken_for_a_report(tmp_path: Path, read: Any) -> None:
    with pytest.raises(IOFormatError, match=r"a\.tsv is not a report of .* found the columns id, x"):
        read(write(tmp_path / "a.tsv", "id\tx\nA\t1\n"))
