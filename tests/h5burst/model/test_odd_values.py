"""What is saved can be loaded: odd values are kept, or refused at save with their place."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from h5burst import Group, UnsupportedValueError, from_json, read_tree, to_json, values, write_tree

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
