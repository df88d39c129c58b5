"""Any tree, emitted and written by h5py, reads the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import h5py
import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from h5burst.model.tree import Array, Group, Storage
from h5burst.write import native
from reference.hdf5_tree import content, write_plainly

NAMES = st.text(max_size=12) | st.sampled_from(["a/b", ".", "..", "%~", "%~%2F", "/", "\0", "\ud800", "名前"])
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
RAW = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"0"))


def dtypes() -> st.SearchStrategy[np.dtype[Any]]:
    simple = (
        hnp.integer_dtypes()
        | hnp.unsigned_integer_dtypes()
        | hnp.floating_dtypes(sizes=(16, 32, 64))
        | hnp.complex_number_dtypes(sizes=(64, 128))
        | hnp.boolean_dtypes()
        | hnp.byte_string_dtypes(min_len=1, max_len=20)
    )
    records = hnp.array_dtypes(simple, allow_subarrays=True).filter(is_held)
    return simple | records | st.just(h5py.enum_dtype({"A": 0, "ß": 5}))


def is_held(dtype: np.dtype[Any]) -> bool:
    """HDF5 has neither second names of fields nor fields without a name."""
    try:
        return bool(h5py.h5t.py_create(dtype, logical=True).dtype == dtype)
    except ValueError:
        return False


@st.composite
def numbers(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """Any bytes as elements, in any strides; shapes from nothing to several chunks."""
    dtype = draw(dtypes())
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
    if draw(st.integers(0, 9)) == 0:
        shape = (draw(st.integers(1, 3)) * 4001, *shape[1:2])
    count = int(np.prod(shape)) * dtype.itemsize
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    raw = rng.integers(0, 256, count, np.uint8)
    data = np.zeros(shape, dtype) if has_booleans(dtype) or not count else raw.view(dtype).reshape(shape)
    if dtype.kind == "b":
        data = np.asarray(rng.integers(0, 2, shape) > 0)
    if data.ndim and draw(st.booleans()):
        data = data[:: draw(st.sampled_from([1, 2, -1, -3]))].T
    return data


def has_booleans(dtype: np.dtype[Any]) -> bool:
    if dtype.subdtype is not None:
        return has_booleans(dtype.subdtype[0])
    if dtype.fields is not None:
        return any(has_booleans(field[0]) for field in dtype.fields.values())
    return dtype.kind == "b"


@st.composite
def texts(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=8))
    data = np.empty(shape, dtype=object)
    items = draw(st.sampled_from([TEXT, RAW]))
    for place in np.ndindex(shape):
        data[place] = draw(items)
    return data


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.complex_numbers()
    | TEXT
    | RAW
    | st.floats(width=32).map(np.float32)
    | st.booleans().map(np.bool_)
)
ATTRIBUTES = st.dictionaries(NAMES, SCALARS | numbers() | texts(), max_size=4)
STORAGE = (
    st.none()
    | st.builds(Storage, codec=st.none(), compress_small=st.booleans())
    | st.builds(Storage, codec=st.just("gzip"), level=st.none() | st.integers(0, 9), compress_small=st.booleans())
)
ARRAYS = st.builds(Array, st.none() | numbers() | texts(), ATTRIBUTES, STORAGE)
TREES = st.recursive(
    ARRAYS,
    lambda nodes: st.builds(Group, st.dictionaries(NAMES, nodes, max_size=5), ATTRIBUTES),
    max_leaves=12,
).map(lambda node: node if isinstance(node, Group) else Group({"only": node}))


@settings(max_examples=150)
@given(tree=TREES, storage=STORAGE)
def test_any_tree_reads_as_h5py_wrote_it(tree: Group, storage: Storage | None) -> None:
    with tempfile.TemporaryDirectory() as directory:
        ours, theirs = Path(directory, "ours.h5"), Path(directory, "theirs.h5")
        write_plainly(theirs, tree)
        native.write(ours, tree, storage=storage)
        assert content(ours) == content(theirs)


@settings(max_examples=15)
@given(
    sizes=st.lists(st.integers(1, 200), min_size=1, max_size=2000),
    more=st.lists(st.integers(1, 200), max_size=60),
    alphabet=st.sampled_from(["x", "ä", "網"]),
)
def test_any_group_can_be_listed_and_extended(sizes: list[int], more: list[int], alphabet: str) -> None:
    """Links of any lengths, so that the blocks of dense storage end anywhere when libhdf5 goes on."""
    names = [f"{i} {alphabet * size}" for i, size in enumerate(sizes * 3)]
    new = [f"new {i} {alphabet * size}" for i, size in enumerate(more)]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "a.h5")
        native.write(path, Group({name: Group() for name in names}))
        with h5py.File(path, "r+") as file:
            assert set(file) == set(names)
            for name in new:
                file.create_group(name)
            for name in names[::2]:
                del file[name]
        with h5py.File(path, "r") as file:
            assert set(file) == {*names[1::2], *new}
            assert all(len(file[name]) == 0 for name in file)
