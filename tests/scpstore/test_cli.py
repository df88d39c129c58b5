"""The command: what it says, what it makes, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

import h5burst
from h5burst import console
from scpstore import AggregationLink, Assay, ScpContainer, ScpMatrix, load_hdf5
from scpstore.cli import app
from scpstore.core.extras import AssayExtras, RawValues


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


def test_info_of_links_and_extras(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    container = load_hdf5(saved)
    container.add_assay("peptides", Assay(pl.DataFrame({"_index": ["q1"]}), {"X": ScpMatrix(np.ones((2, 1)))}))
    linkage = pl.DataFrame({"source_id": ["q1"], "target_id": ["p1"]})
    container.links.append(AggregationLink("peptides", "proteins", linkage))
    container.extras.uns["colour"] = "red"
    raw = RawValues(np.ones((2, 4)), pl.DataFrame({"_index": list("abcd")}), {})
    container.extras.assays["proteins"] = AssayExtras(varm={"loadings": np.ones((3, 2))}, raw=raw)
    container.save(saved, overwrite=True)
    assert run("info", saved) == 0
    out = capsys.readouterr().out
    assert "link peptides -> proteins: 1 pairs" in out
    assert "uns: colour" in out
    assert "proteins varm: loadings" in out
    assert "proteins raw: 4 features" in out


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


@pytest.mark.filterwarnings("default:.*the mask of layer")
def test_which_layer(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", saved, tmp_path / "b.csv", "--layer", "sparse", "--assay", "proteins") == 0
    assert "b.csv: the mask of layer 'sparse' is left out\n" in capsys.readouterr().err
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
    assert "Unsupported file suffix '.doc'" in fails(capsys, "convert", saved, tmp_path / "a.doc")
    assert "Unsupported file suffix '.doc'" in fails(capsys, "convert", tmp_path / "a.doc", saved)
    assert "File already exists (overwrite=True or --overwrite replaces it)" in fails(capsys, "convert", saved, saved)
    assert "level of gzip (0 to 9), got 'rar'" in fails(
        capsys, "convert", saved, tmp_path / "b.h5", "--compression", "rar"
    )
    assert "Assay 'genes' not found" in fails(
        capsys, "convert", saved, tmp_path / "b.csv", "--assay", "genes", "--layer", "X"
    )
    assert "Layer 'log' not found" in fails(capsys, "convert", saved, tmp_path / "b.csv", "--layer", "log")
    words = ("--compression", "rar", "--level", "44", "--orientation", "sideways", "--cells", "none.csv")
    message = fails(capsys, "convert", tmp_path / "none.h5", tmp_path / "a.doc", *words)
    assert "6 things are wrong: " in message
    for part in ("none.h5", "'.doc'", "'rar'", "got 44", "'sideways'", "No such file: none.csv"):
        assert part in message
    message = fails(capsys, "convert", saved, tmp_path / "b.h5", "--q-value", "0.1", "--orientation", "auto")
    assert "--orientation, --q-value do nothing here" in message
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


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", tmp_path / "none.h5", "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in ("info", "verify", "convert", "diff"))])
def test_help_has_examples(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 0
    out = capsys.readouterr().out
    assert "--debug" in out if words == ["--help"] else f"scptensor {words[0]}" in out


def test_as_a_program(saved: Path) -> None:
    command = [sys.executable, "-c", "import sys; from scpstore.cli import main; sys.exit(main())", "info", str(saved)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "2 samples" in done.stdout


# ---------------------------------------------------------------- options act, or are an error


@pytest.mark.parametrize(
    ("target", "words", "message"),
    [
        ("b.h5", ["--layer", "log"], "Layer 'log' not found"),
        ("b.h5", ["--assay", "genes"], "Assay 'genes' not found"),
        ("b.csv", ["--assay", "genes"], "Assay 'genes' not found"),
        ("b.h5ad", ["--layer", "log"], "Layer 'log' not found"),
        ("b.h5", ["--cells", __file__], "--cells does nothing here"),
        ("b.h5", ["--orientation", "auto"], "--orientation does nothing here"),
        ("b.h5", ["--q-value", "0.01"], "--q-value does nothing here"),
        ("b.h5", ["--make-unique"], "--make-unique does nothing here"),
        ("b.csv", ["--compression", "zstd"], "--compression does nothing here"),
        (
            "b.h5ad",
            ["--level", "3", "--compression", "none"],
            "level 3: without a codec it does nothing",
        ),
        ("b.csv", ["--level", "3"], "--level does nothing here"),
        ("b.h5", ["--level", "3", "--compression", "lzf"], "--level: compression level 3: lzf has no levels"),
        ("b.h5", ["--level", "10"], "level of gzip must be a whole number from 0 to 9, got 10"),
    ],
)
def test_an_option_that_would_not_act_is_an_error(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, words: list[str], message: str
) -> None:
    assert message in fails(capsys, "convert", saved, tmp_path / target, *words)
    assert not (tmp_path / target).exists()


def test_options_select_what_is_written(saved: Path, tmp_path: Path) -> None:
    container = load_hdf5(saved)
    container.add_assay("peptides", container.assays["proteins"])
    container.save(saved, overwrite=True)
    assert run("convert", saved, tmp_path / "b.h5", "--assay", "peptides", "--layer", "sparse") == 0
    written = load_hdf5(tmp_path / "b.h5")
    assert written.list_assays() == ["peptides"]
    assert written.list_layers("peptides") == ["sparse"]


def test_every_file_that_is_written_is_named(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", saved, tmp_path / "b.tsv", "--layer", "X") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(tmp_path / "b.tsv"), str(tmp_path / "b_cells.tsv")]
    assert run("convert", saved, tmp_path / "b.parquet", "--layer", "X", "--json") == 0
    files = json.loads(capsys.readouterr().out)
    assert [Path(item["file"]).name for item in files] == ["b.parquet", "b_cells.parquet"]
    assert all(Path(item["file"]).stat().st_size == item["bytes"] for item in files)


def test_a_report_of_a_search_engine_becomes_a_container(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Run\tProtein.Group\tPG.MaxLFQ\tPG.Q.Value\na\tP1\t1\t0.5\nb\tP1\t2\t0.001\n"
    (tmp_path / "report.tsv").write_text(text)
    assert run("info", tmp_path / "report.tsv") == 0
    assert "DIA-NN report" in capsys.readouterr().out
    assert run("convert", tmp_path / "report.tsv", tmp_path / "a.h5", "--q-value", "0.01") == 0
    assert load_hdf5(tmp_path / "a.h5").assays["proteins"].layers["PG.MaxLFQ"].M.tolist() == [[3], [0]]
    capsys.readouterr()
    assert "--make-unique does nothing" in fails(
        capsys, "convert", tmp_path / "report.tsv", tmp_path / "b.h5", "--make-unique"
    )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import scpstore

    assert run("--version") == 0
    assert scpstore.__version__ in capsys.readouterr().out


def test_info_as_json(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", saved, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["n_samples"], told["n_features"]) == ("container", 2, 3)
    assert told["assays"]["proteins"]["layers"]["sparse"] == {
        "X": "float64, coo, 5 entries", "M": "int8, csr, 0 entries",
    }  # fmt: skip


def test_what_a_file_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import h5py

    with h5py.File(tmp_path / "r.h5", "w") as file:
        file.attrs["hdmea_pipeline_version"] = "1"
    with h5py.File(tmp_path / "o.h5", "w") as file:
        file["x"] = 1
    assert "is not a container: it is a recording of hdmea" in fails(capsys, "info", tmp_path / "r.h5")
    assert "is not a container: it is an HDF5 file of another kind" in fails(capsys, "info", tmp_path / "o.h5")


def test_a_container_with_the_suffix_of_anndata_is_told_for_what_it_is(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved.rename(tmp_path / "x.h5ad")
    assert run("info", tmp_path / "x.h5ad") == 0
    assert "x.h5ad: container" in capsys.readouterr().out
    assert run("convert", tmp_path / "x.h5ad", tmp_path / "y.h5") == 0


def test_verify_looks_at_each_file(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import h5py

    (tmp_path / "bad.h5").write_bytes(saved.read_bytes())
    with h5py.File(tmp_path / "bad.h5", "r+") as file:
        file["assays/proteins/layers/sparse/X_indices"][0] = 77
    (tmp_path / "text.h5").write_text("hello")
    files = [saved, tmp_path / "none.h5", tmp_path / "bad.h5", tmp_path / "text.h5"]
    assert run("verify", *files) == 2  # one is not there
    captured = capsys.readouterr()
    assert f"{saved}: OK" in captured.out
    assert "No such file" in captured.err
    assert "bad.h5: 1 problem\n" in captured.out
    assert "column numbers must be in" in captured.out
    assert "text.h5 is not an HDF5 file" in captured.out
    with h5py.File(tmp_path / "r.h5", "w") as file:
        file.attrs["hdmea_pipeline_version"] = "1"
    assert run("verify", tmp_path / "r.h5") == 1
    assert "it is not a container but a recording of hdmea" in capsys.readouterr().out
    assert run("verify", saved) == 0
    assert run("verify", *files[2:]) == 1
    capsys.readouterr()
    assert run("verify", *files[2:], "--json") == 1
    assert [len(item["problems"]) for item in json.loads(capsys.readouterr().out)] == [1, 1]


def test_diff(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    container = load_hdf5(saved)
    container.save(tmp_path / "same.h5", compression="lzf")
    assert run("diff", saved, tmp_path / "same.h5") == 0
    assert capsys.readouterr().out == "equal\n"
    container.assays["proteins"].layers["X"].X[1, 2] = -7
    container.obs = container.obs.with_columns(batch=pl.lit("z"))
    del container.assays["proteins"].layers["sparse"]
    container.save(tmp_path / "other.h5")
    assert run("diff", saved, tmp_path / "other.h5") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("obs['batch'][0]: 'x' != 'z'")
    assert lines[1] == "assays['proteins'].layers['sparse']: only in the first"
    assert lines[2].startswith("assays['proteins'].layers['X'].X[1, 2]: ")
    assert len(lines) == 3


def test_a_read_fault_names_the_file_that_is_damaged(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lazy = load_hdf5(saved, lazy=True)
    container = load_hdf5(saved)
    container.save(saved, overwrite=True, compression="lzf")
    from scpstore.io import IOFormatError, write_h5ad

    with pytest.raises(IOFormatError, match=r"a\.h5 was changed since.*while it was read for .*b\.h5"):
        lazy.save(tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()
    with pytest.raises(IOFormatError, match=r"a\.h5 was changed since"):
        write_h5ad(lazy, tmp_path / "b.h5ad", "proteins")
    assert not (tmp_path / "b.h5ad").exists()


def test_edits_are_listed_and_taken_back(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5burst.edit(saved, "batches named") as tx:
        tx.set_attributes((), {"note": "x"})
    assert run("log", saved) == 0
    assert "batches named" in capsys.readouterr().out
    assert run("undo", saved) == 0
    assert "note" not in h5burst.read_tree(saved).attrs
    assert run("restore", saved, "--at", "1") == 0
    assert h5burst.read_tree(saved).attrs["note"] == "x"
    assert load_hdf5(saved).n_samples == 2
    assert run("undo", saved) == 0
    assert run("undo", saved) == 1


def test_earlier_states_are_described_and_converted(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5burst.edit(saved, "no sparse layer") as tx:
        assert tx.remove(("assays", "proteins", "layers", "sparse"))
    assert run("info", saved) == 0
    assert "sparse" not in capsys.readouterr().out
    assert run("info", saved, "--at", "0") == 0
    assert "float64, coo, 5 entries" in capsys.readouterr().out
    before = saved.with_name("before.h5")
    assert run("convert", saved, before, "--at", "-2") == 0
    assert list(load_hdf5(before).assays["proteins"].layers) == ["X", "sparse"]
    assert list(load_hdf5(saved, at=0, lazy=True).assays["proteins"].layers) == ["X", "sparse"]
    assert list(load_hdf5(saved).assays["proteins"].layers) == ["X"]
    capsys.readouterr()
    assert run("info", saved, "--at", "7") != 0
    assert "there is no state 7" in capsys.readouterr().err
    table = saved.with_name("table.csv")
    assert run("convert", saved, table, "--assay", "proteins", "--layer", "X") == 0
    assert run("info", table, "--at", "0") != 0
    assert "--at does nothing here" in capsys.readouterr().err
