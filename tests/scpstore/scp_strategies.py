"""Hypothesis strategies for containers and their parts, awkward on purpose."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta, timezone
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
from hypothesis import strategies as st

from scpstore import AggregationLink, Assay, MatrixMetadata, ProvenanceLog, ScpContainer, ScpMatrix
from scpstore.io.csr import set_places
from scpstore.io.storage_dtypes import lists_of

ROWS = 7

# What polars holds: any text without lone surrogates. Python's own may have those, and so may params.
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
awkward = st.sampled_from(
    ["", ".", "..", "a/b", "/", "%~", "%~a", "%00", "a\0b", "\0", " ", "ß→𝛼", "_index", "X", "*", "^.*$"]
)
names = awkward | texts

# ---------------------------------------------------------------- series of every dtype


def _integers(dtype: Any) -> Any:
    low, high = dtype.min(), dtype.max()
    low, high = pl.select(low).item(), pl.select(high).item()
    near = [value for value in (low, high, 0, 1, 2**53, 2**53 + 1, -(2**53) - 1) if low <= value <= high]
    return st.integers(low, high) | st.sampled_from(near)


_INTEGERS = ("Int8", "Int16", "Int32", "Int64", "Int128", "UInt8", "UInt16", "UInt32", "UInt64", "UInt128")
INTEGER_DTYPES = [getattr(pl, name)() for name in _INTEGERS if hasattr(pl, name)]
FLOAT_DTYPES = [getattr(pl, name)() for name in ("Float16", "Float32", "Float64") if hasattr(pl, name)]
_WIDTHS = {"Float16": 2, "Float32": 4, "Float64": 8}
UNITS = ("ns", "us", "ms")
ZONES = (None, "UTC", "Europe/Zurich", "America/New_York")

_enums = st.lists(texts | awkward, max_size=4, unique=True).map(pl.Enum)
_decimals = (
    st.tuples(st.integers(1, 38), st.integers(0, 38)).filter(lambda p: p[1] <= p[0]).map(lambda p: pl.Decimal(*p))
)
_categoricals = st.just(pl.Categorical())
if hasattr(pl, "Categories"):
    _categoricals |= st.builds(
        lambda name, space, physical: pl.Categorical(pl.Categories(name, space, physical)),
        st.sampled_from(["kind", "batch"]),
        st.sampled_from(["", "lab"]),
        st.just(pl.UInt16),
    )
leaf_dtypes = st.one_of(
    st.sampled_from([*INTEGER_DTYPES, *FLOAT_DTYPES]),
    st.sampled_from([pl.Boolean(), pl.String(), pl.Binary(), pl.Date(), pl.Time(), pl.Null()]),
    st.builds(pl.Datetime, st.sampled_from(UNITS), st.sampled_from(ZONES)),
    st.builds(pl.Duration, st.sampled_from(UNITS)),
    _decimals,
    _enums,
    _categoricals,
)


def _array_takes(dtype: Any) -> bool:
    """Polars 1 has no arrays of categories."""
    return int(pl.__version__.split(".")[0]) > 1 or "Categorical" not in str(dtype)


def _nested(inner: Any) -> Any:
    fields = st.dictionaries(names, inner, min_size=1, max_size=3).map(pl.Struct)
    arrays = st.builds(pl.Array, inner.filter(_array_takes), st.integers(0, 2))
    return st.builds(pl.List, inner) | arrays | fields


dtypes = st.recursive(leaf_dtypes, _nested, max_leaves=3)


@st.composite
def series(draw: Any, length: int, dtype: Any = None) -> pl.Series:
    """A series of that length (of that dtype, None: any) with nulls, NaN of all kinds, and extremes."""
    dtype = draw(dtypes) if dtype is None else dtype
    made = _series(draw, length, dtype)
    assert made.dtype == dtype, (made.dtype, dtype)
    return made


def _series(draw: Any, length: int, dtype: Any) -> pl.Series:
    if isinstance(dtype, pl.Null):
        return pl.Series([None] * length, dtype=pl.Null)
    if isinstance(dtype, (pl.List, pl.Array)):
        return _lists(draw, length, dtype)
    if isinstance(dtype, pl.Struct):
        return _structs(draw, length, dtype)
    if dtype.is_float():
        return _with_nulls(draw, pl.Series(_float_bits(draw, length, _WIDTHS[type(dtype).__name__]), dtype=dtype))
    values = draw(st.lists(st.none() | _elements(dtype), min_size=length, max_size=length))
    if dtype.is_temporal():
        physical = pl.Int32 if isinstance(dtype, pl.Date) else pl.Int64
        return pl.Series(values, dtype=physical).cast(dtype)
    if isinstance(dtype, pl.Decimal):
        return pl.Series(values, dtype=pl.String).cast(dtype)
    return pl.Series(values, dtype=dtype)


def _elements(dtype: Any) -> Any:
    if dtype.is_integer():
        return _integers(dtype)
    if isinstance(dtype, pl.Boolean):
        return st.booleans()
    if isinstance(dtype, pl.Binary):
        return st.binary(max_size=6)
    if isinstance(dtype, pl.Date):
        return st.integers(-10_000_000, 10_000_000)
    if isinstance(dtype, pl.Time):
        return st.integers(0, 86_399_999_999_999)
    if isinstance(dtype, (pl.Datetime, pl.Duration)):
        return st.integers(-(2**63), 2**63 - 1) | st.integers(-(10**15), 10**15) | st.just(-(2**63))
    if isinstance(dtype, pl.Decimal):
        whole = st.integers(-(10**dtype.precision) + 1, 10**dtype.precision - 1)
        return whole.map(
            lambda value: format(Decimal(value).scaleb(-dtype.scale, Context(prec=60)), "f") if value else "0"
        )
    if isinstance(dtype, pl.Enum):
        return st.sampled_from(dtype.categories.to_list()) if dtype.categories.len() else st.none()
    return texts | awkward


def _float_bits(draw: Any, length: int, width: int) -> np.ndarray[Any, Any]:
    """Floats of any bits: NaN with payloads, infinities, signed zeros, subnormals; and some usual ones."""
    special = np.array([0.0, -0.0, 1.5, math.inf, -math.inf, math.nan], dtype=f"f{width}").view(f"u{width}").tolist()
    bits = st.integers(0, 2 ** (8 * width) - 1) | st.sampled_from(special)
    return np.array(draw(st.lists(bits, min_size=length, max_size=length)), dtype=f"u{width}").view(f"f{width}")


def _with_nulls(draw: Any, full: pl.Series) -> pl.Series:
    valid = draw(st.lists(st.booleans(), min_size=full.len(), max_size=full.len()))
    return pl.select(pl.when(pl.Series(valid, dtype=pl.Boolean)).then(full).otherwise(None)).to_series()


def _lists(draw: Any, length: int, dtype: Any) -> pl.Series:
    sizes = st.integers(0, 3) if isinstance(dtype, pl.List) else st.just(dtype.size)
    lengths = draw(st.lists(st.none() | sizes, min_size=length, max_size=length))
    inner = _series(draw, sum(size or 0 for size in lengths), dtype.inner)
    made = lists_of(inner, lengths)
    return made if isinstance(dtype, pl.List) else made.list.to_array(dtype.size)


def _structs(draw: Any, length: int, dtype: Any) -> pl.Series:
    full = pl.DataFrame({field.name: _series(draw, length, field.dtype) for field in dtype.fields}).to_struct()
    return _with_nulls(draw, full)


@st.composite
def frames(draw: Any, length: int, id_column: str | None = None) -> pl.DataFrame:
    """A frame with columns of any dtype; with an ID column of unique values somewhere among them, if wanted."""
    columns = draw(st.dictionaries(names, series(length), max_size=4))
    if id_column is not None:
        columns.pop(id_column, None)
        ids = draw(st.lists(texts | awkward, min_size=length, max_size=length, unique=True))
        place = draw(st.integers(0, len(columns)))
        items = list(columns.items())
        items.insert(place, (id_column, pl.Series(ids, dtype=pl.String)))
        columns = dict(items)
    return pl.DataFrame(columns)


# ---------------------------------------------------------------- matrices

SPARSE_FORMATS = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")


@st.composite
def dense(draw: Any, shape: tuple[int, int], dtype: str | None = None) -> np.ndarray[Any, Any]:
    """A dense matrix of any bits, in any memory order."""
    dtype = dtype or draw(st.sampled_from(["<f2", "<f4", "<f8", ">f8"]))
    if dtype == "i1":
        flat = np.array(draw(st.lists(st.integers(0, 6), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])))
        made = flat.astype(np.int8).reshape(shape)
    else:
        width = int(dtype[-1])
        bits = _float_bits(draw, shape[0] * shape[1], width).astype(dtype)
        made = np.where(draw(st.booleans()), bits, np.round(np.nan_to_num(bits))).astype(dtype).reshape(shape)
    order = draw(st.sampled_from(["C", "F", "strided"]))
    if order == "strided":
        wide = np.zeros((shape[0], 2 * shape[1]), dtype=made.dtype)
        wide[:, ::2] = made
        return wide[:, ::2]
    return np.asarray(made, order=order)


@st.composite
def sparse(draw: Any, shape: tuple[int, int], dtypes: tuple[str, ...] = ("f4", "f8")) -> Any:
    """A sparse matrix of any format; those that can have unsorted and repeated entries and explicit zeros."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    index = np.dtype(draw(st.sampled_from(["i4", "i8"])))
    count = draw(st.integers(0, 12)) if min(shape) else 0
    rows = np.array(draw(st.lists(st.integers(0, max(0, shape[0] - 1)), min_size=count, max_size=count)), index)
    cols = np.array(draw(st.lists(st.integers(0, max(0, shape[1] - 1)), min_size=count, max_size=count)), index)
    if dtype.kind == "f":
        data = _float_bits(draw, count, dtype.itemsize)
    else:
        data = np.array(draw(st.lists(st.integers(0, 6), min_size=count, max_size=count)), dtype)
    fmt = draw(st.sampled_from(SPARSE_FORMATS))
    family = draw(st.sampled_from(["matrix", "array"]))
    if fmt in ("bsr", "dia", "lil", "dok"):
        _, first = np.unique(rows * shape[1] + cols, return_index=True)  # these hold a place once
        first = first[~np.isnan(data[first])] if dtype.kind == "f" else first
        rows, cols, data = rows[first], cols[first], data[first]
    coo = getattr(sp, f"coo_{family}")(shape, dtype=dtype)
    coo.data = data
    set_places(coo, rows, cols)
    if fmt == "coo":
        return coo
    if fmt in ("csr", "csc"):
        return _compressed(coo, fmt, family, index)
    return coo.tocsr().asformat(fmt)


