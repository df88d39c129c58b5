"""Tables of modification sites and matrices of genes: their samples are runs or experiments, whatever else is a column.

The tables are made after the columns that the vendors publish.
"""

# ruff: noqa: E501  (a table is a line a row)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scpstore import MaskCode, ScpContainer
from scpstore.core import ValidationError
from scpstore.io import IOFormatError, read_diann, read_fragpipe, read_maxquant, read_report

SITE = "Proteins|Positions within proteins|Protein|Localization prob|Amino acid|Position|Sequence window"


def write(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join(line.replace("|", "\t") for line in (header, *rows)) + "\n")
    return path


def values(container: ScpContainer, assay: str, layer: str) -> dict[tuple[str, str], float]:
    part = container.assays[assay]
    return {
        (sample, feature): value
        for sample, row in zip(container.sample_ids, part.layers[layer].X, strict=True)
        for feature, value in zip(part.feature_ids, row, strict=True)
        if not np.isnan(value)
    }


# ---------------------------------------------------------------- MaxQuant


def test_multiplicities_of_sites_are_layers(tmp_path: Path) -> None:
    header = (
        f"{SITE}|Localization prob a|Intensity|Intensity___1|Intensity___2|Intensity a|Intensity b|Intensity a___1"
        "|Intensity a___2|Intensity b___1|Intensity b___2|Ratio mod/base|Ratio mod/base a|Reverse|Potential contaminant|id"
    )
    rows = [
        "P1;P2|5;6|P1|0.9|S|5|AASAA|0.8|10|6|4|7|3|5|2|3|0|NaN|0.5||+|0",
        "REV__P3|9|REV__P3|1|T|9|AATAA|1|8|8|0|8|0|8|0|0|0|NaN|NaN|+||1",
    ]
    path = write(tmp_path / "Phospho (STY)Sites.txt", header, *rows)
    container = read_report(path)
    assert container.history[0].params["kind"] == "MaxQuant sites"
    assert container.sample_ids.to_list() == ["a", "b"]
    assert container.list_layers("sites") == ["Intensity", "Intensity___1", "Intensity___2"]
    assert values(container, "sites", "Intensity") == {("a", "P1_S5"): 7, ("b", "P1_S5"): 3, ("a", "REV__P3_T9"): 8}
    assert values(container, "sites", "Intensity___1") == {("a", "P1_S5"): 5, ("b", "P1_S5"): 3, ("a", "REV__P3_T9"): 8}
    assert values(container, "sites", "Intensity___2") == {("a", "P1_S5"): 2}
    assert container.assays["sites"].layers["Intensity___2"].M.tolist() == [
        [MaskCode.VALID, MaskCode.LOD],
        [MaskCode.LOD, MaskCode.LOD],
    ]
    var = container.assays["sites"].var
    assert var["Localization prob"].to_list() == ["0.9", "1"]
    assert (var["reverse"].to_list(), var["contaminant"].to_list()) == ([False, True], [True, False])
    asked = read_maxquant(path, drop=["reverse"], layers=["Localization prob"])
    assert values(asked, "sites", "Localization prob") == {("a", "P1_S5"): 0.8}


def test_channels_of_sites_are_samples(tmp_path: Path) -> None:
    header = (
        f"{SITE}|id|Intensity|Intensity___1|Intensity s|Intensity s___1|Reporter intensity 1|Reporter intensity 1___1"
        "|Reporter intensity 1 s___1|Reporter intensity 1 s___2|Reporter intensity 2 s___1|Reporter intensity count 2 s___1"
    )
    container = read_report(write(tmp_path / "s.txt", header, "P1|5|P1|1|S|5|ASA|0|1|2|3|4|5|6|7|8|9|0"))
    assert container.sample_ids.to_list() == ["s_1", "s_2"]
    assert container.obs["channel"].to_list() == ["1", "2"]
    assert values(container, "sites", "Reporter intensity___1") == {("s_1", "P1_S5"): 7, ("s_2", "P1_S5"): 9}
    assert values(container, "sites", "Reporter intensity___2") == {("s_1", "P1_S5"): 8}
    assert values(container, "sites", "Reporter intensity count___1") == {("s_2", "P1_S5"): 0}  # a count of 0 is one
    assert container.assays["sites"].var["Intensity s"].to_list() == [3]


def test_labels_of_sites_are_layers(tmp_path: Path) -> None:
    header = (
        f"{SITE}|id|Intensity L|Intensity H|Intensity L___1|Intensity x|Intensity L x|Intensity H x|Intensity L x___1"
        "|Intensity H x___1|Ratio H/L x|Ratio H/L x___1|Ratio H/L normalized x___1"
    )
    container = read_report(write(tmp_path / "s.txt", header, "P1|5|P1|1|S|5|ASA|0|1|2|3|4|5|6|7|8|9|10|11"))
    assert container.sample_ids.to_list() == ["x"]
    found = {name: values(container, "sites", name)["x", "P1_S5"] for name in container.list_layers("sites")}
    assert found == {
        "Intensity": 4,
        "Intensity L": 5,
        "Intensity H": 6,
        "Intensity L___1": 7,
        "Intensity H___1": 8,
        "Ratio H/L": 9,
        "Ratio H/L___1": 10,
        "Ratio H/L normalized___1": 11,
    }


