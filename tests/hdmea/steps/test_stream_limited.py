"""A gigabyte under a budget of 128 MiB, in processes whose address space ends little beyond it: a leak fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "stream_50gb.py"
MIB = 1 << 20
BUDGET = 128 * MIB
ALLOWANCE = 64 * MIB  # beyond the budget: a block a thread, the threads' stacks

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space is limited on Linux alone")


def run(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(BENCHMARK),
        *options,
        "--limited",
        "--level",
        "1",
        "--units",
        "100",
        "--directory",
        str(directory),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_gigabyte_through_images_and_a_saved_session(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = run(tmp_path, "1GB", "--budget", "128MiB", "--json", str(figures))
    assert done.returncode == 0, done.stderr
    rows = json.loads(figures.read_text())["rows"]
    assert [row["part"] for row in rows] == ["electrical images", "channels into the session", "save with gzip"]
    for row in rows:
        assert row["bytes"] >= 0.99e9
        assert row["peak_bytes"] - row["before_bytes"] <= BUDGET + ALLOWANCE
    assert rows[1]["disk_bytes"] >= 1e9 - 1.1 * BUDGET
    assert list(tmp_path.iterdir()) == [figures]


def test_the_limit_would_stop_a_leak(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(BENCHMARK.parent)!r})\n"
        "import numpy as np, stream_50gb\n"
        f"with stream_50gb.measured({{}}, {BUDGET + ALLOWANCE}): np.ones({BUDGET + 2 * ALLOWANCE}, np.uint8)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode
    assert "MemoryError" in done.stderr
