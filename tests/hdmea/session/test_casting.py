"""Arrays that a user puts in come back as they were, or are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from hdmea.pipeline import PipelineSession, create_session
from hdmea.session import casting
from hdmea.utils.exceptions import ValidationError


class Counting:
    """A source of whole numbers, of which no more than a block may be asked for at once."""

    def __init__(self, rows: int, dtype: str = "int32", top: int = 1000) -> None:
        self.shape, self.dtype, self.top, self.longest = (rows,), np.dtype(dtype), top, 0

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        self.longest = max(self.longest, stop - start)
        return (np.arange(start, stop) % (self.top + 1)).astype(self.dtype)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint64"])
@pytest.mark.parametrize("sign", [1, -1])
def test_whole_numbers_that_float32_does_not_keep_are_refused(dtype: str, sign: int, tmp_path: Path) -> None:
    if sign < 0 and dtype.startswith("u"):
        return
    session = create_session("rec", output_dir=tmp_path)
    session.add_stimulus({"light_reference": {"raw_ch1": np.array([0, sign * 2**24], dtype)}})
    kept = PipelineSession.load(session.save()).stimulus["light_reference"]["raw_ch1"]
    assert kept.tolist() == [0, sign * 2**24]

    session.add_stimulus({"light_reference": {"raw_ch1": np.array([0, sign * (2**24 + 1)], dtype)}})
    with pytest.raises(ValidationError, match=r"light_reference/raw_ch1 cannot be stored as float32.*16777217"):
        session.save(overwrite=True)


def test_a_source_of_another_dtype_is_cast_block_by_block() -> None:
    source = Counting(5_000_000)
    found = casting.cast(source, np.dtype(np.float32), "here")
    assert (found.shape, found.dtype) == ((5_000_000,), np.dtype(np.float32))
    np.testing.assert_array_equal(found.read(4_999_000, 4_999_010), np.arange(4_999_000, 4_999_010) % 1001)
    assert source.longest * 4 <= 1 << 23
    with pytest.raises(ValidationError, match="beyond 16777216"):
        casting.cast(Counting(1 << 25, top=(1 << 25) - 1), np.dtype(np.float32), "here")


def test_a_streamed_trace_of_another_dtype_is_not_in_the_file_twice(tmp_path: Path) -> None:
    session = create_session("rec", output_dir=tmp_path, memory_budget="32MiB")
    trace = session.stream(Counting(20_000_000))
    session.add_stimulus({"light_reference": {"raw_ch1": trace}})
    path = session.save()
    with h5py.File(path) as file:
        stored = file["stimulus/light_reference/raw_ch1"]
        assert stored.dtype == np.float32
        assert stored[1001:1004].tolist() == [0, 1, 2]
    assert h5burst.verify(path) == []
    assert path.stat().st_size < 1.1 * 80_000_000