def test_sites_without_experiments_are_one_sample(tmp_path: Path) -> None:
    path = write(tmp_path / "s.txt", f"{SITE}|id|Intensity|Intensity___1|Intensity___2", "P1|5|P1|1|S|5|ASA|0|5|3|2")
    with pytest.warns(UserWarning, match="all its raw files are one sample") as warned:
        container = read_maxquant(path)
    assert len(warned) == 1
    assert container.sample_ids.to_list() == ["all"]
    assert values(container, "sites", "Intensity___2") == {("all", "P1_S5"): 2}


def test_sites_of_one_name_are_told_apart_by_their_number(tmp_path: Path) -> None:
    rows = ["P1|5|P1|1|S|5|ASA|7|1", "P1|5|P1|1|S|5|CSC|8|2", "|||1|S||ASA|9|3"]
    container = read_maxquant(write(tmp_path / "s.txt", f"{SITE}|id|Intensity a", *rows))
    assert values(container, "sites", "Intensity") == {("a", "P1_S5.7"): 1, ("a", "P1_S5.8"): 2, ("a", "_S"): 3}
    with pytest.raises(IOFormatError, match="expected the columns of a site: id, found"):
        read_maxquant(write(tmp_path / "t.txt", f"{SITE}|Intensity a", "P1|5|P1|1|S|5|ASA|1"))


def test_peptides_by_modification_are_refused(tmp_path: Path) -> None:
    header = "Sequence|Modifications|Mass|Mass Fractional Part|Protein Groups|Proteins|Charges|Intensity|Intensity a"
    path = write(tmp_path / "modificationSpecificPeptides.txt", header, "AAK|Oxidation (M)|1|1|0|P1|2|3|3")
    for read in (read_report, read_maxquant):
        with pytest.raises(
            IOFormatError, match="is MaxQuant's modificationSpecificPeptides: read peptides, or evidence"
        ):
            read(path)


# ---------------------------------------------------------------- Spectronaut


def test_sites_of_spectronaut(tmp_path: Path) -> None:
    """A row a run and site; the quantities of a protein repeat. Long and pivoted."""
    header = "R.FileName|PG.ProteinGroups|PG.Quantity|PTM.CollapseKey|PTM.SiteAA|PTM.SiteProbability|PTM.Quantity"
    rows = ["a|P1|50|P1_S3_M1|S|0.99|4", "a|P1|50|P1_S8_M1|S|0.8|Filtered", "b|P1|60|P1_S3_M1|S|0.9|6"]
    container = read_report(write(tmp_path / "sites.tsv", header, *rows), layers=["PTM.SiteProbability"])
    assert values(container, "sites", "PTM.Quantity") == {("a", "P1_S3_M1"): 4, ("b", "P1_S3_M1"): 6}
    assert values(container, "sites", "PTM.SiteProbability")["a", "P1_S8_M1"] == 0.8
    assert values(container, "proteins", "PG.Quantity") == {("a", "P1"): 50, ("b", "P1"): 60}
    assert container.assays["sites"].var["PTM.SiteAA"].to_list() == ["S", "S"]
    (link,) = container.links
    assert (link.source_assay, link.target_assay) == ("sites", "proteins")
    assert link.linkage.rows() == [("P1_S3_M1", "P1"), ("P1_S8_M1", "P1")]
    with pytest.raises(IOFormatError, match=r"'P1_S3_M1' of run 'a' appears with different quantities"):
        read_report(write(tmp_path / "sites.tsv", header, *rows, rows[0].replace("|4", "|5")))
    of_runs = "[1] a.raw.PTM.Quantity|[2] b.raw.PTM.Quantity|[1] a.raw.PG.Quantity|[2] b.raw.PG.Quantity"
    pivoted = ["P1|P1_S3_M1|4|6|50|60", "P1|P1_S8_M1|Filtered|NaN|50|60"]
    wide = read_report(write(tmp_path / "p.tsv", f"PG.ProteinGroups|PTM.CollapseKey|{of_runs}", *pivoted))
    for assay, layer in (("sites", "PTM.Quantity"), ("proteins", "PG.Quantity")):
        assert values(wide, assay, layer) == values(container, assay, layer)


# ---------------------------------------------------------------- FragPipe


