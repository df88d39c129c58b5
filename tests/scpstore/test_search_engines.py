"""Reports of each search engine: which columns are samples, which layers, what masks say.

Small tables are made here after the lists of columns that the vendors publish; real ones, cut, are in the test data. What
a container must hold is found by a loop over the fields of the text.
"""

# ruff: noqa: E501  (a table is a line a row)

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from scpstore import MaskCode, ScpContainer
from scpstore.core import ValidationError
from scpstore.io import (
    IOFormatError,
    read_alphadia,
    read_diann,
    read_discoverer,
    read_fragpipe,
    read_maxquant,
    read_report,
    read_sage,
    read_spectronaut,
    read_table,
)
from scpstore.io import report_kinds as kinds


def write(path: Path, header: str, *rows: str, separator: str = "\t", end: str = "\n") -> Path:
    """A table; columns are separated by "|" in the arguments."""
    path.write_text(end.join(line.replace("|", separator) for line in (header, *rows)) + end, encoding="utf-8")
    return path


def values(container: ScpContainer, assay: str, layer: str) -> dict[tuple[str, str], float]:
    """What is there, by sample and feature."""
    X, part = container.assays[assay].layers[layer].X, container.assays[assay]
    return {
        (sample, feature): X[row, column]
        for row, sample in enumerate(container.sample_ids)
        for column, feature in enumerate(part.feature_ids)
        if not np.isnan(X[row, column])
    }


def codes(container: ScpContainer, assay: str, layer: str, code: MaskCode) -> set[tuple[str, str]]:
    """Samples and features that have a code."""
    part, samples = container.assays[assay], container.sample_ids.to_list()
    features = part.feature_ids.to_list()
    rows, columns = np.nonzero(code == part.layers[layer].M)
    return {(samples[row], features[column]) for row, column in zip(rows, columns, strict=True)}


# ---------------------------------------------------------------- MaxQuant


def test_channels_of_isobaric_labels_are_samples(tmp_path: Path) -> None:
    path = write(
        tmp_path / "proteinGroups.txt",
        "Protein IDs|Majority protein IDs|Reporter intensity corrected 1|Reporter intensity corrected 2|"
        "Reporter intensity 1 set1|Reporter intensity corrected 1 set1|Reporter intensity count 1 set1|"
        "Reporter intensity corrected 2 set1|Reporter intensity corrected 1 set 2|Intensity|Intensity set1|Intensity set 2",
        "P1|P1|99|98|10|11|3|12|13|1000|600|400",
        "P2|P2|97|96|20|0|0|22|23|2000|1200|800",
    )
    container = read_maxquant(path)
    assert container.sample_ids.to_list() == ["set1_1", "set1_2", "set 2_1"]
    assert container.obs["set"].to_list() == ["set1", "set1", "set 2"]
    assert container.obs["channel"].to_list() == ["1", "2", "1"]
    corrected = {
        ("set1_1", "P1"): 11,
        ("set1_2", "P1"): 12,
        ("set 2_1", "P1"): 13,
        ("set1_2", "P2"): 22,
        ("set 2_1", "P2"): 23,
    }
    assert values(container, "proteins", "Reporter intensity corrected") == corrected
    assert values(container, "proteins", "Reporter intensity") == {("set1_1", "P1"): 10, ("set1_1", "P2"): 20}
    assert values(container, "proteins", "Reporter intensity count") == {("set1_1", "P1"): 3, ("set1_1", "P2"): 0}
    assert container.assays["proteins"].var["Intensity set 2"].to_list() == [400, 800]  # of no sample


def test_channels_without_experiments(tmp_path: Path) -> None:
    header = "Protein IDs|Reporter intensity 0|Reporter intensity not corrected 0|Reporter intensity 1|Intensity"
    container = read_maxquant(write(tmp_path / "proteinGroups.txt", header, "P1|1|2|3|4"))
    assert container.sample_ids.to_list() == ["0", "1"]
    assert container.list_layers("proteins") == ["Reporter intensity", "Reporter intensity not corrected"]


@pytest.mark.parametrize("name", ["a", "L", "H a", "L a"])
def test_labels_of_silac_are_layers(tmp_path: Path, name: str) -> None:
    """Whatever an experiment is called; totals are no samples."""
    header = (
        (
            f"Protein IDs|Ratio H/L|Ratio H/L normalized|Ratio H/L {name}|Ratio H/L normalized {name}|Intensity|Intensity L |"
            f"Intensity H |Intensity {name}|Intensity L {name}|Intensity H {name}|LFQ intensity L {name}"
        )
        .replace("Intensity L |", "" if name == "L" else "Intensity L|")
        .replace("Intensity H |", "Intensity H|")
    )
    numbers = "0.5|0.6|0.7|0.8|100|" + ("" if name == "L" else "40|") + "60|33|11|22|44"
    container = read_maxquant(write(tmp_path / "proteinGroups.txt", header, f"P1|{numbers}"))
    assert container.sample_ids.to_list() == [name]
    found = {layer: values(container, "proteins", layer)[name, "P1"] for layer in container.list_layers("proteins")}
    wanted = {"Intensity": 33, "Intensity L": 11, "Intensity H": 22, "LFQ intensity L": 44, "Ratio H/L": 0.7}
    assert found == {**wanted, "Ratio H/L normalized": 0.8}


def test_experiments_called_l_and_h_without_labels(tmp_path: Path) -> None:
    container = read_maxquant(write(tmp_path / "p.txt", "Protein IDs|Intensity|Intensity L|Intensity H", "P1|3|1|2"))
    assert values(container, "proteins", "Intensity") == {("L", "P1"): 1, ("H", "P1"): 2}


def test_silac_without_experiments_is_one_sample(tmp_path: Path) -> None:
    path = write(tmp_path / "p.txt", "Protein IDs|Ratio H/L|Intensity|Intensity L|Intensity H", "P1|0.5|3|1|2")
    container = read_maxquant(path)
    assert container.sample_ids.to_list() == ["all"]
    assert values(container, "proteins", "Intensity L") == {("all", "P1"): 1}
    with pytest.warns(UserWarning, match="names no experiments: all its raw files are one sample, 'all'"):
        one = read_maxquant(write(tmp_path / "q.txt", "Protein IDs|Intensity", "P1|3"))
    assert values(one, "proteins", "Intensity") == {("all", "P1"): 3}


def test_labels_without_their_ratios_are_refused(tmp_path: Path) -> None:
    header = "Protein IDs|Intensity|Intensity L|Intensity H|Intensity a|Intensity L a|Intensity H a"
    with pytest.raises(IOFormatError, match=r"'Intensity L a' and 'Intensity H a', and no ratios 'Ratio H/L'"):
        read_maxquant(write(tmp_path / "p.txt", header, "P1|3|1|2|3|1|2"))


def test_labels_with_lfq_intensities_alone(tmp_path: Path) -> None:
    header = "Protein IDs|Ratio H/L a|LFQ intensity L a|LFQ intensity H a"
    container = read_maxquant(write(tmp_path / "p.txt", header, "P1|0.5|1|2"))
    assert values(container, "proteins", "LFQ intensity H") == {("a", "P1"): 2}
    assert values(container, "proteins", "Ratio H/L") == {("a", "P1"): 0.5}
    with pytest.raises(IOFormatError, match="expected labels of SILAC with columns such as"):
        read_maxquant(write(tmp_path / "q.txt", "Protein IDs|Ratio H/L a|Intensity b", "P1|0.5|1"))


@pytest.mark.parametrize(("name", "header"), [
    ("msms.txt", "Raw file|Scan number|Sequence|Modified sequence|Charge|Type|Precursor Intensity|Reporter intensity 1"),
    ("msmsScans.txt", "Raw file|Scan number|Retention time|Sequence|Modified sequence|Charge|Type|Intensity"),
    ("allPeptides.txt", "Raw file|Type|Charge|m/z|Number of data points|Intensity|Sequence|Modified sequence|Proteins"),
])  # fmt: skip
def test_spectra_and_features_of_maxquant_are_refused(tmp_path: Path, name: str, header: str) -> None:
    path = write(tmp_path / name, header, "|".join(["1"] * len(header.split("|"))))
    for read in (read_report, read_maxquant):
        with pytest.raises(IOFormatError, match="is MaxQuant's table of spectra or features: read proteinGroups"):
            read(path)


