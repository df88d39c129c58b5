"""Groups of many links in the indexed form: edits of ours and of h5py by turns, and bits that turn in their links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, CorruptFileError
from h5burst.format import dense

MANY = 520  # more than a header holds


def put(path: Path, name: str, value: float) -> None:
    with h5burst.edit(path) as tx:
        tx.put((name,), Array(np.array(value)))
    assert tx.way == "append"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    h5burst.save(tmp_path / "many.h5", {f"unit_{k:03}": float(k) for k in range(MANY)})
    put(tmp_path / "many.h5", "first", -1.0)
    return tmp_path / "many.h5"


def by_h5py(path: Path) -> dict[str, float]:
    with h5py.File(path) as file:
        return {name: float(file[name][()]) for name in file}


def test_what_h5py_adds_between_two_edits_stays(path: Path) -> None:
    model = {f"unit_{k:03}": float(k) for k in range(MANY)} | {"first": -1.0}
    for turn in range(6):
        with h5py.File(path, "r+") as file:
            for k in range(turn % 3):
                file[f"theirs_{turn}_{k}"] = model[f"theirs_{turn}_{k}"] = 10.0 * turn + k
            if turn % 2:
                del file[f"unit_{turn:03}"], model[f"unit_{turn:03}"]
        put(path, f"ours_{turn}", turn + 0.5)
        model[f"ours_{turn}"] = turn + 0.5
        assert h5burst.verify(path) == []
        assert by_h5py(path) == h5burst.load(path) == model


def link_bits(path: Path, *, names: bool) -> Iterator[tuple[int, int]]:
    """Byte and bit of link messages that are in use: in their names, or the low half of their addresses."""
    data = path.read_bytes()
    for found in list(re.finditer(rb"\x01\x00\x08(unit_0[0-9]{2})", data))[-5:]:
        start = found.start(1) if names else found.end(1)
        yield from ((start + byte, bit) for byte in range(3) for bit in range(8))


@pytest.mark.parametrize("names", [True, False], ids=["names", "addresses"])
@pytest.mark.parametrize("way", ["edited", "repacked"])
def test_a_turned_bit_of_a_link_is_an_error_never_other_data(path: Path, way: str, names: bool) -> None:
    if way == "repacked":
        h5burst.repack(path, path.with_name("copy.h5"))
        path = path.with_name("copy.h5")
    data, turned = path.read_bytes(), path.with_name("turned.h5")
    for at, bit in link_bits(path, names=names):
        other = bytearray(data)
        other[at] ^= 1 << bit
        turned.write_bytes(other)
        with pytest.raises(CorruptFileError, match="of a link is"):
            h5burst.load(turned)
        assert h5burst.verify(turned)


def test_an_edit_refuses_a_damaged_link(path: Path) -> None:
    at, bit = next(link_bits(path, names=False))
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    name = data[at - 8 : at].decode()
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match="checksum of a link"), h5burst.edit(path) as tx:
        tx.put((name, "below"), Array(np.arange(3)))
    assert path.read_bytes() == data


def test_links_without_our_checksum_are_read_and_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As earlier versions and libhdf5 write them."""
    path, model = tmp_path / "plain.h5", {f"unit_{k:03}": float(k) for k in range(MANY)} | {"first": -1.0}
    with monkeypatch.context() as earlier:
        earlier.setattr(dense, "sealed_link", bytes)
        h5burst.save(path, {f"unit_{k:03}": float(k) for k in range(MANY)})
        put(path, "first", -1.0)
    assert h5burst.load(path) == model
    put(path, "second", -2.0)
    assert by_h5py(path) == h5burst.load(path) == model | {"second": -2.0}
    for at, bit in link_bits(path, names=True):
        data = bytearray(path.read_bytes())
        data[at] ^= 1 << bit
        (tmp_path / "turned.h5").write_bytes(data)
        with pytest.raises(CorruptFileError, match="the name of a link"):
            h5burst.load(tmp_path / "turned.h5")


def test_two_names_that_lead_to_one_link_are_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in files in which an earlier version has used a number of libhdf5's again."""
    from h5burst.write import links

    with h5py.File(path, "r+") as file:
        file["theirs"] = 3.0

    def number_of_theirs(self: Any, last: int) -> int:
        return last

    monkeypatch.setattr(links._Indexed, "_next_number", number_of_theirs)
    put(path, "ours", 4.0)
    assert ["links" in problem.message or "link" in problem.message for problem in h5burst.verify(path)] == [True]
    with pytest.raises(CorruptFileError, match="link"):
        h5burst.load(path)
