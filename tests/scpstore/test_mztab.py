"""mzTab files made after the published specification, a TMT set among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scpstore.io import IOFormatError, read_mztab, read_report
from scpstore.io.formats import read_any

METADATA = """COM\tmade by hand
MTD\tmzTab-version\t1.0.0
MTD\tmzTab-mode\tComplete
MTD\tmzTab-type\tQuantification
MTD\tms_run[1]-location\tfile:///data/set_one.raw
MTD\tassay[1]-quantification_reagent\t[PRIDE, PRIDE:0000285, TMT reagent 126, ]
MTD\tassay[1]-ms_run_ref\tms_run[1]
MTD\tassay[1]-sample_ref\tsample[1]
MTD\tassay[2]-quantification_reagent\t[PRIDE, PRIDE:0000286, TMT reagent 127, ]
MTD\tassay[2]-ms_run_ref\tms_run[1]
MTD\tassay[2]-sample_ref\tsample[2]
MTD\tstudy_variable[1]-assay_refs\tassay[1], assay[2]

"""
OF_PROTEINS = [f"protein_abundance_{name}" for name in ("assay[1]", "assay[2]", "study_variable[1]")]
OF_PEPTIDES = [f"peptide_abundance_{name}" for name in ("assay[1]", "assay[2]")]
PROTEINS = "\t".join(["PRH", "accession", "description", "ambiguity_members", *OF_PROTEINS])
PROTEINS += """
PRT\tP1\tfirst "one"\tP9\t10.5\t0\t5.25
PRT\tP2\tnull\tnull\tnull\t2e3\t2000

"""
PEPTIDES = "\t".join(["PEH", "sequence", "accession", "unique", "modifications", "charge", *OF_PEPTIDES])
PEPTIDES += """
PEP\tAAK\tP1\t0\tnull\t2\t1\t2
PEP\tAAK\tP2\t0\tnull\t2\t1\t2
PEP\tCCK\tP1\t1\t1-UNIMOD:4\t3\t3\tnull