def test_protein_groups_with_some_columns_alone(tmp_path: Path) -> None:
    """As R and peers write what they keep of proteinGroups.txt: an unnamed column of row numbers, no majority IDs."""
    header = "|Protein IDs|Gene names|LFQ intensity a|LFQ intensity b|Only identified by site|Reverse"
    container = read_report(write(tmp_path / "proteinGroups.txt", header, "0|P1;P2|G|5|0.0|+|"))
    assert values(container, "proteins", "LFQ intensity") == {("a", "P1;P2"): 5}
    assert container.sample_ids.to_list() == ["a", "b"]
    assert container.assays["proteins"].var["by_site"].to_list() == [True]
    long = ";".join(f"P{number}" for number in range(9999))  # as a spreadsheet cuts it, twice
    with pytest.raises(IOFormatError, match=r"'P0;P1.*'… appears more than once") as error:
        read_report(write(tmp_path / "proteinGroups.txt", header, f"0|{long}||1|2||", f"1|{long}||1|2||"))
    assert len(str(error.value)) < 300


def test_peptides_of_maxquant(tmp_path: Path) -> None:
    header = "Sequence|Proteins|Leading razor protein|Experiment a|Intensity|Intensity a|Intensity b|Reverse|Score|MS/MS Count a"
    path = write(tmp_path / "peptides.txt", header, "AAK|P1;P2|P1|3|5|5|0||9.5|7", "CCR|P3|P3|1|6|0|6|+|8.5|0")
    container = read_report(path, layers=["MS/MS Count"], annotations=["Score"])
    assert values(container, "peptides", "Intensity") == {("a", "AAK"): 5, ("b", "CCR"): 6}
    assert values(container, "peptides", "MS/MS Count") == {("a", "AAK"): 7, ("a", "CCR"): 0}
    assert container.assays["peptides"].var["reverse"].to_list() == [False, True]
    assert container.assays["peptides"].var["Score"].to_list() == ["9.5", "8.5"]
    assert read_maxquant(path, drop=["reverse"]).assays["peptides"].feature_ids.to_list() == ["AAK"]
    with pytest.raises(ValidationError, match="no columns 'Nothing' of the samples"):
        read_maxquant(path, layers=["Nothing"])


EVIDENCE = "Sequence|Modified sequence|Charge|Raw file|Experiment|Type|Intensity|Reverse|Proteins"


def test_evidence_is_added_up(tmp_path: Path) -> None:
    path = write(
        tmp_path / "evidence.txt", EVIDENCE,
        "AAK|_AAK_|2|r1|a|MULTI-MSMS|10||P1",
        "AAK|_AAK_|2|r2|a|MULTI-MATCH|5.5||P1",
        "AAK|_AAK_|2|r2|a|MULTI-SECPEP|||P1",
        "AAK|_AAK_|3|r1|a|MULTI-MATCH|7||P1",
        "AAK|_AAK_|3|r3|b|MSMS|||P1",
        "CCR|_CCR_|2|r3|b|MULTI-MATCH|0|+|P2",
        "DDR|_DDR_|2|r3||MULTI-MSMS|3||P3",
    )  # fmt: skip
    container = read_report(path)
    assert container.sample_ids.to_list() == ["a", "b", "r3"]  # a row without an experiment is of its raw file
    assert values(container, "precursors", "Intensity") == {
        ("a", "_AAK_.2"): 15.5,
        ("a", "_AAK_.3"): 7,
        ("r3", "_DDR_.2"): 3,
    }
    assert values(container, "precursors", "Evidence count") == {
        ("a", "_AAK_.2"): 2, ("a", "_AAK_.3"): 1, ("r3", "_DDR_.2"): 1
    }  # fmt: skip
    assert codes(container, "precursors", "Intensity", MaskCode.MBR) == {("a", "_AAK_.3")}
    assert container.assays["precursors"].var["reverse"].to_list() == [False, False, True, False]


def test_evidence_of_labels_beside_a_run_without(tmp_path: Path) -> None:
    """As a real file has it: what is not labelled has no intensity but that of L. Some versions write "Gene Names"."""
    header = f"{EVIDENCE}|Ratio H/L|Intensity L|Intensity H|Leading Razor Protein|Gene Names"
    rows = ["AAK|_AAK_|2|r1|a|ISO-MSMS|30||P1|2|10|20|P1|G", "AAK|_AAK_|2|r1|a|MSMS|3||P1||1|2|P1|G",
            "AAK|_AAK_|2|r2|free|MULTI-MATCH|||P1||7||P1|G"]  # fmt: skip
    container = read_report(write(tmp_path / "evidence.txt", header, *rows))
    assert values(container, "precursors", "Intensity") == {("a", "_AAK_.2"): 33}
    assert values(container, "precursors", "Intensity L") == {("a", "_AAK_.2"): 11, ("free", "_AAK_.2"): 7}
    assert values(container, "precursors", "Intensity H") == {("a", "_AAK_.2"): 22}
    assert codes(container, "precursors", "Intensity L", MaskCode.MBR) == {("free", "_AAK_.2")}
    assert container.assays["precursors"].var.select("Leading Razor Protein", "Gene Names").rows() == [("P1", "G")]


def test_evidence_of_isobaric_labels(tmp_path: Path) -> None:
    header = EVIDENCE + "|Reporter intensity corrected 1|Reporter intensity corrected 2"
    rows = ["AAK|_AAK_|2|r1|a|MSMS|10||P1|1|2", "AAK|_AAK_|2|r2|a|MSMS|10||P1|4|0", "AAK|_AAK_|2|r3|b|MSMS|10||P1|0|0"]
    container = read_maxquant(write(tmp_path / "evidence.txt", header, *rows))
    found = values(container, "precursors", "Reporter intensity corrected")
    assert found == {("a_1", "_AAK_.2"): 5, ("a_2", "_AAK_.2"): 2}
    assert container.sample_ids.to_list() == ["a_1", "b_1", "a_2", "b_2"]


# ---------------------------------------------------------------- DIA-NN

DIANN = "Run|Protein.Group|Genes|Precursor.Id|Modified.Sequence|Precursor.Quantity|Q.Value|PG.MaxLFQ|PG.Q.Value"


def plexed(channel_column: bool) -> tuple[str, list[str], dict[tuple[str, str], float]]:
    rows, wanted = [], {}
    for run in ("r1", "r2"):
        for channel in (0, 4, 8):
            for sequence in ("AAK", "CK"):
                quantity = len(wanted) + 1.0
                label = f"(mTRAQ-n-{channel})"
                ident = f"{label}{sequence[:-1]}(UniMod:4)K(mTRAQ-K-{channel})"
                row = f"{run}|P{sequence}|G|{ident}2|{ident}|{quantity}|0.001|{quantity * 10}|0.001"
                rows.append(row + (f"|{channel}" if channel_column else ""))
                wanted[f"{run}_{channel}", f"{sequence[:-1]}(UniMod:4)K2"] = quantity
    return DIANN + ("|Channel" if channel_column else ""), rows, wanted


@pytest.mark.parametrize("channel_column", [True, False])
@pytest.mark.parametrize("parquet", [True, False])
def test_channels_of_plexdia_are_samples(tmp_path: Path, channel_column: bool, parquet: bool) -> None:
    header, rows, wanted = plexed(channel_column)
    path = write(tmp_path / "report.tsv", header, *rows)
    if parquet:
        pl.read_csv(path, separator="\t", schema_overrides={"Channel": pl.String}).write_parquet(
            tmp_path / "report.parquet"
        )
        path = tmp_path / "report.parquet"
    container = read_diann(path)
    assert values(container, "precursors", "Precursor.Quantity") == wanted
    assert container.obs.row(1) == ("r1_4", "r1", "4")
    assert container.assays["precursors"].var["Modified.Sequence"].to_list() == ["AA(UniMod:4)K", "C(UniMod:4)K"]
    proteins = values(container, "proteins", "PG.MaxLFQ")
    assert proteins["r2_8", "PCK"] == 10 * wanted["r2_8", "C(UniMod:4)K2"]


