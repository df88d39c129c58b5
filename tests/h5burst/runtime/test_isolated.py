"""Children of ours import nothing from the directory that a user happens to be in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import h5burst
from h5burst.model.tree import Array, Group
from h5burst.runtime import isolated

TRAP = "open(__file__ + '.ran', 'w').close()\nraise SystemExit(3)\n"
READ_BY_LIBHDF5 = (
    "import sys; sys.path = [p for p in sys.path if p]\n"
    "from h5burst.read.libhdf5_worker import client\n"
    "from h5burst.read.libhdf5_worker.client import read\n"
    "print(read('box', sys.argv[1], '/x', box=[(0, 3)]).tolist())\n"
)


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """A directory with a file worth reading, and modules that no child may import."""
    h5burst.write_tree(tmp_path / "a.h5", Group({"x": Array(np.arange(5000))}))
    for name in ("json", "h5py", "numpy", "hdf5plugin", "struct", "h5burst", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(TRAP)
    return tmp_path


def ran(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.ran"))


def test_verify_runs_nothing_from_the_working_directory(trapped: Path) -> None:
    command = [str(Path(sys.executable).with_name("h5burst")), "verify", "a.h5"]
    done = subprocess.run(command, cwd=trapped, capture_output=True, text=True, check=False)
    assert (done.returncode, ran(trapped)) == (0, []), done.stdout + done.stderr


def test_the_child_that_runs_libhdf5_imports_nothing_from_the_working_directory(trapped: Path) -> None:
    script = trapped.parent / f"{trapped.name}-script.py"  # whose own directory comes first in its sys.path
    script.write_text(READ_BY_LIBHDF5)
    done = subprocess.run([sys.executable, script, "a.h5"], cwd=trapped, capture_output=True, text=True, check=False)
    assert (done.stdout, ran(trapped)) == ("[0, 1, 2]\n", []), done.stderr


def test_nor_what_pythonpath_names(trapped: Path) -> None:
    done = subprocess.run(
        isolated.command("import json, h5py, numpy; print(json.__file__)"),
        cwd=trapped,
        env={**os.environ, "PYTHONPATH": str(trapped)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, ran(trapped)) == (0, []), done.stderr
    assert str(trapped) not in done.stdout


def test_arguments_arrive_as_they_are() -> None:
    command = isolated.command("print(sys.argv[1:])", ["a b", "-c", "é"])
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "['a b', '-c', 'é']\n"
