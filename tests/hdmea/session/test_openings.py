"""How often a session opens its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hdmea.pipeline.session import PipelineSession, create_session
from support.openings import counting_opens


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
    with counting_opens() as opens:
        PipelineSession.load(recording, lazy=lazy)
    assert opens["rec.h5"] == 1


def test_a_lazy_save_opens_its_source_twice(recording: Path, tmp_path: Path) -> None:
    """Once for values that are decoded, once for arrays that are copied."""
    session = PipelineSession.load(recording, lazy=True)
    with counting_opens() as opens:
        session.save(tmp_path / "other.h5")
    assert 1 <= opens["rec.h5"] <= 2
    np.testing.assert_array_equal(session.units["unit_003"]["spike_times"], np.arange(1000))


def test_a_lazy_save_in_place_adds_locks_and_the_new_file(recording: Path) -> None:
    """Three openings that ask for locks of the file that is replaced, one that reads the new one."""
    session = PipelineSession.load(recording, lazy=True)
    with counting_opens() as opens:
        session.save()
    assert 1 <= opens["rec.h5"] <= 2 + 3 + 1