def test_a_channel_without_values_is_no_plexdia(tmp_path: Path) -> None:
    rows = ["r1|P1|G|AAK(mTRAQ-K-0)2|AAK(mTRAQ-K-0)|5|0.001|6|0.001|", "r2|P1|G|CCK2|CCK|5|0.001|6|0.001|"]
    container = read_diann(write(tmp_path / "report.tsv", DIANN + "|Channel", *rows))
    assert container.sample_ids.to_list() == ["r1", "r2"]
    assert container.assays["precursors"].feature_ids.to_list() == ["AAK(mTRAQ-K-0)2", "CCK2"]
    rows[0] += "0"
    with pytest.raises(IOFormatError, match="line 3: no value in 'Channel'"):
        read_diann(write(tmp_path / "report.tsv", DIANN + "|Channel", *rows))
    with pytest.raises(IOFormatError, match=r"line 2: Precursor\.Id 'AAK\(mTRAQ-K-0\)2' is not of channel '4'"):
        read_diann(write(tmp_path / "report.tsv", DIANN + "|Channel", rows[0][:-1] + "4", rows[1] + "0"))


def test_decoys_are_marked_and_kept_apart(tmp_path: Path) -> None:
    rows = ["r1|P1|G|AAK2|AAK|5|0.001|6|0.001|0", "r1|P1|G|AAK2|AAK|3|0.5|2|0.5|1", "r1|P2|G|CCK2|CCK|3|0.5|2|0.5|1"]
    with pytest.warns(UserWarning, match="1 decoys have IDs of targets: they get the prefix DECOY_"):
        container = read_diann(write(tmp_path / "report.tsv", DIANN + "|Decoy", *rows))
    assert values(container, "precursors", "Precursor.Quantity") == {
        ("r1", "AAK2"): 5,
        ("r1", "DECOY_AAK2"): 3,
        ("r1", "CCK2"): 3,
    }
    assert container.assays["precursors"].var["decoy"].to_list() == [False, True, True]
    assert values(container, "proteins", "PG.MaxLFQ") == {("r1", "P1"): 6, ("r1", "P2"): 2}
    assert container.assays["proteins"].var["decoy"].to_list() == [False, True]


def test_any_q_value_and_column_on_request(tmp_path: Path) -> None:
    header = DIANN + "|Lib.Q.Value|Lib.PG.Q.Value|Genes.MaxLFQ|Ms1.Area|Proteotypic|PG.Names"
    rows = [
        "r1|P1|G|AAK2|AAK|5|0.5|6|0.5|0.001|0.02|61|7|1|n1",
        "r1|P2|G|CCK2|CCK|5|0.001|6|0.001|0.03|0.001|62|8|0|n2",
    ]
    path = write(tmp_path / "report.tsv", header, *rows)
    limits = {"Lib.Q.Value": 0.01, "Lib.PG.Q.Value": 0.01}
    container = read_diann(
        path, q_value=limits, layers=["Genes.MaxLFQ", "Ms1.Area"], annotations=["Proteotypic", "PG.Names"]
    )
    assert codes(container, "precursors", "Precursor.Quantity", MaskCode.FILTERED) == {("r1", "CCK2")}
    assert codes(container, "proteins", "PG.MaxLFQ", MaskCode.FILTERED) == {("r1", "P1")}
    assert codes(container, "proteins", "Genes.MaxLFQ", MaskCode.FILTERED) == {("r1", "P1")}
    assert values(container, "proteins", "Genes.MaxLFQ") == {("r1", "P1"): 61, ("r1", "P2"): 62}
    assert values(container, "precursors", "Ms1.Area") == {("r1", "AAK2"): 7, ("r1", "CCK2"): 8}
    assert values(container, "proteins", "Lib.PG.Q.Value") == {("r1", "P1"): 0.02, ("r1", "P2"): 0.001}
    assert container.assays["precursors"].var["Proteotypic"].to_list() == ["1", "0"]
    assert container.assays["proteins"].var["PG.Names"].to_list() == ["n1", "n2"]
    assert container.history[0].params["q_value"] == limits
    for wrong in ({"q_value": {"No.Q": 0.1}}, {"layers": ["No.Q"]}, {"annotations": ["No.Q"]}):
        with pytest.raises(ValidationError, match=r"has no column 'No\.Q'"):
            read_diann(path, **wrong)


def test_ids_and_marks_on_request(tmp_path: Path) -> None:
    """IDs are there already; a decoy is 0 or 1."""
    header = "Run|Protein.Group|Precursor.Id|Precursor.Quantity|PG.MaxLFQ|Decoy"
    path = write(tmp_path / "report.tsv", header, "r1|P1|AAK2|5|6|0", "r1|P2|CCK2|5|6|1")
    container = read_report(path, annotations=["Precursor.Id", "Protein.Group"], layers=["Decoy"])
    assert container.assays["precursors"].var.columns == ["_index", "Protein.Group", "decoy"]
    assert container.assays["proteins"].var.columns == ["_index", "decoy"]
    assert container.assays["precursors"].var["decoy"].to_list() == [False, True]
    assert values(container, "precursors", "Decoy") == {("r1", "AAK2"): 0, ("r1", "CCK2"): 1}


def test_rows_of_a_group_that_differ_in_what_is_of_their_library_entry(tmp_path: Path) -> None:
    """DIA-NN's Lib.PG.Q.Value is of a precursor's entry in the library; Genes.MaxLFQ.Unique is empty if it is shared."""
    header = "Run|Protein.Group|Precursor.Id|Precursor.Quantity|PG.MaxLFQ|Lib.PG.Q.Value|Genes.MaxLFQ.Unique"
    rows = ["r1|P1|AAK2|5|6|0.001|7", "r1|P1|CCK2|4|6|0.05|", "r2|P1|CCK2|4|8|0.05|", "r2|P2|DDK2|4|9|0.002|1"]
    path = write(tmp_path / "report.tsv", header, *rows)
    with pytest.warns(
        UserWarning, match=r"rows of a Protein\.Group differ in Lib\.PG\.Q\.Value \(1 times\): the least counts"
    ):
        container = read_diann(path, q_value={"Lib.PG.Q.Value": 0.01}, layers=["Genes.MaxLFQ.Unique"])
    assert values(container, "proteins", "PG.MaxLFQ") == {("r1", "P1"): 6, ("r2", "P1"): 8, ("r2", "P2"): 9}
    assert values(container, "proteins", "Lib.PG.Q.Value") == {
        ("r1", "P1"): 0.001,
        ("r2", "P1"): 0.05,
        ("r2", "P2"): 0.002,
    }
    assert codes(container, "proteins", "PG.MaxLFQ", MaskCode.FILTERED) == {("r2", "P1")}
    assert values(container, "proteins", "Genes.MaxLFQ.Unique") == {("r1", "P1"): 7, ("r2", "P2"): 1}
    with pytest.raises(IOFormatError, match=r"'P1' of run 'r1' appears with different quantities"):
        read_diann(write(tmp_path / "report.tsv", header, *rows, "r1|P1|EEK2|4|6.5|0.001|7"))


def test_a_quantity_of_zero_stays_in_diann(tmp_path: Path) -> None:
    container = read_diann(write(tmp_path / "report.tsv", DIANN, "r1|P1|G|AAK2|AAK|0|0.001|0|0.001"))
    assert values(container, "precursors", "Precursor.Quantity") == {("r1", "AAK2"): 0}


# ---------------------------------------------------------------- Spectronaut


@pytest.mark.parametrize("sequence", ["EG.ModifiedSequence", "FG.LabeledSequence", "EG.ModifiedPeptide"])
def test_a_schema_without_ids_of_precursors(tmp_path: Path, sequence: str) -> None:
    header = f"R.FileName|PG.ProteinGroups|PG.Quantity|PG.Qvalue|{sequence}|FG.Charge|FG.Quantity|EG.Qvalue|EG.IsDecoy|F.FrgIon"
    rows = ["a|P1|5|0,001|_AAK_|2|1,5|0,001|False|y1", "a|P1|5|0,001|_AAK_|2|1,5|0,001|False|y2",
            "a|P1|5|0,001|_AAK_|3|2|0,5|True|y1", "b|P2|6|0,001|_CCK_|2|3|0,001|False|y1"]  # fmt: skip
    container = read_spectronaut(write(tmp_path / "r.tsv", header, *rows), q_value=0.01)
    assert values(container, "precursors", "FG.Quantity") == {
        ("a", f"_AAK_.{n}"): v for n, v in ((2, 1.5), (3, 2.0))
    } | {("b", "_CCK_.2"): 3}
    assert codes(container, "precursors", "FG.Quantity", MaskCode.FILTERED) == {("a", "_AAK_.3")}
    assert container.assays["precursors"].var["decoy"].to_list() == [False, True, False]
    assert set(container.links[0].linkage.rows()) == {("_AAK_.2", "P1"), ("_AAK_.3", "P1"), ("_CCK_.2", "P2")}
    rows[1] = rows[1].replace("1,5", "1,6")
    with pytest.raises(IOFormatError, match=r"'_AAK_\.2' of run 'a' appears with different quantities"):
        read_spectronaut(write(tmp_path / "r.tsv", header, *rows))


