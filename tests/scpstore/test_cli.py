"""The command: what it says, what it makes, and how it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from h5burst import console
from scpstore import Assay, ScpContainer, ScpMatrix, load_hdf5
from scpstore.cli import app


def run(*words: str | Path) -> int:
    return console.run(app, [str(word) for word in words])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    X = np.arange(6.0).reshape(2, 3)
    var = pl.DataFrame({"_index": ["p1", "p2", "p3"], "gene": ["a", "b", "c"]})
    layers = {"X": ScpMatrix(X), "sparse": ScpMatrix(sp.coo_matrix(X), sp.csr_matrix((2, 3), dtype=np.int8))}
    container = ScpContainer(
        pl.DataFrame({"_index": ["s1", "s2"], "batch": ["x", "y"]}), {"proteins": Assay(var, layers)}
    )
    container.log_operation("made", {}, software_version="7.1")
    container.save(tmp_path / "a.h5")
    return tmp_path / "a.h5"


def test_info(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", saved) == 0
    out = capsys.readouterr().out
    for text in ("2 samples, 3 features", "IDs in '_index'; batch", "assay proteins: 3 features", "gene"):
        assert text in out
    assert "float64, coo, 5 entries" in out
    assert "made (7.1)" in out


def test_h5_to_h5(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", saved, tmp_path / "b.hdf5", "--compression", "none") == 0
    assert load_hdf5(tmp_path / "b.hdf5") == load_hdf5(saved)
    assert "b.hdf5: " in capsys.readouterr().out


def test_csv_h5_h5ad_and_back(tmp_path: Path) -> None:
    pytest.importorskip("anndata")
    (tmp_path / "m_data.csv").write_text(",P1,P2\ns1,1.5,\ns2,-2.25,0.1\n")
    (tmp_path / "types.csv").write_text("id,kind\ns1,a\ns2,b\n")
    steps = [
        ("m_data.csv", "a.h5", "--cells", tmp_path / "types.csv"),
        ("a.h5", "b.h5ad"),
        ("b.h5ad", "c.h5"),
        ("c.h5", "d_data.csv"),
    ]
    for source, target, *options in steps:
        assert run("convert", tmp_path / source, tmp_path / target, *options) == 0, (source, target)
    assert (tmp_path / "d_data.csv").read_text() == (tmp_path / "m_data.csv").read_text()
    assert (tmp_path / "d_cells.csv").read_text() == "_index,kind\ns1,a\ns2,b\n"
    container = load_hdf5(tmp_path / "c.h5")
    assert container.assays["proteins"].X[1].tolist() == [-2.25, 0.1]


def test_which_layer(saved: Path, tmp_path: Path) -> None:
    assert run("convert", saved, tmp_path / "b.csv", "--layer", "sparse", "--assay", "proteins") == 0
    assert (tmp_path / "b.csv").read_text().splitlines()[1] == "s1,0.0,1.0,2.0"


def fails(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    errors = [line for line in captured.err.splitlines() if not line.startswith("warning: ")]
    assert len(errors) == 1
    assert "Traceback" not in captured.err
    return errors[0]


def test_errors_are_one_line(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No such file" in fails(capsys, "info", tmp_path / "none.h5")
    assert "Unsupported file suffix '.txt'" in fails(capsys, "convert", saved, tmp_path / "a.txt")
    assert "File already exists (--overwrite replaces it)" in fails(capsys, "convert", saved, saved)
    assert "compression must be one of" in fails(capsys, "convert", saved, tmp_path / "b.h5", "--compression", "rar")
    assert "Assay 'genes' not found" in fails(
        capsys, "convert", saved, tmp_path / "b.csv", "--assay", "genes", "--layer", "X"
    )
    assert "Layer 'log' not found" in fails(capsys, "convert", saved, tmp_path / "b.csv", "--layer", "log")
    (tmp_path / "secret.h5").write_bytes(b"Salted__" + bytes(64))
    assert "is encrypted by OpenSSL" in fails(capsys, "info", tmp_path / "secret.h5")


def test_overwrite(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "b.h5").write_text("old")
    assert run("convert", saved, tmp_path / "b.h5", "--overwrite") == 0
    assert load_hdf5(tmp_path / "b.h5") == load_hdf5(saved)


def test_a_choice_that_must_be_made_lists_the_names(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    container = load_hdf5(saved)
    container.add_assay("peptides", container.assays["proteins"])
    container.save(saved, overwrite=True)
    assert "choose with --assay one of: proteins, peptides" in fails(capsys, "convert", saved, tmp_path / "b.csv")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run("info", tmp_path / "none.h5", "--debug")


@pytest.mark.parametrize("words", [["--help"], ["info", "--help"], ["convert", "--help"]])
def test_help_has_examples(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 0
    out = capsys.readouterr().out
    assert "--debug" in out if words == ["--help"] else f"scptensor {words[0]}" in out


def test_as_a_program(saved: Path) -> None:
    command = [sys.executable, "-c", "import sys; from scpstore.cli import main; sys.exit(main())", "info", str(saved)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "2 samples" in done.stdout
