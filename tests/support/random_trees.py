"""Trees of every kind of node and value, with a size of every class, for hypothesis."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

from h5burst import Array, Group, Storage

LINKS = [0, 1, 2, 3, 7, 8, 9, 33, 257, 600]  # members of a group
ATTRIBUTES = [0, 0, 0, 0, 0, 1, 1, 3, 8, 9, 40]
LENGTHS = [1, 2, 7, 100, 1023, 4097, 8193, 20_011]  # elements along the first axis
NAME_LENGTHS = [1, 5, 20, 63, 255, 256, 300]
TEXT_LENGTHS = [0, 1, 7, 16, 255, 4080, 4096, 70_000]
ATTRIBUTE_ELEMENTS = [0, 1, 5, 400, 8170, 8190, 9000, 17_000]
DTYPES = [
    "i1", "u1", "<i2", ">i2", "<u4", ">i8", "<f2", "<f4", ">f8", "f8", "<c8", ">c16", "?", "S1", "S7", "S300", "V3",
]  # fmt: skip
RECORDS = [
    np.dtype([("time", "<u8"), ("place", "<f4", (2,)), ("label", "S3"), ("inner", [("flag", "?")])]),
    np.dtype([(f"field {n}", "i2") for n in range(130)]),
    np.dtype([("a", "S300"), ("b", ">f8")]),
]
ENUMERATION = h5py.enum_dtype({"LOW": -1, "HIGH": 300}, basetype="i2")
LETTERS = ["a", "ß", "網", "🧠", "/", ".", "%", " "]


def name(rng: np.random.Generator, number: int) -> str:
    letter = LETTERS[rng.integers(len(LETTERS))]
    return f"{number}{letter * int(rng.choice(NAME_LENGTHS))}"


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Any bytes as elements of any type, some of them alike so that filters have work."""
    kind = int(rng.integers(len(DTYPES) + len(RECORDS) + 1))
    if kind == len(DTYPES) + len(RECORDS):
        return rng.choice([-1, 300], shape).astype("i2").astype(ENUMERATION)
    dtype = np.dtype(DTYPES[kind]) if kind < len(DTYPES) else RECORDS[kind - len(DTYPES)]
    if shape and dtype.itemsize > 16:
        shape = (min(shape[0], 257), *shape[1:])
    count = int(np.prod(shape)) * dtype.itemsize
    raw = rng.integers(0, int(rng.choice([1, 2, 200])), count, dtype=np.uint8)
    if dtype.kind == "b" or dtype.names:
        raw = np.minimum(raw, 1)
    return raw.view(dtype).reshape(shape)


def texts(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    data = np.empty(shape, dtype=object)
    letter = LETTERS[rng.integers(len(LETTERS))]
    for place in np.ndindex(shape):
        data[place] = letter * int(rng.choice(TEXT_LENGTHS if rng.random() < 0.05 else TEXT_LENGTHS[:4]))
    if rng.random() < 0.3 and data.size:
        data[...] = np.array([word.encode() for word in data.ravel()], dtype=object).reshape(shape)
    return data


def scalar(rng: np.random.Generator) -> Any:
    values = [True, -5, 2**64 - 1, 0.1, float("nan"), 1 - 2j, "text", "", "é" * 300, None, np.float32(0.1), np.uint8(7)]
    return values[rng.integers(len(values))]


def attributes(rng: np.random.Generator) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number in range(int(rng.choice(ATTRIBUTES))):
        kind = rng.random()
        if kind < 0.7:
            value = scalar(rng)
        elif kind < 0.9:
            value = rng.normal(size=int(rng.choice(ATTRIBUTE_ELEMENTS)))
        else:
            value = texts(rng, (int(rng.integers(0, 4)),))
        found[name(rng, number)] = value
    return found


def array(rng: np.random.Generator) -> Array:
    rank = int(rng.choice([0, 1, 1, 1, 2, 3]))
    first = int(rng.choice(LENGTHS if rank == 1 else LENGTHS[:5]))
    shape = (first, *(int(side) for side in rng.integers(0 if rng.random() < 0.1 else 1, 9, 2)))[:rank]
    kind = rng.random()
    if kind < 0.05:
        return Array(None, attributes(rng))
    data = texts(rng, tuple(min(side, 300) for side in shape)) if kind < 0.25 else numbers(rng, shape)
    return Array(data, attributes(rng), storage(rng, data))


def storage(rng: np.random.Generator, data: np.ndarray[Any, Any]) -> Storage | None:
    if data.dtype.kind == "O" or not data.ndim or not data.size or rng.random() < 0.3:
        return None
    codec = rng.choice(["none", "gzip", "lzf", "zstd", "blosc"])
    chunks = tuple(int(rng.integers(max(1, side // 40), side + 1)) for side in data.shape)
    grows = (None, *data.shape[1:]) if rng.random() < 0.4 else None
    return Storage(None if codec == "none" else str(codec), chunks=chunks, maxshape=grows, compress_small=True)


def group(rng: np.random.Generator, depth: int, room: int) -> Group:
    count = int(rng.choice(LINKS[:8] if room < 100 else LINKS))
    children: dict[str, Array | Group] = {}
    for number in range(count):
        child: Array | Group
        if number < 4 and depth and rng.random() < 0.3:
            child = group(rng, depth - 1, room // 4)
        elif number < 4:
            child = array(rng)
        else:
            child = Array(np.array(number)) if rng.random() < 0.5 else Group()
        children[name(rng, number)] = child
    return Group(children, attributes(rng))


def tree(seed: int) -> Group:
    rng = np.random.default_rng(seed)
    found = group(rng, 3, int(rng.choice([10, 1000])))
    found.children.setdefault("array", array(rng))
    return found


SEEDS = st.integers(0, 2**63)