def test_labels_of_runs_and_ids_of_fragment_groups(tmp_path: Path) -> None:
    """What peers export: R.Label in place of R.FileName, FG.Id in place of sequence and charge."""
    rows = ["d/a.raw|P1|10|_AAK_.2|5", "d/b.raw|P1|11|_AAK_.2|6"]
    header = "R.Label|PG.ProteinGroups|PG.Quantity|FG.Id|FG.Quantity"
    container = read_report(write(tmp_path / "r.tsv", header, *rows))
    assert values(container, "proteins", "PG.Quantity") == {("a", "P1"): 10, ("b", "P1"): 11}
    assert values(container, "precursors", "FG.Quantity") == {("a", "_AAK_.2"): 5, ("b", "_AAK_.2"): 6}
    parts = read_report(tmp_path / "r.tsv", out=tmp_path / "r.h5")
    assert parts.sample_ids.to_list() == ["a", "b"]


def test_fragments_alone_are_refused(tmp_path: Path) -> None:
    header = "R.Label|PG.ProteinGroups|EG.ModifiedSequence|FG.Charge|F.FrgIon|F.PeakArea"
    with pytest.raises(
        IOFormatError, match=r"has quantities of fragments alone \(F\.PeakArea\): export EG\.PrecursorId"
    ):
        read_report(write(tmp_path / "r.tsv", header, "a.raw|P1|_AAK_|2|y1|5"))


def test_accessions_where_a_schema_lacks_groups(tmp_path: Path) -> None:
    header = "R.FileName|PG.ProteinAccessions|PG.Quantity|EG.PrecursorId|FG.Quantity"
    container = read_report(write(tmp_path / "r.tsv", header, "a|P1|10|_AAK_.2|5", "b|P1|11|_AAK_.2|6"))
    assert values(container, "proteins", "PG.Quantity") == {("a", "P1"): 10, ("b", "P1"): 11}
    assert values(container, "precursors", "FG.Quantity") == {("a", "_AAK_.2"): 5, ("b", "_AAK_.2"): 6}
    assert container.links[0].linkage.rows() == [("_AAK_.2", "P1")]
    pivoted = write(tmp_path / "p.tsv", "PG.ProteinAccessions|[1] a.raw.PG.Quantity", "P1|10")
    assert values(read_report(pivoted), "proteins", "PG.Quantity") == {("a", "P1"): 10}


def test_quantities_without_their_ids_are_told(tmp_path: Path) -> None:
    header = "R.FileName|PG.ProteinGroups|PG.Quantity|PEP.StrippedSequence|PEP.Quantity"
    with pytest.warns(UserWarning, match="without the IDs of their features are not read: PEP.Quantity"):
        container = read_report(write(tmp_path / "r.tsv", header, "a|P1|10|AAK|5", "b|P1|11|AAK|6"))
    assert list(container.assays) == ["proteins"]


def test_quantities_of_sites_are_told(tmp_path: Path) -> None:
    header = "R.FileName|PG.ProteinGroups|PG.Quantity|PTM.SiteLocation|PTM.Quantity"
    with pytest.warns(UserWarning, match=r"their features are not read: PTM\.Quantity$"):
        read_spectronaut(write(tmp_path / "sites.tsv", header, "a|P1|5|3|4", "a|P1|5|8|6"))


def test_columns_of_a_pivoted_report_on_request(tmp_path: Path) -> None:
    header = "PG.ProteinGroups|PG.Genes|PG.IsSingleHit|[1] a.raw.PG.Quantity|[2] b.raw.PG.Quantity|[1] a.raw.PG.IBAQ|[2] b.raw.PG.IBAQ"
    path = write(tmp_path / "r.tsv", header, "P1|G1|False|1|2|3|Filtered")
    container = read_spectronaut(path, layers=["PG.IBAQ"], annotations=["PG.IsSingleHit"])
    assert values(container, "proteins", "PG.IBAQ") == {("a", "P1"): 3}
    assert values(container, "proteins", "PG.Quantity") == {("a", "P1"): 1, ("b", "P1"): 2}
    assert container.assays["proteins"].var["PG.IsSingleHit"].to_list() == ["False"]


def test_labelled_workflows_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "r.tsv", "R.FileName|PG.ProteinGroups|PG.Quantity|EG.Workflow", "a|P1|5|LABELED_SILAC")
    with pytest.warns(UserWarning, match=r"EG\.Workflow is LABELED_SILAC: channels are not told apart"):
        read_spectronaut(path)


# ---------------------------------------------------------------- FragPipe, Sage, AlphaDIA, Proteome Discoverer


def test_proteins_of_fragpipe(tmp_path: Path) -> None:
    kinds = ("Spectral Count", "Unique Spectral Count", "Total Spectral Count", "Intensity", "Unique Intensity",
             "Total Intensity", "MaxLFQ Intensity", "MaxLFQ Unique Intensity", "Razor Intensity")  # fmt: skip
    samples = ("S1", "S1 Total", "MaxLFQ")  # whatever they are called
    header = "|".join(
        ["Protein", "Protein ID", "Gene", "Protein Length", "Combined Total Peptides", "Combined Spectral Count",
         "Summarized Razor Intensity", *(f"{s} {k}" for k in kinds for s in samples), "Indistinguishable Proteins"]
    )  # fmt: skip
    numbers = {f"{s} {k}": n for n, (k, s) in enumerate(((k, s) for k in kinds for s in samples), 1)}
    row = "|".join(["sp|P1|A".replace("|", "/"), "P1", "G", "300", "7", "8", "9", *map(str, numbers.values()), "P9"])
    # Two names that mean two things: the longest name of a quantity counts.
    if len(set(header.split("|"))) < len(header.split("|")):
        samples = ("S1", "S2")
        header = "|".join(
            ["Protein", "Protein ID", "Combined Spectral Count", *(f"{s} {k}" for k in kinds for s in samples)]
        )
        numbers = {f"{s} {k}": n for n, (k, s) in enumerate(((k, s) for k in kinds for s in samples), 1)}
        row = "|".join(["sp/P1/A", "P1", "8", *map(str, numbers.values())])
    container = read_report(write(tmp_path / "combined_protein.tsv", header, row))
    assert container.sample_ids.to_list() == list(samples)
    assert container.list_layers("proteins") == list(kinds)
    for kind in kinds:
        found = values(container, "proteins", kind)
        assert found == {(sample, "sp/P1/A"): numbers[f"{sample} {kind}"] for sample in samples}
    assert container.assays["proteins"].var["Combined Spectral Count"].to_list() == ["8"]


def test_ions_of_fragpipe(tmp_path: Path) -> None:
    header = "Peptide Sequence|Modified Sequence|Charge|Protein|a Spectral Count|b Spectral Count|a Intensity|b Intensity|a Match Type|b Match Type"
    rows = ["AAK|AAK|2|P1|2|0|10|5|MS/MS|MBR", "AAK|AAK|3|P1|1|0|0|0|MS/MS|unmatched"]
    container = read_fragpipe(write(tmp_path / "combined_ion.tsv", header, *rows))
    assert values(container, "precursors", "Intensity") == {("a", "AAK.2"): 10, ("b", "AAK.2"): 5}
    assert codes(container, "precursors", "Intensity", MaskCode.MBR) == {("b", "AAK.2")}
    assert values(container, "precursors", "Spectral Count")["b", "AAK.2"] == 0
    only = read_fragpipe(tmp_path / "combined_ion.tsv", layers=["Intensity"], annotations=["Protein"])
    assert only.list_layers("precursors") == ["Intensity"]
    assert only.assays["precursors"].var.columns == ["_index", "Protein"]


