"""`save` and `load`: plain nested dicts to HDF5 files and back."""

from __future__ import annotations

import datetime
import io
from pathlib import Path
from typing import Any

import h5py
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import h5burst
from h5burst import CorruptFileError, LazyArray, UnsupportedValueError

EVERYTHING: dict[Any, Any] = {
    "float": 1.5,
    "int": -3,
    "big": 2**80,
    "bool": True,
    "complex": 1 - 2j,
    "text": "grün\0 100 %",
    "bytes": b"\0\xff",
    "none": None,
    "empty": {},
    "list": [1, 2, 3],
    "mixed": [1, "a", None, 2.5],
    "tuple": ("a", "b"),
    "of arrays": [np.arange(3), {"deep": (np.zeros(2), "x")}],
    7: "an integer key",
    "date": datetime.datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=datetime.timezone.utc),
    "float32": np.float32(0.1),
    "scalar array": np.array(4),
    "one": np.array([4]),
    "nothing": np.zeros((0, 3), np.int16),
    "big-endian": np.arange(4, dtype=">i4"),
    "mask": np.array([[True, False]]),
    "days": np.array(["2024-02-29", "NaT"], "M8[D]"),
    "texts": np.array(["a", "µ"]),
    "objects": np.array(["a", "µ"], dtype=object),
    "fixed": np.array([b"ab", b"c"]),
    "record": np.array([(1, 2.5), (3, 4.5)], dtype=[("a", "i2"), ("b", "f8")]),
    "masked": np.ma.masked_array([1.0, 2.0], mask=[False, True]),
    "a/b": {"..": np.arange(2), "": 1},
}


def equal(found: Any, expected: Any) -> bool:
    """The same value of the same type, dtype and shape, all the way down."""
    if type(found) is not type(expected):
        return False
    if isinstance(expected, dict):
        return set(found) == set(expected) and all(equal(found[key], expected[key]) for key in expected)
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(equal, found, expected))
    if isinstance(expected, np.ma.MaskedArray):
        return equal(found.filled(), expected.filled()) and np.array_equal(found.mask, expected.mask)
    if isinstance(expected, (np.ndarray, np.generic)):
        return found.dtype == expected.dtype and found.shape == expected.shape and found.tolist() == expected.tolist()
    return bool(found == expected)


def test_exact_types_come_back(tmp_path: Path) -> None:
    h5burst.save(tmp_path / "a.h5", EVERYTHING)
    found = h5burst.load(tmp_path / "a.h5")
    wrong = [key for key in EVERYTHING if key != "days" and not equal(found.get(key), EVERYTHING[key])]
    assert wrong == []
    assert found["days"].dtype == "M8[D]"
    assert np.isnat(found["days"]).tolist() == [False, True]
    assert set(found) == set(EVERYTHING)


NAMES = st.text(min_size=1, max_size=6)
ARRAYS = hnp.arrays(
    st.sampled_from(["i1", "u8", "<f4", ">f8", "?", "c16", "S3"]), hnp.array_shapes(min_dims=0, min_side=0, max_side=4)
).filter(lambda array: array.dtype.kind not in "fc" or not np.isnan(array).any())
VALUES = st.one_of(
    ARRAYS,
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.none(),
    st.booleans(),
)
TREES = st.dictionaries(
    NAMES,
    st.recursive(
        VALUES, lambda inner: st.dictionaries(NAMES, inner, max_size=4) | st.lists(inner, max_size=3), max_leaves=8
    ),
    max_size=6,
)


