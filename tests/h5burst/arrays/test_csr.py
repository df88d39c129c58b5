"""Dense to CSR and back against scipy and against the obvious way."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from h5burst.arrays import csr
from h5burst.runtime import simd
from reference import csr as reference

INTEGERS = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
FLOATS = ["f2", "f4", "f8", "g"]
DTYPES = [np.dtype(code) for code in INTEGERS + FLOATS]
LAYOUTS = ["C", "F", "steps", "backwards", "transposed part", "read-only", "unaligned"]


def laid_out(dense, layout):
    """The same matrix, otherwise in memory."""
    rows, columns = dense.shape
    if layout == "steps":
        wide = np.zeros((2 * rows, 3 * columns), dense.dtype)
        wide[::2, ::3] = dense
        return wide[::2, ::3]
    if layout == "backwards":
        return np.ascontiguousarray(dense[::-1, ::-1])[::-1, ::-1]
    if layout == "transposed part":
        tall = np.zeros((columns, rows + 5), dense.dtype)
        tall[:, 2 : 2 + rows] = dense.T
        return tall.T[2 : 2 + rows]
    if layout == "read-only":
        dense = dense.copy()
        dense.flags.writeable = False
        return dense
    if layout == "unaligned":
        buffer = np.zeros(dense.nbytes + 1, np.uint8)
        moved = buffer[1:].view(dense.dtype).reshape(dense.shape) if dense.size else dense
        moved[...] = dense
        return moved
    return np.asarray(dense, order=layout)


@st.composite
def matrices(draw, dtypes=DTYPES):
    """Matrices of many zeros and of every dtype's extreme values."""
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(st.tuples(st.integers(0, 20), st.integers(0, 40)))
    dense = np.zeros(shape, dtype)
    if dtype.kind == "f":
        special = [np.nan, -0.0, 0.0, np.inf, -np.inf, 1, -1, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal]
    elif dtype.kind == "b":
        special = [False, True]
    else:
        special = [0, 1, 2, np.iinfo(dtype).min, np.iinfo(dtype).max]
    pool = np.array(special, dtype)
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    filled = rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    dense[filled] = pool[rng.integers(0, len(pool), filled.sum())]
    return laid_out(dense, draw(st.sampled_from(LAYOUTS)))


def same_bits(got, expected):
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    if got.dtype.char == "g":  # whose padding bytes mean nothing
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))
    else:
        assert got.tobytes() == expected.tobytes()


def assert_parts(parts, data, indices, indptr):
    same_bits(parts.data, data)
    same_bits(parts.indices, indices)
    same_bits(parts.indptr, indptr)


@given(matrices(), st.integers(1, 3), st.sampled_from(simd.available()))
@settings(max_examples=150)
def test_encode_equals_the_obvious_way(dense, threads, variant):
    data, indices, indptr = reference.encode(dense)
    with simd.forced(variant):
        parts = csr.encode(dense, threads=threads)
    assert_parts(parts, data, indices.astype(np.int32), indptr.astype(np.int32))


@given(matrices([dtype for dtype in DTYPES if dtype != np.float16]), st.integers(1, 3))
def test_encode_equals_scipy(dense, threads):
    expected = sp.csr_matrix(dense)
    parts = csr.encode(dense, threads=threads)
    assert_parts(parts, expected.data, expected.indices, expected.indptr)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("code", ["f8", "f4", "u1", "i2", "g"])
def test_variants_and_threads_agree_on_large_matrices(code, layout):
    rng = np.random.default_rng(1)
    dense = (rng.integers(0, 100, (333, 517)) * (rng.random((333, 517)) < 0.4)).astype(code)
    expected = sp.csr_matrix(dense)
    moved = laid_out(dense, layout)
    for variant in simd.available():
        for threads in (1, 2, 5):
            with simd.forced(variant):
                parts = csr.encode(moved, threads=threads)
            assert_parts(parts, expected.data, expected.indices, expected.indptr)


def test_nan_is_kept_and_negative_zero_dropped():
    parts = csr.encode(np.array([[np.nan, -0.0, 0.0, 1.0]]))
    assert parts.indices.tolist() == [0, 3]


@pytest.mark.parametrize("code", [">f8", ">i4", ">f2"])
def test_foreign_byte_order_comes_out_native(code):
    dense = np.array([[0, 1], [2, 0]], code)
    parts = csr.encode(dense)
    assert parts.data.dtype == np.dtype(code).newbyteorder("=")
    assert parts.data.tolist() == [1, 2]


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 1)])
def test_encode_without_entries(shape):
    expected = sp.csr_matrix(np.zeros(shape))
    assert_parts(csr.encode(np.zeros(shape)), expected.data, expected.indices, expected.indptr)


