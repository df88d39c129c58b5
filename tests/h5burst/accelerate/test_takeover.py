"""What `h5burst.accelerate` takes over from h5py, and what it leaves to it."""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

import h5burst
from h5burst import accelerate
from h5burst.accelerate import encoders, facts, takeover
from h5burst.direct_chunks import stored_chunks
from support.plain_edges import made

DATA = np.random.default_rng(5).integers(0, 90, (600, 400)).astype("i4")  # of 960 000 bytes, beyond the threshold
GZIP: dict[str, Any] = {"chunks": (50, 100), "compression": "gzip"}


@pytest.fixture(autouse=True)
def disabled_in_the_end() -> Iterator[None]:
    yield
    accelerate.disable()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=DATA, shuffle=True, fletcher32=True, **GZIP)
    return tmp_path / "a.h5"


def counts() -> tuple[int, int]:
    now = accelerate.status()
    return now.reads, now.writes


def taken(function: Callable[[], Any]) -> tuple[int, int]:
    """How many reads and writes of a call were taken over."""
    before = counts()
    with accelerate.enabled():
        function()
    after = counts()
    return after[0] - before[0], after[1] - before[1]


READS: dict[str, Callable[[h5py.Dataset], Any]] = {
    "all": lambda dataset: dataset[...],
    "rows": lambda dataset: dataset[100:500],
    "odd edges": lambda dataset: dataset[3:-2, 1:],
    "as an array": np.asarray,
    "of the same type": lambda dataset: dataset.astype("i4")[()],
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_reads_are_taken_over(name: str, mode: str, path: Path) -> None:
    found: list[Any] = []
    with h5py.File(path, mode) as file:
        expected = READS[name](file["x"])
        assert taken(lambda: found.append(READS[name](file["x"]))) == (1, 0)
    np.testing.assert_array_equal(found[0], expected)


@pytest.mark.parametrize(
    ("selection", "left"),
    [(np.s_[7], 0), (np.s_[3:5], 0), (np.s_[::2], 0), (np.s_[[1, 2]], 0), (np.s_[:, 5], 0), (np.s_[:, :20], 0)],
    ids=str,
)
def test_parts_of_chunks_are_left_to_h5py(selection: Any, left: int, path: Path) -> None:
    with h5py.File(path) as file:
        assert taken(lambda: file["x"][selection]) == (left, 0)


@pytest.mark.parametrize("largest", [(600, 400), (None, 400), (None, None)])
def test_chunks_at_the_edge_without_filters_are_left_to_h5py(largest: tuple[int | None, ...], tmp_path: Path) -> None:
    path = tmp_path / "edges.h5"
    made(path, (600, 400), (70, 90), largest, False)
    with h5py.File(path, "r+") as file:
        assert taken(lambda: file["x"].write_direct(DATA)) == (0, 0)
        found: list[Any] = []
        assert taken(lambda: found.append(file["x"][...])) == (0, 0)
    np.testing.assert_array_equal(found[0], DATA)
    assert h5burst.verify(path) == []
    np.testing.assert_array_equal(h5burst.read_tree(path)["x"].data, DATA)


def test_what_libhdf5_cannot_be_asked_is_left_to_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_chunk_options", lambda: None)
    with h5py.File(path) as file:
        assert taken(lambda: file["x"][...]) == (0, 0)


def test_writes_are_taken_over_and_h5py_reads_them(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        assert taken(lambda: file.create_dataset("made", data=DATA, **GZIP)) == (0, 1)
        file.create_dataset("set", DATA.shape, "i8", shuffle=True, **GZIP)
        file.create_dataset("direct", DATA.shape, "i4", **(GZIP | {"compression": "lzf"}))
        assert taken(lambda: file["set"].__setitem__(np.s_[...], DATA)) == (0, 1)
        assert taken(lambda: file["direct"].write_direct(DATA)) == (0, 1)
        assert taken(lambda: file["set"].__setitem__(np.s_[100:500, 100:], -DATA[100:500, 100:])) == (0, 1)
        assert taken(lambda: file["set"].__setitem__(np.s_[10:500], DATA[10:500])) == (0, 0)
    with h5py.File(tmp_path / "a.h5") as file:
        for name in ("made", "direct"):
            np.testing.assert_array_equal(file[name][...], DATA)
        expected = DATA.copy()
        expected[100:500, 100:] *= -1
        expected[10:500] = DATA[10:500]
        np.testing.assert_array_equal(file["set"][...], expected)


def test_what_is_written_and_not_flushed_is_read(path: Path) -> None:
    """By libhdf5 into its cache, then read here; written here, then read by libhdf5, whose cache holds the chunk."""
    with h5py.File(path, "r+") as file:
        dataset = file["x"]
        dataset[3:7] = -1
        with accelerate.enabled():
            assert (dataset[...][3:7] == -1).all()
        assert dataset[0, 0] == DATA[0, 0]  # its chunk is in the cache now
        with accelerate.enabled():
            dataset[...] = DATA + 1
        assert dataset[0, 0] == DATA[0, 0] + 1
        np.testing.assert_array_equal(dataset[...], DATA + 1)


def test_a_file_that_is_open_twice_is_one_file(path: Path) -> None:
    """A second, read-only handle shares what the first has in libhdf5's cache."""
    with h5py.File(path, "r+") as file, h5py.File(path, "r") as again:
        file["x"][3:7] = -1
        with accelerate.enabled():
            assert (again["x"][...][3:7] == -1).all()


def test_after_its_file_is_closed_a_dataset_gives_h5pys_error(path: Path) -> None:
    with h5py.File(path) as file:
        dataset = file["x"]
        with accelerate.enabled():
            assert dataset[...].shape == DATA.shape
    for call in (lambda: dataset[...], lambda: dataset.read_direct(np.empty_like(DATA))):
        for again in (nullcontext(), h5py.File(path)):  # HDF5 may give what is opened the number of what was closed
            with again:
                with pytest.raises((ValueError, RuntimeError)) as theirs:
                    call()
                with accelerate.enabled(), pytest.raises(theirs.type) as ours:
                    call()
                assert str(ours.value) == str(theirs.value)


def test_a_file_open_for_reading_is_not_written(path: Path) -> None:
    with h5py.File(path) as file:
        with pytest.raises(OSError) as theirs:
            file["x"][...] = DATA
        with accelerate.enabled(), pytest.raises(OSError) as ours:
            file["x"][...] = DATA
    assert str(ours.value).split("(")[0] == str(theirs.value).split("(")[0]


def test_damage_gives_what_h5py_gives(path: Path) -> None:
    """Bytes of chunks changed at random: the same error, or the same values."""
    rng = np.random.default_rng(11)
    with h5py.File(path) as file:
        places = [file["x"].id.get_chunk_info(k) for k in range(48)]
    content = path.read_bytes()
    errors = 0
    for _ in range(60):
        place = places[rng.integers(len(places))]
        broken = bytearray(content)
        broken[place.byte_offset + int(rng.integers(place.size))] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        results = []
        for is_on in (False, True):
            (accelerate.enable if is_on else accelerate.disable)()
            with h5py.File(path) as file:
                try:
                    results.append(file["x"][...].tobytes())
                except OSError as error:
                    results.append(str(error))
        assert results[0] == results[1]
        errors += isinstance(results[0], str)
    assert errors > 30


@pytest.mark.parametrize("driver", ["core", "stdio", "fileobj", "user block"])
def test_files_of_any_driver(driver: str, tmp_path: Path) -> None:
    name: Any = io.BytesIO() if driver == "fileobj" else tmp_path / "a.h5"
    options: dict[str, Any] = {"driver": driver} if driver in ("core", "stdio") else {}
    if driver == "user block":
        options = {"userblock_size": 512}
    with h5py.File(name, "w", **options) as file:
        assert taken(lambda: file.create_dataset("x", data=DATA, **GZIP)) == (0, 1)
        assert taken(lambda: np.testing.assert_array_equal(file["x"][...], DATA)) == (1, 0)
    options.pop("userblock_size", None)
    with h5py.File(name, "r", **options) as file:
        np.testing.assert_array_equal(file["x"][...], DATA)
        assert taken(lambda: np.testing.assert_array_equal(file["x"][...], DATA)) == (1, 0)


def test_chunks_that_were_never_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (600, 400), "i4", fillvalue=-7, **GZIP)[120:180] = DATA[120:180]
        file.create_dataset("nothing", (600, 400), "i4", fillvalue=-7, **GZIP)
        for name, dataset in file.items():
            expected = dataset[...]
            count = int(name == "x")  # the other one takes no bytes in the file
            assert taken(lambda d=dataset, e=expected: np.testing.assert_array_equal(d[...], e)) == (count, 0)
    with h5py.File(tmp_path / "a.h5") as file:
        for dataset in file.values():
            expected = dataset[...]
            with accelerate.enabled():
                np.testing.assert_array_equal(dataset[...], expected)


def test_what_is_left_to_h5py(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.create_dataset("contiguous", data=DATA)
        file.create_dataset("no filters", data=DATA, chunks=(50, 100))
        file.create_dataset("blosc", data=DATA, chunks=(50, 100), **hdf5plugin.Blosc())
        file.create_dataset(
            "text", data=np.array(["µ"] * 600, object), dtype=h5py.string_dtype(), **{**GZIP, "chunks": (9,)}
        )
        file.create_dataset("x", data=DATA, **GZIP)
        layout = h5py.VirtualLayout(DATA.shape, "i4")
        layout[...] = h5py.VirtualSource(file["x"])
        file.create_virtual_dataset("virtual", layout)
        for name in ("contiguous", "no filters", "blosc", "text", "virtual"):
            assert taken(lambda n=name: file[n][...]) == (0, 0), name
        file.swmr_mode = True
        assert taken(lambda: file["x"][...]) == (0, 0)
    assert accelerate.status().left["no filters"] >= 1


def test_a_second_read_of_what_libhdf5_keeps_is_its_own(tmp_path: Path) -> None:
    """Windows that go on take each chunk once; windows that stay are in libhdf5's cache."""
    data = np.arange(200_000, dtype="i4")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=data, chunks=(10_000,), compression="gzip")
    with h5py.File(tmp_path / "a.h5") as file:
        dataset = file["x"]
        assert taken(lambda: [dataset[k : k + 100_000] for k in (0, 100_000)]) == (2, 0)
        assert taken(lambda: [dataset[k : k + 100_000] for k in (100_000, 110_000)]) == (0, 0)


def test_off_is_off(path: Path) -> None:
    own = h5py.Dataset.__getitem__, h5py.Dataset.__setitem__, h5py._hl.dataset.make_new_dset
    accelerate.enable()
    accelerate.enable()
    assert h5py.Dataset.__getitem__ is not own[0]
    accelerate.disable()
    assert (h5py.Dataset.__getitem__, h5py.Dataset.__setitem__, h5py._hl.dataset.make_new_dset) == own
    with accelerate.enabled(), accelerate.enabled():
        pass
    assert not accelerate.status().is_enabled


def test_status_says_what_was_done(path: Path) -> None:
    before = accelerate.status()
    with h5py.File(path) as file, accelerate.enabled():
        file["x"][...]
    after = accelerate.status()
    assert after.bytes_read - before.bytes_read == DATA.nbytes
    assert after.seconds_reading > before.seconds_reading
    assert f"reads taken over: {after.reads}, " in str(after)


# ---------------------------------------------------------------- threads and processes


def test_who_holds_h5pys_lock_does_not_hang(path: Path) -> None:
    """Also while garbage that needs the lock is collected in whatever thread comes first."""
    threshold = gc.get_threshold()
    with h5py.File(path, "r+") as file, accelerate.enabled():
        for k in range(6):
            file.create_dataset(f"y{k}", data=DATA, **GZIP)
        gc.set_threshold(1, 1, 1)
        try:
            found: list[Any] = []

            def visit(_: str, item: Any) -> None:
                cycle: list[Any] = [item.id.get_space()]
                cycle.append(cycle)
                item[...] = item[...] + 1
                found.append(item[...])

            file.visititems(visit)
        finally:
            gc.set_threshold(*threshold)
    assert len(found) == 7
    assert all(np.array_equal(array, DATA + 1) for array in found)


def test_threads_may_read_and_write_at_once(path: Path) -> None:
    with h5py.File(path, "r+") as file, accelerate.enabled(), ThreadPoolExecutor(6) as pool:
        dataset = file["x"]

        def go(k: int) -> bool:
            if k % 3 == 0:
                dataset[...] = np.full_like(DATA, k)
            read = dataset[...]
            return bool((read == read[0, 0]).all())  # as h5py: nothing half written

        dataset[...] = np.zeros_like(DATA)
        assert all(pool.map(go, range(40)))


def _sum_of(path: Path) -> int:
    with h5py.File(path) as file, accelerate.enabled():
        return int(file["x"][...].sum())


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_children_read_and_write(method: str, path: Path) -> None:
    assert _sum_of(path) == DATA.sum()  # the pool has threads now
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_sum_of, [path] * 4) == [DATA.sum()] * 4


