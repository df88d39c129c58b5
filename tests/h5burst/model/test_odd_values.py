"""What is saved can be loaded: odd values are kept, or refused at save with their place."""

from __future__ import annotations

import collections
import datetime as dt
import pathlib
import sys
import types
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import (
    Group,
    UnsupportedValueError,
    from_json,
    load,
    load_json,
    load_texts,
    read_tree,
    to_json,
    values,
    write_tree,
)
from h5burst.model import pandas_scalars, tagged_json

pandas = pytest.importorskip("pandas")
BERLIN = ZoneInfo("Europe/Berlin")
NAMED = dt.timezone(dt.timedelta(hours=1), "lab time")


def through_a_file(tmp_path: Path, value: Any) -> Any:
    write_tree(tmp_path / "a.h5", Group({"m": values.encode({"v": value})}), overwrite=True)
    node = read_tree(tmp_path / "a.h5").children["m"]
    assert isinstance(node, Group)
    return values.decode(node)["v"]


@pytest.mark.parametrize(
    "value",
    [
        pandas.NaT,
        pandas.NA,
        pandas.Timestamp("2024-01-01 00:00:00.000000001"),
        pandas.Timestamp("2024-10-27 00:30:00.5", tz="UTC").tz_convert("Europe/Berlin"),
        pandas.Timestamp("2024-01-01", tz=dt.timezone(dt.timedelta(hours=5, minutes=30))),
        pandas.Timestamp("1969-12-31 23:59:59.999999999"),
        pandas.Timedelta(1, "ns"),
        pandas.Timedelta(-5, "D"),
        dt.time(1, 2, fold=1),
        dt.time(1, 2, 3, tzinfo=BERLIN, fold=1),
        dt.time(1, tzinfo=NAMED),
        dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
        dt.datetime(2024, 1, 1, tzinfo=NAMED),
        10**5000,
        -(10**5000),
        [pandas.NaT, pandas.Timedelta(1, "ns"), dt.time(1, fold=1)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_odd_value_comes_back_as_it_was(tmp_path: Path, value: Any) -> None:
    for found in (from_json(to_json(value)), through_a_file(tmp_path, value)):
        assert type(found) is type(value)
        if value is pandas.NaT or value is pandas.NA:
            assert found is value
            continue
        assert found == value
        if isinstance(value, (dt.time, dt.datetime)):
            assert (found.fold, found.tzname()) == (value.fold, value.tzname())
        if isinstance(value, (pandas.Timestamp, pandas.Timedelta)):
            assert (found.unit, found.nanosecond if hasattr(found, "nanosecond") else 0) == (
                value.unit,
                value.nanosecond if hasattr(value, "nanosecond") else 0,
            )


def test_values_of_pandas_load_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    texts = [to_json(value) for value in (pandas.NaT, pandas.NA, pandas.Timestamp(7), pandas.Timedelta(7))]
    monkeypatch.setitem(sys.modules, "pandas", None)
    nothing, missing, moment, span = map(from_json, texts)
    assert np.isnat(nothing)
    assert missing is None
    assert (moment, span) == (np.datetime64(7, "ns"), np.timedelta64(7, "ns"))


def test_masked_arrays_keep_their_mask(tmp_path: Path) -> None:
    masked = np.ma.masked_array([1.5, 2.5, 3.5], mask=[False, True, False])
    for found in (from_json(to_json(masked)), through_a_file(tmp_path, masked)):
        assert isinstance(found, np.ma.MaskedArray)
        assert np.array_equal(np.ma.getmaskarray(found), masked.mask)
        assert np.array_equal(found.data, masked.data)


def nested(depth: int, kind: type) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


@pytest.mark.parametrize("kind", [list, dict])
def test_what_is_nested_too_deep_is_refused_with_its_place(kind: type) -> None:
    with pytest.raises(UnsupportedValueError, match=r"deep|inside each other") as error:
        values.encode({"mine": nested(3000, kind)}, path="metadata")
    assert "metadata/mine" in str(error.value)
    with pytest.raises(UnsupportedValueError, match="deep"):
        to_json(nested(100_000, kind))
    with pytest.raises(ValueError, match="deep"):
        from_json("[" * 100_000)


class _Zone(dt.tzinfo):
    """A time zone without a name that another program would know."""

    def utcoffset(self, _: Any) -> dt.timedelta:
        return dt.timedelta(hours=1)

    def dst(self, _: Any) -> None:
        return None

    def __repr__(self) -> str:
        return "_Zone()"


@pytest.mark.parametrize(
    "value",
    [dt.datetime(2020, 1, 1, tzinfo=_Zone()), dt.time(1, tzinfo=_Zone()), pandas.Timestamp("2020", tz=_Zone())],
    ids=lambda value: type(value).__name__,
)
def test_a_zone_that_only_this_program_knows_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(UnsupportedValueError, match=r"time zone _Zone\(\) cannot be kept"):
        to_json(value)
    with pytest.raises(UnsupportedValueError, match=r"time zone _Zone\(\) cannot be kept \(at /v\)"):
        through_a_file(tmp_path, value)


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="numpy 1")
def test_text_of_variable_length_keeps_its_dtype(tmp_path: Path) -> None:
    text = np.array(["a", "größer"], dtype=np.dtypes.StringDType())
    found = through_a_file(tmp_path, text)
    assert found.dtype == text.dtype
    assert found.tolist() == text.tolist()


def test_what_no_form_holds_is_refused_with_its_place(tmp_path: Path) -> None:
    inner = np.zeros(2, [("a", [("b", object)])])
    with pytest.raises(UnsupportedValueError, match=r"text in records inside of records \(at /v, field 'a'\)"):
        through_a_file(tmp_path, inner)
    with pytest.raises(UnsupportedValueError, match=r"an array of \[\('a', 'O'\)\] cannot be kept"):
        to_json(np.zeros(2, [("a", object)]))
    endless: list[Any] = [1]
    endless.append(endless)
    with pytest.raises(UnsupportedValueError, match=r"a dict or list that holds itself \(at /v/1\)"):
        through_a_file(tmp_path, endless)


@pytest.mark.parametrize("value", [[2**70, 1], ["a\0b", "c"], ["\ud800"]])
def test_lists_of_what_an_array_cannot_hold_come_back(tmp_path: Path, value: list[Any]) -> None:
    assert through_a_file(tmp_path, value) == value


@pytest.mark.parametrize(
    "dtype",
    [
        [("a", "<i4"), (("title", "b"), "<f8", (2,))],
        [("a", [("b", "<i2"), ("c", "S3")])],
        "V0",
    ],
)
def test_records_in_json_keep_their_dtype(dtype: Any) -> None:
    array = np.zeros(3, dtype)
    found = from_json(to_json(array))
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"__type__": "tuple@1"}', r"not a tagged JSON value: KeyError\('value'\)"),
        ('{"__type__": "pandas@1", "value": ["Period", 1, "s", null]}', "unknown value of pandas 'Period'"),
        (3, "JSON text was expected, not int"),
    ],
)
def test_json_that_no_value_makes(text: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(text)


def test_json_of_another_kind_than_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"a JSON list of texts was expected: '\[1\]'"):
        load_texts("[1]")
    monkeypatch.setattr(tagged_json, "_MAX_JSON", 10)
    with pytest.raises(ValueError, match="JSON of 12 characters, longer than any that is read"):
        load_json("[1, 2, 3, 4]")


