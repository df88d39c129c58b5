"""Random datasets, selections, reads and writes: with `h5burst.accelerate` as without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h5burst import accelerate
from h5burst.accelerate import takeover

DTYPES = ["u1", "<i2", ">i4", "i8", "f2", "f4", ">f8", "?", "c16", "S3", "S7", "points", "enum"]
POINTS = np.dtype([("x", "<f4"), ("n", ">i2"), ("name", "S3")])
ENUM = h5py.enum_dtype({"a": 0, "b": 1, "c": 2}, "u1")
FILTERS: list[dict[str, Any]] = [
    {"compression": "gzip", "compression_opts": 1},
    {"compression": "gzip", "compression_opts": 6, "shuffle": True},
    {"compression": "gzip", "shuffle": True, "fletcher32": True},
    {"compression": "lzf"},
    {"compression": "lzf", "shuffle": True, "fletcher32": True},
    {"fletcher32": True},
    {"shuffle": True},
    {"compression": "gzip", "scaleoffset": None, "fletcher32": True},
    {},
]


def dtype_of(name: str) -> np.dtype[Any]:
    return {"points": POINTS, "enum": ENUM}.get(name) or np.dtype(name)


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(takeover, "_threshold", 1)
    yield
    accelerate.disable()


def values(rng: np.random.Generator, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Elements of few and of many different values."""
    if dtype.names:
        made = np.zeros(shape, dtype)
        for name in dtype.names:
            made[name] = values(rng, dtype[name], shape)
        return made
    if dtype.kind == "S":
        return rng.integers(0, 300, shape).astype(dtype)
    if dtype == ENUM:
        return rng.integers(0, 3, shape).astype("u1").view(ENUM)
    if dtype.kind == "f" and rng.random() < 0.3:
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 100, shape).astype(dtype)


@st.composite
def selections(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """What h5py takes, and some that it does not: out of bounds, too many."""
    items: list[Any] = []
    for length in shape[: draw(st.integers(0, len(shape)))]:
        edges = st.none() | st.integers(-length - 2, length + 2)
        steps = st.none() | st.integers(1, 3)
        items.append(
            draw(
                st.builds(slice, edges, edges, st.none())
                | st.builds(slice, edges, edges, steps)
                | st.integers(-length - 1, length)
                | st.integers(0, length - 1).map(np.int64)
                | st.lists(st.integers(0, length - 1), min_size=1, unique=True).map(sorted)
            )
        )
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), ...)
    return tuple(items) if len(items) != 1 or draw(st.booleans()) else items[0]


def attempt(function: Any, *args: Any) -> Any:
    """What a call gives, or the class and the text of its error."""
    try:
        return function(*args)
    except Exception as error:  # noqa: BLE001
        return type(error), str(error)