def test_importing_starts_no_thread_and_nothing_else_imports_it() -> None:
    code = (
        "import sys, threading, h5burst, h5py; own = h5py.Dataset.__getitem__; h5burst.accelerate;"
        "assert 'h5burst.auto' not in sys.modules and h5py.Dataset.__getitem__ is own;"
        "import h5burst.auto; assert threading.active_count() == 1 and h5py.Dataset.__getitem__ is not own"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_reads_go_on_where_no_thread_can_be_started(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setenv("H5BURST_NUM_THREADS", "7")  # a pool that has no thread yet
    with h5py.File(path, "r+") as file:
        assert taken(lambda: np.testing.assert_array_equal(file["x"][...], DATA)) == (1, 0)
        assert taken(lambda: file["x"].__setitem__(np.s_[...], DATA * 2)) == (0, 1)
        np.testing.assert_array_equal(file["x"][...], DATA * 2)


# ---------------------------------------------------------------- sizes, look-ups


def _kinds() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.normal(0, 3, (20_000, 1)), axis=0)
    return {
        "rounded": np.log1p(rng.poisson(rng.gamma(0.4, 2, (400, 700)))).astype("f4").round(3),
        "counts": rng.poisson(1.5, 300_000).astype("f4"),
        "indices": np.sort(rng.integers(0, 8000, (300, 700)), axis=1).astype("i4").ravel(),
        "traces": (walk + rng.normal(0, 12, (20_000, 12))).astype("i2"),
        "noise": rng.normal(size=100_000),
        "zeros": np.zeros(300_000, "i4"),
        "half zeros": np.where(np.arange(300_000) < 150_000, 0, rng.normal(size=300_000)),
    }


@pytest.mark.parametrize("level", [1, 4, 6, 9])
@pytest.mark.parametrize("shuffle", [False, True])
def test_files_are_about_as_small_as_h5pys(level: int, shuffle: bool, tmp_path: Path) -> None:
    limit = 1.06 if level <= 4 else 1.03
    for kind, data in _kinds().items():
        sizes = []
        for is_on in (False, True):
            (accelerate.enable if is_on else accelerate.disable)()
            with h5py.File(tmp_path / "a.h5", "w") as file:
                made = file.create_dataset(
                    "x", data=data, chunks=True, compression="gzip", compression_opts=level, shuffle=shuffle
                )
                sizes.append(made.id.get_storage_size())
        accelerate.disable()
        with h5py.File(tmp_path / "a.h5") as file:
            np.testing.assert_array_equal(file["x"][...], data)
        assert sizes[1] <= limit * sizes[0], (kind, sizes)


def test_the_encoder_is_the_quickest_that_does() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=4000).view("u1")
    repeated = np.tile(rng.integers(0, 256, 3000, "u1"), 11)
    assert encoders.quickest([noise], 6) is encoders.literals
    assert encoders.quickest([repeated], 6) is not encoders.literals
    for data in (noise, repeated):
        for way in (encoders.literals, encoders.quickest([data], 9)):
            assert zlib.decompress(way(data)) == data.tobytes()


