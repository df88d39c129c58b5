"""One rule for paths in all that reads, describes, copies and edits: a text as stored, or a tuple of logical names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, console, escape_link
from h5burst.cli import app

NAMES = ["plain", "a/b", ".", "..", "", "%~", "50%", "ü"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    children: dict[str, Array | Group] = {name: Array(np.full(4, place)) for place, name in enumerate(NAMES)}
    h5burst.write_tree(tmp_path / "a.h5", Group({"g": Group(children)}))
    return tmp_path / "a.h5"


def found(array: Any) -> int:
    return int(np.asarray(array.data if isinstance(array, Array) else array).flat[0])


def selected(path: Path, at: Any) -> int:
    h5burst.repack(path, path.with_suffix(".part"), select=at if isinstance(at, str) else [at], overwrite=True)
    ((_, node),) = h5burst.read_tree(path.with_suffix(".part"))["g"].walk()  # type: ignore[union-attr]
    return found(node)


def put(path: Path, at: Any) -> int:
    """Which of the arrays is replaced."""
    with h5burst.edit(path) as tx:
        value = found(tx[at])
        tx.put(at, Array(np.array(-1)))
        tx.set_attributes(at, {"replaced": True})
    names = [name for name, node in h5burst.read_tree(path)["g"].children.items() if node.attrs]  # type: ignore[union-attr]
    assert [NAMES.index(name) for name in names] == [value]
    return value


def grafted(path: Path, at: Any) -> int:
    """Which is removed."""
    with h5py.File(path, "r+") as file:
        h5burst.set_attributes(file, at, {"seen": True})
        assert h5burst.remove(file, at)
    left = h5burst.read_tree(path)["g"].children  # type: ignore[union-attr]
    (gone,) = set(NAMES) - set(left)
    with h5py.File(path, "r+") as file:
        h5burst.graft(file, at, Array(np.array(1)))
    assert set(h5burst.read_tree(path)["g"].children) == set(NAMES)  # type: ignore[union-attr]
    return NAMES.index(gone)


WAYS: dict[str, Callable[[Path, Any], int]] = {
    "tree": lambda path, at: found(h5burst.read_tree(path)[at]),
    "lazy tree": lambda path, at: found(h5burst.read_tree(path, lazy=True)[at]),
    "open": lambda path, at: found(h5burst.open(path)[at]),
    "group of open": lambda path, at: found(h5burst.open(path)["g"][at[1:] if isinstance(at, tuple) else "/" + at]),
    "info": lambda path, at: found(h5burst.read_tree(path)[h5burst.info(path, at).objects[0].path]),
    "repack": selected,
    "edit": put,
    "graft": grafted,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_path_means_the_same_everywhere(way: str, path: Path, tmp_path: Path) -> None:
    for place, name in enumerate(NAMES):
        stored = escape_link(name)
        for at in (("g", name), f"g/{stored}", f"//g/.//{stored}/"):
            shutil.copy(path, tmp_path / "copy.h5")
            assert WAYS[way](tmp_path / "copy.h5", at) == place, at


@pytest.mark.parametrize("way", [way for way in WAYS if way != "group of open"])
@pytest.mark.parametrize("at", [b"g/plain", 3, ("g", 3), None])
def test_what_is_not_a_path_is_said(way: str, at: Any, path: Path) -> None:
    with h5py.File(path, "r+"):
        pass  # libhdf5 cuts off what is after the file's end, and `graft` is given a file that it has open
    before = path.read_bytes()
    with pytest.raises(TypeError, match="a path is one text or a tuple of names, not "):
        WAYS[way](path, at)
    assert path.read_bytes() == before


def test_what_ls_shows_is_what_cat_takes(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(app, ["ls", "--json", str(path)]) == 0
    listed = [item["path"] for item in json.loads(capsys.readouterr().out)["objects"] if item["kind"] == "dataset"]
    assert len(listed) == len(NAMES)
    for at in listed:
        assert console.run(app, ["cat", f"{path}::{at}"]) == 0, at
        assert NAMES.index(h5burst.unescape(at.removeprefix("/g/"))) == int(capsys.readouterr().out.split()[0])


def test_an_external_link_leads_to_a_name_that_is_escaped(path: Path) -> None:
    with h5py.File(path.parent / "b.h5", "w") as file:
        file["link"] = h5py.ExternalLink("a.h5", "/g/%~a%2Fb")
    with h5py.File(path.parent / "b.h5") as file:
        assert file["link"][0] == 1
    assert found(h5burst.open(path.parent / "b.h5")["link"]) == 1
    for lazy in (False, True):
        assert found(h5burst.read_tree(path.parent / "b.h5", lazy=lazy)["link"]) == 1


def test_a_path_in_the_place_of_an_open_group_is_said(path: Path) -> None:
    for change in (
        lambda: h5burst.graft(path, "x", Group()),  # type: ignore[arg-type]
        lambda: h5burst.remove(path, "x"),  # type: ignore[arg-type]
        lambda: h5burst.set_attributes(path, (), {"x": 1}),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=r"open h5py.Group is needed, not PosixPath: h5burst.edit\(path\)"):
            change()
