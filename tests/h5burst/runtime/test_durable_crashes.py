"""Saves that are killed, torn, interrupted or refused at each operation that changes a file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KINDS = ("none", "kill", "torn", "enospc", "eio", "eacces", "short", "interrupt")

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None, reason="faults are injected with gcc and LD_PRELOAD"
)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "faults.c", "-ldl"], check=True)
    return library


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("route", ["native", "libhdf5"])
def test_a_fault_at_any_operation_leaves_one_whole_file(faults: Path, tmp_path: Path, route: str, kind: str) -> None:
    command = [sys.executable, HERE / "crash_saves.py", tmp_path, route, kind]
    environment = {**os.environ, "LD_PRELOAD": str(faults)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["wrongs"] == {}
    assert report["cases"] > 5 or kind in ("short", "interrupt")
