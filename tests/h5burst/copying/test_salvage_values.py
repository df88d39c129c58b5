"""Salvage of saved dicts: what it writes verifies and loads, whatever bit was turned, and has all that is whole."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import CorruptFileError

VALUE: dict[Any, Any] = {
    "u": "a text",
    "names": np.array(["one", "two", "three"]),
    "b": b"by\0tes",
    "l": [1, "two", np.arange(3)],
    "d": {1: "x", 2: (1.5, np.ones(2))},
    "x": np.arange(100.0),
}
BITS = int(os.environ.get("H5BURST_TURNED_BITS", "60"))


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    return tmp_path / "damaged.h5"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return tmp_path / "saved.h5"


def turn(path: Path, near: bytes, *, behind: int = 0, among: int = 1) -> None:
    """Turn a bit of the bytes where `near` is found for the `among`th time."""
    data = bytearray(path.read_bytes())
    at = -1
    for _ in range(among):
        at = data.index(near, at + 1)
    data[at + behind] ^= 1
    path.write_bytes(data)


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every value that is no dict or list by its path."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    found = {where: one for key, member in members for where, one in flat(member, f"{path}/{key}").items()}
    return found if isinstance(value, (dict, list, tuple)) else {path: value}


def is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(np.array_equal(one, other))


def test_one_damaged_text_costs_that_text_alone(damaged: Path, saved: Path) -> None:
    h5burst.save(damaged, VALUE)
    turn(damaged, b"three")
    with h5burst.open(damaged) as file:
        assert file["u"][()] == "a text"
        assert file["l/1"][()] == "two"
        assert file["b"].attrs["h5burst.type"].startswith("bytes@1")
        with pytest.raises(CorruptFileError, match="checksum of a text"):
            file["names"][:]
    assert [problem.path for problem in h5burst.verify(damaged)] == ["/names"]
    result = h5burst.salvage(damaged, saved)
    assert [problem.path for problem in result.lost] == ["/names"]
    assert h5burst.verify(saved, deep=True) == []
    loaded = h5burst.load(saved)
    assert loaded.pop("names").tolist() == ["one", "two", ""]
    wanted = {path: value for path, value in flat(VALUE).items() if path != "/names"}
    assert flat(loaded).keys() == wanted.keys()
    assert all(is_same(value, wanted[path]) for path, value in flat(loaded).items())


@pytest.mark.parametrize("where", [1, 4, 8, 9, 16], ids=["index", "checksum", "length", "long length", "bytes"])
def test_all_other_texts_of_a_collection_are_brought(damaged: Path, saved: Path, where: int) -> None:
    texts = np.array([f"text number {k}" for k in range(300)])
    h5burst.save(damaged, {"texts": texts, "one": "single"})
    turn(damaged, b"text number 77", behind=where - 16)
    h5burst.salvage(damaged, saved)
    assert h5burst.verify(saved, deep=True) == []
    loaded = h5burst.load(saved)
    assert loaded["one"] == "single"
    assert np.flatnonzero(loaded["texts"] != texts).tolist() == [77]


def test_a_lost_marker_is_left_out(damaged: Path, saved: Path) -> None:
    h5burst.save(damaged, VALUE)
    turn(damaged, b"bytes@1")
    assert [problem.path for problem in h5burst.salvage(damaged, saved).lost] == ["/b@h5burst.type"]
    assert "h5burst.type" not in h5burst.open(saved)["b"].attrs
    loaded = h5burst.load(saved)
    assert loaded.pop("b").tobytes() == b"by\0tes"
    assert all(is_same(value, flat(VALUE)[path]) for path, value in flat(loaded).items())


@pytest.mark.parametrize("number", range(3))
def test_a_list_that_lost_a_member_is_an_error_that_names_it(damaged: Path, saved: Path, number: int) -> None:
    h5burst.save(damaged, VALUE)
    with h5py.File(damaged, "r+") as file:
        del file[f"l/{number}"]
    with pytest.raises(CorruptFileError, match=rf"/l: a list of 3 without its member {number}"):
        h5burst.load(damaged)
    with pytest.raises(CorruptFileError, match=rf"/l: a list of 3 without its member {number}"):
        h5burst.load(damaged, lazy=True)["l"]


def test_what_salvage_leaves_of_a_list_has_its_numbers(damaged: Path, saved: Path) -> None:
    h5burst.save(damaged, VALUE)
    turn(damaged, b"two", among=2)  # the list's: the array's texts were kept before
    paths = [problem.path for problem in h5burst.salvage(damaged, saved).lost]
    assert paths == ["/l/1"]
    loaded = h5burst.load(saved)["l"]
    assert loaded.keys() == {0, 2}
    assert loaded[0] == 1
    assert loaded[2].tolist() == [0, 1, 2]


def edited(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.put("e", h5burst.Array(np.arange(7)))
    with h5burst.edit(path) as tx:
        tx.remove("e")


WAYS: dict[str, Callable[[Path], object]] = {
    "saved": lambda path: None,
    "edited": edited,
    "compacted": lambda path: (edited(path), h5burst.compact(path)),
    "repacked": lambda path: h5burst.repack(path, path, overwrite=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_salvaged_verifies_and_loads_whatever_bit_was_turned(damaged: Path, saved: Path, way: str) -> None:
    """Thousands of bits: `H5BURST_TURNED_BITS=20000`."""
    whole = damaged.with_name("whole.h5")
    h5burst.save(whole, VALUE)
    WAYS[way](whole)
    data, wanted, draw = whole.read_bytes(), flat(VALUE), random.Random(7)
    refused, live = 0, 8 * len(data.rstrip(b"\0"))  # an edited file has room that nobody reads
    for bit in (draw.randrange(max(0, live - 80_000), live) for _ in range(BITS)):
        turned = bytearray(data)
        turned[bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(turned)
        try:
            loaded = flat(h5burst.load(damaged))
        except CorruptFileError:
            refused += 1
            assert h5burst.verify(damaged), bit
        else:
            assert loaded.keys() == wanted.keys(), bit
            assert all(is_same(value, wanted[path]) for path, value in loaded.items()), bit
            continue
        lost = [problem.path.split("@")[0] for problem in h5burst.salvage(damaged, saved, overwrite=True).lost]
        assert h5burst.verify(saved) == [], bit
        for path, value in flat(h5burst.load(saved)).items():
            is_told = any(path.startswith(where) for where in lost)
            assert is_told or path.startswith("/h5burst.nameless") or is_same(value, wanted[path]), (bit, path)
    assert refused > BITS // 10