def test_a_number_of_thousands_of_digits_is_kept_or_refused_in_words_of_ours(tmp_path: Path) -> None:
    number = 10**5000
    assert through_a_file(tmp_path, number) == number
    assert through_a_file(tmp_path, {"deep": [number, "x"]}) == {"deep": [number, "x"]}
    with pytest.raises(ValueError, match=r"JSON with a number of thousands of digits \(write it as text\): .\{"):
        load_json('{"a": 1' + "0" * 5000 + "}")
    with pytest.raises(UnsupportedValueError, match=r"an integer of 16610 bits does not fit 64 bits \(at /g@n\)"):
        write_tree(tmp_path / "b.h5", Group({"g": Group({}, {"n": number})}))
    write_tree(tmp_path / "b.h5", Group({"m": values.encode({"v": [1, {2}]})}))
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        text = np.ravel(file["m/v"][()])[0].decode()
        assert '"__type__"' in text
        file["m/v"][...] = text.replace("2", "2" * 5001)
    with pytest.raises(OSError, match=r"b\.h5.* /m/v.*a number of thousands of digits"):
        load(tmp_path / "b.h5")


def test_values_of_pandas_3_say_that_they_are_of_pandas_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = type("Timestamp", (), {"__module__": "pandas"})
    fake = types.SimpleNamespace(NaT=object(), NA=object(), Timestamp=stamp, Timedelta=stamp)
    monkeypatch.setitem(sys.modules, "pandas", fake)
    assert pandas_scalars.is_one(stamp())
    assert not pandas_scalars.is_one(object())


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (collections.defaultdict(list, {"a": 1}), {"a": 1}),
        (collections.ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (pathlib.PureWindowsPath("a"), Path("a")),
    ],
)
def test_what_the_page_on_security_lists_comes_back_as_a_plain_value(value: Any, found: Any, tmp_path: Path) -> None:
    h5burst.save(tmp_path / "a.h5", {"value": value})
    loaded = h5burst.load(tmp_path / "a.h5")["value"]
    assert loaded == found
    assert type(loaded) is type(found)
    page = Path(__file__).parents[3] / "docs" / "security.md"
    name = "paths of any kind" if isinstance(value, pathlib.PurePath) else type(value).__name__
    assert name.replace("mappingproxy", "MappingProxyType") in page.read_text("utf-8")