def _compressed(coo: Any, fmt: str, family: str, index: Any) -> Any:
    """By rows or columns, in each the entries as they come: neither sorted nor summed."""
    major, minor = (coo.row, coo.col) if fmt == "csr" else (coo.col, coo.row)
    length = coo.shape[0] if fmt == "csr" else coo.shape[1]
    order = np.argsort(major, kind="stable")
    made = getattr(sp, f"{fmt}_{family}")(coo.shape, dtype=coo.dtype)
    made.data, made.indices = coo.data[order], minor[order]
    made.indptr = np.concatenate([[0], np.cumsum(np.bincount(major, minlength=length)[:length])]).astype(index)
    return made


_metadata_arrays = st.sampled_from(["f8", "f4", "i2", "u1", "?", "U3", "M8[us]", "c16"])


@st.composite
def metadata(draw: Any, shape: tuple[int, int]) -> MatrixMetadata:
    """What is known about a matrix: arrays of one or two axes and of many dtypes, sparse ones, a dict."""

    def one() -> Any:
        kind = draw(st.sampled_from(["none", "array", "sparse"]))
        if kind == "sparse":
            return draw(sparse(shape))
        if kind == "none":
            return None
        size = draw(st.sampled_from([shape, (shape[1],), (shape[0],), (1,), ()]))
        return np.ones(size).astype(draw(_metadata_arrays))

    return MatrixMetadata(one(), one(), one(), one(), draw(st.none() | params))