def assert_same(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(theirs, (np.ndarray, np.generic)):
        assert (ours.dtype, ours.dtype.metadata, ours.shape) == (theirs.dtype, theirs.dtype.metadata, theirs.shape)
        assert ours.tobytes() == theirs.tobytes()
        if isinstance(theirs, np.ndarray):
            assert ours.flags.owndata >= theirs.flags.owndata
            assert ours.flags.writeable
    else:
        assert ours == theirs


def shape_of(shape: tuple[int, ...], selection: Any) -> tuple[int, ...]:
    """Of what a selection takes of an array."""
    return np.zeros(shape)[selection].shape


def read(dataset: h5py.Dataset, how: str, selection: Any) -> Any:
    if how == "whole":
        return np.asarray(dataset)
    if how == "astype":
        return dataset.astype("f8" if dataset.dtype.kind in "iuf" else dataset.dtype)[selection]
    if how == "fields" and dataset.dtype.names:
        return dataset.fields(["x", "name"])[selection]
    if how == "into":
        dest = np.zeros(dataset.shape, dataset.dtype)
        dataset.read_direct(dest, *([] if selection == () else [selection]))
        return dest
    return dataset[selection]


def write(dataset: h5py.Dataset, how: str, selection: Any, new: Any) -> None:
    if how == "direct":
        dataset.write_direct(np.ascontiguousarray(new), dest_sel=selection)
    else:
        dataset[selection] = new


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("is_full", [False, True])
def test_one_element_is_no_array(name: str, is_full: bool, tmp_path: Path) -> None:
    """As of records that are larger than what is left to h5py."""
    dtype = dtype_of(name)
    with h5py.File(tmp_path / "one.h5", "w") as file:
        options = {"chunks": (1, 1), "maxshape": (None, None), "compression": "gzip"}
        dataset = file.create_dataset("x", (5, 3), dtype, **options)
        if is_full:
            dataset[:] = values(np.random.default_rng(0), dtype, (5, 3))
    for how in ("get", "astype"):
        with h5py.File(tmp_path / "one.h5", "r+") as file:
            expected = read(file["x"], how, (3, 1))
            with accelerate.enabled():
                assert_same(read(file["x"], how, (3, 1)), expected)


@settings(max_examples=40)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_reads_and_writes_are_h5pys(data: st.DataObject, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(data.draw(st.lists(st.integers(1, 24), min_size=1, max_size=3), label="shape"))
    chunks = tuple(data.draw(st.integers(1, length + 3), label="chunk") for length in shape)
    dtype = dtype_of(data.draw(st.sampled_from(DTYPES), label="dtype"))
    filters = data.draw(st.sampled_from(FILTERS), label="filters")
    options: dict[str, Any] = {"chunks": chunks, "maxshape": (None,) * len(shape), **filters}
    if dtype.kind in "iuf" and data.draw(st.booleans(), label="fill"):
        options["fillvalue"] = 7
    libver = data.draw(st.sampled_from(["earliest", "latest"]), label="libver")
    place = tmp_path_factory.mktemp("equal")
    is_full = data.draw(st.booleans(), label="written when made")
    initial = values(rng, dtype, shape)

    def made(name: str) -> h5py.File:
        file = h5py.File(place / name, "w", libver=libver)
        if is_full:
            file.create_dataset("x", data=initial, dtype=dtype, **options)
        else:
            file.create_dataset("x", shape, dtype, **options)
        return file

    theirs = made("theirs.h5")
    with accelerate.enabled():
        ours = made("ours.h5")
    for _ in range(data.draw(st.integers(0, 4), label="steps")):
        selection = data.draw(selections(theirs["x"].shape), label="selection")
        kind = data.draw(st.sampled_from(["read", "write", "by h5py", "resize", "reopen"]), label="kind")
        if kind == "read":
            how = data.draw(st.sampled_from(["whole", "astype", "fields", "into", "get"]), label="how")
            expected = attempt(read, theirs["x"], how, selection)
            with accelerate.enabled():
                assert_same(attempt(read, ours["x"], how, selection), expected)
        elif kind == "resize" and theirs.mode == "r":
            continue
        elif kind == "resize":
            new_shape = tuple(data.draw(st.integers(1, 30)) for _ in shape)
            theirs["x"].resize(new_shape)
            ours["x"].resize(new_shape)
        elif kind == "reopen":
            mode = data.draw(st.sampled_from(["r", "r+"]), label="mode")
            for file in (theirs, ours):
                file.close()
            theirs, ours = h5py.File(place / "theirs.h5", mode), h5py.File(place / "ours.h5", mode)
        else:
            target = attempt(shape_of, theirs["x"].shape, selection)
            if not isinstance(target, tuple) or any(not isinstance(length, int) for length in target):
                continue
            casts = ["i2", "f4", "i8"] if dtype.kind in "if" else [dtype]
            new = values(rng, np.dtype(data.draw(st.sampled_from([dtype, *casts]), label="dtype of new")), target)
            how = data.draw(st.sampled_from(["set", "direct"]), label="how")
            expected = attempt(write, theirs["x"], how, selection, new)
            if kind == "by h5py":
                assert_same(attempt(write, ours["x"], how, selection, new), expected)
            else:
                with accelerate.enabled():
                    assert_same(attempt(write, ours["x"], how, selection, new), expected)
    with accelerate.enabled():
        assert_same(ours["x"][...], theirs["x"][...])
    assert_same(ours["x"][...], theirs["x"][...])
    for file in (theirs, ours):
        file.close()
    with h5py.File(place / "ours.h5") as file, h5py.File(place / "theirs.h5") as other:
        assert_same(file["x"][...], other["x"][...])
        with accelerate.enabled():
            assert_same(file["x"][...], other["x"][...])
            assert_same(file["x"][1:], other["x"][1:])
