"""Edits of ours and of h5py by turns, at random, against a model: each goes on where the other has left off.

A few turns for every form that a file may have. Thousands: `H5BURST_TURNS=2000`; others: `H5BURST_SEED=5`.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, Storage

TURNS = int(os.environ.get("H5BURST_TURNS", "8"))
SEED = os.environ.get("H5BURST_SEED", "")
HUBS = ("one", "many", "few/hub")  # whose attributes come to be in dense storage
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL}
Model = dict[str, Any]  # values by path, "path@name" for attributes


class File:
    """A file, what must be in it, and how it is changed by either program."""

    def __init__(self, path: Path, seed: str, options: dict[str, Any], members: int) -> None:
        self.path, self.draw, self.options = path, random.Random(seed), options
        self.model: Model = {}
        self.number = 0
        with h5py.File(path, "w", **options) as file:
            for k in range(members):
                self._their_put(file, f"many/m{k:04}")
            file.require_group("many")
            self._their_put(file, "few/hub")
            self._make_growing(file)

    def _make_growing(self, file: h5py.File) -> None:
        for name, shape, limits in (
            ("one", (0,), (None,)),
            ("two", (0, 3), (None, None)),
            ("capped", (0, 2), (4000, 2)),
        ):
            chunks = (7, *shape[1:])
            file.create_dataset(
                name, shape, "i4", maxshape=limits, chunks=chunks, compression="gzip" if name == "one" else None
            )
            self.model[name] = np.zeros(shape, np.int32)

    def _new(self) -> str:
        self.number += 1
        return f"{self.draw.choice(['many', 'few', 'a/b/c'])}/n{self.number:05}"

    def _value(self) -> Any:
        if self.draw.random() < 0.2:
            return np.array([f"é {k}" for k in range(self.draw.randrange(self.number % 40 + 1))], object)
        return np.arange(self.draw.randrange(40)) + self.draw.randrange(1000)

    def _their_put(self, file: h5py.File, path: str) -> None:
        value = self.model[path] = self._value()
        file.create_dataset(path, data=value, dtype=h5py.string_dtype() if value.dtype == object else None)

    def _pick(self) -> str | None:
        found = [path for path in self.model if "@" not in path and "/n" in path]
        return self.draw.choice(found) if found else None

    def _forget(self, path: str) -> None:
        self.model = {name: value for name, value in self.model.items() if name.split("@")[0] != path}

    def _attribute(self, target: str) -> tuple[str, str, Any]:
        """Of which object, its name, and the value: None removes one that there is."""
        target = self.draw.choice([target, *HUBS])
        name = f"k{self.draw.randrange(60)}"
        is_there = f"{target}@{name}" in self.model
        value = self.draw.choice([1.5, 7, "text", "é" * self.draw.randrange(300), np.arange(5.0), np.arange(900)])
        if is_there and self.draw.random() < 0.4:
            del self.model[f"{target}@{name}"]
            return target, name, None
        self.model[f"{target}@{name}"] = value
        return target, name, value

    def _rows(self, path: str) -> Any:
        count = self.draw.randrange(1, 30)
        return (
            (np.arange(count * int(np.prod(self.model[path].shape[1:]))) + self.number)
            .astype(np.int32)
            .reshape(count, *self.model[path].shape[1:])
        )

    def ours(self) -> None:
        with h5burst.edit(self.path) as tx:
            for _ in range(self.draw.randrange(1, 5)):
                what, target = (
                    self.draw.choice(["put", "put", "remove", "attribute", "append", "replace"]),
                    self._pick(),
                )
                if what == "put" or target is None:
                    path = self._new()
                    self.model[path] = self._value()
                    tx.put(path, Array(self.model[path]))
                elif what == "replace":
                    self._forget(target)
                    self.model[target] = self._value()
                    tx.put(target, Array(self.model[target]))
                elif what == "remove":
                    assert tx.remove(target)
                    self._forget(target)
                elif what == "attribute":
                    on, name, value = self._attribute(target)
                    tx.set_attributes(on, {name: value})
                else:
                    path = self.draw.choice(["one", "two", "capped"])
                    rows = self._rows(path)
                    tx.append(path, rows)
                    self.model[path] = np.concatenate([self.model[path], rows])

    def theirs(self) -> None:
        with h5py.File(self.path, "r+", libver=self.options.get("libver")) as file:
            for _ in range(self.draw.randrange(1, 5)):
                what, target = (
                    self.draw.choice(["put", "put", "remove", "attribute", "append", "move", "in place", "shrink"]),
                    self._pick(),
                )
                if what == "put" or target is None:
                    self._their_put(file, self._new())
                elif what == "remove":
                    del file[target]
                    self._forget(target)
                elif what == "attribute":
                    on, name, value = self._attribute(target)
                    if value is None:
                        del file[on].attrs[name]
                    else:
                        file[on].attrs[name] = value
                elif what == "move":
                    path = self._new()
                    file.move(target, path)
                    moved = {name: value for name, value in self.model.items() if name.split("@")[0] == target}
                    self._forget(target)
                    self.model |= {path + name[len(target) :]: value for name, value in moved.items()}
                elif what == "in place":
                    value = self.model[target] = self.model[target][::-1].copy()
                    if len(value):
                        file[target][:] = value
                elif what == "shrink":
                    path = self.draw.choice(["one", "two", "capped"])
                    length = self.draw.randrange(len(self.model[path]) + 1)
                    file[path].resize(length, axis=0)
                    self.model[path] = self.model[path][:length]
                else:
                    path = self.draw.choice(["one", "two", "capped"])
                    rows = self._rows(path)
                    file[path].resize(len(file[path]) + len(rows), axis=0)
                    file[path][-len(rows) :] = rows
                    self.model[path] = np.concatenate([self.model[path], rows])

    def check(self) -> None:
        assert h5burst.verify(self.path) == []
        tree = h5burst.read_tree(self.path)
        own: Model = {}
        for names, node in tree.walk():
            path = "/".join(names)
            if not isinstance(node, Group):
                own[path] = np.asarray(node.data)
            own |= {f"{path}@{name}": value for name, value in node.attrs.items()}
        theirs: Model = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                theirs[name] = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
            theirs.update({f"{name}@{key}": value for key, value in item.attrs.items()})

        with h5py.File(self.path) as file:
            file.visititems(visit)
        for found in (own, theirs):
            assert found.keys() == self.model.keys()
            assert all(np.array_equal(value, self.model[path]) for path, value in found.items())


FORMS: dict[str, tuple[dict[str, Any], int]] = {
    "symbol tables": ({"libver": "earliest"}, 30),
    "compact": ({"libver": ("v110", "v110")}, 3),
    "dense": ({"libver": ("v110", "v110")}, 40),
    "indexed": ({"libver": ("v110", "v110")}, 530),
    "latest": ({"libver": "latest"}, 40),
    "of version 1.8": ({"libver": ("earliest", "v108")}, 40),
    "tracked": ({"libver": ("v110", "v110"), "track_order": True}, 30),
    "free space kept": ({"libver": "latest", "fs_strategy": "fsm", "fs_persist": True}, 20),
    "paged": ({"libver": "latest", "fs_strategy": "page", "fs_persist": True}, 20),
    "user block": ({"libver": ("v110", "v110"), "userblock_size": 1024}, 20),
}


@pytest.mark.parametrize("form", FORMS)
def test_neither_loses_what_the_other_did(tmp_path: Path, form: str) -> None:
    options, members = FORMS[form]
    file = File(tmp_path / "file.h5", form + SEED, options, members)
    for turn in range(TURNS):
        file.draw.choice([file.ours, file.theirs])()
        file.number += 1
        file.check()
        if turn % 50 == 49:
            h5burst.compact(file.path)
            file.check()
    if options["libver"] != "latest":  # older h5dump does not read what libhdf5 2 writes by itself
        assert not shutil.which("h5dump") or subprocess.run(["h5dump", "-H", str(file.path)], check=True, **QUIET)


def test_ours_may_be_written_by_ours_first(tmp_path: Path) -> None:
    """Datasets that a save has made are extended by both as well."""
    path, draw = tmp_path / "file.h5", random.Random(1)
    log = np.zeros((0, 2), np.int16)
    storage = Storage("gzip", chunks=(5, 2), maxshape=(None, 2))
    h5burst.write_tree(path, Group({"log": Array(log, storage=storage)}))
    for turn in range(2 * TURNS):
        rows = np.full((draw.randrange(1, 12), 2), turn, np.int16)
        if draw.random() < 0.5:
            with h5burst.edit(path) as tx:
                tx.append("log", rows)
        else:
            with h5py.File(path, "r+") as file:
                file["log"].resize(len(log) + len(rows), axis=0)
                file["log"][len(log) :] = rows
        log = np.concatenate([log, rows])
        assert h5burst.verify(path) == []
        assert np.array_equal(h5burst.load(path)["log"], log)
        with h5py.File(path) as file:
            assert np.array_equal(file["log"][:], log)


def test_a_chunk_that_h5py_writes_anew_in_as_many_bytes_is_right(tmp_path: Path) -> None:
    """A chunk that gzip did not make smaller was stored without it, and stayed marked so when libhdf5 wrote it."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.create_dataset("x", (0,), "i4", maxshape=(None,), chunks=(7,), compression="gzip")
    for start in range(400):
        rows = np.arange(start, start + 4, dtype=np.int32) * 65537
        h5py_rows = np.array([171, 172 + start, 173], np.int32) * (1 + start % 3 * 1000)
        with h5burst.edit(path) as tx:
            tx.put("x", Array(np.zeros(0, np.int32), storage=Storage("gzip", chunks=(7,), maxshape=(None,))))
            tx.append("x", rows)
        with h5py.File(path, "r+") as file:
            assert [file["x"].id.get_chunk_info(0).filter_mask] == [0]
            file["x"].resize((7,))
            file["x"][4:] = h5py_rows
        with h5py.File(path) as file:
            assert np.array_equal(file["x"][:], np.concatenate([rows, h5py_rows]))
        if start >= 20 and TURNS < 100:
            break
