"""Small spike-sorted recordings in the retinal-wave layout, for batches that run in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hdmea.simulate import SimulatedRecording
from support.batch_tools import PATIENCE_S, write_spikes
from support.full_flow import BAR, NOISE, simulated

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of processes that start processes wait longer than others, where the machine has much else to do."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.timeout(2 * PATIENCE_S))


@pytest.fixture
def spikes_manifest(tmp_path: Path) -> Callable[..., Path]:
    """Make a manifest of that many recordings, with extra rows of the caller's."""

    def make(count: int = 3, extra: tuple[str, ...] = (), directory: str = "input") -> Path:
        where = tmp_path / directory
        where.mkdir(exist_ok=True)
        rows = ["spikes,dataset_id"]
        rows += [f"{write_spikes(where / f'rec{i}.h5', seed=i).name},rec{i}" for i in range(count)]
        manifest = where / "manifest.csv"
        manifest.write_text("\n".join([*rows, *extra]) + "\n", encoding="utf-8")
        return manifest

    return make


@pytest.fixture
def parameters() -> dict[str, dict[str, object]]:
    """Windows short enough for the small recordings."""
    return {"add_section_windows": {"length_s": 10}}


@pytest.fixture(scope="session")
def full_recording(tmp_path_factory: pytest.TempPathFactory) -> SimulatedRecording:
    """Six units under noise and the moving bar, and two light steps: what the flow `full` needs."""
    return simulated(tmp_path_factory.mktemp("made"), NOISE, BAR, light_steps=2)
