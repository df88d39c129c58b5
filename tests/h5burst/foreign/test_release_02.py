"""Files with a history beside the release 0.2, which knows nothing of histories: nothing is misread by either.

The release is built once, from this repository (`git archive`), into `build/release-0.2`, where H5BURST_WHOLE asks for
it, or taken from H5BURST_EARLIER_RELEASE: a Python in whose environment its wheel is installed. One file that it has
edited is kept.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array

ROOT = Path(__file__).parents[3]
COMMIT = "bbef8a3"
BUILT = ROOT / "build" / "release-0.2"

# Run by 0.2: a list of requests, each an edit, or reading by any of its ways; it prints what it found.
PROGRAM = """
import json, sys, numpy as np, h5burst
from h5burst import Array
for request in json.load(sys.stdin):
    what, path = request[:2]
    if what == "edit":
        with h5burst.edit(path) as tx:
            tx.put("b", Array(np.full(3, request[2])))
            tx.set_attributes((), {"edited": request[2]})
        print(json.dumps(tx.way))
    elif what == "compact":
        h5burst.compact(path)
        print(json.dumps(None))
    else:
        tree = h5burst.read_tree(path)
        lazy = h5burst.read_tree(path, lazy=True)
        with h5burst.open(path) as file:
            opened = {name: file[name][()].tolist() for name in file}
        eager = {name: node.data.tolist() for name, node in tree.children.items()}
        assert eager == {name: np.asarray(node.data).tolist() for name, node in lazy.children.items()} == opened
        assert h5burst.verify(path) == []
        print(json.dumps(eager))
"""


def build() -> str:
    """The release, compiled in place; what stands for the Python of its environment."""
    if not (BUILT / "done").exists():
        shutil.rmtree(BUILT, ignore_errors=True)
        BUILT.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", COMMIT], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "x", "-C", BUILT], input=archive, check=True)
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        subprocess.run(command, cwd=BUILT, check=True, capture_output=True)
        (BUILT / "done").touch()
    return sys.executable


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that lets the release do what is asked, and gives what it found."""
    environment = dict(os.environ)
    python = environment.get("H5BURST_EARLIER_RELEASE")
    if python is None:
        if not os.environ.get("H5BURST_WHOLE") and not (BUILT / "done").exists():
            pytest.skip("set H5BURST_WHOLE=1 to build release 0.2 (a minute and a half), or H5BURST_EARLIER_RELEASE")
        python = build()
        environment["PYTHONPATH"] = str(BUILT / "src")
    elsewhere = tmp_path_factory.mktemp("release")

    def ask(*requests: list[Any]) -> list[Any]:
        text = json.dumps([[what, str(path), *rest] for what, path, *rest in requests])
        command = [python, "-c", PROGRAM]
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, env=environment, cwd=elsewhere
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    which = subprocess.run(
        [python, "-c", "import h5burst; print(h5burst.__version__, hasattr(h5burst, 'log'))"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=elsewhere,
    )
    assert which.stdout.split() == ["0.2.0", "False"]
    return ask


def edit(path: Path, number: int) -> None:
    with h5burst.edit(path, f"edit {number}") as tx:
        tx.put("b", Array(np.full(3, number)))


def content(path: Path) -> Any:
    with h5py.File(path) as file:
        return {name: file[name][()].tolist() for name in file}


@pytest.fixture(params=["0", "2", "3"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of each superblock, with three commits."""
    found = tmp_path / "file.h5"
    if request.param == "3":
        h5burst.save(found, {"a": np.arange(4)})
    else:
        with h5py.File(found, "w", libver="earliest" if request.param == "0" else ("v108", "v108")) as file:
            file["a"] = np.arange(4)
    for number in (1, 2, 3):
        edit(found, number)
    return found


def test_it_reads_the_newest_state(path: Path, release: Any) -> None:
    before = path.read_bytes()
    assert release(["read", path]) == [content(path)]
    h5burst.undo(path)
    h5burst.compact(path, keep=1)
    assert release(["read", path]) == [content(path)]
    assert content(path)["b"] == [2, 2, 2]
    assert before != path.read_bytes()


def test_its_edits_end_the_history_and_nothing_is_misread(path: Path, release: Any) -> None:
    way, seen = release(["edit", path, 70], ["read", path])
    assert way == "append"  # its fast path
    assert seen == content(path) == {"a": [0, 1, 2, 3], "b": [70, 70, 70]}
    (only,) = h5burst.log(path)
    assert (only.number, only.note) == (4, "interrupted by h5burst 0.2 after commit 3")
    with pytest.raises(LookupError, match=r"interrupted by h5burst 0\.2"):
        h5burst.file_at(path, 2)
    edit(path, 5)
    assert [(commit.number, commit.message) for commit in h5burst.log(path)] == [(5, "edit 5"), (4, None)]
    with h5burst.open(path, at=4) as file:
        assert file["b"][:].tolist() == [70, 70, 70]
    assert h5burst.verify(path, deep=True) == []


def test_edits_in_turn(path: Path, release: Any) -> None:
    """Each finds what the other has left, ten times over; the file stays whole."""
    for number in range(10, 15):
        edit(path, number)
        assert release(["read", path], ["edit", path, 10 * number], ["read", path]) == [
            {"a": [0, 1, 2, 3], "b": [number] * 3},
            "append",
            {"a": [0, 1, 2, 3], "b": [10 * number] * 3},
        ]
        assert content(path)["b"] == [10 * number] * 3
    assert len(list(h5burst.log(path))) == 1
    assert h5burst.verify(path, deep=True) == []


def test_it_compacts_a_file_with_a_history(path: Path, release: Any) -> None:
    release(["compact", path])
    assert content(path)["b"] == [3, 3, 3]
    assert [commit.number for commit in h5burst.log(path)] == [0]


def test_a_file_that_it_has_edited(tmp_path: Path) -> None:
    """Made as in `test_its_edits_end_the_history_and_nothing_is_misread`."""
    path = tmp_path / "file.h5"
    shutil.copyfile(ROOT / "tests" / "data" / "h5burst" / "edited_by_0.2.h5", path)
    (only,) = h5burst.log(path)
    assert (only.number, only.note) == (4, "interrupted by h5burst 0.2 after commit 3")
    assert content(path) == {"a": [0, 1, 2, 3], "b": [70, 70, 70]}
    edit(path, 5)
    with h5burst.open(path, at=4) as file:
        assert file["b"][:].tolist() == [70, 70, 70]
    assert content(path)["b"] == [5, 5, 5]
    assert h5burst.verify(path, deep=True) == []
