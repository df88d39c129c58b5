"""The older index of chunks has no checksum: what its keys say is compared, since libhdf5 finds chunks by them."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import h5py
import numpy as np
import pytest

import h5burst

VALUES = np.arange(2000).reshape(100, 20) + 1


@pytest.mark.parametrize("chunks", [(40, 20), (3, 7)], ids=["one node", "many nodes"])
def test_a_turned_bit_in_a_key_is_found_or_costs_no_reader_an_element(chunks: tuple[int, int], tmp_path: Path) -> None:
    whole, damaged = tmp_path / "whole.h5", tmp_path / "damaged.h5"
    with h5py.File(whole, "w") as file:
        file.create_dataset("x", data=VALUES, chunks=chunks)
    assert h5burst.verify(whole, deep=True) == []
    data, draw = whole.read_bytes(), random.Random(3)
    nodes = [at for at in range(0, len(data) - 5) if data[at : at + 6] == b"TREE\1\0"]
    keys = []
    for node in nodes:
        count = int.from_bytes(data[node + 6 : node + 8], "little")
        for number in range(count + 1):  # the last is that of the end
            key = node + 24 + number * (8 + 24 + 8) + 8
            keys += range(key, key + 24 if number < count else key + 16)
    found = 0
    for bit in (8 * draw.choice(keys) + draw.randrange(8) for _ in range(150)):
        turned = bytearray(data)
        turned[bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(turned)
        if h5burst.verify(damaged):
            found += 1
            continue
        assert np.array_equal(h5burst.read_tree(damaged)["x"].data, VALUES), bit
        with h5py.File(damaged) as file, contextlib.suppress(OSError):  # it may refuse what we read
            assert np.array_equal(file["x"][()], VALUES), bit
    assert found > 100
