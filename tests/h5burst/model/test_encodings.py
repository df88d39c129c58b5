"""Markers: every one that is written says the version of its encoding, and readers go by it."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import h5py
import numpy as np
import pytest

from h5burst import (
    Array,
    Group,
    decode_attributes,
    decode_value,
    encode_attributes,
    encode_value,
    from_json,
    to_json,
    write_tree,
)
from h5burst.model.encodings import Encodings, Marker, TypeEncoding

VALUES: dict[str, Any] = {
    "list": [1, 2],
    "tuple": (1.0, 2.0),
    "arrays": [np.arange(3), (np.arange(2), 1)],
    "masked": np.ma.masked_array([1, 2], mask=[True, False]),
    "instants": np.array(["2020-01-01"], "M8[D]"),
    "text": np.array(["a", "bc"]),
    "nul": "a\0b",
    "bytes": b"\0\1",
    "numpy": np.float64(1.5),
    "instant": np.datetime64("2020-01-01"),
    "json": {1, 2},
    "deep": {3: {"a": 1}, "x": {1: 2}},
    "one": np.array([1.0]),
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and np.ma.allequal(a, b) and np.array_equal(np.ma.getmask(a), np.ma.getmask(b)))
    return type(a) is type(b) and bool(a == b)


@pytest.mark.parametrize("scalars", ["datasets", "scalar_datasets", "attributes"])
def test_every_marker_in_a_file_says_its_version(tmp_path: Path, scalars: Any) -> None:
    node = encode_value(VALUES, scalars=scalars)
    assert isinstance(node, Group)
    write_tree(tmp_path / "a.h5", node)
    markers: list[str] = []

    def gather(name: str, found: h5py.HLObject) -> None:
        for key, value in found.attrs.items():
            if key == "h5burst.types":
                markers.extend(text.removeprefix("escaped:") for text in json.loads(value).values())
            elif key.startswith("h5burst."):
                markers.append(value)

    with h5py.File(tmp_path / "a.h5") as file:
        gather("/", file)
        file.visititems(gather)
    assert len(markers) > 8
    assert all(Marker.parse(text).version == 1 and "@1" in text for text in markers)
    assert same(decode_value(node, scalars=scalars), VALUES)


def without_version(value: Any) -> Any:
    """What the first layout would have written in the place of markers."""
    if isinstance(value, str):
        return value.replace("int@1:[", "[").replace("@1", "")
    return value


@pytest.mark.parametrize("scalars", ["datasets", "scalar_datasets", "attributes"])
def test_markers_without_a_version_are_of_the_first(scalars: Any) -> None:
    node = encode_value(VALUES, scalars=scalars)
    assert isinstance(node, Group)
    for _, below in [((), node), *node.walk()]:
        below.attrs = {name: without_version(value) for name, value in below.attrs.items()}
        assert "@" not in str(below.attrs)
    assert same(decode_value(node, scalars=scalars), VALUES)


PYTHON_VALUES = [
    (1, 2), {1}, frozenset({1}), 1j, b"x", bytearray(b"x"), datetime(2020, 1, 1), date(2020, 1, 1), timedelta(1),
    Decimal("1.5"), UUID(int=1), Path("a"), float("inf"), 10**5000, "\ud800", {1: 2}, np.float32(1), np.arange(3),
]  # fmt: skip


@pytest.mark.parametrize("value", PYTHON_VALUES, ids=lambda value: type(value).__name__)
def test_tags_in_json_say_their_version_and_are_read_without(value: Any) -> None:
    text = to_json(value)
    tag = json.loads(text)["__type__"]
    assert Marker.parse(tag).version == 1
    assert tag.endswith("@1")
    for written in (text, text.replace(tag, tag.removesuffix("@1"))):
        found = from_json(written)
        assert type(found) is type(value)
        assert np.all(found == value)


@pytest.mark.parametrize(
    "read",
    [
        lambda: decode_value(Array(np.array([1]), {"h5burst.type": "bytes@2"})),
        lambda: decode_value(Array(np.array([1]), {"h5burst.type": "ndarray@2:<M8[s]"})),
        lambda: decode_value(Array(np.array(["a"], object), {"h5burst.text": "escaped@2"})),
        lambda: decode_value(Group({}, {"h5burst.type": "list@2"})),
        lambda: decode_value(Group({}, {"h5burst.type": "heap@1"})),
        lambda: decode_value(Group({"1": Array(np.array([1]))}, {"h5burst.keys": "int@2"})),
        lambda: decode_attributes({"a": 1, "h5burst.types": '{"a": "json@2"}'}),
        lambda: from_json('{"__type__": "tuple@2", "value": []}'),
    ],
)
def test_a_newer_version_is_refused_by_name(read: Any) -> None:
    with pytest.raises(ValueError, match=r"unknown marker"):
        read()


@pytest.mark.parametrize("marker", [1, None, "list@x", "list@-1", "list@1.0", "@" * 50, "list@99999999999"])
def test_hostile_markers_are_value_errors(marker: object) -> None:
    with pytest.raises(ValueError, match="marker"):
        decode_value(Group({}, {"h5burst.type": marker}))


def test_a_table_reads_old_versions_and_writes_the_newest() -> None:
    table: Encodings[TypeEncoding[Any, Any]] = Encodings(
        TypeEncoding("point", (complex,), lambda v: [v.real, v.imag], lambda s: complex(*s), version=2),
        TypeEncoding("point", (complex,), lambda v: str(v), complex),
    )
    row = table.of(1 + 2j)
    assert row is not None
    assert str(row.marker()) == "point@2"
    assert table.reader(Marker.parse("point@2")).decode([1.0, 2.0]) == 1 + 2j
    assert table.reader(Marker.parse("point")).decode("1+2j") == 1 + 2j
    assert table.of("text") is None
    with pytest.raises(ValueError, match="versions \\[1, 2\\] are known"):
        table.reader(Marker("point", 3))


def test_two_rows_of_one_version_are_refused() -> None:
    row: TypeEncoding[Any, Any] = TypeEncoding("a", (int,), int, int)
    with pytest.raises(ValueError, match="two encodings"):
        Encodings(row, row)


def test_attributes_keep_their_types() -> None:
    values = {"a": (1, 2), "b": np.float32(1), "c": "a\0%b", "d": None, "e": {1}}
    attrs = encode_attributes(values)
    assert json.loads(attrs["h5burst.types"]) == {"a": "tuple@1", "c": "escaped:str@1", "e": "json@1"}
    assert decode_attributes(attrs) == values