def test_isobaric_labels_of_fragpipe(tmp_path: Path) -> None:
    """tmt-report; a table whose samples would be sets of channels is refused, and one of one experiment."""
    header = "Index|NumberPSM|Gene|MaxPepProb|Protein|Protein ID|ReferenceIntensity|a|b"
    rows = ["P1|5|G|1|sp/P1|P1|22.5|21.5|0", "P2|3|H|1|sp/P2|P2|20.5||-1.5"]
    for name, layer in (("abundance_protein_MD.tsv", "abundance"), ("ratio_protein_MD.tsv", "ratio")):
        container = read_report(write(tmp_path / name, header, *rows))
        assert container.sample_ids.to_list() == ["a", "b"]
        found = values(container, "proteins", layer)  # logarithms: 0 is a value
        assert found == {("a", "P1"): 21.5, ("b", "P1"): 0, ("b", "P2"): -1.5}
        assert container.assays["proteins"].var["ReferenceIntensity"].to_list() == ["22.5", "20.5"]
    assert list(read_report(write(tmp_path / "abundance_gene_MD.tsv", header, *rows)).assays) == ["genes"]
    peptides = write(tmp_path / "abundance_peptide_MD.tsv", header.replace("Protein|", "Peptide|"), *rows)
    assert list(read_report(peptides).assays) == ["peptides"]
    channels = "Protein|Protein ID|set1 Spectral Count|set1 Intensity|set1 126 Abundance|set1 127N Abundance"
    with pytest.raises(IOFormatError, match=r"channels of TMT \('set1 126 Abundance', …\): read abundance_"):
        read_report(write(tmp_path / "combined_protein.tsv", channels, "sp|P1|1|2|3|4"))
    one = "Protein|Protein ID|Total Spectral Count|Unique Spectral Count|Razor Spectral Count|Total Intensity|Razor Intensity"
    with pytest.raises(IOFormatError, match="is FragPipe's table of one experiment: read combined_protein"):
        read_report(write(tmp_path / "protein.tsv", one, "sp|P1|3|2|3|30|30"))


@pytest.mark.parametrize(
    "name", ["abundance_peptide_MD.tsv", "abundance_single-site_MD.tsv", "ratio_multi-site_None.tsv"]
)
def test_peptides_and_sites_of_tmt_report(tmp_path: Path, name: str) -> None:
    """These tables of tmt-report have no column NumberPSM."""
    header = "Index|Gene|ProteinID|Peptide|SequenceWindow|Start|End|MaxPepProb|ReferenceIntensity|a|b"
    container = read_report(write(tmp_path / name, header, "P1_S3|G|P1|AASK|AASKR|1|4|0.99|20.5|19.5|-1"))
    assay = "sites" if "site" in name else "peptides"
    assert values(container, assay, name.split("_")[0]) == {("a", "P1_S3"): 19.5, ("b", "P1_S3"): -1}


def test_labels_of_fragpipe_are_layers(tmp_path: Path) -> None:
    """SILAC: `a Light Intensity` is no sample "a Light"; nor is that of one experiment a sample "Light"."""
    header = (
        "Peptide Sequence|Modified Sequence|Charge|Protein|a Light Intensity|a Heavy Intensity|a Log2 Ratio HL"
        "|a Heavy Match Type"
    )
    container = read_report(write(tmp_path / "combined_ion_label_quant.tsv", header, "AAK|AAK|2|P1|10|20|0|MBR"))
    assert container.sample_ids.to_list() == ["a"]
    assert values(container, "precursors", "Light Intensity") == {("a", "AAK.2"): 10}
    assert values(container, "precursors", "Heavy Intensity") == {("a", "AAK.2"): 20}
    assert values(container, "precursors", "Log2 Ratio HL") == {("a", "AAK.2"): 0}  # a ratio of 1
    assert codes(container, "precursors", "Light Intensity", MaskCode.MBR) == set()
    assert codes(container, "precursors", "Heavy Intensity", MaskCode.MBR) == {("a", "AAK.2")}
    one = header.replace("a Light", "Light").replace("a Heavy", "Heavy").replace("a Log2", "Log2")
    with pytest.raises(IOFormatError, match="is FragPipe's table of one experiment"):
        read_fragpipe(write(tmp_path / "ion_label_quant.tsv", one, "AAK|AAK|2|P1|10|20|0|MBR"))


@pytest.mark.parametrize(
    "header",
    [
        "Peptide Sequence|Modified Sequence|Prev AA|Next AA|M/Z|Charge|Spectral Count|Intensity|Protein|Protein ID",
        "Peptide|Prev AA|Next AA|Charges|Probability|Spectral Count|Intensity|Protein|Protein ID",
        "Spectrum|Spectrum File|Peptide|Modified Peptide|Prev AA|Next AA|Charge|Intensity|Protein|Protein ID",
    ],
)
def test_tables_of_one_experiment_of_fragpipe_are_refused(tmp_path: Path, header: str) -> None:
    """ion.tsv, peptide.tsv, psm.tsv."""
    with pytest.raises(IOFormatError, match="is FragPipe's table of one experiment"):
        read_report(write(tmp_path / "t.tsv", header, "|".join("1" for _ in header.split("|"))))


def test_unknown_quantities_of_fragpipe_are_layers(tmp_path: Path) -> None:
    """picked_group_fdr adds iBAQ; a count whose sample has another name than the intensity is told."""
    header = (
        "Protein|Protein ID|a Spectral Count|b Spectral Count|a Intensity|b Intensity|a iBAQ Intensity|b iBAQ Intensity"
    )
    container = read_report(write(tmp_path / "combined_protein.tsv", header, "sp|P1|1|2|3|4|5|0"))
    assert container.sample_ids.to_list() == ["a", "b"]
    assert container.list_layers("proteins") == ["Spectral Count", "Intensity", "iBAQ Intensity"]
    assert values(container, "proteins", "iBAQ Intensity") == {("a", "sp"): 5}
    with pytest.warns(
        UserWarning, match="samples lack columns that others have, .* no a Spectral Count, a_1 Intensity"
    ):
        read_report(write(tmp_path / "x.tsv", "Protein|Protein ID|a_1 Spectral Count|a Intensity", "sp|P1|1|2"))


def test_ions_at_several_voltages(tmp_path: Path) -> None:
    header = "Peptide Sequence|Modified Sequence|Charge|Compensation Voltage|Protein|a Intensity"
    container = read_fragpipe(write(tmp_path / "combined_ion.tsv", header, "AAK|AAK|2|-40|P1|10", "AAK|AAK|2|-60|P1|5"))
    assert values(container, "precursors", "Intensity") == {("a", "AAK.2.-40"): 10, ("a", "AAK.2.-60"): 5}


@pytest.mark.parametrize("by", ["rows", "columns"])
def test_matrices_of_plexdia_are_refused(tmp_path: Path, by: str) -> None:
    """A run of theirs is no sample: it holds several."""
    ids = ["(mTRAQ-n-0)AAK2", "(mTRAQ-n-4)AAK2"] if by == "rows" else ["AAK2", "GGK2"]
    runs = "D:\\x\\a.raw|D:\\x\\b.raw" if by == "rows" else "D:\\x\\a.raw-0|D:\\x\\a.raw-4"
    rows = [f"P1|{name}|1|2" for name in ids]
    with pytest.raises(IOFormatError, match=r"of channels .*: read the main report"):
        read_report(write(tmp_path / "report.pr_matrix.tsv", f"Protein.Group|Precursor.Id|{runs}", *rows))


MIXED = {  # a matrix with numbers that are no run's, and which those are
    "diann": ("Protein.Group|Genes|PG.Future|D:\\x\\a.raw|D:\\x\\b.raw", "P1|G|7|1|2", "PG.Future"),
    "diann, runs without suffix": ("Precursor.Id|Precursor.Mz|RT|a|b", "AAK2|7|8|1|2", "Precursor.Mz, RT"),
    "sage": ("peptide|charge|proteins|q_value|retention_time|a.mzML|b.mzML", "AAK|2|P1|0|7|1|2", "retention_time"),
    "alphadia": ("precursor.mod_seq_charge_hash|precursor.mz|pg.name|a|b", "5|7|P1|1|2", "precursor.mz"),
    "alphadia, proteins": ("pg|n_peptides|a|b", "P1|7|1|2", "n_peptides"),
    "alphadia 2, proteins": ("pg.name|pg.n_peptides|a|b", "P1|7|1|2", "pg.n_peptides"),
}


