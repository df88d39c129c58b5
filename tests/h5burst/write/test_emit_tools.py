"""Emitted files under every other reader and tool at hand."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from h5burst.model.tree import Array, Group, Storage
from h5burst.write import native
from reference.hdf5_tree import content, every_kind, write_plainly

NEWEST_FORMAT = ("-j", "2", "-k", "2")  # without it h5repack writes the oldest, which has no attributes over 64 KiB


def run(tool: str, *arguments: str | Path) -> str:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed (Debian: hdf5-tools)")
    done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    assert "error" not in done.stderr.lower(), done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module", params=[None, Storage("gzip", 4, compress_small=True)], ids=["stored", "gzip"])
def emitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("emitted") / "ours.h5"
    native.write(path, every_kind(), storage=request.param)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "theirs.h5"
    write_plainly(path, every_kind())
    return path


def test_h5dump_reads_everything(emitted: Path, plain: Path) -> None:
    """What it prints is what it prints of h5py's file, order aside."""

    def lines(path: Path) -> list[str]:
        return sorted(run("h5dump", path).splitlines()[1:])

    assert lines(emitted) == lines(plain)


def test_h5ls_lists_everything(emitted: Path, plain: Path) -> None:
    assert run("h5ls", "-r", emitted) == run("h5ls", "-r", plain)


def test_h5stat_counts_everything(emitted: Path, plain: Path) -> None:
    def counts(path: Path) -> list[str]:
        return [line for line in run("h5stat", path).splitlines() if "# of unique" in line or "Max. # of" in line]

    assert counts(emitted) == counts(plain)
    assert len(counts(plain)) > 4


@pytest.mark.parametrize("group", ["numbers", "text", "shapes", "large", "attributes", "groups"])
def test_h5diff_finds_no_difference(emitted: Path, plain: Path, group: str) -> None:
    assert "differences found" not in run("h5diff", emitted, plain, f"/{group}", f"/{group}")


def test_h5diff_says_of_ours_what_it_says_of_a_copy(emitted: Path, plain: Path, tmp_path: Path) -> None:
    """Over all objects, and over names of which it cannot compare some."""
    if shutil.which("h5diff") is None:
        pytest.skip("h5diff is not installed (Debian: hdf5-tools)")
    copy = shutil.copy(plain, tmp_path / "copy.h5")
    reports = []
    for one in (emitted, copy):
        done = subprocess.run(["h5diff", "-v2", one, plain], capture_output=True, text=True, check=False)
        reports.append((done.returncode, done.stdout, done.stderr))
    assert reports[0] == reports[1]
    assert reports[0][1].count("0 differences found") > 2000


def test_h5repack_keeps_everything(emitted: Path, tmp_path: Path) -> None:
    run("h5repack", *NEWEST_FORMAT, emitted, tmp_path / "repacked.h5")
    assert content(tmp_path / "repacked.h5") == content(emitted)


def test_h5copy_of_a_group_keeps_everything(emitted: Path, tmp_path: Path) -> None:
    groups = ("numbers", "text", "shapes", "large")  # it writes the oldest format, which has no large attributes
    for group in groups:
        run("h5copy", "-i", emitted, "-o", tmp_path / "copied.h5", "-s", f"/{group}", "-d", f"/{group}")
    ours, copied = content(emitted), content(tmp_path / "copied.h5")
    copied.pop("/")
    assert copied == {path: item for path, item in ours.items() if path.startswith(tuple(f"/{g}" for g in groups))}


def test_h5py_copies_everything_into_another_file(emitted: Path, tmp_path: Path) -> None:
    with h5py.File(emitted) as source, h5py.File(tmp_path / "copied.h5", "w", libver="latest") as target:
        for name in source:
            source.copy(name, target)
    ours, copied = content(emitted), content(tmp_path / "copied.h5")
    ours.pop("/"), copied.pop("/")
    assert ours == copied


def test_pyfive_reads_everything_it_knows(emitted: Path) -> None:
    """Whoever wrote the file, it knows no chunk index of 1.10, dense attributes, compact text and some types."""
    pyfive = pytest.importorskip("pyfive")
    with pyfive.File(str(emitted)) as file, h5py.File(emitted) as expected:
        _compare_with_pyfive(file, expected)


