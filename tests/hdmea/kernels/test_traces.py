"""Kernels of traces against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hdmea.kernels import traces

DTYPES = ["i1", "u1", "<i2", ">i2", "u2", "i4", ">i4", "u4", "i8", "u8", "f4", "f8"]
any_trace = st.sampled_from(DTYPES).flatmap(
    lambda code: hnp.arrays(code, st.integers(0, 200), elements=_elements(np.dtype(code)))
)


def _elements(dtype: np.dtype[Any]) -> st.SearchStrategy[Any]:
    if dtype.kind == "f":
        return st.integers(-1000, 1000).map(lambda value: value / 8)
    limits = np.iinfo(dtype)
    return st.one_of(st.integers(limits.min, limits.max), st.integers(0, min(100, int(limits.max))))


@given(any_trace, st.integers(1, 50), st.integers(1, 3))
def test_sums_are_numpy_s(samples: npt.NDArray[Any], length: int, step: int) -> None:
    samples = samples[::step]
    count = len(samples) // length
    wide = np.float64 if samples.dtype.kind == "f" else np.int64
    with np.errstate(over="ignore"):
        expected = samples[: count * length].astype(wide).reshape(count, length).sum(axis=1)
    found = traces.block_sums(samples, length)
    assert found.dtype == wide
    np.testing.assert_array_equal(found, expected)


@given(any_trace, st.integers(-300, 300), st.integers(1, 3))
def test_rises_are_where_numpy_s_difference_is_large(samples: npt.NDArray[Any], above: int, step: int) -> None:
    samples = samples[::step]
    with np.errstate(over="ignore"):
        steps = np.diff(samples.astype(np.float64 if samples.dtype.kind == "f" else np.int64))
    found = traces.rises(samples, above / 2, np.full(len(samples) + 3, -7))
    np.testing.assert_array_equal(found, np.flatnonzero(steps.astype(np.float64) > above / 2))


def test_a_missing_sample_is_no_rise() -> None:
    found = traces.rises(np.array([0.0, np.nan, 5.0, 9.0]), 1.0, np.empty(3, np.int64))
    assert found.tolist() == [2]


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        traces.block_sums(np.zeros((2, 2)), 1)
    with pytest.raises(ValueError, match="at least one"):
        traces.block_sums(np.zeros(2), 0)
    with pytest.raises(TypeError, match="integers or floats"):
        traces.block_sums(np.zeros(2, complex), 1)
    with pytest.raises(ValueError, match="at least 3"):
        traces.rises(np.zeros(4), 0.0, np.empty(2, np.int64))
    with pytest.raises(ValueError, match="int64"):
        traces.rises(np.zeros(4), 0.0, np.empty(4, np.int32))  # type: ignore[arg-type]