@pytest.mark.parametrize("kind", MIXED)
def test_numbers_that_are_no_runs(tmp_path: Path, kind: str) -> None:
    header, row, others = MIXED[kind]
    with pytest.warns(UserWarning, match=f"columns that are no runs are taken for annotations: {others}$"):
        container = read_report(write(tmp_path / "x.tsv", header, row))
    assert container.sample_ids.to_list() == ["a", "b"]
    ((_, assay),) = container.assays.items()
    ((_, layer),) = assay.layers.items()
    assert layer.X.tolist() == [[1], [2]]
    for name in others.split(", "):
        assert assay.var[name].to_list() == [row.split("|")[header.split("|").index(name)]]


def test_the_library_of_diann_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report-lib.parquet"
    one = {"Precursor.Id": "AAK2", "Protein.Group": "P1", "RT": 1.0, "Product.Mz": 300.0, "Relative.Intensity": 1.0}
    pl.DataFrame([one]).write_parquet(path)
    with pytest.raises(IOFormatError, match="is a spectral library of DIA-NN"):
        read_report(path)


def test_ids_of_several_levels_in_a_matrix_of_alphadia(tmp_path: Path) -> None:
    header = "pg|genes|sequence|mods|mod_sites|charge|mod_seq_hash|mod_seq_charge_hash|a|b"
    container = read_report(write(tmp_path / "x.tsv", header, "P1|G|AAK|||2|5|6|1|2", "P1|G|AAK|||3|5|7|3|4"))
    assert container.sample_ids.to_list() == ["a", "b"]
    found = values(container, "precursors", "intensity")
    assert found == {("a", "6"): 1, ("b", "6"): 2, ("a", "7"): 3, ("b", "7"): 4}


def test_what_fragpipe_has_of_diann_is_read_as_such(tmp_path: Path) -> None:
    path = write(tmp_path / "report.tsv", DIANN, "r1|P1|G|AAK2|AAK|5|0.001|6|0.001")
    found, wanted = read_fragpipe(path), read_diann(path)
    assert found.history[0].params == wanted.history[0].params
    found.history, wanted.history = [], []
    assert found == wanted


def test_tables_of_sage(tmp_path: Path) -> None:
    header = "peptide|charge|proteins|q_value|score|spectral_angle|a.mzML.gz|b.mzML"
    path = write(tmp_path / "lfq.tsv", header, "AAK|2|P1|0.001|9|0.9|10|0", "AAK|3|P1|0.5|9|0.9|11|12")
    container = read_report(path, q_value=0.01)
    assert container.sample_ids.to_list() == ["a", "b"]
    assert values(container, "precursors", "intensity") == {("a", "AAK.2"): 10, ("a", "AAK.3"): 11, ("b", "AAK.3"): 12}
    assert codes(container, "precursors", "intensity", MaskCode.FILTERED) == {("a", "AAK.3"), ("b", "AAK.3")}
    added = read_sage(write(tmp_path / "lfq.tsv", header, "AAK|-1|P1|0.001|9|0.9|10|0"))
    assert added.assays["peptides"].feature_ids.to_list() == ["AAK"]
    long = pl.DataFrame({"peptide": ["AAK", "AAK"], "stripped_peptide": ["AAK"] * 2, "proteins": ["P1"] * 2, "is_decoy": [False] * 2,
                         "q_value": [0.1] * 2, "filename": ["d/a.mzML", "d/b.mzML"], "intensity": [1.5, 0.0]})  # fmt: skip
    long.write_parquet(tmp_path / "lfq.parquet")
    assert values(read_report(tmp_path / "lfq.parquet"), "peptides", "intensity") == {("a", "AAK"): 1.5}
    spectra = write(
        tmp_path / "results.sage.tsv", "psm_id|peptide|proteins|filename|scannr|hyperscore", "1|AAK|P1|a|3|9"
    )
    with pytest.raises(IOFormatError, match="is Sage's table of spectra, not of quantities"):
        read_report(spectra)


def test_matrices_of_alphadia(tmp_path: Path) -> None:
    header = "mod_seq_charge_hash|a|b|genes|decoy|mods|mod_sites|sequence|charge"
    rows = ["11|5|0.0|G|0|||AAK|2", "11|5|0.0|G|0|||AAK|2", "12|6|7|G|1|||CCK|2"]
    container = read_report(write(tmp_path / "precursor.matrix.tsv", header, *rows))
    assert container.sample_ids.to_list() == ["a", "b"]
    assert values(container, "precursors", "intensity") == {("a", "11"): 5, ("a", "12"): 6, ("b", "12"): 7}
    var = container.assays["precursors"].var
    assert var["rows"].to_list() == [2, 1]
    assert var["decoy"].to_list() == [False, True]
    with pytest.raises(IOFormatError, match="mod_seq_charge_hash '11' appears more than once"):
        read_alphadia(write(tmp_path / "x.tsv", header, rows[0], rows[1].replace("5", "6")))


@pytest.mark.parametrize("newer", [False, True])
def test_precursors_of_alphadia(tmp_path: Path, newer: bool) -> None:
    """The `intensity` of 1.x is that of the protein group."""
    old = "run|mod_seq_charge_hash|pg|qval|pg_qval|intensity|genes|decoy|sequence|charge|sum_b_ion_intensity"
    new = "raw.name|precursor.mod_seq_charge_hash|pg.name|precursor.qval|pg.qval|pg.intensity|pg.genes|precursor.decoy|precursor.sequence|precursor.charge|precursor.intensity"
    rows = [
        "a|11|P1|0.001|0.001|50|G|0|AAK|2|5",
        "a|12|P1|0.5|0.001|50|G|0|CCK|2|6",
        "b|11|P1|0.001|0.5|60|G|0|AAK|2|7",
    ]
    asked = {} if newer else {"layers": ["sum_b_ion_intensity"]}
    container = read_report(write(tmp_path / "precursors.tsv", new if newer else old, *rows), q_value=0.01, **asked)
    layer, group = ("precursor.intensity", "pg.intensity") if newer else ("sum_b_ion_intensity", "intensity")
    assert values(container, "proteins", group) == {("a", "P1"): 50, ("b", "P1"): 60}
    assert codes(container, "proteins", group, MaskCode.FILTERED) == {("b", "P1")}
    assert values(container, "precursors", layer) == {("a", "11"): 5, ("a", "12"): 6, ("b", "11"): 7}
    assert codes(container, "precursors", layer, MaskCode.FILTERED) == {("a", "12")}
    if not newer:
        assert list(read_report(tmp_path / "precursors.tsv").assays) == ["proteins"]


def test_groups_of_alphadia_2(tmp_path: Path) -> None:
    """A group is `pg.name`; `pg.proteins` are all proteins that a precursor may be of."""
    header = "raw.name|precursor.mod_seq_charge_hash|pg.name|pg.proteins|pg.genes|pg.intensity|precursor.intensity"
    rows = ["a|11|P1|P1;P2|G|50|5", "a|12|P1|P1|G|50|6"]
    container = read_report(write(tmp_path / "precursors.tsv", header, *rows))
    assert values(container, "proteins", "pg.intensity") == {("a", "P1"): 50}
    assert container.links[0].linkage.rows() == [("11", "P1"), ("12", "P1")]
    assert container.assays["precursors"].var["pg.proteins"].to_list() == ["P1;P2", "P1"]
    matrix = read_report(write(tmp_path / "pg.matrix.tsv", "pg.name|a|b", "P1|50|0"))
    assert values(matrix, "proteins", "intensity") == {("a", "P1"): 50}


DISCOVERER = (
    "Checked|Accession|Description|Contaminant|Abundance Ratio: (B) / (A)|Abundances (Grouped): A|Abundances Count: F1: Sample, A|"
    "Abundance: F1: Sample, A|Abundance: F2: Sample, B|Abundances (Normalized): F1: Sample, A|"
    "Abundances (Normalized): F2: Sample, B|Found in Sample: F1: Sample, A|Found in Sample: F2: Sample, B"
)


