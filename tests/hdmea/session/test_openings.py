"""How often a session opens its file."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdmea.pipeline.session import PipelineSession, create_session

_opens: Counter[str] = Counter()


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        _opens[os.path.basename(os.fspath(arguments[0]))] += 1


sys.addaudithook(_note)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    session = create_session("rec", output_dir=str(tmp_path))
    for number in range(5):
        session.units[f"unit_{number:03d}"] = {
            "row": 1, "col": 2, "global_id": number, "spike_times": np.arange(1000, dtype=np.uint64),
            "waveform": np.zeros(30, np.float32), "firing_rate_10hz": np.zeros(30), "features": {"a": {"x": 1.0}},
        }  # fmt: skip
    session.metadata["acquisition_rate"] = 20000.0
    return session.save()


@pytest.mark.parametrize("lazy", [False, True])
def test_a_load_opens_the_file_once(recording: Path, lazy: bool) -> None:
    _opens.clear()
    PipelineSession.load(recording, lazy=lazy)
    assert _opens["rec.h5"] == 1


def test_a_lazy_save_opens_its_source_twice(recording: Path, tmp_path: Path) -> None:
    """Once for values that are decoded, once for arrays that are copied."""
    session = PipelineSession.load(recording, lazy=True)
    _opens.clear()
    session.save(tmp_path / "other.h5")
    assert _opens["rec.h5"] <= 2
    np.testing.assert_array_equal(session.units["unit_003"]["spike_times"], np.arange(1000))


def test_a_lazy_save_in_place_adds_locks_and_the_new_file(recording: Path) -> None:
    """Three openings that ask for locks of the file that is replaced, one that reads the new one."""
    session = PipelineSession.load(recording, lazy=True)
    _opens.clear()
    session.save()
    assert _opens["rec.h5"] <= 2 + 3 + 1