@given(tree=TREES, lazily=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_nested_dict_comes_back(tree: dict[str, Any], lazily: bool, tmp_path: Path) -> None:
    h5burst.save(tmp_path / "any.h5", tree, overwrite=True)
    found = read_out(h5burst.load(tmp_path / "any.h5", lazy=lazily))
    assert equal(found, tree)


def read_out(value: Any) -> Any:
    """A lazily read value with all of it in memory."""
    if isinstance(value, dict):
        return {key: read_out(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(read_out, value))
    return np.asarray(value) if isinstance(value, LazyArray) else value


def test_lazily_arrays_wait_and_dicts_are_dicts(tmp_path: Path) -> None:
    h5burst.save(tmp_path / "a.h5", {"g": {"x": np.arange(10_000), "n": 3, 1: "one"}, 2: {}})
    found = h5burst.load(tmp_path / "a.h5", lazy=True)
    assert isinstance(found, dict)
    assert set(found) == {"g", 2}
    assert isinstance(found["g"]["x"], LazyArray)
    assert found["g"]["x"][-2:].tolist() == [9998, 9999]
    assert (found["g"]["n"], found["g"][1], found[2]) == (3, "one", {})


def test_others_files_are_dicts_without_attributes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["title"] = "left out"
        file.create_group("g").attrs["unit"] = "left out"
        file["g/x"] = np.arange(3.0)
        file["g/one"] = np.array([1.0])
        file["g/n"] = 5
        file["g/f"] = np.float32(2)
        file["g/s"] = "text"
        file["g/null"] = h5py.Empty("f8")
        file["alias"] = h5py.SoftLink("/g/x")
        file["nowhere"] = h5py.SoftLink("/lost")
    for lazy in (False, True):
        found = read_out(h5burst.load(tmp_path / "a.h5", lazy=lazy))
        expected = {"x": np.arange(3.0), "one": np.array([1.0]), "n": 5, "f": np.float32(2), "s": "text", "null": None}
        assert equal(dict(found["g"]), expected)
        assert equal(found["alias"], np.arange(3.0))
        assert set(found) == {"g", "alias"}


def test_h5py_reads_what_was_saved(tmp_path: Path) -> None:
    h5burst.save(tmp_path / "a.h5", {"g": {"x": np.arange(6).reshape(2, 3), "rate": 2.5, "name": "Ada"}})
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["g/x"][...].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert (file["g/rate"][()], file["g/name"].asstr()[()]) == (2.5, "Ada")


@pytest.mark.parametrize(
    ("compression", "opts", "filters"),
    [
        (None, None, {"fletcher32"}),
        ("gzip", None, {"gzip", "shuffle", "fletcher32"}),
        ("gzip", 9, {"gzip", "shuffle", "fletcher32"}),
        (4, None, {"gzip", "shuffle", "fletcher32"}),
        (True, None, {"gzip", "shuffle", "fletcher32"}),
        (False, None, {"fletcher32"}),
        ("lzf", None, {"lzf", "shuffle", "fletcher32"}),
        ("zstd", 3, {"zstd", "shuffle", "fletcher32"}),
    ],
)
def test_compression_as_h5py_names_it(compression: Any, opts: int | None, filters: set[str], tmp_path: Path) -> None:
    data = np.arange(300_000) % 50
    h5burst.save(tmp_path / "a.h5", {"x": data}, compression=compression, compression_opts=opts)
    with h5burst.open(tmp_path / "a.h5") as file:
        assert set(file["x"].filters) == filters
    if isinstance(compression, (int, str)) and compression and compression != "zstd":
        with h5py.File(tmp_path / "a.h5") as file:
            assert file["x"].compression == ("lzf" if compression == "lzf" else "gzip")
            if compression != "lzf":
                assert file["x"].compression_opts == (opts or 4)
    assert equal(h5burst.load(tmp_path / "a.h5")["x"], data)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"compression": "rar"}, ValueError, "compression must be one of 'gzip'"),
        ({"compression": "gzip", "compression_opts": 12}, ValueError, "0 to 9"),
        ({"compression": 11}, ValueError, "0 to 9"),
        ({"compression": 4, "compression_opts": 5}, ValueError, "level"),
        ({"compression_opts": 5}, ValueError, "codec"),
        ({"compression": False, "compression_opts": 5}, ValueError, "codec"),
        ({"compression": "lzf", "compression_opts": 5}, ValueError, "lzf has no levels: leave the level out"),
        ({"compression": "gzip", "compression_opts": 4.0}, ValueError, "0 to 9, got 4.0"),
        ({"compression": "gzip", "compression_opts": True}, ValueError, "0 to 9, got True"),
    ],
)
def test_wrong_compression_is_refused_before_the_first_byte(
    options: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        h5burst.save(tmp_path / "a.h5", {"x": np.arange(3)}, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mapping", "where"),
    [
        ({"a": {"b": object()}}, "/a/b"),
        ({"a": [np.arange(2), {"c": print}]}, "/a/1/c"),
        ({"a": {1: 1, "1": 2}}, "/a"),
        ({"a": {1.5: 1}}, "/a"),
        ({"a": np.array([object()])}, "/a"),
    ],
)
def test_what_cannot_be_stored_is_named(mapping: dict[str, Any], where: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValueError) as caught:
        h5burst.save(tmp_path / "a.h5", mapping)
    assert where in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_dict_that_holds_itself_is_refused(tmp_path: Path) -> None:
    mapping: dict[str, Any] = {}
    mapping["self"] = mapping
    with pytest.raises(UnsupportedValueError, match="holds itself"):
        h5burst.save(tmp_path / "a.h5", mapping)


def test_what_is_no_dict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="takes a dict, not ndarray"):
        h5burst.save(tmp_path / "a.h5", np.arange(3))  # type: ignore[arg-type]


