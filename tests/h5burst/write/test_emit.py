"""Native emission: what h5py reads is what h5py would have written, and what is not covered is refused at once."""

from __future__ import annotations

import errno
import io
import itertools
import os
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from h5burst.model.tree import Array, Group, Storage
from h5burst.runtime import simd
from h5burst.write import native, sink
from reference.hdf5_tree import content, every_kind, write_plainly
from support.sources import Rows


def emitted(tree: Group, path: Path, **options: Any) -> dict[str, Any]:
    native.write(path, tree, **options)
    return content(path)


def expected(tree: Group, path: Path) -> dict[str, Any]:
    write_plainly(path, tree)
    return content(path)


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == []


def test_every_kind_reads_as_h5py_wrote_it(tmp_path: Path) -> None:
    tree = every_kind()
    assert_same(emitted(tree, tmp_path / "ours.h5"), expected(tree, tmp_path / "theirs.h5"))


@pytest.mark.parametrize("level", [None, 0, 1, 9])
def test_compressed_arrays_read_the_same(tmp_path: Path, level: int | None) -> None:
    tree = every_kind()
    storage = Storage("gzip", level, compress_small=True)
    assert_same(emitted(tree, tmp_path / "a.h5", storage=storage), expected(tree, tmp_path / "b.h5"))
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["large/rows"].compression == "gzip"
        assert file["large/rows"].fletcher32
        assert file["shapes/cube"].compression == "gzip"


def test_small_arrays_lie_in_their_header_and_large_ones_carry_fletcher32(tmp_path: Path) -> None:
    native.write(tmp_path / "a.h5", every_kind())
    layouts = []
    with h5py.File(tmp_path / "a.h5") as file:

        def look(_: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Dataset) and item.size and item.dtype.kind != "O":
                kept = item.id.get_create_plist()
                is_small = item.nbytes <= 60 * 1024
                assert kept.get_layout() == (h5py.h5d.COMPACT if is_small else h5py.h5d.CHUNKED), item.name
                assert is_small or item.fletcher32, item.name
                layouts.append(is_small)

        file.visititems(look)
    assert {True, False} == set(layouts)


@pytest.mark.parametrize("chunks", [(1, 1), (7, 5), (1, 40), (90, 1), (89, 39), (90, 40), (200, 200)])
def test_every_grid_of_chunks_reads_the_same(tmp_path: Path, chunks: tuple[int, int]) -> None:
    """From a single chunk to 3600 of them, which takes several pages of the index."""
    data = np.arange(3600.0).reshape(90, 40)
    native.write(tmp_path / "a.h5", Group({"x": Array(data, storage=Storage(chunks=chunks))}))
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["x"][()], data)
        np.testing.assert_array_equal(file["x"][3:80:7, 39], data[3:80:7, 39])
        assert file["x"].chunks == tuple(np.minimum(chunks, data.shape))


@pytest.mark.parametrize("count", [1023, 1024, 1025, 2048, 2049, 9000])
def test_index_pages_at_their_edges(tmp_path: Path, count: int) -> None:
    data = np.arange(count, dtype=np.int16)
    native.write(tmp_path / "a.h5", Group({"x": Array(data, storage=Storage("gzip", 1, chunks=(1,)))}))
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["x"][()], data)


@pytest.mark.parametrize("itemsize_and_chunk", [(1, 100), (8, 31), (8, 32), (8, 8191), (8, 8192), (8, 2_097_152)])
def test_chunk_sizes_around_the_widths_of_the_index(tmp_path: Path, itemsize_and_chunk: tuple[int, int]) -> None:
    itemsize, chunk = itemsize_and_chunk
    data = np.arange(2 * chunk + 3).astype(f"u{itemsize}")
    native.write(tmp_path / "a.h5", Group({"x": Array(data, storage=Storage(chunks=(chunk,)))}))
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["x"][()], data)