def test_sites_of_fragpipe(tmp_path: Path) -> None:
    """Two sites of a protein are two features; what is best of all samples is no sample."""
    header = (
        "Index|Gene|Protein|Protein ID|Entry Name|Start|End|SequenceWindow|Peptide|Best Localization|a Localization"
        "|a Intensity|b Intensity|a MaxLFQ Intensity|b MaxLFQ Intensity"
    )
    rows = ["P1_S3|G|sp/P1|P1|E|1|3|AS|AAS|0.9|0.9|4|0|5|6", "P1_S7|G|sp/P1|P1|E|5|7|CS|CCS|0.7|0.7|1|2|0|3"]
    path = write(tmp_path / "combined_site_STY_79.9663.tsv", header, *rows)
    container = read_report(path)
    assert container.sample_ids.to_list() == ["a", "b"]
    assert container.list_layers("sites") == ["Intensity", "MaxLFQ Intensity"]
    assert values(container, "sites", "Intensity") == {("a", "P1_S3"): 4, ("a", "P1_S7"): 1, ("b", "P1_S7"): 2}
    assert values(container, "sites", "MaxLFQ Intensity") == {("a", "P1_S3"): 5, ("b", "P1_S3"): 6, ("b", "P1_S7"): 3}
    assert container.assays["sites"].var["Best Localization"].to_list() == ["0.9", "0.7"]
    assert "a Localization" in read_fragpipe(path, annotations=["a Localization"]).assays["sites"].var.columns
    unnamed = write(tmp_path / "combined_site_M_15.9949.tsv", header.replace("Index", "Number"), rows[0])
    with pytest.raises(IOFormatError, match="expected the column Index, which names the sites"):
        read_report(unnamed)


def test_modified_peptides_of_fragpipe(tmp_path: Path) -> None:
    header = (
        "Peptide Sequence|Modified Sequence|Prev AA|Next AA|Start|End|Peptide Length|Charges|Assigned Modifications|Protein"
        "|Protein ID|a Spectral Count|b Spectral Count|a Intensity|b Intensity|a Match Type|b Match Type|a Localization"
    )
    rows = ["AAS|AAS|K|L|1|3|3|2||sp/P1|P1|1|0|4|5|MS/MS|MBR|", "AAS|AAS[167]|K|L|1|3|3|2, 3|3S(79.9)|sp/P1|P1|2|0|6|0|MS/MS|unmatched|AAS(0.9)"]  # fmt: skip
    container = read_report(write(tmp_path / "combined_modified_peptide.tsv", header, *rows))
    assert container.sample_ids.to_list() == ["a", "b"]
    assert values(container, "peptides", "Intensity") == {("a", "AAS"): 4, ("b", "AAS"): 5, ("a", "AAS[167]"): 6}
    assert container.assays["peptides"].layers["Intensity"].M.tolist() == [[0, 0], [MaskCode.MBR, MaskCode.LOD]]
    assert container.assays["peptides"].var["Peptide Sequence"].to_list() == ["AAS", "AAS"]


# ---------------------------------------------------------------- DIA-NN


@pytest.mark.parametrize(("name", "layer"), [
    ("report.gg_matrix.tsv", "Genes.MaxLFQ"), ("report.unique_genes_matrix.tsv", "Genes.MaxLFQ.Unique"),
])  # fmt: skip
@pytest.mark.parametrize("counts", [(), ("N.Sequences", "N.Proteotypic.Sequences")])
def test_matrices_of_genes(tmp_path: Path, name: str, layer: str, counts: tuple[str, ...]) -> None:
    header = "|".join(["Genes", *counts, "D:\\data\\a.raw", "D:\\data\\b.raw"])
    rows = [
        "|".join([gene, *("3" for _ in counts), *numbers]) for gene, numbers in (("ACTB", "12"), ("GAPDH", ["", "4"]))
    ]
    container = read_report(write(tmp_path / name, header, *rows))
    assert container.sample_ids.to_list() == ["a", "b"]
    assert container.list_layers("genes") == [layer]
    assert values(container, "genes", layer) == {("a", "ACTB"): 1, ("b", "ACTB"): 2, ("b", "GAPDH"): 4}
    assert container.assays["genes"].var.columns == ["_index", *counts]
    with pytest.raises(ValidationError, match="is no protein matrix: precursors go beside one"):
        read_diann(tmp_path / name, precursors=tmp_path / name)


def test_genes_beside_other_columns_are_no_report(tmp_path: Path) -> None:
    """Only the names of raw files tell whose matrix it is."""
    path = write(tmp_path / "a.tsv", "Genes|a|b", "ACTB|1|2")
    with pytest.raises(IOFormatError, match="is not a report of"):
        read_report(path)
    assert read_diann(path).sample_ids.to_list() == ["a", "b"]


def test_phosphosites_of_diann_are_refused(tmp_path: Path) -> None:
    header = "Protein|Protein.Names|Gene.Names|Residue|Site|Sequence|D:\\a.raw"
    path = write(tmp_path / "report.phosphosites_90.tsv", header, "P1|N|G|S|5|AASAA|7")
    for read in (read_report, read_diann):
        with pytest.raises(
            IOFormatError, match="is DIA-NN's matrix of phosphosites, which has no reader: read the main"
        ):
            read(path)