"""
SPECTRA = "PSH\tsequence\tPSM_ID\nPSM\tAAK\t1\n"


def made(directory: Path, text: str) -> Path:
    path = directory / "result.mzTab"
    path.write_text(text)
    return path


def test_a_sample_is_an_assay(tmp_path: Path) -> None:
    path = made(tmp_path, METADATA + PROTEINS + PEPTIDES + SPECTRA)
    container = read_mztab(path)
    assert container.sample_ids.to_list() == ["assay[1]", "assay[2]"]  # two channels of a run, no study variable
    assert container.obs["run"].to_list() == ["set_one", "set_one"]
    assert container.obs["reagent"].to_list() == ["TMT reagent 126", "TMT reagent 127"]
    assert container.obs["sample"].to_list() == ["sample[1]", "sample[2]"]
    proteins = container.assays["proteins"]
    np.testing.assert_array_equal(proteins.layers["abundance"].X, [[10.5, np.nan], [0, 2000]])
    np.testing.assert_array_equal(proteins.layers["abundance"].M, [[0, 2], [0, 0]])
    assert proteins.var["description"].to_list() == ['first "one"', None]
    precursors = container.assays["precursors"]
    assert precursors.feature_ids.to_list() == ["AAK.2", "CCK[1-UNIMOD:4].3"]
    assert precursors.var["accession"].to_list() == ["P1;P2", "P1"]
    np.testing.assert_array_equal(precursors.layers["abundance"].X, [[1, 3], [2, np.nan]])
    assert read_report(path).history[0].params["kind"] == "mzTab" == container.history[0].params["kind"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (METADATA + SPECTRA, "no abundances"),
        (METADATA + "PRH\taccession\tprotein_abundance_study_variable[1]\nPRT\tP1\t1\n", "study variables alone"),
        (METADATA + PROTEINS.replace("2e3", "high"), r"line 16, column 'protein_abundance_assay\[2\]': 'high'"),
        (METADATA + PROTEINS.replace("\t2000\n", "\n"), "line 16: 6 fields, the header has 7"),
        (METADATA + PROTEINS.replace("PRT\tP2", "PRT\tP1"), "'P1' appears more than once"),
        (
            METADATA + PEPTIDES.replace("null\t2\t1\t2\nPEP\tCCK", "null\t2\t1\t7\nPEP\tCCK"),
            "with different quantities",
        ),
        (METADATA.replace("1.0.0", "2.0.0-M") + "SMH\tSML_ID\n", "small molecules"),
        ("accession\tx\nP1\t1\n", "is not mzTab"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(IOFormatError, match=message):
        read_mztab(made(tmp_path, text))


OF_GROUPS = "\t".join(["PRH", "accession", "ambiguity_members", *OF_PROTEINS[:2], "opt_global_result_type"])
OF_GROUPS += """
PRT\tP1\tnull\tnull\tnull\tprotein_details
PRT\tP2\tnull\tnull\tnull\tprotein_details
PRT\tP3\tnull\tnull\tnull\tprotein_details
PRT\tP1\tP1\t1.5\tnull\tsingle_protein
PRT\tP2\tP2,P3\t2\t3\tindistinguishable_protein_group
PRT\tP1\tP1,P2,P3\tnull\tnull\tgeneral_protein_group
"""


def test_groups_of_openms_are_features_and_its_rows_about_each_protein_are_none(tmp_path: Path) -> None:
    path = made(tmp_path, METADATA + OF_GROUPS + "PEH\tsequence\tpeptide_abundance_study_variable[1]\nPEP\tAAK\t5\n")
    with pytest.warns(UserWarning, match="peptides are not read: they have study variables alone"):
        container = read_mztab(path)
    proteins = container.assays["proteins"]
    assert proteins.feature_ids.to_list() == ["P1", "P2"]
    assert proteins.var["ambiguity_members"].to_list() == ["P1", "P2,P3"]
    np.testing.assert_array_equal(proteins.layers["abundance"].X, [[1.5, 2], [np.nan, 3]])
    described = OF_GROUPS.replace("P1\tnull\tnull\tnull\tprotein", "P1\tnull\t7\tnull\tprotein")
    with pytest.raises(IOFormatError, match="'P1' appears more than once"):  # a quantity is left out nowhere
        read_mztab(made(tmp_path, METADATA + described))


def test_decoys_of_openms_are_marked(tmp_path: Path) -> None:
    """The row of a group says nothing; the one about its first protein does."""
    header, *rows = OF_GROUPS.splitlines()
    said = {"P1\tnull": "0", "P2\tnull": "1", "P3\tnull": "1"}
    rows = [f"{row}\t{said.get(row[4:11], 'null')}" for row in rows]
    text = "\n".join([f"{header}\topt_global_cv_PRIDE:0000303_decoy_hit", *rows, ""])
    peptides = PEPTIDES.replace("_assay[2]\n", "_assay[2]\topt_global_cv_MS:1002217_decoy_peptide\n")
    peptides = peptides.replace("\t1\t2\n", "\t1\t2\t0\n").replace("\t3\tnull\n", "\t3\tnull\t1\n")
    container = read_mztab(made(tmp_path, METADATA + text + peptides))
    assert container.assays["proteins"].var["decoy"].to_list() == [False, True]
    assert container.assays["precursors"].var["decoy"].to_list() == [False, True]


def test_abundances_that_are_all_null_are_told(tmp_path: Path) -> None:
    nothing = "".join(
        line for line in OF_GROUPS.splitlines(keepends=True) if "single" not in line and "indist" not in line
    )
    with pytest.raises(IOFormatError, match="has abundances of assays that are all null"):
        read_mztab(made(tmp_path, METADATA + nothing))
    with pytest.warns(UserWarning, match="proteins are not read: they have abundances of assays that are all null"):
        container = read_mztab(made(tmp_path, METADATA + nothing + PEPTIDES))
    assert list(container.assays) == ["precursors"]


def test_the_command_converts_it(tmp_path: Path) -> None:
    found = read_any(made(tmp_path, METADATA + PROTEINS))
    np.testing.assert_array_equal(found.assays["proteins"].layers["abundance"].X, [[10.5, np.nan], [0, 2000]])


OF_OPENMS = {
    "MTD": """mzTab-version\t1.0.0
