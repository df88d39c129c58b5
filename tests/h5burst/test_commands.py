"""The commands of h5burst: what they print for people and for programs, and their exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, Storage, console, describing
from h5burst.cli import app

COMMANDS = ("ls", "info", "cat", "diff", "repack", "verify", "salvage", "doctor", "bench")
TABLE = np.array([(1, 2.5, b"a"), (2, 3.5, b"b,c")], [("n", "i4"), ("x", "f8"), ("t", "S4")])


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    arrays = {
        "values": Array(np.arange(24.0).reshape(6, 4), {"unit": "s"}),
        "table": Array(TABLE),
        "text": Array(np.array(["a", "b c", ""], object)),
        "single": Array(np.asarray(5)),
        "large": Array(np.zeros(50_000), storage=Storage("gzip", maxshape=(None,))),
    }
    h5burst.write_tree(tmp_path / "a.h5", Group({"g": Group(dict(arrays), {"made": "here"})}))
    return tmp_path / "a.h5"


def said(capsys: pytest.CaptureFixture[str], *words: Any, code: int = 0) -> str:
    assert console.run(app, [str(word) for word in words]) == code, capsys.readouterr()
    return capsys.readouterr().out


def test_all_commands_are_there_and_explain_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    whole = said(capsys, "--help")
    for name in COMMANDS:
        assert name in whole
        text = said(capsys, name, "--help")
        assert "Examples" in text
        assert f"h5burst {name}" in text


def test_ls_shows_what_is_below_a_path(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "ls", f"{path}::/g", "-a").splitlines()
    assert lines[0] == "/g"
    assert "  @made = here" in lines
    assert ["values", "6x4", "float64", "192", "B"] in [line.split() for line in lines]
    assert lines[-1].startswith("5 datasets, ")
    content = json.loads(said(capsys, "ls", path, "--depth", 1, "--json"))
    assert [item["path"] for item in content["objects"]] == ["/", "/g"]


def test_ls_does_not_look_for_dead_space(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Any) -> int:
        raise AssertionError("every structure of the file was gone through")

    monkeypatch.setattr(describing, "space", refused)
    assert "5 datasets, " in said(capsys, "ls", path)
    with pytest.raises(AssertionError, match="gone through"):
        h5burst.info(path)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """What h5py writes and numpy has no short name for."""
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        record = np.dtype([("a", "i4"), ("n", [("x", "f8"), ("y", "S3")]), ("v", "f4", (2, 2))])
        file["records"] = np.zeros(2, record)
        file.create_dataset("ragged", (2,), h5py.vlen_dtype("i4"))[:] = [np.array([1, 2], "i4"), np.array([], "i4")]
        file.create_dataset("kinds", data=[1, 0], dtype=h5py.enum_dtype({"ON": 1, "OFF": 0}, "i1"))
        file["opaque"] = np.array([b"ab"], "V2")
        file["to"] = np.array([file["kinds"].ref], h5py.ref_dtype)
        file.create_dataset("region", (1,), h5py.regionref_dtype)[0] = file["kinds"].regionref[:1]
        file["type"] = record
        file["link"] = h5py.SoftLink("/kinds")
        file.attrs["words"] = np.array([b"one", b"two"])
    return tmp_path / "foreign.h5"


def test_ls_is_aligned_and_names_all_types(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "ls", foreign, "-a").splitlines()
    assert [line for line in lines if "/" not in line[:1] and "(" not in line][:-1] == [
        "  @words = [one two]",
        "  kinds    2  enum int8                                 2 B",
        "  opaque   1  opaque[2]                                 2 B",
        "  ragged   2  sequence of int32                         32 B",
        "  records  2  {a: int32, n: {x: float64, y: text ascii[3]}, v: float32[2,2]}  62 B",
        "  region   1  region reference                          12 B",
        "  to       1  object reference                          8 B",
    ]
    assert [line for line in lines if "(" in line] == ["  link  (link to /kinds)", "  type  (datatype)"]
    assert lines[-1].startswith("6 datasets, ")
    assert "\n1 dataset, " in said(capsys, "ls", f"{foreign}::/to")


def test_cat_prints_a_row_a_line_whatever_the_type(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = {name: said(capsys, "cat", f"{foreign}::/{name}").splitlines() for name in ("records", "to", "region")}
    assert printed["records"] == ["0 (0.0, ) [[0.0 0.0] [0.0 0.0]]"] * 2
    assert (printed["to"], printed["region"]) == (["/kinds"], ["/kinds (region)"])
    assert said(capsys, "cat", f"{foreign}::/records", "--csv").splitlines()[1] == '0,"(0.0, )",[[0.0 0.0] [0.0 0.0]]'
    as_json = {name: said(capsys, "cat", f"{foreign}::/{name}", "--json") for name in ("to", "ragged", "opaque")}
    assert {name: json.loads(text) for name, text in as_json.items()} == {
        "to": ["/kinds"],
        "ragged": [[1, 2], []],
        "opaque": ["ab"],
    }
    for name in ("type", "nothing"):
        assert console.run(app, ["cat", f"{foreign}::/{name}"]) == 2
        assert f"there is no dataset /{name} (h5burst ls -a" in capsys.readouterr().err


def test_info_tells_storage_and_dead_space(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5burst.edit(path) as tx:
        tx.put(("g", "dead"), Array(np.random.default_rng(0).normal(size=100_000)))
    with h5burst.edit(path) as tx:
        tx.remove(("g", "dead"))
    content = json.loads(said(capsys, "info", path, "--json"))
    assert (content["history_bytes"] > 800_000, content["dead_bytes"]) == (True, 0)
    text = said(capsys, "info", path)
    assert "%): h5burst repack drops it" in text
    assert "%): earlier states and messages, which whoever gets the file can read" in text
    found = h5burst.info(path, "/g/large")
    assert (found.datasets, found.groups, len(found.objects)) == (1, 0, 1)
    item = found.objects[0]
    assert (item.shape, item.maxshape, item.nbytes, item.hard_links) == ((50_000,), (None,), 400_000, 1)
    text = said(capsys, "info", f"{path}::/g/large")
    for part in ("50000", "…", "shuffle gzip-4 fletcher32", "390.6 KiB"):
        assert part in text
    size = path.stat().st_size
    assert size == content["bytes"] + content["reserve_bytes"]
    assert content["live_bytes"] + content["history_bytes"] == content["bytes"]
    saved = h5burst.compact(path)
    assert content["history_bytes"] <= saved < content["history_bytes"] + 100
    assert h5burst.info(path).bytes == content["bytes"] - saved
    assert h5burst.info(path).dead_bytes == 0


@pytest.mark.parametrize(
    ("selection", "expected"),
    [("", slice(None)), ("1:3", slice(1, 3)), ("::2,1", (slice(None, None, 2), 1)), ("-1", -1), ("1,2", (1, 2)),
     ("2,::-1", (2, slice(None, None, -1))), ("4:1:-2", slice(4, 1, -2)), ("9:", slice(9, None))],
)  # fmt: skip
def test_cat_prints_what_numpy_selects(
    path: Path, capsys: pytest.CaptureFixture[str], selection: str, expected: Any
) -> None:
    wanted = np.arange(24.0).reshape(6, 4)[expected]
    assert json.loads(said(capsys, "cat", f"{path}::/g/values", "--slice", selection, "--json")) == wanted.tolist()
    lines = said(capsys, "cat", f"{path}::/g/values", "--slice", selection).split()
    assert [float(word) for word in lines] == wanted.reshape(-1).tolist()


def test_cat_prints_tables_text_and_attributes(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.reader(io.StringIO(said(capsys, "cat", f"{path}::/g/table", "--csv"))))
    assert rows == [["n", "x", "t"], ["1", "2.5", "a"], ["2", "3.5", "b,c"]]
    assert json.loads(said(capsys, "cat", f"{path}::/g/table", "--json"))[1] == {"n": 2, "x": 3.5, "t": "b,c"}
    assert said(capsys, "cat", f"{path}::/g/text") == "a\nb c\n\n"
    assert said(capsys, "cat", f"{path}::/g/single") == "5\n"
    assert said(capsys, "cat", f"{path}::/g/values", "--attribute", "unit") == "s\n"


def test_diff_exits_with_1_for_differences(path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = tmp_path / "b.h5"
    h5burst.repack(path, other, compression=None)
    assert said(capsys, "diff", path, other) == "no difference\n"
    with h5burst.edit(other) as tx:
        tx.put(("g", "single"), Array(np.asarray(6)))
    assert "/g/single: 1 of 1 values differ, by at most 1" in said(capsys, "diff", path, other, code=1)
    assert said(capsys, "diff", path, other, "--atol", 1) == "no difference\n"
    assert said(capsys, "diff", f"{path}::/g/text", f"{other}::/g/text") == "no difference\n"
    assert len(json.loads(said(capsys, "diff", path, other, "--json", code=1))["differences"]) == 1


def test_repack_replaces_or_copies_and_tells_the_gain(
    path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = h5burst.read_tree(path)
    assert " saved" in said(capsys, "repack", path, "--compression", "none", "-o", "plain.h5") + " saved"
    content = json.loads(said(capsys, "repack", "plain.h5", "-c", "gzip", "-l", 1, "--json"))
    assert content[0]["saved_bytes"] > 300_000
    assert h5burst.diff(path, tmp_path / "plain.h5") == []
    (tmp_path / "out").mkdir()
    said(capsys, "repack", path, "plain.h5", "-o", "out", "--select", "/g/table")
    assert sorted(os.listdir("out")) == ["a.h5", "plain.h5"]
    assert list(h5burst.read_tree("out/a.h5").children["g"].children) == ["table"]  # type: ignore[union-attr]
    assert list(before.children) == ["g"]


def test_repack_goes_on_after_a_file_that_fails(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(app, ["repack", "missing.h5", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: No such file: missing.h5\n"
    assert str(path) in captured.out


def test_all_that_is_wrong_with_a_repack_is_in_one_message(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = path.read_bytes()
    for codec, wrong in (("gzip", "got 44"), ("rar", "compression must be one of")):
        assert console.run(app, ["repack", str(path), "-c", codec, "-l", "44", "--select", "/g/table"]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("error: 2 things are wrong: ")
        for part in (wrong, "give --output, too"):
            assert part in captured.err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (["repack", "{}", "-c", "lzf", "-l", "4"], "level 4: lzf has no levels: leave the level out"),
        (["repack", "{}", "-c", "none", "-l", "4"], "level 4: without a codec it does nothing"),
        (["repack", "{}", "-l", "4"], "a level without a codec"),
        (["cat", "{}::/g/table", "--csv", "--json"], "--csv and --json are two forms of one output"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    path: Path, capsys: pytest.CaptureFixture[str], request_: list[str], message: str
) -> None:
    before = path.read_bytes()
    assert console.run(app, [word.format(path) for word in request_]) == 2
    assert message in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize("options", [[], ["--csv"]])
def test_values_are_no_commands_to_the_terminal(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.h5"
    h5burst.save(path, {"text": np.array(["a\x1b[31m", "b\x07"], object)})
    assert said(capsys, "cat", f"{path}::/text", *options) == "a\x1b[31m\nb\x07\n"  # to a file or a program, as it is
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert said(capsys, "cat", f"{path}::/text", *options) == "a\\x1b[31m\nb\\x07\n"


@pytest.mark.parametrize("command", [["ls", "-a"], ["info"]])
def test_names_and_attributes_are_no_commands_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file.attrs["key\x1b[2J"] = "value\x1b[2J\nmore\u202e"
        file["line\nbreak\x1b[31m"] = np.zeros(2, [("field\x1b[0m", "f4")])
        file["größe"] = 1
    printed = said(capsys, *command, tmp_path / "odd.h5")
    assert all(line.isprintable() for line in printed.splitlines())
    assert r"@key\x1b[2J" in printed
    assert r"value\x1b[2J more\u202e" in printed
    if command[0] == "ls":
        assert r"  line\nbreak\x1b[31m" in printed
        assert r"{field\x1b[0m: " in printed
        assert "  größe" in printed


def test_salvage_exits_with_1_and_a_list(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "0 losses" in said(capsys, "salvage", path, "whole.h5")
    with h5py.File(path) as file:
        place = file["g/large"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[place] ^= 255
    path.write_bytes(data)
    text = said(capsys, "salvage", path, "saved.h5", code=1)
    assert text.startswith("lost: /g/large: the chunk from element (0,) on")
    lost = json.loads(said(capsys, "salvage", path, "saved.h5", "--overwrite", "--json", code=1))["lost"]
    assert [problem["path"] for problem in lost] == ["/g/large"]


def test_quiet_says_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["ls", path], ["info", path], ["cat", f"{path}::/g/text"], ["diff", path, path], ["repack", path]):
        assert said(capsys, *words, "--quiet") == ""


# ---------------------------------------------------------------- doctor


def test_doctor_tells_versions_and_tries_the_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = json.loads(said(capsys, "doctor", "-d", tmp_path, "--json"))
    found = {item["name"]: item for item in reversed(findings)}
    assert found["h5burst"]["value"].startswith(h5burst.__version__)
    assert h5py.version.hdf5_version in found["h5py"]["value"]
    assert found["locks"]["value"] == "work"
    assert "MB/s" in found["writing"]["value"]
    assert "gzip" in found["write and read"]["value"]
    assert os.listdir(tmp_path) == []


def test_doctor_tells_of_wrong_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("H5BURST_NUM_THREADS", "many")
    monkeypatch.setenv("H5BURST_SCRATCH", str(tmp_path / "nowhere"))
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    text = said(capsys, "doctor", "--directory", tmp_path, code=1)
    problems = [line for line in text.splitlines() if line.startswith("problem: ")]
    for part in ("correct H5BURST_NUM_THREADS", "H5BURST_SCRATCH", "two writers may lose data"):
        assert any(part in line for line in problems), part


def test_doctor_warns_of_releases_that_were_not_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning, not a problem: the exit code stays 0."""
    known = metadata.version
    for release, is_untried in (("0.13.4", False), ("0.10.9", False), ("0.14.0rc1", True), ("1.0", True)):
        monkeypatch.setattr(metadata, "version", lambda name, r=release: r if name == "anndata" else known(name))
        lines = said(capsys, "doctor", "-d", tmp_path).splitlines()
        assert any(line.startswith(f"warning: anndata: release {release} is newer") for line in lines) is is_untried


