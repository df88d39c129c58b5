"""Python values survive the way through a file, type for type."""

from __future__ import annotations

import contextlib
import math
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from h5burst import read_tree, write_tree
from h5burst.model import values
from h5burst.model.tree import Array, Group, UnsupportedValueError
from h5burst.model.values import decode, encode, from_json, to_json


def identical(a: object, b: object) -> bool:
    """Equal in value, type, dtype, shape and (for floats) bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (np.ndarray, np.generic)):
        assert isinstance(b, (np.ndarray, np.generic))
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        if a.dtype == object or a.dtype.kind == "T":
            return all(map(identical, np.asarray(a).ravel().tolist(), np.asarray(b).ravel().tolist()))
        if a.dtype.kind in "SU":
            return bool(np.all(a == b))
        return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(identical(a[key], b[key]) for key in a)  # type: ignore[attr-defined,index]
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(identical, a, b))  # type: ignore[arg-type]
    if isinstance(a, float):
        assert isinstance(b, float)
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, complex):
        assert isinstance(b, complex)
        return identical(a.real, b.real) and identical(a.imag, b.imag)
    return bool(a == b)


text = st.text(st.characters(), max_size=8)
json_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    text,
    st.binary(max_size=6),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.just(timezone(timedelta(hours=5, minutes=30)))),
    st.datetimes(timezones=st.just(ZoneInfo("UTC"))),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.builds(Path, st.from_regex(r"[a-zä]{1,5}(/[a-z]{1,3})?", fullmatch=True)),
    hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)),
    hnp.scalar_dtypes().flatmap(lambda dtype: hnp.arrays(dtype, ()).map(lambda array: array[()])),
    st.frozensets(st.integers(), max_size=3),
    st.sets(text, max_size=3),
)
json_values = st.recursive(
    json_leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(text, st.integers(), st.tuples(text, st.integers())), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(json_values)
@settings(max_examples=300, deadline=None)
def test_json_gives_back_what_went_in(value: object) -> None:
    assert identical(from_json(to_json(value)), value)


def test_plain_json_stays_plain() -> None:
    assert to_json({"a": [1, 2.5, None, True, "x"]}) == '{"a": [1, 2.5, null, true, "x"]}'


def test_json_keeps_a_dict_that_looks_like_a_tag() -> None:
    value = {"__type__": "tuple", "value": [1]}
    assert from_json(to_json(value)) == value


def test_json_refuses_what_it_cannot_keep_and_says_where() -> None:
    with pytest.raises(UnsupportedValueError, match=r"\$\.a\[1\]"):
        to_json({"a": [1, object()]})


def test_json_keeps_enum_members_as_their_value() -> None:
    class Code(IntEnum):
        LOD = 2

    assert to_json(Code.LOD) == "2"


@pytest.mark.parametrize("broken", ['{"__type__": "nonsense", "value": 1}', '{"__type__": "datetime"}', "{", "[1,"])
def test_json_refuses_broken_text(broken: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(broken)


@given(json_leaves.map(to_json), st.integers(0, 200), st.characters())
@settings(max_examples=100, deadline=None)
def test_a_damaged_tag_is_a_value_error_or_a_value(good: str, position: int, character: str) -> None:
    position %= len(good)
    with contextlib.suppress(ValueError):
        from_json(good[:position] + character + good[position + 1 :])


STORABLE_ARRAYS = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    hnp.byte_string_dtypes(min_len=1, max_len=5),
    hnp.unicode_string_dtypes(min_len=1, max_len=5),
    hnp.datetime64_dtypes(),
    hnp.timedelta64_dtypes(),
).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)))
node_values = st.recursive(
    st.one_of(json_leaves.filter(lambda v: not isinstance(v, np.ndarray)), STORABLE_ARRAYS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(text, inner, max_size=3),
        st.dictionaries(st.integers(-5, 5), inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)
mappings = st.dictionaries(text, node_values, max_size=4)


@pytest.mark.parametrize("scalars", ["datasets", "attributes"])
@given(values=mappings)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mapping_survives_a_file(tmp_path: Path, scalars: str, values: dict[str, object]) -> None:
    path = tmp_path / "values.h5"
    write_tree(path, encode(values, scalars=scalars), overwrite=True)  # type: ignore[arg-type]
    assert identical(decode(read_tree(path), scalars=scalars), values)  # type: ignore[arg-type]


EXAMPLES = {
    "none": None,
    "empty": np.empty((0, 3), np.float32),
    "empty dict": {},
    "zero-d": np.array(3),
    "one": np.array([3]),
    "int": 3,
    "big": 2**80,
    "np": np.int64(3),
    "f4": np.float32(0.1),
    "f8": np.float64(0.1),
    "true": True,
    "np true": np.True_,
    "text": "Äß 漢字",
    "nul": "a\0b%",
    "texts": np.array(["a", "b\0", "50%"], dtype=object),
    "fixed": np.array(["ab", "ü"]),
    "path": Path("a/b.h5"),
    "list": [1, 2],
    "mixed": [1, "a", None],
    "arrays": [np.arange(3), {"a": np.zeros(2)}],
    "tuple": (0.5, 1.0),
    "when": datetime(2026, 1, 2, tzinfo=timezone.utc),
    "day": date(2026, 1, 2),
    "time": time(1, 2),
    "decimal": Decimal("1.50"),
    "uuid": UUID(int=5),
    "trials": {0: np.arange(2), 1: np.empty(0, np.int64)},
    "bytes": b"\0a\0",
}


@pytest.mark.parametrize("scalars", ["datasets", "attributes"])
def test_examples_survive_a_file(tmp_path: Path, scalars: str) -> None:
    path = tmp_path / "values.h5"
    write_tree(path, encode(EXAMPLES, scalars=scalars))  # type: ignore[arg-type]
    back = decode(read_tree(path), scalars=scalars)  # type: ignore[arg-type]
    for key, value in EXAMPLES.items():
        assert identical(back[key], value), (key, value, back[key])


def test_plain_values_carry_no_marker() -> None:
    group = encode({"a": 1, "b": "x", "c": 0.5, "d": np.arange(4), "e": True})
    assert all(node.attrs == {} for node in group.children.values())
    assert encode({"a": 1, "b": "x", "c": 0.5, "d": True}, scalars="attributes").attrs.keys() == {"a", "b", "c", "d"}


def test_keys_of_text_and_integers_come_back_as_they_were() -> None:
    value = {"a": {1: 0, "b": 1, -3: {"2": 5, 0: "x"}}, 7: "y"}

    assert decode(encode(value)) == value


@pytest.mark.parametrize("keys", [(1, "1"), (None, "a"), (1.5, "a"), (True, 1.0)])
def test_keys_that_one_name_cannot_hold_are_refused_with_their_place(keys: tuple[object, ...]) -> None:
    with pytest.raises(UnsupportedValueError, match="/a"):
        encode({"a": dict.fromkeys(keys, 0)})


@pytest.mark.parametrize("value", [1, 2.5, True, "text", "", np.float32(2), np.datetime64("2020-01-01"), 2**70])
def test_scalar_datasets_have_no_axis_and_come_back(value: object) -> None:
    group = encode({"v": value, "array": np.array([1])}, scalars="scalar_datasets")

    node = group.children["v"]
    assert isinstance(node, Array)
    assert node.data.shape == ()
    for scalars in ("datasets", "scalar_datasets"):
        found = decode(group, scalars=scalars)
        assert found["v"] == value
        assert type(found["v"]) is type(value)
        np.testing.assert_array_equal(found["array"], [1])


def test_scalar_datasets_without_marks_are_told_by_their_shape() -> None:
    group = Group({"one": Array(np.array([3])), "scalar": Array(np.array(3))}, {"attribute": "x"})

    found = decode(group, scalars="scalar_datasets")

    assert found["scalar"] == 3
    assert isinstance(found["one"], np.ndarray)
    assert found["attribute"] == "x"


def test_object_arrays_of_anything_are_refused() -> None:
    with pytest.raises(UnsupportedValueError, match="/a/b"):
        encode({"a": {"b": np.array([1, "x"], dtype=object)}})


def test_a_reserved_name_is_refused() -> None:
    with pytest.raises(UnsupportedValueError, match=r"h5burst\.type"):
        encode({"h5burst.type": 1}, scalars="attributes")


@pytest.mark.parametrize(
    "attrs",
    [
        {values.TYPES: "[" * 100_000, "a": 1},
        {values.TYPES: "[1]", "a": 1},
        {values.TYPES: '{"a": 1}', "a": 1},
        {values.TYPES: 5, "a": 1},
        {values.TYPES: '{"a": "json"}', "a": "[" * 100_000},
        {values.TYPES: '{"a": "no such type"}', "a": 1},
    ],
)
def test_attributes_with_hostile_markers_are_refused(attrs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"JSON|marker"):
        values.decode_attributes(attrs)


@pytest.mark.parametrize("kind", ["<U20000000", "O", "no type", "<f8", "<M8[ns]", "|S7"])
def test_arrays_with_hostile_markers_are_refused(kind: str) -> None:
    node = Array(np.array(["text"] * 20, dtype=object), {values.TYPE: f"ndarray:{kind}"})
    with pytest.raises(ValueError, match="marker"):
        values.decode_value(node)


def test_wide_text_in_few_characters_comes_back() -> None:
    array = np.array(["a", ""] * 50, dtype="U1000")
    read = values.decode_value(values.encode_value(array))
    assert read.dtype == array.dtype
    assert (read == array).all()


RECORDS = [
    np.array([("p1", 2.5, "a"), ("größer", -1.0, "")], [("name", "O"), ("score", "<f4"), ("code", "<U3")]),
    np.array([[("x" * 300,)], [("",)]], [("only", ">U300")]),
    np.array([(1, "left"), (2, "right")], np.dtype([("id", "u1"), ("side", "O")], align=True)),
    np.zeros(0, [("name", "O"), ("n", "i8")]),
    np.array(("one", 1), [("name", "O"), ("n", "i8")]),
    np.array([(b"raw", 1)], [("name", "O"), ("n", "i8")]),
]


@pytest.mark.parametrize("records", RECORDS, ids=range(len(RECORDS)))
@pytest.mark.parametrize("lazy", [False, True])
def test_text_in_records_comes_back_as_text(records: np.ndarray[Any, Any], lazy: bool, tmp_path: Path) -> None:
    write_tree(tmp_path / "a.h5", encode({"records": records}))
    back = decode(read_tree(tmp_path / "a.h5", lazy=lazy))["records"]
    assert (np.asarray(back).dtype, back.shape) == (records.dtype, records.shape)
    assert np.asarray(back)[()].tolist() == records.tolist()


@pytest.mark.parametrize("item", [None, 3, "nul\0", "\ud800"])
def test_records_whose_objects_cannot_be_kept_are_refused_by_path(item: object) -> None:
    records = np.array([("p1", 1), (item, 2)], [("name", "O"), ("n", "i8")])
    with pytest.raises(UnsupportedValueError, match="/some/records, field 'name'"):
        encode({"some": {"records": records}})


@pytest.mark.parametrize(
    "layout",
    [
        "[]",
        "{}",
        '{"formats": ["|O", ""], "offsets": [0, 4], "itemsize": 16}',
        '{"formats": ["|O", ""], "offsets": [0, 8], "itemsize": 1e30}',
        '{"formats": ["<U2000000000", ""], "offsets": [0, 8000000000], "itemsize": 8000000008}',
        '{"formats": ["|O", "|O"], "offsets": [0, 8], "itemsize": 16}',
        '{"formats": ["|O"], "offsets": [0], "itemsize": 8}',
    ],
)
def test_markers_of_records_that_do_not_fit_are_refused(layout: str) -> None:
    stored = np.array([(b"p1", 1)], [("name", "O"), ("n", "i8")])
    with pytest.raises(ValueError, match=r"marker|JSON"):
        decode(Group({"records": Array(stored, {"h5burst.type": f"ndarray@1:records:{layout}"})}))
