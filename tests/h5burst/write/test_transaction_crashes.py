"""Transactions that are killed, torn, interrupted or refused at each operation, or killed at random."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KINDS = ("none", "kill", "torn", "enospc", "eio", "short", "interrupt")

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None, reason="faults are injected with gcc and LD_PRELOAD"
)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = HERE.parent / "runtime" / "faults.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def report_of(directory: Path, *arguments: str, preloaded: Path | None = None) -> dict[str, object]:
    environment = dict(os.environ) if preloaded is None else {**os.environ, "LD_PRELOAD": str(preloaded)}
    command = [sys.executable, str(HERE / "crash_edits.py"), str(directory), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("way", "kind"),
    [
        *(("append", kind) for kind in KINDS),
        *(("copy", kind) for kind in ("kill", "enospc")),
        *(("commits", kind) for kind in ("kill", "torn", "enospc", "eio")),
    ],
)
def test_a_fault_at_any_operation_leaves_one_whole_state(faults: Path, tmp_path: Path, way: str, kind: str) -> None:
    report = report_of(tmp_path, way, kind, preloaded=faults)
    assert report["wrongs"] == {}
    assert kind in ("none", "short", "interrupt") or int(str(report["cases"])) > 4


@pytest.mark.parametrize("way", ["append", "copy", "commits"])
def test_kills_at_random_leave_a_whole_state(tmp_path: Path, way: str) -> None:
    report = report_of(tmp_path, way, "random", "15")
    assert (report["cases"], report["wrongs"]) == (15, {})
    assert int(str(report["after an edit"])) > 0
