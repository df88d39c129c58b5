"""Chunk plans, and payloads out of arrays and back, whatever the strides, the edges and the box."""

from __future__ import annotations

import threading
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h5burst.arrays import chunks
from h5burst.arrays.chunks import CHUNK_BYTES, COMPACT_LIMIT, ChunkError, ChunkPlan
from h5burst.codecs.deflate import MIN_STRETCH
from h5burst.format import chunk_index
from h5burst.model.tree import Storage
from h5burst.read.files import read_tree
from support.sources import Rows

F8 = np.dtype("f8")


def planned(shape: tuple[int, ...], dtype: Any = F8, storage: Storage | None = None) -> ChunkPlan:
    plan = chunks.plan(shape, np.dtype(dtype), storage)
    assert plan is not None
    return plan


# ---------------------------------------------------------------- plans


@pytest.mark.parametrize("shape", [(), (0,), (10,), (5, 0, 3), (COMPACT_LIMIT // 8,)])
def test_small_arrays_lie_in_their_header(shape: tuple[int, ...]) -> None:
    assert chunks.plan(shape, F8) is None


def test_larger_arrays_are_cut_and_checked() -> None:
    plan = planned((COMPACT_LIMIT // 8 + 1,))
    assert [step.name for step in plan.filters] == ["fletcher32"]


@pytest.mark.parametrize("length", [33_000, 70_000, 300_000, 1_000_000, 4_000_000, 8_388_607, 20_000_000])
def test_planes_of_arrays_that_may_grow_are_coded_one_by_one(length: int) -> None:
    plan = planned((length,), "f4", Storage("gzip", maxshape=(None,)))
    assert plan.chunks[0] >= MIN_STRETCH  # bytes of one of the four planes of a chunk
    assert plan.chunk_bytes <= CHUNK_BYTES
    assert plan.chunk_count * plan.chunk_bytes < 1.1 * 4 * length  # little is padded


def test_arrays_that_may_grow_have_small_chunks_while_they_are_small() -> None:
    assert planned((3,), "f4", Storage("gzip", maxshape=(None,))).chunk_bytes == 1 << 16


def test_counts_that_may_grow_are_no_larger_in_the_file_than_others() -> None:
    counts = np.random.default_rng(0).poisson(3, 400_000).astype("f4")
    sizes = []
    for maxshape in (None, (None,)):
        plan = planned(counts.shape, "f4", Storage("gzip", maxshape=maxshape))
        sizes.append(sum(len(chunk.payload) for chunk in chunks.encode(counts, plan)))
    assert sizes[1] < 1.01 * sizes[0]


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((5000, 8000), "f8", (16, 8000)),
        ((1_000_000,), "u8", (125_000,)),
        ((100, 300_000), "f8", (1, 100_000)),
        ((60, 64, 64), "u1", (60, 64, 64)),
        ((3, 4, 1_000_000), "f4", (1, 1, 250_000)),
    ],
)
def test_leading_axes_are_cut_first_and_evenly(shape: tuple[int, ...], dtype: str, expected: tuple[int, ...]) -> None:
    assert planned(shape, dtype).chunks == expected


@given(
    st.lists(st.integers(1, 100_000), min_size=1, max_size=4).map(tuple),
    st.sampled_from(["u1", "i2", "f8", "c16", "V100"]),
)
def test_chunks_cover_the_array_at_about_a_mebibyte(shape: tuple[int, ...], dtype: str) -> None:
    plan = chunks.plan(shape, np.dtype(dtype))
    if plan is None:
        return
    assert plan.chunk_bytes <= CHUNK_BYTES
    assert all(1 <= chunk <= length for chunk, length in zip(plan.chunks, shape, strict=True))
    assert all((count - 1) * chunk < length for count, chunk, length in zip(plan.grid, plan.chunks, shape, strict=True))


def test_a_codec_lowers_the_limit_and_always_removes_it() -> None:
    assert chunks.plan((2000,), F8, Storage("gzip")) is not None
    assert chunks.plan((100,), F8, Storage("gzip")) is None
    assert chunks.plan((100,), F8, Storage("gzip", compress_small=True)) is not None
    assert chunks.plan((), F8, Storage("gzip", compress_small=True)) is None


def test_given_chunks_are_kept_within_the_array() -> None:
    assert planned((50, 7), storage=Storage(chunks=(20, 100))).chunks == (20, 7)
    for wrong in ((20,), (0, 3), (1, 2, 3)):
        with pytest.raises(ValueError, match="do not fit"):
            chunks.plan((50, 7), F8, Storage(chunks=wrong))
    with pytest.raises(ValueError, match="at most"):
        chunks.plan((1 << 30,), F8, Storage(chunks=(1 << 30,)))


def test_an_unknown_codec_is_refused_however_small_the_array() -> None:
    with pytest.raises(ValueError, match="unknown codec"):
        chunks.plan((1,), F8, Storage("zip"))


def test_what_cannot_be_chunked_is_contiguous() -> None:
    assert planned((), "S100000").chunks == ()
    assert chunks.plan_text((100,)) is None
    plan = chunks.plan_text((10_000,))
    assert plan is not None
    assert (plan.chunks, plan.filters) == ((), ())


# ---------------------------------------------------------------- there and back


def there_and_back(data: Any, storage: Storage, threads: int | None = None) -> tuple[ChunkPlan, dict[int, Any]]:
    """Encode, let h5py read, decode; returns the payloads by number."""
    plan = planned(data.shape, data.dtype, storage)
    made = list(chunks.encode(data, plan, threads))
    assert [chunk.number for chunk in made] == list(range(plan.chunk_count))
    assert [chunk.offset for chunk in made] == [plan.offset(chunk.number) for chunk in made]
    with h5py.File("memory.h5", "w", driver="core", backing_store=False) as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk(plan.chunks)
        for step in plan.filters:
            creation.set_filter(step.id, step.flags, step.values)
        dtype = h5py.h5t.py_create(data.dtype, logical=True)
        made_dataset = h5py.h5d.create(file.id, b"x", dtype, h5py.h5s.create_simple(data.shape), creation)
        for chunk in made:
            made_dataset.write_direct_chunk(chunk.offset, chunk.payload, chunk.filter_mask)
        whole = h5py.Dataset(made_dataset)[()]
    assert whole.dtype == data.dtype
    assert whole.tobytes() == np.ascontiguousarray(data).tobytes()
    stored = {chunk.number: (bytes(chunk.payload), chunk.filter_mask) for chunk in made}
    out = np.full(data.shape, 77).astype(data.dtype) if data.dtype.kind in "iufc" else np.empty_like(data, order="C")
    chunks.read_into(stored.__getitem__, plan, out, threads=threads)
    assert out.tobytes() == whole.tobytes()
    return plan, stored


def some_data(dtype: str, shape: tuple[int, ...]) -> Any:
    rng = np.random.default_rng(3)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return (rng.integers(0, 256, size) * (rng.random(size) < 0.3)).astype(np.uint8).view(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", ["?", "i1", ">i2", "<u4", "f2", ">f8", "c16", "S7", "V5"])
@pytest.mark.parametrize("codec", [None, "gzip"])
def test_every_dtype(dtype: str, codec: str | None) -> None:
    data = (some_data("u1", (33, 50)) % 2).astype(bool) if dtype == "?" else some_data(dtype, (33, 50))
    there_and_back(data, Storage(codec, compress_small=True, chunks=(10, 20)))


def test_structured_elements_with_holes() -> None:
    dtype = np.dtype({"names": ["a", "b"], "formats": ["u1", "<f8"], "offsets": [0, 8], "itemsize": 24})
    data = np.zeros((40,), dtype)
    data["a"], data["b"] = np.arange(40), np.arange(40) / 7
    plan = planned((40,), dtype, Storage("gzip", compress_small=True, chunks=(15,)))
    stored = {chunk.number: (chunk.payload, chunk.filter_mask) for chunk in chunks.encode(data[::-1], plan)}
    out = np.empty(40, dtype)
    chunks.read_into(stored.__getitem__, plan, out)
    assert np.array_equal(out, data[::-1])


LAYOUTS = {
    "as it is": lambda data: data,
    "columns first": np.asfortranarray,
    "backwards": lambda data: data[::-1, ::-1],
    "every other": lambda data: data.repeat(2, axis=1)[:, ::2],
    "transposed": lambda data: data.T.copy().T,
    "read only": lambda data: np.frombuffer(data.tobytes(), data.dtype).reshape(data.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("threads", [1, 3])
def test_any_strides(layout: str, threads: int) -> None:
    there_and_back(
        LAYOUTS[layout](some_data("i4", (71, 43))), Storage("gzip", compress_small=True, chunks=(16, 43)), threads
    )


def test_the_other_byte_order_is_turned() -> None:
    data = np.arange(20_000, dtype=">f8")
    plan = planned(data.shape, "<f8")
    stored = {chunk.number: (chunk.payload, chunk.filter_mask) for chunk in chunks.encode(data, plan)}
    out = np.empty(data.shape, "<f8")
    chunks.read_into(stored.__getitem__, plan, out)
    assert np.array_equal(out, data)


def test_another_dtype_or_shape_is_refused() -> None:
    plan = planned((20_000,))
    with pytest.raises(ValueError, match="float32"):
        list(chunks.encode(np.zeros(20_000, np.float32), plan))
    with pytest.raises(ValueError, match="shape"):
        list(chunks.encode(np.zeros(20_001), plan))
    with pytest.raises(ValueError, match="out of shape"):
        chunks.read_into(lambda number: None, plan, np.zeros(3))


@settings(max_examples=60)
@given(st.data())
def test_any_shape_chunks_and_box(drawn: st.DataObject) -> None:
    shape = tuple(drawn.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    cut = tuple(drawn.draw(st.integers(1, length)) for length in shape)
    data = np.arange(int(np.prod(shape)), dtype=np.int16).reshape(shape)
    plan = planned(
        shape, np.int16, Storage(drawn.draw(st.sampled_from([None, "gzip"])), compress_small=True, chunks=cut)
    )
    stored = {chunk.number: (chunk.payload, chunk.filter_mask) for chunk in chunks.encode(data, plan)}
    box = [tuple(sorted(drawn.draw(st.tuples(*[st.integers(0, length)] * 2)))) for length in shape]
    out = np.full([stop - start for start, stop in box], -1, np.int16)
    chunks.read_into(stored.__getitem__, plan, out, box)
    assert np.array_equal(out, data[tuple(slice(*edges) for edges in box)])


def test_chunks_never_written_hold_the_fill_value() -> None:
    plan = planned((100,), np.int32, Storage(chunks=(30,)))
    out = np.empty(100, np.int32)
    chunks.read_into(lambda number: None, plan, out)
    assert not out.any()
    chunks.read_into(lambda number: None, plan, out, fill=np.int32(-5).tobytes())
    assert np.all(out == -5)


def test_a_box_touches_only_its_chunks() -> None:
    data = np.arange(10_000).reshape(100, 100)
    plan = planned(data.shape, data.dtype, Storage(chunks=(10, 10)))
    stored = {chunk.number: (chunk.payload, chunk.filter_mask) for chunk in chunks.encode(data, plan)}
    fetched = []
    out = np.empty((5, 1), data.dtype)
    chunks.read_into(lambda number: fetched.append(number) or stored[number], plan, out, [(15, 20), (33, 34)])
    assert fetched == [13]
    assert np.array_equal(out, data[15:20, 33:34])


def test_damage_is_an_error() -> None:
    plan = planned((20_000,), np.int64, Storage("gzip"))
    stored = {chunk.number: (bytearray(chunk.payload), 0) for chunk in chunks.encode(np.arange(20_000), plan)}
    stored[0][0][100] ^= 1
    with pytest.raises(ChunkError, match="checksum"):
        chunks.read_into(stored.__getitem__, plan, np.empty(20_000, np.int64))


# ---------------------------------------------------------------- sources, threads, bounds


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("codec", [None, "gzip", "lzf"])
def test_a_source_is_asked_for_each_row_once_in_order(threads: int, codec: str | None) -> None:
    data = some_data("i4", (103, 70))
    source = Rows(data)
    plan = planned(data.shape, data.dtype, Storage(codec, compress_small=True, chunks=(10, 30)))
    made = list(chunks.encode(source, plan, threads))
    assert source.asked == [(start, min(start + 10, 103)) for start in range(0, 103, 10)]
    expected = list(chunks.encode(data, plan, threads))
    assert [bytes(chunk.payload) for chunk in made] == [bytes(chunk.payload) for chunk in expected]


def test_what_is_in_flight_is_bounded() -> None:
    source = Rows(np.zeros((1000, 10)))
    plan = planned(source.shape, source.dtype, Storage(chunks=(10, 10)))
    for count, _ in enumerate(chunks.encode(source, plan, 2), 1):
        assert len(source.asked) <= count + 2


def test_an_error_of_the_source_arrives_and_ends_the_work() -> None:
    class Broken(Rows):
        def read(self, start: int, stop: int) -> Any:
            if start >= 50:
                raise OSError("the disk is gone")
            return super().read(start, stop)

    source = Broken(np.zeros((1000, 10)))
    with pytest.raises(OSError, match="the disk is gone"):
        list(chunks.encode(source, planned(source.shape, source.dtype, Storage(chunks=(10, 10))), 2))
    assert len(source.asked) == 5


def test_rows_of_another_shape_are_refused() -> None:
    class Short(Rows):
        def read(self, start: int, stop: int) -> Any:
            return super().read(start, stop - 1)

    source = Short(np.zeros((100, 10)))
    with pytest.raises(ValueError, match="came with shape"):
        list(chunks.encode(source, planned(source.shape, source.dtype, Storage(chunks=(10, 10)))))


def test_results_do_not_depend_on_threads() -> None:
    data = some_data("f8", (700, 300))
    plan = planned(data.shape, data.dtype, Storage("gzip"))
    made = [[bytes(chunk.payload) for chunk in chunks.encode(data, plan, threads)] for threads in (1, 2, 5)]
    assert made[0] == made[1] == made[2]


def test_several_callers_at_once() -> None:
    data = [some_data("i4", (300, 200 + number)) for number in range(4)]
    wrong: list[int] = []

    def work(number: int) -> None:
        plan = planned(data[number].shape, "i4", Storage("gzip"))
        stored = {chunk.number: (chunk.payload, chunk.filter_mask) for chunk in chunks.encode(data[number], plan, 2)}
        out = np.empty(plan.shape, "i4")
        chunks.read_into(stored.__getitem__, plan, out, threads=2)
        if not np.array_equal(out, data[number]):
            wrong.append(number)

    callers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


@pytest.mark.parametrize("codec", ["gzip", None])
def test_many_small_chunks_are_one_task(codec: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that are only copied take less time than a task; the values come whichever way they are shared out."""
    given: list[int] = []

    def noting(function: Any, items: Any, threads: int | None = None) -> list[Any]:
        given.append(len(items))
        return [function(item) for item in items]

    monkeypatch.setattr(chunks, "parallel_map", noting)
    values = np.arange(51_200.0)
    filters = chunks.codecs.filters_for(Storage(codec), 8, 800) if codec else ()
    plan = ChunkPlan(values.shape, F8, (100,), filters)
    stored = {chunk.number: (bytes(chunk.payload), chunk.filter_mask) for chunk in chunks.encode(values, plan)}
    out = np.empty_like(values)
    chunks.read_into(stored.get, plan, out.view("V8"))
    np.testing.assert_array_equal(out, values)
    assert given == [8 if codec is None else 32]


@pytest.mark.parametrize(("start", "stop"), [(0, 1000), (7, 993), (64, 128), (70, 71), (5, 5)])
def test_stretches_of_one_axis_take_no_search(start: int, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ChunkPlan((1000,), F8, (64,), ())
    by_search = list(chunks.parts_of(plan, [np.arange(start, stop)]))
    monkeypatch.setattr(chunks, "_span", None)  # it would be called
    parts = list(chunks.parts_of(plan, [range(start, stop)]))
    values = np.arange(plan.grid[0] * 64).reshape(-1, 64)
    for part, other in zip(parts, by_search, strict=True):
        assert (part.number, part.target) == (other.number, other.target)
        assert np.array_equal(values[part.number][part.source], values[other.number][other.source])


def test_the_older_index_is_read_without_an_object_a_chunk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(60_000.0).reshape(300, 200)
    with h5py.File(tmp_path / "a.h5", "w", libver="earliest") as file:
        file.create_dataset("x", data=values, chunks=(7, 9), compression="gzip")
    monkeypatch.setattr(chunk_index, "ChunkElement", None)
    assert np.array_equal(read_tree(tmp_path / "a.h5")["x"].data, values)
