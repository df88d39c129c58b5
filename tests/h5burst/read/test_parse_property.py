"""Any tree that h5py writes, in any format and storage, reads the same without it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import h5py
import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import h5burst
from h5burst.model.tree import Array, Group
from reference.hdf5_reading import differences, read_plainly

FORMATS = [("v110", "v110"), "latest", ("v108", "v108"), ("earliest", "latest"), ("earliest", "v110")]
NAMES = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name != "." and len(name.encode()) < 60
)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
SCALARS = (
    st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.booleans()
    | TEXT
    | st.complex_numbers()
    | st.just(h5py.Empty("i4"))
)
PLAIN_TYPES = (
    hnp.integer_dtypes()
    | hnp.unsigned_integer_dtypes()
    | hnp.floating_dtypes()
    | hnp.complex_number_dtypes(sizes=(64, 128))
    | hnp.boolean_dtypes()
    | hnp.byte_string_dtypes(min_len=1, max_len=9)
    | st.just(h5py.enum_dtype({"A": 0, "ß": 5}, "i2"))
    | st.just(h5py.string_dtype("utf-8", 7))
)


def _is_held(dtype: np.dtype[Any]) -> bool:
    try:
        return bool(h5py.h5t.py_create(dtype, logical=True).dtype == dtype)
    except ValueError:
        return False


TYPES = PLAIN_TYPES | hnp.array_dtypes(PLAIN_TYPES, allow_subarrays=True).filter(_is_held)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=12))
    if draw(st.integers(0, 3)) == 0:
        out = np.empty(shape, dtype=object)
        for place in np.ndindex(shape):
            out[place] = draw(TEXT)
        return out
    dtype = draw(TYPES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.integers(0, 2, int(np.prod(shape)) * dtype.itemsize, np.uint8).view(dtype).reshape(shape)


@st.composite
def storages(draw: st.DrawFn, shape: tuple[int, ...]) -> dict[str, Any]:
    """Options of `create_dataset`: contiguous, or chunks of any size with filters, room to grow, a fill value."""
    if not shape or 0 in shape or draw(st.booleans()):
        return {}
    options: dict[str, Any] = {"chunks": tuple(draw(st.integers(1, length)) for length in shape)}
    if draw(st.booleans()):
        options["maxshape"] = tuple(draw(st.sampled_from([length, length + 30, None])) for length in shape)
    if draw(st.booleans()):
        options["compression"] = draw(st.sampled_from([1, 9, "lzf"]))
    options["shuffle"], options["fletcher32"] = draw(st.booleans()), draw(st.booleans())
    return options


@st.composite
def contents(draw: st.DrawFn, depth: int = 2) -> list[Any]:
    """What to create in a group: (name, list of contents | (array, storage), attributes)."""
    out = []
    for name in draw(st.lists(NAMES, max_size=4 if depth else 2, unique=True)):
        attrs = draw(st.dictionaries(NAMES, SCALARS | arrays(), max_size=3))
        if depth and draw(st.booleans()):
            out.append((name, draw(contents(depth - 1)), attrs))
        else:
            data = draw(arrays())
            out.append((name, (data, draw(storages(data.shape)) if data.dtype != object else {}), attrs))
    return out


def write(group: h5py.Group, items: list[Any]) -> None:
    for name, what, attrs in items:
        if isinstance(what, list):
            made = group.create_group(name, track_order=len(name) % 2 == 0)
            write(made, what)
        else:
            data, options = what
            made = group.create_dataset(
                name, data=data, dtype=h5py.string_dtype() if data.dtype == object else None, **options
            )
        for key, value in attrs.items():
            text = isinstance(value, np.ndarray) and value.dtype == object
            made.attrs.create(key, value, dtype=h5py.string_dtype() if text else None)


@given(items=contents(), libver=st.sampled_from(FORMATS))
@settings(max_examples=60)
def test_any_tree_reads_as_by_h5py(items: list[Any], libver: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.h5"
        with h5py.File(path, "w", libver=libver) as file:
            write(file, items)
        expected = read_plainly(path)
        assert differences(h5burst.read_tree(path), expected) == []
        assert differences(thawed(h5burst.read_tree(path, lazy=True)), expected) == []


def thawed(group: Group) -> Group:
    return Group({name: thawed_node(node) for name, node in group.children.items()}, group.attrs)


def thawed_node(node: Array | Group) -> Array | Group:
    if isinstance(node, Group):
        return thawed(node)
    return Array(None if node.data is None else node.data[...], node.attrs)