mzTab-mode\tComplete
mzTab-type\tQuantification
mzTab-ID\tmade
description\tmade by hand
protein_search_engine_score[1]\t[MS, MS:1001171, Mascot:score,]
peptide_search_engine_score[1]\t[MS, MS:1001171, Mascot:score,]
protein-quantification_unit\t[PRIDE, PRIDE:0000395, Ratio, ]
fixed_mod[1]\t[UNIMOD, UNIMOD:4, Carbamidomethyl, ]
variable_mod[1]\t[UNIMOD, UNIMOD:35, Oxidation, ]
ms_run[1]-location\tfile:///data/set_one.raw
assay[1]-quantification_reagent\t[PRIDE, PRIDE:0000285, TMT reagent 126, ]
assay[1]-ms_run_ref\tms_run[1]
assay[2]-quantification_reagent\t[PRIDE, PRIDE:0000286, TMT reagent 127, ]
assay[2]-ms_run_ref\tms_run[1]
study_variable[1]-assay_refs\tassay[1], assay[2]
study_variable[1]-description\tboth""",
    "PRT": "P1 first 9606 Human db 1 [,,Mascot,] 50 50 1 1 1 1 P9 null null null 0.4 10.5 20.25 15 1 1\n"
    "P2 second 9606 Human db 1 [,,Mascot,] 50 50 1 1 1 1 null null null null 0.4 null 2000 2000 1 1",
    "PEP": "AAK P1 0 db 1 [,,Mascot,] 50 50 1 null 10 null 2 400.5 null null 1 2 1.5 1 1\n"
    "CCK P1 1 db 1 [,,Mascot,] 50 50 1 1-UNIMOD:4 10 null 3 300.5 null null 3 null 3 1 1",
}
SEARCHED = (
    "database database_version search_engine best_search_engine_score[1] search_engine_score[1]_ms_run[1] reliability"
)
OF_STUDY = "study_variable[1] {0}_abundance_stdev_study_variable[1] {0}_abundance_std_error_study_variable[1]"
ABUNDANCES = "{0}_abundance_assay[1] {0}_abundance_assay[2] {0}_abundance_" + OF_STUDY
HEADERS = {
    "PRT": f"PRH accession description taxid species {SEARCHED} num_psms_ms_run[1] num_peptides_distinct_ms_run[1] "
    "num_peptides_unique_ms_run[1] ambiguity_members modifications uri go_terms protein_coverage "
    + ABUNDANCES.format("protein"),
    "PEP": f"PEH sequence accession unique {SEARCHED} modifications retention_time retention_time_window charge "
    "mass_to_charge uri spectra_ref " + ABUNDANCES.format("peptide"),
}


def test_a_file_that_openms_wrote(tmp_path: Path) -> None:
    """The program reads the file with all columns of the specification, and writes it in its own way."""
    openms = pytest.importorskip("pyopenms")
    lines = [f"MTD\t{line}" for line in OF_OPENMS["MTD"].splitlines()]
    for kind, header in HEADERS.items():
        lines += ["", header.replace(" ", "\t")]
        lines += [f"{kind}\t" + row.replace(" ", "\t") for row in OF_OPENMS[kind].splitlines()]
    path = made(tmp_path, "\n".join(lines).replace("[,,Mascot,]", "[MS, MS:1001207, Mascot, ]") + "\n")
    openms.MzTabFile().store(str(tmp_path / "openms.mzTab"), openms.MzTabFile().load(str(path)))
    assert (tmp_path / "openms.mzTab").read_text() != path.read_text()
    container = read_report(tmp_path / "openms.mzTab")
    assert container.obs.rows() == [
        ("assay[1]", "set_one", "TMT reagent 126"),
        ("assay[2]", "set_one", "TMT reagent 127"),
    ]
    proteins, precursors = container.assays["proteins"], container.assays["precursors"]
    assert (proteins.feature_ids.to_list(), precursors.feature_ids.to_list()) == (
        ["P1", "P2"],
        ["AAK.2", "CCK[1-UNIMOD:4].3"],
    )
    np.testing.assert_array_equal(proteins.layers["abundance"].X, [[10.5, np.nan], [20.25, 2000]])
    np.testing.assert_array_equal(precursors.layers["abundance"].X, [[1, 3], [2, np.nan]])
