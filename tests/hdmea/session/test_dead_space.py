"""Redone steps leave dead space: a file that is mostly dead is written anew by itself, and only such a file."""

from __future__ import annotations

import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group
from hdmea.io import add_section_windows, load_spikes, section_spike_times
from hdmea.session import recording_file


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    spikes = tmp_path / "spikes.h5"
    with h5py.File(spikes, "w") as file:
        file["spikes"] = np.concatenate([np.sort(random.uniform(0, 600, 6000)) for _ in range(10)])
        file["sCount"], file["array"] = np.full(10, 6000), "APS_64x64_42um"
        file["names"] = np.array([b"%d" % unit for unit in range(10)])
    result = load_spikes(spikes, "rec", output_dir=tmp_path)
    path = Path(result.hdf5_path)
    add_section_windows(path, length_s=60.0, name="spontaneous")
    section_spike_times(path)
    return path


def test_redone_steps_do_not_let_a_file_grow_without_end(recording: Path) -> None:
    size = recording.stat().st_size
    assert size > 1 << 20
    before = h5burst.read_tree(recording)
    sizes = []
    for _ in range(8):
        section_spike_times(recording, force=True)
        sizes.append(recording.stat().st_size)
    assert max(sizes) < 3 * size
    assert any(later < earlier for earlier, later in itertools.pairwise(sizes))
    after = h5burst.read_tree(recording)
    for unit in before["units"].children:  # type: ignore[union-attr]
        np.testing.assert_array_equal(
            after["units"][unit]["spike_times"].data,  # type: ignore[index, union-attr]
            before["units"][unit]["spike_times"].data,  # type: ignore[index, union-attr]
        )
    assert h5burst.verify(recording) == []


def test_only_what_is_mostly_dead_is_compacted(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    data = np.random.default_rng(0).normal(size=200_000)
    h5burst.write_tree(path, Group({"a": Array(data), "b": Array(data)}))
    for name, is_compacted in (("a", False), ("b", False), ("c", False), ("d", True)):  # the last two states are kept
        with h5burst.edit(path) as tx:
            tx.put((name,), Array(data[:10]))
        size = path.stat().st_size
        recording_file.compact_if_mostly_dead(path)
        assert (path.stat().st_size < size) == is_compacted
    assert h5burst.info(path).dead_bytes == 0
    assert len(h5burst.load(path, at=2)) == 2