@pytest.mark.parametrize(("name", "package"), [("hdmea", "hdmea"), ("scptensor", "scptensor"), ("other", "scptensor")])
def test_doctor_finds_another_distribution_with_our_packages(tmp_path: Path, name: str, package: str) -> None:
    site = tmp_path / "site"
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").write_text("")
    info = site / f"{name}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (info / "RECORD").write_text(f"{package}/__init__.py,,\n{name}-0.1.dist-info/METADATA,,\n")
    (info / "top_level.txt").write_text(f"{package}\n")
    code = "import sys; from h5burst.cli import main; sys.exit(main())"
    own = str(Path(h5burst.__file__).parents[1])
    for first in (str(site), own):
        paths = os.pathsep.join([first, str(site), own])
        done = subprocess.run(
            [sys.executable, "-c", code, "doctor", "-d", str(tmp_path)],
            env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1, done.stdout + done.stderr
        assert f"problem: {package}: {name} brings a package {package}, too: pip uninstall {name}" in done.stdout
        assert ("scpstore.accelerate()" in done.stdout) == (package == "scptensor")


def test_the_distribution_is_named_as_doctor_thinks() -> None:
    assert "h5burst" in metadata.packages_distributions().get("h5burst", ["h5burst"])


# ---------------------------------------------------------------- bench


def test_bench_measures_both_sides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from h5burst import benching

    monkeypatch.setattr(benching, "_SMALL", 200)
    monkeypatch.setattr(benching, "_LARGE", (200, 50))
    rows = json.loads(said(capsys, "bench", "--directory", tmp_path, "--json"))
    assert {row["other"] for row in rows} >= {"h5py"}
    assert len(rows) >= 6
    assert all(row["ours_s"] > 0 and row["other_s"] > 0 for row in rows)
    assert os.listdir(tmp_path) == []