@st.composite
def matrices(draw: Any, shape: tuple[int, int]) -> ScpMatrix:
    X = draw(dense(shape) | sparse(shape))
    M = draw(st.none() | dense(shape, "i1") | sparse(shape, ("i1",)))
    return ScpMatrix(X, M, draw(st.none() | metadata(shape)))


# ---------------------------------------------------------------- history

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=6),
    st.binary(max_size=6),
    st.sampled_from(
        [np.float32(1.5), np.int8(-3), np.float64("nan"), np.bool_(True), np.str_("x"), np.uint64(2**64 - 1)]
    ),
    st.sampled_from(
        [np.arange(3), np.zeros((2, 0), "f4"), np.array(["a", "bc"]), np.array(2.5), np.array([1, "x"], object)]
    ),
    st.sampled_from([Path("/a/b"), Decimal("1.50"), timedelta(1, 2, 3), time(1, 2, 3), date(2024, 2, 29)]),
    st.datetimes(timezones=st.none() | st.just(timezone.utc)),
    st.frozensets(st.integers(0, 9), max_size=3),
    st.sets(st.text(max_size=2), max_size=3),
)
values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.dictionaries(st.integers(0, 5), inner, max_size=3),
    ),
    max_leaves=5,
)
params = st.dictionaries(st.text(max_size=5), values, max_size=4)
steps = st.builds(
    ProvenanceLog,
    timestamp=st.datetimes().map(datetime.isoformat) | st.text(max_size=5),
    action=st.text(max_size=8),
    params=params,
    software_version=st.none() | st.text(max_size=5),
    description=st.none() | st.text(max_size=8),
)

