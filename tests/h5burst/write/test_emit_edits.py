"""Emitted files are ordinary files: opened `r+`, changed in every way by h5py, and valid again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from h5burst.model.tree import Array, Group, Storage
from h5burst.write import native
from reference.hdf5_tree import content, every_kind


@pytest.mark.parametrize("links", [0, 1, 10, 512, 513, 1000, 10_000])
def test_links_are_added_moved_and_deleted(links: int, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    native.write(path, Group({f"link {i}": Array(np.array(i)) for i in range(links)}))
    values = {f"link {i}": i for i in range(links)}
    with h5py.File(path, "r+") as file:
        for i in range(300):
            file[f"new {i}"] = values[f"new {i}"] = -i
        for i in range(0, min(links, 600), 3):
            file.move(f"link {i}", f"moved {i}")
            values[f"moved {i}"] = values.pop(f"link {i}")
        for i in range(1, links, 3):
            del file[f"link {i}"], values[f"link {i}"]
    with h5py.File(path, "r+") as file:
        assert {name: int(file[name][()]) for name in file} == values
        for name in list(values)[5:]:
            del file[name], values[name]
    with h5py.File(path, "r") as file:
        assert {name: int(file[name][()]) for name in file} == values


def test_a_group_of_100_000_links_stays_editable(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    shared = Array(np.arange(3))
    native.write(path, Group({f"link {i}": shared for i in range(100_000)}))
    with h5py.File(path, "r+") as file:
        assert len(file) == 100_000
        for i in range(1000):
            file.create_group(f"new {i}")
        for i in range(0, 100_000, 100):
            del file[f"link {i}"]
    with h5py.File(path, "r") as file:
        assert len(file) == 100_000
        assert "new 999" in file
        assert "link 0" not in file
        assert list(file["link 99999"]) == [0, 1, 2]
        assert sum(1 for _ in file) == 100_000


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 40, 256, 257, 600])
@pytest.mark.parametrize("on", ["group", "array", "large"])
def test_attributes_are_added_resized_and_deleted(on: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    attrs: dict[str, Any] = {f"attribute {i}": i for i in range(count)}
    nodes = {
        "group": Group(attrs=attrs),
        "array": Array(np.arange(5), attrs),
        "large": Array(np.arange(20_000), attrs),
    }
    native.write(path, Group({"node": nodes[on]}))
    values = dict(attrs)
    with h5py.File(path, "r+") as file:
        target = file["node"].attrs
        for i in range(30):
            target[f"new {i}"] = values[f"new {i}"] = i
        for i in range(0, count, 2):
            target[f"attribute {i}"] = np.arange(i % 50)
            values[f"attribute {i}"] = i % 50
        for i in range(1, count, 2):
            del target[f"attribute {i}"], values[f"attribute {i}"]
        target["text"] = "added later"
    with h5py.File(path, "r+") as file:
        target = file["node"].attrs
        assert set(target) == {*values, "text"}
        assert all(np.size(target[name]) == value for name, value in values.items() if name.startswith("attribute"))
        for name in values:
            del target[name]
    with h5py.File(path, "r") as file:
        assert dict(file["node"].attrs) == {"text": "added later"}


def test_attributes_over_64_kib_are_replaced_and_deleted(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    native.write(path, Group(attrs={"large": np.arange(50_000), "small": 1, "text": "x" * 70_000}))
    with h5py.File(path, "r+") as file:
        file.attrs["larger"] = np.arange(300_000)
        file.attrs["large"] = np.arange(60_000)
        file.attrs["another"] = np.arange(9_000)
        del file.attrs["small"]
    with h5py.File(path, "r+") as file:
        assert set(file.attrs) == {"large", "larger", "another", "text"}
        assert [file.attrs[name].size for name in ("large", "larger", "another")] == [60_000, 300_000, 9_000]
        assert len(file.attrs["text"]) == 70_000
        del file.attrs["large"], file.attrs["larger"]
    with h5py.File(path, "r") as file:
        assert set(file.attrs) == {"another", "text"}


def test_values_are_changed_in_place(tmp_path: Path) -> None:
    """In every layout; checksums stay right, and what was not touched stays as it was."""
    path = tmp_path / "a.h5"
    native.write(path, every_kind(), storage=Storage("gzip", 4))
    expected = content(path)
    with h5py.File(path, "r+") as file:
        for name in ("shapes/cube", "shapes/scalar", "large/rows", "large/one chunk", "numbers/>i8", "numbers/?"):
            file[name][...] = 1
        file["text/str"][1] = "changed, and longer than before"
        file["text/many"][2, 1999] = "last"
        file["text/bytes"][0] = b"filled"
        file["large/rows"][1002, 400] = -7
    changed = content(path)
    touched = {name for name in expected if changed[name] != expected[name]}
    assert touched == {
        "/shapes/cube", "/shapes/scalar", "/large/rows", "/large/one chunk", "/numbers/>i8", "/numbers/?",
        "/text/str", "/text/many", "/text/bytes",
    }  # fmt: skip
    with h5py.File(path) as file:
        assert file["large/rows"][1002, 400] == -7
        assert file["text/many"].asstr()[2, 1999] == "last"
        assert file["text/str"].asstr()[1] == "changed, and longer than before"


def test_hundreds_of_edits_of_every_sort(tmp_path: Path) -> None:
    """A random walk of edits on an emitted file does what it does to a file of h5py's."""
    rng = np.random.default_rng(3)
    path = tmp_path / "a.h5"
    tree = Group({f"unit {u}": unit(rng) for u in range(30)})
    native.write(path, tree)
    names = [f"unit {u}" for u in range(30)]
    values: dict[str, np.ndarray[Any, Any]] = {
        f"{name}/{child}": node.data
        for name in names
        for child, node in tree[name].children.items()  # type: ignore[union-attr]
    }
    for session in range(6):
        with h5py.File(path, "r+") as file:
            for step in range(120):
                edit(file, values, rng, f"{session}-{step}")
        with h5py.File(path, "r") as file:
            found = {f"{group}/{name}": file[group][name][()] for group in file for name in file[group]}
        assert set(found) == set(values)
        assert all(np.array_equal(found[name], values[name]) for name in values)


def unit(rng: np.random.Generator) -> Group:
    arrays = {f"array {i}": Array(rng.integers(0, 99, rng.integers(0, 60)), {"unit": "s", "i": i}) for i in range(12)}
    return Group(arrays, {"row": 3, "text": "on-cell"})


def edit(file: h5py.File, values: dict[str, np.ndarray[Any, Any]], rng: np.random.Generator, label: str) -> None:
    name = list(values)[rng.integers(len(values))]
    group = name.split("/")[0]
    match rng.integers(7):
        case 0:
            del file[name], values[name]
        case 1:
            file.move(name, f"{group}/moved {label}")
            values[f"{group}/moved {label}"] = values.pop(name)
        case 2:
            values[f"{group}/new {label}"] = rng.normal(size=rng.integers(1, 9000))
            file[group].create_dataset(f"new {label}", data=values[f"{group}/new {label}"])
        case 3 if values[name].size:
            values[name] = values[name] + 1
            file[name][...] = values[name]
        case 4:
            file[name].attrs[f"note {label}"] = "x" * int(rng.integers(0, 300))
        case 5:
            file[group].attrs["row"] = np.arange(rng.integers(0, 400))
        case _:
            for attribute in list(file[name].attrs)[:2]:
                del file[name].attrs[attribute]
