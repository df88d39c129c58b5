"""Checking and showing files of any origin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from h5burst import checking, cli, console, write_tree
from h5burst.checking import verify
from h5burst.describing import describe
from h5burst.model.tree import Array, Group, Node, Storage


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.h5"
    rng = np.random.default_rng(0)
    tree = Group(
        {
            "large": Array(rng.normal(size=(500, 400))),
            "zipped": Array(rng.integers(0, 9, 300_000), storage=Storage("gzip", 4)),
            "texts": Array(np.array(["a", "ü"], dtype=object)),
            "below": Group({"small": Array(np.arange(5), {"unit": "mV"}), "null": Array(None)}),
        },
        {"name": "x"},
    )
    write_tree(path, tree)
    return path


def test_a_sound_file_has_no_problems(sound: Path) -> None:
    assert verify(sound) == []


def test_a_file_beyond_the_memory_budget_is_checked_block_by_block(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "memory_budget", lambda: 800)
    assert verify(sound) == []
    with h5py.File(sound, "r+") as file:
        file["again"] = file["zipped"]
        place = file["zipped"].id.get_chunk_info(0)
    content = bytearray(sound.read_bytes())
    content[place.byte_offset + 20] ^= 255
    (tmp_path / "bad.h5").write_bytes(content)
    (found,) = verify(tmp_path / "bad.h5")  # an object of two names is read once
    assert found.path in ("/again", "/zipped")
    assert "checksum of a chunk is wrong" in found.message
    (tmp_path / "text.h5").write_text("no HDF5 file at all")
    assert [problem.path for problem in verify(tmp_path / "text.h5")] == ["/"]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_files_of_other_programs_are_checked_too(tmp_path: Path, libver: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        file["x"] = np.arange(10)
        file["g/y"] = "text"
        file["g/loop"] = h5py.SoftLink("/nowhere")
    assert verify(tmp_path / "a.h5") == []


def test_every_damaged_dataset_is_named(sound: Path) -> None:
    with h5py.File(sound) as file:
        places = [file[name].id.get_chunk_info(0) for name in ("large", "zipped")]
    content = bytearray(sound.read_bytes())
    for chunk in places:
        content[chunk.byte_offset + chunk.size // 2] ^= 1
    sound.write_bytes(content)
    problems = verify(sound)
    assert {problem.path for problem in problems} == {"/large", "/zipped"}
    assert all(problem.message for problem in problems)


_CHECKS_LITTLE = """
import sys, h5burst, numpy as np

def peak():  # not ru_maxrss, which a process inherits from the one that started it
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10

h5burst.verify(sys.argv[1])
before = peak()
assert h5burst.verify(sys.argv[2]) == []
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_long_arrays_are_checked_without_memory_for_all_of_them(sound: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(40, 300_000))  # 96 MB
    tree: dict[str, Node] = {f"run {k}": Array(row) for k, row in enumerate(values[:20])}
    tree |= {
        f"chunked {k}": Array(row, storage=Storage("gzip", 1, chunks=(9_000,))) for k, row in enumerate(values[20:])
    }
    write_tree(tmp_path / "long.h5", Group(tree))
    command = [sys.executable, "-c", _CHECKS_LITTLE, str(sound), str(tmp_path / "long.h5")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30e6
    content = bytearray((tmp_path / "long.h5").read_bytes())
    with h5py.File(tmp_path / "long.h5") as file:
        for name in ("run 3", "chunked 0"):
            place = file[name].id.get_chunk_info(file[name].id.get_num_chunks() - 1)
            content[place.byte_offset + place.size - 9] ^= 4
    (tmp_path / "long.h5").write_bytes(content)
    assert {problem.path for problem in verify(tmp_path / "long.h5")} == {"/run 3", "/chunked 0"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_chunks_that_nobody_wrote_are_checked_without_memory(sound: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "sparse.h5", "w") as file:
        file.create_dataset("few of many", (1 << 29,), np.float64, chunks=(1 << 16,))[5] = 1.5  # 4 GiB
    command = [sys.executable, "-c", _CHECKS_LITTLE, str(sound), str(tmp_path / "sparse.h5")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30e6


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_what_is_no_hdf5_file_is_a_problem(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    assert verify(path)


def test_a_file_cut_short_is_a_problem(sound: Path) -> None:
    sound.write_bytes(sound.read_bytes()[:-100])
    assert verify(sound)


def test_description_tells_shapes_dtypes_sizes_and_filters(sound: Path) -> None:
    found = {item.path: item for item in describe(sound)}
    assert found["/"].attributes == {"name": "x"}
    assert (found["/large"].shape, found["/large"].dtype) == ((500, 400), "float64")
    assert found["/large"].filters == "fletcher32"
    assert found["/zipped"].filters == "shuffle gzip-4 fletcher32"
    assert found["/texts"].dtype == "text utf-8"
    assert found["/below/null"].shape is None
    assert found["/below/small"].attributes["unit"] == "mV"


def test_ls_prints_the_tree(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(cli.app, ["ls", str(sound), "-a"]) == 0
    printed = capsys.readouterr().out
    assert "large 500x400 float64 1.5 MiB fletcher32" in " ".join(printed.split())
    assert "@unit = mV" in printed
    assert "5 datasets" in printed
    assert console.run(cli.app, ["ls", str(sound), "--depth", "1"]) == 0
    assert "small" not in capsys.readouterr().out


def test_verify_exits_with_1_and_a_list(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(cli.app, ["verify", str(sound)]) == 0
    (tmp_path / "bad.h5").write_bytes(sound.read_bytes()[:5000])
    assert console.run(cli.app, ["verify", str(sound), str(tmp_path / "bad.h5")]) == 1
    printed = capsys.readouterr().out
    assert f"{sound}: OK" in printed
    assert "bad.h5: 1 problem\n" in printed


def test_errors_are_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(cli.app, ["info", str(tmp_path / "none.h5")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "No such file" in error
    assert console.run(cli.app, ["info", str(tmp_path / "none.h5"), "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert console.run(cli.app, ["--help"]) == 0
    assert console.run(cli.app, ["info", "--help"]) == 0
    assert "Examples" in capsys.readouterr().out