def test_proteins_of_proteome_discoverer(tmp_path: Path) -> None:
    rows = ["False|P1|Actin|False|2|3|4|10,5|11|20|21|High|Peak Found", "False|P2|x|True|2|3|4|12||22||High|Not Found"]
    container = read_report(write(tmp_path / "x_Proteins.txt", DISCOVERER, *rows))
    assert container.sample_ids.to_list() == ["F1", "F2"]
    assert container.obs["description"].to_list() == ["F1: Sample, A", "F2: Sample, B"]
    assert container.list_layers("proteins") == ["Abundance", "Abundances (Normalized)"]
    assert values(container, "proteins", "Abundance") == {("F1", "P1"): 10.5, ("F2", "P1"): 11, ("F1", "P2"): 12}
    assert codes(container, "proteins", "Abundance", MaskCode.MBR) == {("F2", "P1")}


def test_numbered_samples_of_proteome_discoverer(tmp_path: Path) -> None:
    header = "Accession|Abundance: F1: 126, A|Abundance: F1: 127N, A|Found in Sample: [S1] F1: 126, A|Found in Sample: [S2] F1: 127N, A"
    container = read_report(write(tmp_path / "x_Proteins.txt", header, "P1|1|2|High|Peak Found"))
    assert container.sample_ids.to_list() == ["F1_126", "F1_127N"]
    assert codes(container, "proteins", "Abundance", MaskCode.MBR) == {("F1_127N", "P1")}


def test_channels_of_proteome_discoverer(tmp_path: Path) -> None:
    header = "Annotated Sequence|Modifications|Abundance: F1: 126, Sample|Abundance: F1: 127N, Sample|Abundance: F2: 126, Control"
    rows = ["[K].AAK.[R]|1xOxidation [M2]|1|2|3", "[K].AAK.[R]||4|5|6"]
    container = read_discoverer(write(tmp_path / "x_PeptideGroups.txt", header, *rows))
    assert container.sample_ids.to_list() == ["F1_126", "F1_127N", "F2"]
    assert container.assays["peptides"].feature_ids.to_list() == ["[K].AAK.[R] 1xOxidation [M2]", "[K].AAK.[R]"]


# ---------------------------------------------------------------- all kinds

SMALL: dict[str, tuple[str, str, str]] = {  # a header, a row, the number in it
    "DIA-NN report": (DIANN, "r1|P1|G|AAK2|AAK|{}|0.001|6|0.001", "Precursor.Quantity"),
    "Spectronaut report": ("R.FileName|PG.ProteinGroups|PG.Quantity", "a|P1|{}", "PG.Quantity"),
    "MaxQuant proteinGroups": ("Protein IDs|Majority protein IDs|Intensity a", "P1|P1|{}", "Intensity"),
    "MaxQuant peptides": ("Sequence|Leading razor protein|Intensity a", "AAK|P1|{}", "Intensity"),
    "MaxQuant evidence": (EVIDENCE, "AAK|_AAK_|2|r1|a|MULTI-MSMS|{}||P1", "Intensity"),
    "MaxQuant sites": (
        "Proteins|Positions within proteins|Protein|Localization prob|Amino acid|Position|id|Intensity a",
        "P1|5|P1|1|S|5|0|{}",
        "Intensity",
    ),
    "FragPipe table": ("Protein ID|Gene|a Spectral Count|a Intensity", "P1|G|1|{}", "Intensity"),
    "Sage lfq table": ("peptide|charge|proteins|q_value|a.mzML", "AAK|2|P1|0|{}", "intensity"),
    "AlphaDIA matrix": ("pg|a", "P1|{}", "intensity"),
    "AlphaDIA precursors": ("run|mod_seq_hash|pg|intensity", "a|1|P1|{}", "intensity"),
    "Proteome Discoverer table": ("Accession|Abundance: F1: Sample", "P1|{}", "Abundance"),
}


@pytest.mark.parametrize("kind", SMALL)
def test_each_kind_is_recognised_in_every_form_of_text(tmp_path: Path, kind: str) -> None:
    """Byte order mark, CRLF, decimal commas, semicolons; UTF-16 is refused."""
    header, row, layer = SMALL[kind]
    for number, separator, encoding in (("12.5", "\t", "utf-8-sig"), ("12,5", "\t", "utf-8"), ("12,5", ";", "utf-8")):
        written = row.replace("0.001", "0,001" if "," in number else "0.001").format(number)
        path = write(tmp_path / "a.txt", header, written, separator=separator, end="\r\n")
        path.write_text(path.read_text(encoding="utf-8"), encoding=encoding, newline="")
        container = read_report(path)
        assert container.history[0].params == {"file": "a.txt", "kind": kind}
        found = [values(container, name, layer) for name, part in container.assays.items() if layer in part.layers]
        assert [list(part.values()) for part in found] == [[12.5]]
    path.write_text(path.read_text(), encoding="utf-16")
    with pytest.raises(IOFormatError, match="is UTF-16, not text in UTF-8"):
        read_report(path)


def test_no_kind_is_left_out_of_the_forms_of_text() -> None:
    refused = (kinds.DIANN_PHOSPHOSITES, kinds.MAXQUANT_FORMS, kinds.MAXQUANT_OTHER, kinds.SAGE_SPECTRA)
    assert set(SMALL) == {kind for kind, _ in kinds._KINDS} - set(refused)


def test_settings_of_a_log_are_in_the_history(tmp_path: Path) -> None:
    report = write(tmp_path / "report.tsv", DIANN, "r1|P1|G|AAK2|AAK|5|0.001|6|0.001")
    (tmp_path / "report.log.txt").write_text("DIA-NN 1.9.1 (Data-Independent Acquisition by Neural Networks)\nCompiled\n"
                                             "diann.exe --f a.raw --lib x --qvalue 0.01\n\n5 files\n")  # fmt: skip
    step = read_diann(report).history[0]
    assert (step.action, step.software_version) == ("read_report", "1.9.1")
    assert step.params["settings"] == {"command": "diann.exe --f a.raw --lib x --qvalue 0.01"}
    groups = write(tmp_path / "proteinGroups.txt", "Protein IDs|Intensity a", "P1|5")
    (tmp_path / "parameters.txt").write_text("Parameter\tValue\nVersion\t2.4.2.0\nPSM FDR\t0.01\n")
    step = read_maxquant(groups).history[0]
    assert (step.software_version, step.params["settings"]) == ("2.4.2.0", {"PSM FDR": "0.01"})
    lfq = write(tmp_path / "lfq.tsv", "peptide|charge|proteins|q_value|a.mzML", "AAK|2|P1|0|5")
    (tmp_path / "results.json").write_text('{"version": "0.14.7", "database": {"fasta": "x.fasta"}}')
    step = read_sage(lfq).history[0]
    assert (step.software_version, step.params["settings"]) == ("0.14.7", {"database": '{"fasta": "x.fasta"}'})
    (tmp_path / "results.json").write_text("not JSON")
    assert "settings" not in read_sage(lfq).history[0].params


def test_what_is_no_report_is_told(tmp_path: Path) -> None:
    with pytest.raises(IOFormatError, match=r"is not a report of DIA-NN report, .*it has the columns a, b"):
        read_report(write(tmp_path / "a.tsv", "a|b", "1|2"))
    with pytest.raises(ValidationError, match="is a MaxQuant proteinGroups, which has no q-values"):
        read_report(write(tmp_path / "b.tsv", "Protein IDs|Majority protein IDs|Intensity a", "P1|P1|1"), q_value=0.01)


# ---------------------------------------------------------------- plain tables


def test_numbers_beside_text_are_no_samples(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "id|length|name|mass|a|b|c|note", "P1|30|x|1.5|1|2|3|n", "P2|31|y|1.6|4|5|6|m")
    with pytest.warns(UserWarning, match="columns of numbers beside text are taken for annotations: length: say"):
        container = read_table(path, orientation="features_in_rows")
    assert container.sample_ids.to_list() == ["mass", "a", "b", "c"]  # nothing tells what mass is
    for samples in (["a", "b", "c"], "[abc]"):
        said = read_table(path, orientation="features_in_rows", samples=samples)
        assert said.sample_ids.to_list() == ["a", "b", "c"]
        assert said.assays["proteins"].var.columns == ["_index", "length", "name", "mass", "note"]
        assert values(said, "proteins", "X")["b", "P2"] == 5
    cells = write(tmp_path / "cells.tsv", "id|type", "a|1", "b|2", "c|3")
    with pytest.warns(UserWarning, match="annotations: length, mass"):
        known = read_table(path, cells, orientation="features_in_rows")
    assert known.sample_ids.to_list() == ["a", "b", "c"]
    for wrong, message in (({"samples": ["z"]}, "has no column 'z'"), ({"samples": "z+"}, "no column that fits 'z")):
        with pytest.raises(ValidationError, match=message):
            read_table(path, orientation="features_in_rows", **wrong)
    with pytest.raises(ValidationError, match="it is for features in rows"):
        read_table(path, samples=["a"])