DENSE = {"/attributes/larger than a message", "/attributes/many"}
UNKNOWN_TO_PYFIVE = DENSE | {
    "/numbers/record",
    "/numbers/long double",
    "/numbers/instant",
    "/shapes/typed null",
    "/shapes/null",
}


def is_known_to_pyfive(dataset: h5py.Dataset) -> bool:
    is_compact = dataset.id.get_create_plist().get_layout() == h5py.h5d.COMPACT
    is_text = dataset.dtype.kind == "O"
    return dataset.chunks is None and not (is_compact and is_text) and dataset.name not in UNKNOWN_TO_PYFIVE


def _compare_with_pyfive(group: Any, expected: h5py.Group) -> None:
    assert sorted(group) == sorted(expected)
    for name in expected:
        theirs = expected[name]
        if isinstance(theirs, h5py.Group):
            _compare_with_pyfive(group[name], theirs)
        elif is_known_to_pyfive(theirs):
            ours = group[name]
            assert ours.shape == theirs.shape, theirs.name
            if theirs.dtype.kind != "O":
                assert np.asarray(ours[()]).tobytes() == np.asarray(theirs[()]).tobytes(), theirs.name
            else:
                assert np.asarray(ours[()]).tolist() == np.asarray(theirs[()]).tolist(), theirs.name
    if expected.name not in DENSE:
        assert set(group.attrs) == set(expected.attrs)


def test_netcdf4_reads_groups_arrays_and_attributes(tmp_path: Path) -> None:
    if importlib.util.find_spec("netCDF4") is None:
        pytest.skip("netCDF4 is not installed")
    rng = np.random.default_rng(0)
    tree = Group(
        {
            "unit_1": Group(
                {
                    "spike_times": Array(np.arange(700, dtype="u8"), {"unit": "sample_index"}),
                    "rates": Array(rng.normal(size=(300, 400)), {"scale": 2.5}, Storage("gzip", 4)),
                    "labels": Array(np.array(["on", "aus", "深い"], dtype=object)),
                    "large": Array(rng.integers(0, 99, (500, 500))),
                },
                {"row": 3, "depth": np.arange(3.0)},
            ),
            "many": Group({f"link {i}": Array(np.array([i])) for i in range(700)}),
        },
        {"title": "session"},
    )
    native.write(tmp_path / "a.nc", tree)
    for name in ("spike_times", "rates", "large"):
        np.save(tmp_path / f"{name}.npy", tree["unit_1", name].data)
    done = subprocess.run(
        [sys.executable, "-c", _READ_BY_NETCDF4, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# In a process of its own: netCDF4 brings a libhdf5, which hdf5plugin would then take for that of h5py.
_READ_BY_NETCDF4 = """
import sys
from pathlib import Path
import netCDF4
import numpy as np

directory = Path(sys.argv[1])
with netCDF4.Dataset(directory / "a.nc") as file:
    assert file.title == "session"
    unit = file["unit_1"]
    assert unit.row == 3
    assert list(unit.depth) == [0, 1, 2]
    assert unit["spike_times"].unit == "sample_index"
    for name in ("spike_times", "rates", "large"):
        np.testing.assert_array_equal(np.asarray(unit[name][...]), np.load(directory / f"{name}.npy"))
    assert list(unit["labels"][...]) == ["on", "aus", "深い"]
    assert len(file["many"].variables) == 700
    assert file["many/link 699"][...] == 699
"""


def test_a_large_group_under_the_tools(tmp_path: Path) -> None:
    """3000 links of long names: a B-tree of three levels over a heap with an indirect block in the first."""
    path, count = tmp_path / "a.h5", 3000
    native.write(path, Group({f"dataset number {i:0170}": Array(np.array(i)) for i in range(count)}))
    data = path.read_bytes()
    levels = data[data.index(b"BTHD") + 12]
    assert (levels, data.count(b"FHIB")) == (2, 2)
    assert len(run("h5ls", path).splitlines()) == count
    assert f"# of unique datasets: {count}" in run("h5stat", path)
    run("h5repack", *NEWEST_FORMAT, path, tmp_path / "b.h5")
    run("h5diff", path, tmp_path / "b.h5")