def test_an_existing_file_is_kept_unless_one_says_so(tmp_path: Path) -> None:
    h5burst.save(tmp_path / "a.h5", {"x": 1})
    with pytest.raises(FileExistsError, match=r"a\.h5"):
        h5burst.save(tmp_path / "a.h5", {"x": 2})
    assert h5burst.load(tmp_path / "a.h5") == {"x": 1}
    h5burst.save(tmp_path / "a.h5", {"x": 2}, overwrite=True)
    assert h5burst.load(tmp_path / "a.h5") == {"x": 2}


class Squares:
    """A source of three members."""

    shape, dtype = (1000, 3), np.dtype(np.int64)

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        return np.repeat(np.arange(start, stop, dtype=np.int64) ** 2, 3).reshape(-1, 3)


def test_sources_are_streamed(tmp_path: Path) -> None:
    h5burst.save(tmp_path / "a.h5", {"squares": Squares()}, compression="gzip")
    again = h5burst.load(tmp_path / "a.h5", lazy=True)
    h5burst.save(tmp_path / "b.h5", {"again": again["squares"], "whole": again})
    found = h5burst.load(tmp_path / "b.h5")
    assert np.array_equal(found["again"], Squares().read(0, 1000))
    assert np.array_equal(found["whole"]["squares"], Squares().read(0, 1000))


def test_load_takes_file_objects_and_names_damage(tmp_path: Path) -> None:
    h5burst.save(tmp_path / "a.h5", {"good": np.arange(5), "bad": np.arange(100_000)})
    with h5py.File(tmp_path / "a.h5") as file:
        place = file["bad"].id.get_chunk_info(0).byte_offset
    content = bytearray((tmp_path / "a.h5").read_bytes())
    assert h5burst.load(io.BytesIO(bytes(content)))["good"].tolist() == [0, 1, 2, 3, 4]
    content[place + 9] ^= 1
    with pytest.raises(CorruptFileError, match="/bad"):
        h5burst.load(io.BytesIO(bytes(content)))
    lazily = h5burst.load(io.BytesIO(bytes(content)), lazy=True)
    assert lazily["good"][2] == 2
    with pytest.raises(CorruptFileError, match="/bad"):
        lazily["bad"][:5]


def test_keys_come_back_in_the_order_of_their_names(tmp_path: Path) -> None:
    mapping = {"zeta": 1, "alpha": {"b": 2.0, "a": np.arange(3)}, "mid": [{"y": 1, "x": 2}]}
    h5burst.save(tmp_path / "ours.h5", mapping)
    for lazy in (False, True):
        loaded = h5burst.load(tmp_path / "ours.h5", lazy=lazy)
        assert list(loaded) == ["alpha", "mid", "zeta"]
        assert list(loaded["alpha"]) == ["a", "b"]
        assert list(loaded["mid"][0]) == ["x", "y"]


@pytest.mark.parametrize("lazy", [False, True])
def test_keys_of_a_file_that_tracks_their_order_stay_in_it(tmp_path: Path, lazy: bool) -> None:
    with h5py.File(tmp_path / "theirs.h5", "w", track_order=True) as file:
        for name in ("zeta", "alpha", "mid"):
            file[name] = 1
    assert list(h5burst.load(tmp_path / "theirs.h5", lazy=lazy)) == ["zeta", "alpha", "mid"]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("stored", ["[" * 20_000, "nonsense", "", "tuple@99", np.arange(3), np.nan])
@pytest.mark.parametrize("marker", ["h5burst.type", "h5burst.keys"])
def test_markers_that_do_not_fit_are_an_error_of_the_file(marker: str, stored: Any, lazy: bool, tmp_path: Path) -> None:
    """It names the file and the object."""
    path = tmp_path / "a.h5"
    h5burst.save(path, {"below": {"items": (1, np.arange(3))}, "good": 1})
    with h5py.File(path, "r+") as file:
        file["below/items"].attrs[marker] = stored

    def look() -> None:
        found = h5burst.load(path, lazy=lazy)
        assert found["good"] == 1
        _ = found["below"]["items"]

    with pytest.raises(CorruptFileError, match=r"marker|JSON") as caught:
        look()
    assert caught.value.path == str(path)
    assert [where for where, _ in caught.value.problems] == ["/below/items"]


def test_what_cannot_be_kept_is_named_with_what_to_do(tmp_path: Path) -> None:
    """The place ended with the root of a JSON path, "$", which says nothing to who saves a dict."""
    pandas = pytest.importorskip("pandas")
    for value, where in ((pandas.DataFrame({"a": [1]}), "/g/x"), (["a", pandas.Series([1])], r"/g/x: \[1\]")):
        with pytest.raises(UnsupportedValueError, match=rf"cannot be kept: make arrays, .* of it \(at {where}\)$"):
            h5burst.save(tmp_path / "a.h5", {"g": {"x": value}})
    assert not (tmp_path / "a.h5").exists()