def test_block_sources_are_read_once_in_order(tmp_path: Path) -> None:
    small, large = Rows(np.arange(12).reshape(4, 3)), Rows(np.arange(3e5).reshape(3000, 100))
    empty = Rows(np.zeros((0, 3)))
    native.write(tmp_path / "a.h5", Group({"small": Array(small), "large": Array(large), "empty": Array(empty)}))
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["small"][()], small.data)
        np.testing.assert_array_equal(file["large"][()], large.data)
        assert file["empty"].shape == (0, 3)
    edges = [0, *(stop for _, stop in large.asked)]
    assert large.asked == list(itertools.pairwise(edges))
    assert edges[-1] == 3000


def test_the_same_tree_gives_the_same_bytes_with_any_number_of_threads() -> None:
    files = []
    for threads in (1, 2, 5):
        stream = io.BytesIO()
        native.write(stream, every_kind(), storage=Storage("gzip", 4), threads=threads)
        files.append(stream.getvalue())
    assert files[0] == files[1] == files[2]


@given(st.lists(st.integers(0, 900), max_size=40), st.sampled_from(simd.available()))
def test_checksums_of_headers_of_any_lengths_side_by_side(lengths: list[int], variant: str) -> None:
    """libhdf5 reads no header whose checksum is wrong."""
    values = {f"{number}": np.arange(length, dtype=np.uint8) for number, length in enumerate(lengths)}
    stream = io.BytesIO()
    with simd.forced(variant):
        native.write(stream, Group({name: Array(data) for name, data in values.items()}))
    with h5py.File(stream, "r") as file:
        assert sorted(file) == sorted(values)
        for name, data in values.items():
            assert np.array_equal(file[name], data)


def test_a_stream_is_left_at_its_end_and_is_a_file() -> None:
    stream = io.BytesIO()
    native.write(stream, Group({"x": Array(np.arange(4))}))
    assert stream.tell() == len(stream.getvalue())
    with h5py.File(stream, "r") as file:
        assert list(file["x"]) == [0, 1, 2, 3]


