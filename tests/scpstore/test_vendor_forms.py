"""Reports as the programs write them: their columns, versions, decimal marks and words for what is missing.

What a container must hold is worked out here from the measurements that the file was written from, one by one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from scpstore import MaskCode, ScpContainer
from scpstore.io import IOFormatError, read_diann, read_maxquant, read_spectronaut, read_table

THRESHOLD = 0.01


@dataclass(frozen=True)
class Found:
    """A precursor that was measured in a run."""

    run: str
    precursor: str
    protein: str
    quantity: float | None
    q: float
    protein_quantity: float
    protein_q: float


def measurements(runs: Sequence[str], proteins: int, seed: int = 0) -> list[Found]:
    """Two precursors a protein; a third of all is absent, some without a quantity, some with a q-value above 1 %."""
    rng = random.Random(seed)
    found = []
    for run in runs:
        for number in range(proteins):
            amount = round(rng.uniform(1, 1e5), rng.choice([0, 1, 2, 4]))
            protein_q = rng.choice([0.0001, 0.02])
            for charge in (2, 3):
                if rng.random() < 1 / 3:
                    continue
                quantity = None if rng.random() < 0.1 else round(rng.uniform(1, 1e6), rng.choice([1, 3, 5]))
                q = rng.choice([0.0002, 0.03])
                found.append(Found(run, f"_PEPT{number}K_.{charge}", f"P{number}", quantity, q, amount, protein_q))
    return found


def check(container: ScpContainer, assay: str, layer: str, wanted: dict[tuple[str, str], tuple[float | None, float]],
          runs: Sequence[str]) -> None:  # fmt: skip
    """Each value and mask code of a layer. wanted: (quantity or None, q-value) by run and feature."""
    matrix, features = container.assays[assay].layers[layer], container.assays[assay].feature_ids.to_list()
    assert sorted(container.sample_ids.to_list()) == sorted(runs)
    assert sorted(features) == sorted({feature for _, feature in wanted})
    for row, run in enumerate(container.sample_ids.to_list()):
        for column, feature in enumerate(features):
            quantity, q = wanted.get((run, feature), (None, 0.0))
            code = MaskCode.LOD if quantity is None else MaskCode.FILTERED if q > THRESHOLD else MaskCode.VALID
            assert matrix.M[row, column] == code, (run, feature)
            value = matrix.X[row, column]
            assert np.isnan(value) if quantity is None else value == quantity, (run, feature)


def precursors(found: Sequence[Found]) -> dict[tuple[str, str], tuple[float | None, float]]:
    return {(f.run, f.precursor): (f.quantity, f.q) for f in found}


def proteins(found: Sequence[Found]) -> dict[tuple[str, str], tuple[float | None, float]]:
    return {(f.run, f.protein): (f.protein_quantity, f.protein_q) for f in found}


def check_both(container: ScpContainer, found: Sequence[Found], runs: Sequence[str], names: tuple[str, str]) -> None:
    check(container, "precursors", names[0], precursors(found), runs)
    check(container, "proteins", names[1], proteins(found), runs)
    (link,) = container.links
    assert set(link.linkage.rows()) == {(f.precursor, f.protein) for f in found}


def text(columns: Sequence[str], rows: Sequence[dict[str, Any]], comma: bool = False, missing: str = "",
         separator: str = "\t") -> str:  # fmt: skip
    """A table as text; numbers with a point or a comma before their decimals."""

    def cell(value: Any) -> str:
        if value is None:
            return missing
        written = str(value)
        return written.replace(".", ",") if comma and isinstance(value, float) else written

    lines = [separator.join(columns), *(separator.join(cell(row.get(name)) for name in columns) for row in rows)]
    return "\r\n".join(lines) + "\r\n"


# ---------------------------------------------------------------- DIA-NN

DIANN_1_8 = (
    "File.Name", "Run", "Protein.Group", "Protein.Ids", "Protein.Names", "Genes", "PG.Quantity", "PG.Normalised",
    "PG.MaxLFQ", "Genes.Quantity", "Genes.Normalised", "Genes.MaxLFQ", "Genes.MaxLFQ.Unique", "Modified.Sequence",
    "Stripped.Sequence", "Precursor.Id", "Precursor.Charge", "Q.Value", "PEP", "Global.Q.Value", "Protein.Q.Value",
    "PG.Q.Value", "Global.PG.Q.Value", "GG.Q.Value", "Translated.Q.Value", "Proteotypic", "Precursor.Quantity",
    "Precursor.Normalised", "Precursor.Translated", "Quantity.Quality", "RT", "RT.Start", "RT.Stop", "iRT",
    "First.Protein.Description", "Ms1.Area", "Fragment.Quant.Raw", "IM",
)  # fmt: skip
DIANN_2 = (
    "Run.Index", "Run", "Channel", "Precursor.Id", "Modified.Sequence", "Stripped.Sequence", "Precursor.Charge",
    "Precursor.Lib.Index", "Decoy", "Proteotypic", "Precursor.Mz", "Protein.Ids", "Protein.Group", "Protein.Names",
    "Genes", "RT", "iRT", "IM", "Precursor.Quantity", "Precursor.Normalised", "Ms1.Area", "PG.TopN", "PG.MaxLFQ",
    "Genes.TopN", "Genes.MaxLFQ", "Q.Value", "PEP", "Global.Q.Value", "Lib.Q.Value", "PG.Q.Value", "PG.PEP",
)  # fmt: skip


def diann_row(f: Found, number: int) -> dict[str, Any]:
    return {
        "File.Name": f"D:\\2024, May\\{f.run}.raw", "Run": f.run, "Run.Index": number, "Channel": "",
        "Protein.Group": f.protein, "Protein.Ids": f"{f.protein};Q9", "Protein.Names": f"{f.protein}_HUMAN",
        "Genes": f"G{f.protein}", "PG.MaxLFQ": f.protein_quantity, "Precursor.Id": f.precursor,
        "Precursor.Charge": int(f.precursor[-1]), "Q.Value": f.q, "PG.Q.Value": f.protein_q, "Proteotypic": 1,
        "Precursor.Quantity": f.quantity, "First.Protein.Description": 'Actin, "beta"'.replace('"', "'"), "Decoy": 0,
        "Fragment.Quant.Raw": "12.5;0;3;", "PG.Quantity": f.protein_quantity / 2, "RT": 3.25,
    }  # fmt: skip


def diann_text(found: Sequence[Found], columns: Sequence[str], path: Path) -> Path:
    path.write_text(text(columns, [diann_row(f, n) for n, f in enumerate(found)]), encoding="utf-8")
    return path


RUNS = [f"20240503_cell_{n}" for n in range(12)]


@pytest.mark.parametrize("columns", [DIANN_1_8, [c for c in DIANN_1_8 if c != "Run"], [c for c in DIANN_2]])
def test_main_reports_of_diann(tmp_path: Path, columns: Sequence[str]) -> None:
    found = measurements(RUNS, 9)
    container = read_diann(diann_text(found, columns, tmp_path / "report.tsv"), q_value=THRESHOLD)
    check_both(container, found, RUNS, ("Precursor.Quantity", "PG.MaxLFQ"))
    var = container.assays["proteins"].var
    assert var["Genes"].to_list() == [f"G{protein}" for protein in var["_index"]]
    q = container.assays["precursors"].layers["Q.Value"].X
    assert np.count_nonzero(~np.isnan(q)) == len(found)
    if "PG.Quantity" in columns:
        halves = {key: (quantity / 2, q) for key, (quantity, q) in proteins(found).items() if quantity is not None}
        check(container, "proteins", "PG.Quantity", halves, RUNS)


def test_main_reports_of_diann_as_parquet(tmp_path: Path) -> None:
    found = [f for f in measurements(RUNS, 9) if f.quantity is not None]
    rows = [{name: diann_row(f, n).get(name) for name in DIANN_2} for n, f in enumerate(found)]
    single = {name: pl.Float32 for name in ("Precursor.Quantity", "PG.MaxLFQ", "Q.Value", "PG.Q.Value")}
    pl.DataFrame(rows).cast(single).write_parquet(tmp_path / "report.parquet")

    def rounded(value: float | None) -> float | None:
        return None if value is None else float(np.float32(value))

    container = read_diann(tmp_path / "report.parquet", q_value=THRESHOLD)
    for assay, layer, wanted in (
        ("precursors", "Precursor.Quantity", precursors(found)), ("proteins", "PG.MaxLFQ", proteins(found))
    ):  # fmt: skip
        check(container, assay, layer, {key: (rounded(value), q) for key, (value, q) in wanted.items()}, RUNS)


def test_runs_of_one_name_in_two_directories_stay_apart(tmp_path: Path) -> None:
    found = [Found(f"{day}/a", "_PEPT_.2", "P1", float(day), 0.0, float(day), 0.0) for day in (1, 2)]
    rows = [{**diann_row(f, 0), "File.Name": f"D:\\{f.run}.raw"} for f in found]
    columns = [name for name in DIANN_1_8 if name != "Run"]
    (tmp_path / "report.tsv").write_text(text(columns, rows))
    container = read_diann(tmp_path / "report.tsv")
    assert container.sample_ids.to_list() == ["D:\\1/a.raw", "D:\\2/a.raw"]
    assert container.assays["proteins"].layers["PG.MaxLFQ"].X.tolist() == [[1.0], [2.0]]


PG_1_8 = ("Protein.Group", "Protein.Ids", "Protein.Names", "Genes", "First.Protein.Description")
PG_1_9 = ("Protein.Group", "Protein.Names", "Genes", "First.Protein.Description", "N.Sequences",
          "N.Proteotypic.Sequences")  # fmt: skip
PR_1_8 = (*PG_1_8, "Proteotypic", "Stripped.Sequence", "Modified.Sequence", "Precursor.Charge", "Precursor.Id")


def matrix_text(found: Sequence[Found], fixed: Sequence[str], runs: Sequence[str], feature: Callable[[Found], str],
                quantity: Callable[[Found], float | None]) -> str:  # fmt: skip
    rows: dict[str, dict[str, Any]] = {}
    for f in found:
        row = rows.setdefault(feature(f), {name: diann_row(f, 0).get(name, 3) for name in fixed})
        row[f"D:\\data\\{f.run}.raw"] = quantity(f)
    return text([*fixed, *(f"D:\\data\\{run}.raw" for run in runs)], list(rows.values()))


@pytest.mark.parametrize("fixed", [PG_1_8, PG_1_9])
def test_matrices_of_diann(tmp_path: Path, fixed: Sequence[str]) -> None:
    found = measurements(RUNS, 9)
    path = tmp_path / "report.pg_matrix.tsv"
    path.write_text(matrix_text(found, fixed, RUNS, lambda f: f.protein, lambda f: f.protein_quantity))
    pr = tmp_path / "report.pr_matrix.tsv"
    pr.write_text(matrix_text(found, PR_1_8, RUNS, lambda f: f.precursor, lambda f: f.quantity))
    container = read_diann(path)
    check(container, "proteins", "PG.MaxLFQ", {k: (v, 0) for k, (v, _) in proteins(found).items()}, RUNS)
    check(container, "precursors", "Precursor.Normalised",
          {k: (v, 0) for k, (v, _) in precursors(found).items()}, RUNS)  # fmt: skip
    assert set(container.links[0].linkage.rows()) == {(f.precursor, f.protein) for f in found}


# ---------------------------------------------------------------- Spectronaut

SPECTRONAUT = (
    "R.Condition", "R.FileName", "R.Replicate", "PG.Genes", "PG.Organisms", "PG.ProteinGroups", "PG.Quantity",
    "PG.Qvalue", "EG.ModifiedSequence", "EG.PrecursorId", "EG.Qvalue", "FG.Charge", "FG.Quantity",
)  # fmt: skip


def spectronaut_row(f: Found) -> dict[str, Any]:
    return {
        "R.Condition": "A", "R.FileName": f.run, "R.Replicate": 1, "PG.Genes": f"G{f.protein}",
        "PG.ProteinGroups": f.protein, "PG.Quantity": f.protein_quantity, "PG.Qvalue": f.protein_q,
        "EG.PrecursorId": f.precursor, "EG.Qvalue": f.q, "FG.Charge": 2, "FG.Quantity": f.quantity,
    }  # fmt: skip


@pytest.mark.parametrize(("separator", "comma"), [("\t", False), ("\t", True), (",", False), (";", True)])
@pytest.mark.parametrize("missing", ["Filtered", "NaN", ""])
def test_long_reports_of_spectronaut(tmp_path: Path, separator: str, comma: bool, missing: str) -> None:
    found = measurements(RUNS, 9)
    written = text(SPECTRONAUT, [spectronaut_row(f) for f in found], comma, missing, separator)
    (tmp_path / "Report.tsv").write_text(written, encoding="utf-8-sig")
    container = read_spectronaut(tmp_path / "Report.tsv", q_value=THRESHOLD)
    check_both(container, found, RUNS, ("FG.Quantity", "PG.Quantity"))


def pivoted(found: Sequence[Found], runs: Sequence[str], parts: Sequence[str], comma: bool) -> str:
    """A row a precursor (a protein, where there are only columns of proteins), four columns a run."""
    by_precursor = any(not name.startswith("PG.") for name in parts)
    fixed = ["PG.ProteinGroups", "PG.Genes", *(["EG.PrecursorId"] if by_precursor else [])]
    known = {(f.run, f.protein): f for f in found}
    rows: dict[str, dict[str, Any]] = {}
    for f in found:
        whole = spectronaut_row(f)
        row = rows.setdefault(f.precursor if by_precursor else f.protein, {name: whole[name] for name in fixed})
        for name in parts:
            row[f"[{runs.index(f.run) + 1}] {f.run}.raw.{name}"] = whole[name]
    for row in rows.values():  # values of a protein stand in the rows of all its precursors
        for number, run in enumerate(runs, 1):
            protein = known.get((run, row["PG.ProteinGroups"]))
            for name in (name for name in parts if name.startswith("PG.") and protein):
                row[f"[{number}] {run}.raw.{name}"] = spectronaut_row(protein)[name]
    columns = [f"[{number}] {run}.raw.{name}" for name in parts for number, run in enumerate(runs, 1)]
    return text([*fixed, *columns], list(rows.values()), comma, "Filtered")


@pytest.mark.parametrize("comma", [False, True])
def test_pivoted_reports_of_spectronaut(tmp_path: Path, comma: bool) -> None:
    found = measurements(RUNS, 9)
    path = tmp_path / "Report (Pivot).tsv"
    path.write_text(pivoted(found, RUNS, ["PG.Quantity", "PG.Qvalue"], comma))
    alone = read_spectronaut(path, q_value=THRESHOLD)
    assert list(alone.assays) == ["proteins"]
    check(alone, "proteins", "PG.Quantity", proteins(found), RUNS)
    path.write_text(pivoted(found, RUNS, ["PG.Quantity", "PG.Qvalue", "EG.Qvalue", "FG.Quantity"], comma))
    check_both(read_spectronaut(path, q_value=THRESHOLD), found, RUNS, ("FG.Quantity", "PG.Quantity"))


def test_pivoted_proteins_beside_precursor_ids_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.tsv"
    path.write_text("PG.ProteinGroups\tEG.PrecursorId\t[1] a.raw.PG.Quantity\nP1\tx\t5\nP1\ty\t5\nP2\tz\t6\n")
    container = read_spectronaut(path)
    assert container.assays["proteins"].layers["PG.Quantity"].X.tolist() == [[5.0, 6.0]]
    path.write_text("PG.ProteinGroups\tEG.PrecursorId\t[1] a.raw.PG.Quantity\nP1\tx\t5\nP1\ty\t7\n")
    with pytest.raises(IOFormatError, match=r"PG\.ProteinGroups 'P1' appears with different quantities"):
        read_spectronaut(path)


def test_pivoted_columns_of_one_run_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.tsv"
    path.write_text("PG.ProteinGroups\t[1] a.raw.PG.Quantity\t[2] a.raw.PG.Quantity\nP1\t5\t6\n")
    with pytest.raises(IOFormatError, match=r"'\[1\] a.raw.PG.Quantity' and '\[2\] a.raw.PG.Quantity' are of the same"):
        read_spectronaut(path)


# ---------------------------------------------------------------- MaxQuant


@pytest.mark.parametrize("contaminant", ["Contaminant", "Potential contaminant"])
@pytest.mark.parametrize("with_lfq", [True, False])
def test_protein_groups_of_maxquant(tmp_path: Path, contaminant: str, with_lfq: bool) -> None:
    rng = random.Random(3)
    layers = ["Intensity", *(["LFQ intensity", "iBAQ"] if with_lfq else [])]
    wanted: dict[str, dict[tuple[str, str], tuple[float | None, float]]] = {layer: {} for layer in layers}
    rows = []
    for number in range(15):
        ids = f"CON__P{number}" if number % 5 == 0 else f"REV__P{number}" if number % 7 == 0 else f"P{number};Q{number}"
        row: dict[str, Any] = {
            "Protein IDs": ids, "Majority protein IDs": ids.split(";")[0], "Peptide counts (all)": "4;1",
            "Protein names": "Actin, cytoplasmic 1", "Gene names": f"G{number}", "Sequence coverage [%]": 12.5,
            contaminant: "+" if number % 5 == 0 else "", "Reverse": "+" if number % 7 == 0 and number % 5 else "",
            "Only identified by site": "+" if number == 4 else "", "Intensity": 1e9, "iBAQ": 7, "iBAQ peptides": 3,
            "Identification type a": "By MS/MS",
        }  # fmt: skip
        for layer in layers:
            for run in RUNS:
                amount = 0.0 if rng.random() < 0.3 else round(rng.uniform(1e4, 1e9))
                row[f"{layer} {run}"] = amount
                wanted[layer][run, ids] = (amount or None, 0.0)
        rows.append(row)
    (tmp_path / "proteinGroups.txt").write_text(text(list(rows[0]), rows))
    container = read_maxquant(tmp_path / "proteinGroups.txt")
    assert list(container.assays["proteins"].layers) == layers
    for layer in layers:
        check(container, "proteins", layer, wanted[layer], RUNS)
    var = container.assays["proteins"].var
    assert [n for n, yes in enumerate(var["contaminant"]) if yes] == [0, 5, 10]
    assert [n for n, yes in enumerate(var["reverse"]) if yes] == [7, 14]
    assert [n for n, yes in enumerate(var["by_site"]) if yes] == [4]


# ---------------------------------------------------------------- thousands of runs


def test_thousands_of_runs(tmp_path: Path) -> None:
    runs = [f"plate{n // 384}_{n % 384}" for n in range(3000)]
    found = measurements(runs, 2)
    long = read_diann(diann_text(found, DIANN_1_8, tmp_path / "report.tsv"), q_value=THRESHOLD)
    check_both(long, found, list({f.run for f in found}), ("Precursor.Quantity", "PG.MaxLFQ"))
    path = tmp_path / "report.pg_matrix.tsv"
    path.write_text(matrix_text(found, PG_1_9, runs, lambda f: f.protein, lambda f: f.protein_quantity))
    wanted = {key: (value, 0.0) for key, (value, _) in proteins(found).items()}
    check(read_diann(path), "proteins", "PG.MaxLFQ", wanted, runs)
    (tmp_path / "pivot.tsv").write_text(pivoted(found, runs, ["PG.Quantity", "PG.Qvalue"], comma=True))
    check(read_spectronaut(tmp_path / "pivot.tsv", q_value=THRESHOLD), "proteins", "PG.Quantity", proteins(found), runs)


def test_lists_of_ids_of_any_length(tmp_path: Path) -> None:
    ids = ";".join(map(str, range(40_000)))
    (tmp_path / "proteinGroups.txt").write_text(f"Protein IDs\tMS/MS IDs\tIntensity a\nP1\t{ids}\t5\nP2\t1\t6\n")
    assert read_maxquant(tmp_path / "proteinGroups.txt").assays["proteins"].layers["Intensity"].X.tolist() == [
        [5.0, 6.0]
    ]


# ---------------------------------------------------------------- decimal commas


@pytest.mark.parametrize("separator", ["\t", ";"])
def test_commas_far_down_a_table_are_found(tmp_path: Path, separator: str) -> None:
    lines = ["id", *(f"s{n}" for n in range(200)), "last"]
    rows = [separator.join([line, "P1" if n == 0 else "0,5" if n == 201 else "7"]) for n, line in enumerate(lines)]
    (tmp_path / "a.txt").write_text("\n".join(rows))
    assert read_table(tmp_path / "a.txt").assays["proteins"].X[-1, 0] == 0.5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("s1\t1,5\t2\ns2\t3\t2.25\n", r"line 3, column 'P2': '2\.25' is not a number \(others .* decimal commas\)"),
        ("s1\t1,234\t2\ns2\t3\t12,345\n", r"column 'P1': '1,234' may have decimals or thousands"),
        ("s1\t1,234,567\t2\n", r"line 2, column 'P1': '1,234,567' is not a number"),
        ("s1\t1.234,5\t2\n", r"line 2, column 'P1': '1\.234,5' is not a number"),
    ],
)
def test_numbers_that_may_mean_another_are_refused(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "a.tsv").write_text(f"id\tP1\tP2\n{rows}")
    with pytest.raises(IOFormatError, match=rf"a\.tsv, {message}"):
        read_table(tmp_path / "a.tsv")