class Lookups:
    """A dataset of HDF5's, which counts what takes as long as for all chunks."""

    def __init__(self, count: int, missing: list[int]) -> None:
        self.count, self.missing, self.linear = count, missing, 0

    def read_direct_chunk(self, start: tuple[int, ...]) -> tuple[int, bytes]:
        if start[0] in self.missing:
            raise OSError("no such chunk")
        return 0, b"%d" % start[0]

    def chunk_iter(self, keep: Callable[[Any], None]) -> None:
        self.linear += 1
        for k in range(self.count):
            if k not in self.missing:
                keep(h5py.h5d.StoreInfo((k,), 0, 1000 + k, 1))

    def get_chunk_info_by_coord(self, start: tuple[int, ...]) -> None:
        raise AssertionError("takes as long as for all chunks")


@pytest.mark.parametrize("missing", [[], [5], [1, 2, 3, 19]], ids=str)
def test_chunks_are_looked_up_at_once(missing: list[int]) -> None:
    """One after another takes a time that grows with the square of their number."""
    dataset: Any = Lookups(20, missing)
    found = list(stored_chunks(dataset, [(k,) for k in range(20)]))
    assert found == [None if k in missing else (b"%d" % k, 0) for k in range(20)]
    assert dataset.linear == bool(missing)


# ---------------------------------------------------------------- whole programs

SCRIPT = """
import sys, h5py, numpy as np
assert __name__ == "__main__" and sys.argv[1:] == ["one", "two"], sys.argv
with h5py.File(sys.argv[0] + ".h5", "w") as file:
    file.create_dataset("x", data=np.zeros((1000, 1000)), compression="gzip")
"""


def test_a_script_runs_as_it_is(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "h5burst.auto", str(script), "one", "two"]
    run = subprocess.run(
        command, env={**os.environ, "H5BURST_AUTO": "report"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "writes taken over: 1, 8.0 MB" in run.stderr
    wrong = subprocess.run(command[:3], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert "usage" in wrong.stderr
    assert takeover.THRESHOLD_VARIABLE == "H5BURST_AUTO_THRESHOLD"