def test_short_writes_are_carried_on() -> None:
    class Stuttering(io.BytesIO):
        def write(self, data: Any, /) -> int:
            return super().write(memoryview(data)[: max(1, len(data) // 3)])

    whole, pieces = io.BytesIO(), Stuttering()
    native.write(whole, every_kind())
    native.write(pieces, every_kind())
    assert pieces.getvalue() == whole.getvalue()


def large_tree() -> Group:
    rng = np.random.default_rng(0)
    many = Group({str(number): Array(rng.random(900)) for number in range(3000)})
    return Group({"many": many, "large": Array(rng.random((300, 9000))), "more": many})


counts_blocks = pytest.mark.skipif(not hasattr(os.stat_result, "st_blocks"), reason="no file tells what room it takes")


@pytest.mark.parametrize("threads", [1, 2])
def test_a_file_holds_what_a_stream_does_whoever_writes_it(tmp_path: Path, threads: int) -> None:
    plain = io.BytesIO()
    native.write(plain, large_tree())
    path = tmp_path / "large.h5"
    native.write(path, large_tree(), threads=threads)
    assert path.read_bytes() == plain.getvalue()
    with open(tmp_path / "open.h5", "wb", buffering=0) as stream:
        native.write(stream, large_tree(), threads=threads)
        assert stream.tell() == len(plain.getvalue())
    assert (tmp_path / "open.h5").read_bytes() == plain.getvalue()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("most", [1 << 20, 3 << 20, 20 << 20])
def test_a_write_that_fails_is_an_error_whoever_writes(tmp_path: Path, threads: int, most: int) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        with pytest.raises(OSError) as failed:
            native.write(tmp_path / "large.h5", large_tree(), threads=threads)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert failed.value.errno == errno.EFBIG
    assert (tmp_path / "large.h5").read_bytes()[:8] == bytes(8)  # no HDF5 file


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_amid_a_large_file_leaves_no_thread(tmp_path: Path, threads: int) -> None:
    class Broken:
        shape, dtype = (4000, 500), np.dtype(np.float64)

        def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
            raise RuntimeError("unreadable")

    tree = large_tree()
    tree.children["broken"] = Array(Broken())
    running = len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").exists() else 0
    for _ in range(3):
        with pytest.raises(RuntimeError, match="unreadable"):
            native.write(tmp_path / "large.h5", tree, threads=threads)
    if running:
        assert len(list(Path("/proc/self/task").iterdir())) <= running + 2  # the pool's threads stay


@counts_blocks
def test_no_room_on_the_disk_is_kept_beyond_the_end(tmp_path: Path) -> None:
    path = tmp_path / "large.h5"
    native.write(path, large_tree())
    assert path.stat().st_blocks * 512 < path.stat().st_size + (1 << 20)


@counts_blocks
def test_room_beyond_the_end_is_given_back_after_a_failure(tmp_path: Path) -> None:
    class Failing:
        shape, dtype = (1 << 20, 8), np.dtype(np.float64)

        def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
            if start > (1 << 19):
                raise RuntimeError("no more")
            return np.ones((stop - start, 8))

    path = tmp_path / "half.h5"
    with pytest.raises(RuntimeError, match="no more"):
        native.write(path, Group({"half": Array(Failing())}))
    assert path.stat().st_size > 1 << 24
    assert path.stat().st_blocks * 512 < path.stat().st_size + (1 << 20)


def test_a_file_system_that_gives_no_room_ahead_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(descriptor: int, offset: int, length: int) -> bool:
        asked.append((offset, length))
        return False

    monkeypatch.setattr(sink, "preallocate", refuse)
    plain = io.BytesIO()
    native.write(plain, large_tree())
    assert not asked
    native.write(tmp_path / "large.h5", large_tree())
    assert len(asked) == 1
    assert (tmp_path / "large.h5").read_bytes() == plain.getvalue()


def test_a_stream_that_takes_nothing_more_is_an_error() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            return 0 if self.tell() > 1000 else super().write(data)

    with pytest.raises(OSError, match="nothing more can be written"):
        native.write(Full(), every_kind())


def test_what_is_written_is_no_hdf5_file_before_it_is_complete() -> None:
    class Interrupted(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            if offset == 0 and whence == io.SEEK_SET:
                raise KeyboardInterrupt
            return super().seek(offset, whence)

    stream = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        native.write(stream, every_kind())
    assert len(stream.getvalue()) > 100_000
    with pytest.raises(OSError):
        h5py.File(io.BytesIO(stream.getvalue()), "r")


def nested(depth: int) -> Group:
    tree = Group()
    for _ in range(depth):
        tree = Group({"g": tree})
    return tree


class SubclassedGroup(Group):
    pass


NOT_COVERED = {
    "unicode array": Array(np.array(["a"])),
    "dates": Array(np.array(["2024-01-01"], "M8[s]")),
    "objects": Array(np.array([1, "a"], dtype=object)),
    "mixed text": Array(np.array(["a", b"a"], dtype=object)),
    "text with NUL": Array(np.array(["a\0b"], dtype=object)),
    "surrogate": Array(np.array(["\ud800"], dtype=object)),
    "record with text": Array(np.zeros(2, [("a", h5py.string_dtype())])),
    "references": Array(np.zeros(2, h5py.ref_dtype)),
    "list": Array([1, 2, 3]),
    "number": Array(np.float64(3)),
    "huge scalar": Array(np.array((b"",), [("a", "S70000")])),
    "text attribute with NUL": Array(np.arange(2), {"a": "x\0"}),
    "list attribute": Array(np.arange(2), {"a": [1, 2]}),
    "huge integer": Array(np.arange(2), {"a": 2**70}),
    "huge attribute": Group(attrs={"a": np.zeros(1_000_000)}),
    "attributes of 600 MB": Group(attrs=dict.fromkeys(map(str, range(150)), np.zeros(500_000))),
    "number as a name": Group({5: Group()}),  # type: ignore[dict-item]
    "long name": Group({"x" * 5000: Group()}),
    "too deep": nested(1500),
    "no node": Group({"x": 5}),  # type: ignore[dict-item]
    "subclass": SubclassedGroup(),
    "no dict": Group(attrs=()),  # type: ignore[arg-type]
    "too many axes": Array(np.zeros((1,) * 40)),
}


@pytest.mark.parametrize("kind", NOT_COVERED)
def test_not_covered_is_said_before_the_first_byte(kind: str, tmp_path: Path) -> None:
    if kind == "too many axes" and np.lib.NumpyVersion(np.__version__) < "2.0.0":
        pytest.skip("this numpy has at most 32 axes")
    rows = Rows(np.zeros((40_000, 10)))
    tree = Group({"rows": Array(rows), "large": Array(np.zeros(10**6)), "bad": NOT_COVERED[kind]})
    (tmp_path / "old.h5").write_bytes(b"old")
    stream = io.BytesIO()
    for target in (stream, tmp_path / "old.h5", tmp_path / "new.h5"):
        with pytest.raises(native.NeedsLibhdf5Error):
            native.write(target, tree)
    assert stream.getvalue() == b""
    assert rows.asked == []
    assert (tmp_path / "old.h5").read_bytes() == b"old"
    assert not (tmp_path / "new.h5").exists()


@pytest.mark.parametrize("storage", [Storage("brotli"), Storage("gzip", 12), Storage(chunks=(3, 3))])
def test_a_wrong_storage_is_refused_before_the_first_byte(storage: Storage) -> None:
    stream = io.BytesIO()
    with pytest.raises(ValueError):
        native.write(stream, Group({"x": Array(np.zeros(9), storage=storage)}))
    assert stream.getvalue() == b""


def test_an_error_of_a_source_reaches_the_caller() -> None:
    class Broken(Rows):
        def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
            raise OSError("the camera is gone")

    for rows in (3, 30_000):
        with pytest.raises(OSError, match="camera"):
            native.write(io.BytesIO(), Group({"x": Array(Broken(np.zeros((rows, 9))))}))


@pytest.mark.parametrize("gives", [np.zeros((4, 3), np.int32), np.zeros((3, 3))])
def test_a_source_that_gives_something_else_is_refused(gives: np.ndarray[Any, Any]) -> None:
    class Liar(Rows):
        def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
            return gives

    with pytest.raises(ValueError, match="source"):
        native.write(io.BytesIO(), Group({"x": Array(Liar(np.zeros((4, 3))))}))


def test_a_node_may_stand_in_several_places(tmp_path: Path) -> None:
    shared = Group({"x": Array(np.arange(3), {"unit": "s"})}, {"text": "twice"})
    tree = Group({"a": shared, "b": shared})
    assert_same(emitted(tree, tmp_path / "a.h5"), expected(tree, tmp_path / "b.h5"))


def test_datatypes_equal_but_for_metadata_stay_apart(tmp_path: Path) -> None:
    plain = np.dtype("i4")
    one, two = h5py.enum_dtype({"A": 1}, basetype="i4"), h5py.enum_dtype({"B": 1}, basetype="i4")
    assert plain == one == two
    tree = Group({str(i): Array(np.ones(2, dtype)) for i, dtype in enumerate((plain, one, two, plain, one))})
    assert_same(emitted(tree, tmp_path / "a.h5"), expected(tree, tmp_path / "b.h5"))


def test_memory_stays_bounded_while_large_arrays_are_written(tmp_path: Path) -> None:
    data = np.ones((2000, 10_000), np.int16)
    tree = Group({"array": Array(data), "view": Array(data.T), "rows": Array(Rows(data))})
    tracemalloc.start()
    try:
        native.write(tmp_path / "a.h5", tree, threads=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < data.nbytes // 2
