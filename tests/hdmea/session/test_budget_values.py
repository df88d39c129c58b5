"""With a budget everything is saved as it is without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from h5burst import UnsupportedValueError
from h5burst.memory.spill import min_budget
from hdmea.pipeline import PipelineSession

RNG = np.random.default_rng(3)
N = 300_000
VALUES: dict[str, Any] = {
    "text": np.array([f"unit {i}" for i in range(N)]),
    "dates": np.datetime64("2024-01-01") + np.arange(N),
    "nanoseconds": np.arange(N).astype(">M8[ns]"),
    "spans": np.arange(N).astype("m8[us]").reshape(-1, 3),
    "records": np.array([(i, i / 2) for i in range(N)], dtype=[("a", "i4"), ("b", "f8")]),
    "numbers": RNG.normal(size=N),
    "flags": RNG.random(N) < 0.5,
    "strided": np.arange(2 * N).astype("M8[s]")[::2],
}


def saved(tmp_path: Path, name: str, budget: int | None) -> PipelineSession:
    session = PipelineSession(name, output_dir=tmp_path / name, memory_budget=budget)
    for key, value in VALUES.items():
        session.add_metadata({key: value.copy()})
    if budget is not None:
        assert session.memory_spilled_gb > 0
    path = session.save()
    session.close() if hasattr(session, "close") else None
    return PipelineSession.load(path)


def test_every_dtype_is_saved_from_a_scratch_file_as_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hdmea.session import memory

    monkeypatch.setattr(memory, "_process_bytes", lambda: float("inf"))
    with_budget = saved(tmp_path, "with", min_budget())
    without = saved(tmp_path, "without", None)
    for name, value in VALUES.items():
        one, other = with_budget.metadata[name], without.metadata[name]
        assert one.dtype == other.dtype == value.dtype, name
        assert np.array_equal(one, value), name
        assert np.array_equal(other, value), name


def test_a_dict_that_holds_itself_is_refused_at_save_and_not_looked_at_for_ever(tmp_path: Path) -> None:
    session = PipelineSession("x", output_dir=tmp_path, memory_budget=min_budget())
    own: dict[str, Any] = {"a": np.zeros(10)}
    own["self"] = own
    session.add_metadata({"own": own})
    with pytest.raises(UnsupportedValueError, match=r"itself \(at metadata/own/self\)"):
        session.save()