def test_index_dtype_widens_by_need():
    limit = 2**31 - 1
    assert csr.index_dtype((limit, 5), limit) == np.int32
    assert csr.index_dtype((5, 5), limit + 1) == np.int64
    assert csr.index_dtype((5, limit + 1), 0) == np.int64
    assert csr.index_dtype((limit + 1, 5), 0) == np.int64


def test_wide_indices_when_the_matrix_needs_them(monkeypatch):
    monkeypatch.setattr(csr, "_INT32_MAX", 10)
    dense = np.eye(12)
    parts = csr.encode(dense)
    assert parts.indices.dtype == parts.indptr.dtype == np.int64
    assert parts.indices.tolist() == list(range(12))
    same_bits(csr.read_indices(dense, csr.row_pointers(dense), 3, 7), np.arange(3, 7))


# ---------------------------------------------------------------- streamed


@given(matrices(), st.integers(1, 7), st.sampled_from([np.int32, np.int64]), st.integers(1, 2))
def test_blocks_laid_end_to_end_are_the_matrix(dense, step, index, threads):
    whole = csr.encode(dense)
    blocks = (dense[start : start + step] for start in range(0, len(dense), step))
    parts = list(csr.encode_blocks(blocks, indices_dtype=index, threads=threads))
    assert len(parts) == -(-len(dense) // step)
    if parts:
        same_bits(np.concatenate([part.data for part in parts]), whole.data)
        same_bits(np.concatenate([part.indices for part in parts]), whole.indices.astype(index))
        pointers = np.concatenate([parts[0].indptr, *(part.indptr[1:] for part in parts[1:])])
        same_bits(pointers, whole.indptr.astype(np.int64))


def test_blocks_are_taken_one_at_a_time():
    asked = []

    def blocks():
        for number in range(3):
            asked.append(number)
            yield np.full((2, 4), number, np.int16)

    parts = csr.encode_blocks(blocks())
    assert asked == []
    assert next(parts).data.size == 0
    assert asked == [0]
    assert next(parts).indptr.tolist() == [0, 4, 8]
    assert asked == [0, 1]


@pytest.mark.parametrize("second", [np.zeros((2, 4)), np.zeros((2, 3), np.float32)])
def test_blocks_that_disagree_are_refused(second):
    with pytest.raises(ValueError, match="blocks must agree in dtype and columns"):
        list(csr.encode_blocks([np.zeros((2, 3)), second]))


def test_other_index_dtypes_are_refused():
    with pytest.raises(TypeError, match="indices_dtype must be int32 or int64, got uint8"):
        list(csr.encode_blocks([np.zeros((2, 3))], indices_dtype=np.uint8))


@given(matrices(), st.data())
def test_a_stretch_of_entries_equals_that_of_the_whole(dense, data):
    whole = csr.encode(dense)
    pointers = csr.row_pointers(dense)
    assert pointers.dtype == np.int64
    start = data.draw(st.integers(0, whole.data.size))
    stop = data.draw(st.integers(start, whole.data.size))
    threads = data.draw(st.integers(1, 3))
    same_bits(csr.read_data(dense, pointers, start, stop, threads=threads), whole.data[start:stop])
    same_bits(csr.read_indices(dense, pointers, start, stop, threads=threads), whole.indices[start:stop])


def test_pointers_of_another_matrix_are_refused():
    dense = np.eye(3)
    with pytest.raises(ValueError, match=r"pointers must be row_pointers\(dense\)"):
        csr.read_data(dense, np.array([0, 1]), 0, 1)
    with pytest.raises(ValueError, match="start and stop must be in 0 … 3"):
        csr.read_data(dense, csr.row_pointers(dense), 2, 4)
    with pytest.raises(TypeError, match="pointers must be an array of integers"):
        csr.read_indices(dense, csr.row_pointers(dense).astype(float), 0, 1)


def test_pointers_that_promise_more_entries_than_there_are_do_no_harm():
    dense = np.eye(3)
    assert csr.read_data(dense, np.array([0, 3, 6, 9]), 0, 9).size == 9


# ---------------------------------------------------------------- back


@st.composite
def entries(draw):
    """CSR parts in any order of columns, some places named twice."""
    dtype = draw(st.sampled_from(DTYPES))
    rows, columns = draw(st.integers(0, 12)), draw(st.integers(1, 12))
    counts = draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 8)))
    pointers = np.concatenate([[0], np.cumsum(counts)])
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    data = rng.integers(0 if dtype.kind in "bu" else -3, 4, pointers[-1]).astype(dtype)
    if dtype.kind == "f" and data.size:
        data[0] = draw(st.sampled_from([np.nan, -0.0, np.inf, 1.5]))
    index = draw(st.sampled_from([np.int32, np.int64, np.uint16]))
    return data, rng.integers(0, columns, pointers[-1]).astype(index), pointers.astype(index), columns