def test_a_report_read_as_a_table_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "lfq.tsv", "peptide|charge|proteins|q_value|a.mzML", "AAK|2|P1|0|5")
    with pytest.warns(UserWarning, match="is a Sage lfq table: read_report reads it"):
        read_table(path, orientation="features_in_rows")
    with pytest.raises(IOFormatError, match="is a Sage lfq table: read_report reads it"):
        read_table(path)


@pytest.mark.parametrize("quoted", ["x", '"x, y"'])
def test_lines_without_their_last_empty_fields(tmp_path: Path, quoted: str) -> None:
    path = write(tmp_path / "proteinGroups.txt", "Protein IDs|Fasta headers|Intensity a|Intensity b|Reverse",
                 f"P1|{quoted}|1", f"P2|{quoted}|2|3", f"P3|{quoted}|4|5|+")  # fmt: skip
    with pytest.warns(
        UserWarning, match=r"proteinGroups\.txt: 2 lines lack fields at their end: they are read as empty"
    ):
        container = read_maxquant(path)
    assert values(container, "proteins", "Intensity") == {
        ("a", "P1"): 1, ("a", "P2"): 2, ("b", "P2"): 3, ("a", "P3"): 4, ("b", "P3"): 5
    }  # fmt: skip
    path.write_text(path.read_text().rstrip("\n") + "\nP4\tz\t1")
    with pytest.raises(IOFormatError, match=r"line 5: 3 fields, the header has 5: the file ends within it"):
        read_maxquant(path)


# ---------------------------------------------------------------- real reports


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def number(text: str | None) -> float:
    return float(text.replace(",", ".")) if text else math.nan


def long_values(
    path: Path, run: str, feature: Callable[[dict[str, str]], str], quantity: str
) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for row in rows_of(path):
        if not math.isnan(number(row[quantity])):
            found[row[run], feature(row)] = number(row[quantity])
    return found


def wide_values(
    path: Path, feature: Callable[[dict[str, str]], str], columns: dict[str, str]
) -> dict[tuple[str, str], float]:
    return {
        (sample, feature(row)): number(row[column])
        for row in rows_of(path)
        for sample, column in columns.items()
        if number(row[column]) > 0
    }


CONDITIONS = [f"{condition}_Sample_Alpha_{n:02d}" for condition in "AB" for n in (1, 2, 3)]


@pytest.fixture
def reports(test_data: Path) -> Path:
    return test_data / "search_engine_reports"


def test_real_reports_with_a_row_a_run(reports: Path) -> None:
    path = reports / "diann_1.9_report.tsv"
    container = read_report(path, layers=["Ms1.Area"])
    for layer in ("Precursor.Quantity", "Precursor.Normalised", "Ms1.Area"):
        assert values(container, "precursors", layer) == long_values(
            path, "Run", lambda row: row["Precursor.Id"], layer
        )
    assert values(container, "proteins", "PG.MaxLFQ") == long_values(
        path, "Run", lambda row: row["Protein.Group"], "PG.MaxLFQ"
    )
    path = reports / "spectronaut_comma.tsv"
    container = read_report(path)
    found = long_values(
        path, "R.FileName", lambda row: f"{row['EG.ModifiedSequence']}.{row['FG.Charge']}", "FG.Quantity"
    )
    assert values(container, "precursors", "FG.Quantity") == found
    assert len(found) == 84
    groups = long_values(path, "R.FileName", lambda row: row["PG.ProteinGroups"], "PG.Quantity")
    assert values(container, "proteins", "PG.Quantity") == groups


def check_wide(path: Path, assay: str, layer: str, feature: Callable[[dict[str, str]], str], columns: dict[str, str],
               size: int) -> ScpContainer:  # fmt: skip
    container = read_report(path)
    assert container.sample_ids.to_list() == list(columns)
    found = wide_values(path, feature, columns)
    assert values(container, assay, layer) == found
    assert len(found) == size
    return container


def test_real_tables_with_a_column_a_run(reports: Path) -> None:
    dda = {f"LFQ_Orbitrap_DDA_Condition_{name}": name for name in CONDITIONS}
    dia = {f"LFQ_Orbitrap_AIF_Condition_{name}": f"LFQ_Orbitrap_AIF_Condition_{name}" for name in CONDITIONS}
    ion = check_wide(
        reports / "fragpipe_combined_ion.tsv", "precursors", "Intensity",
        lambda row: f"{row['Modified Sequence']}.{row['Charge']}", {run: f"{run} Intensity" for run in dda}, 1607,
    )  # fmt: skip
    matched = {
        (run, f"{row['Modified Sequence']}.{row['Charge']}")
        for row in rows_of(reports / "fragpipe_combined_ion.tsv")
        for run in dda
        if row[f"{run} Match Type"] == "MBR" and number(row[f"{run} Intensity"]) > 0
    }
    assert codes(ion, "precursors", "Intensity", MaskCode.MBR) == matched
    check_wide(reports / "sage_lfq.tsv", "precursors", "intensity", lambda row: f"{row['peptide']}.{row['charge']}",
               {run: f"{run}.mzML.gz" for run in dda}, 9282)  # fmt: skip
    check_wide(
        reports / "alphadia_1.10.tsv", "precursors", "intensity", lambda row: row["mod_seq_charge_hash"], dia, 335
    )
    files = {f"F{n}": f"Abundance: F{n}: Sample, Condition{'A' if n < 4 else 'B'}" for n in range(1, 7)}
    check_wide(reports / "proteome_discoverer_PeptideGroups.txt", "peptides", "Abundance",
               lambda row: f"{row['Annotated Sequence']} {row['Modifications']}".strip(), files, 4243)  # fmt: skip


def test_real_tables_of_maxquant(reports: Path) -> None:
    path = reports / "maxquant_proteinGroups_short_rows.txt"
    with pytest.warns(UserWarning, match="813 lines lack fields at their end"):
        container = read_report(path)
    columns = {name.removeprefix("Intensity "): name for name in rows_of(path)[0] if name.startswith("Intensity ")}
    assert values(container, "proteins", "Intensity") == wide_values(path, lambda row: row["Protein IDs"], columns)
    assert len(columns) == 10
    path = reports / "maxquant_evidence.txt"
    with pytest.warns(UserWarning, match="622 lines lack fields at their end"):
        container = read_report(path)
    added: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for row in rows_of(path):
        if number(row["Intensity"]) > 0:
            key = row["Experiment"], f"{row['Modified sequence']}.{row['Charge']}"
            added.setdefault(key, []).append((number(row["Intensity"]), row["Type"]))
    found = values(container, "precursors", "Intensity")
    assert found == pytest.approx({key: sum(amount for amount, _ in rows) for key, rows in added.items()}, rel=1e-12)
    assert values(container, "precursors", "Evidence count") == {key: len(rows) for key, rows in added.items()}
    matched = {key for key, rows in added.items() if {kind for _, kind in rows} == {"MULTI-MATCH"}}
    assert codes(container, "precursors", "Intensity", MaskCode.MBR) == matched
    assert len(matched) > 100


def test_a_real_report_by_the_command(reports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from h5burst import console
    from scpstore.cli import app
    from scpstore.core import equality
    from scpstore.io import load_hdf5

    shutil.copy(reports / "sage_lfq.tsv", tmp_path / "lfq.tsv")
    assert console.run(app, ["convert", str(tmp_path / "lfq.tsv"), str(tmp_path / "a.h5")]) == 0
    assert console.run(app, ["info", str(tmp_path / "lfq.tsv")]) == 0
    assert "Sage lfq table" in capsys.readouterr().out
    loaded = load_hdf5(tmp_path / "a.h5")
    assert equality.difference(loaded.assays, read_sage(tmp_path / "lfq.tsv").assays, "assays") is None