# ---------------------------------------------------------------- containers


@st.composite
def assays(draw: Any, samples: int) -> Assay:
    features = draw(st.integers(0, ROWS))
    id_column = draw(st.just("_index") | names)
    layers = draw(st.dictionaries(names, matrices((samples, features)), max_size=4))
    return Assay(draw(frames(features, id_column)), layers, id_column)


@st.composite
def containers(draw: Any) -> ScpContainer:
    """0–5 assays of 0–4 layers each, links between them, a history."""
    samples = draw(st.integers(0, ROWS))
    id_column = draw(st.just("_index") | names)
    made = draw(st.dictionaries(names, assays(samples), max_size=5))
    links = []
    if made:
        ends = st.sampled_from(list(made))
        for _ in range(draw(st.integers(0, 2))):
            source, target = draw(ends), draw(ends)
            most = 3 if made[source].n_features and made[target].n_features else 0
            linkage = draw(frames(draw(st.integers(0, most)), "source_id"))
            for column, name in (("source_id", source), ("target_id", target)):
                places = draw(st.lists(st.integers(0, 9), min_size=linkage.height, max_size=linkage.height))
                known = made[name].feature_ids
                places = [place % known.len() for place in places]
                linkage = linkage.with_columns(known.gather(pl.Series(places, dtype=pl.UInt32)).alias(column))
            links.append(AggregationLink(source, target, linkage))
    history = draw(st.lists(steps, max_size=4))
    return ScpContainer(draw(frames(samples, id_column)), made, links, history, id_column)