@given(entries(), st.integers(1, 3))
def test_decode_equals_the_obvious_way(parts, threads):
    same_bits(csr.decode(*parts, threads=threads), reference.decode(*parts))


@given(entries())
def test_decode_equals_scipy(parts):
    data, indices, indptr, columns = parts
    if data.dtype != np.float16:
        expected = sp.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, columns)).toarray()
        same_bits(csr.decode(*parts), expected)


@given(matrices(), st.integers(1, 3))
def test_decode_brings_back_what_encode_took(dense, threads):
    parts = csr.encode(dense)
    back = csr.decode(parts.data, parts.indices, parts.indptr, dense.shape[1], threads=threads)
    np.testing.assert_array_equal(back, dense)
    assert back.flags.c_contiguous


def test_decode_of_a_slice_of_pointers_is_a_block_of_rows():
    dense = np.arange(35.0).reshape(7, 5) * (np.arange(35).reshape(7, 5) % 3 == 0)
    parts = csr.encode(dense)
    same_bits(csr.decode(parts.data, parts.indices, parts.indptr[2:6], 5), dense[2:5])


def test_decode_writes_into_out():
    out = np.full((2, 3), 9.0)
    assert csr.decode(np.array([1.0]), np.array([1]), np.array([0, 0, 1]), 3, out=out) is out
    assert out.tolist() == [[0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("out", "fault"),
    [
        (np.zeros((2, 4)), "shape"),
        (np.zeros((2, 3), np.float32), "dtype"),
        (np.zeros((3, 2)).T, "order"),
        (np.broadcast_to(np.zeros(3), (2, 3)), "writable"),
    ],
)
def test_decode_refuses_an_out_that_does_not_fit(out, fault):
    with pytest.raises(ValueError, match="out must be C-contiguous, writable, float64 of shape"):
        csr.decode(np.array([1.0]), np.array([1]), np.array([0, 0, 1]), 3, out=out)


@pytest.mark.parametrize("column", [-1, 3, 2**31 - 1])
def test_decode_refuses_columns_out_of_range(column):
    with pytest.raises(ValueError, match=rf"indices must be in \[0, 3\), found {column}"):
        csr.decode(np.array([1.0, 2.0]), np.array([1, column], np.int32), np.array([0, 2]), 3)


@pytest.mark.parametrize("indptr", [[], [[0, 1]], [0, 2, 1], [-1, 1]])
def test_decode_refuses_bad_pointers(indptr):
    with pytest.raises(ValueError, match=r"indptr must be rows \+ 1 ascending numbers"):
        csr.decode(np.array([1.0]), np.array([1]), np.array(indptr, np.int64), 3)
    with pytest.raises(ValueError, match="indptr ends at 2, past the 1 entries"):
        csr.decode(np.array([1.0]), np.array([1]), np.array([0, 2]), 3)


def test_errors_name_the_argument():
    good = np.array([1.0]), np.array([1]), np.array([0, 1])
    with pytest.raises(TypeError, match="dense must be an array of a bool, integer or float dtype, got list"):
        csr.encode([[1.0]])
    with pytest.raises(TypeError, match=r"dense must be .* got an array of complex128"):
        csr.row_pointers(np.zeros((2, 2), complex))
    with pytest.raises(TypeError, match=r"dense must be .* got an array of datetime64"):
        csr.encode(np.zeros((2, 2), "M8[s]"))
    with pytest.raises(ValueError, match=r"dense must have two dimensions, got shape \(3,\)"):
        csr.encode(np.zeros(3))
    with pytest.raises(TypeError, match="data must be an array"):
        csr.decode(np.array(["a"]), *good[1:], 3)
    with pytest.raises(TypeError, match="indices must be an array of integers"):
        csr.decode(good[0], np.array([1.0]), good[2], 3)
    with pytest.raises(ValueError, match="data and indices must be of one length"):
        csr.decode(good[0], np.array([1, 2]), good[2], 3)
    with pytest.raises(ValueError, match="columns must not be negative, got -1"):
        csr.decode(*good, -1)
    with pytest.raises(ValueError, match="threads must be at least 1"):
        csr.encode(np.zeros((2, 2)), threads=0)
