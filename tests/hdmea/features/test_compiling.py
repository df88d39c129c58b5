"""Helpers that Numba compiles work on machines where nothing can be cached."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CALL = """
import resource, signal
from hdmea.features.compiling import compiled
{before}
import own
print(own.inner(2), own.outer(3))
"""
OWN = """
from hdmea.features.compiling import compiled
@compiled
def inner(x): return x + 1
@compiled
def outer(x): return inner(x) * 2
"""
FULL = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"


def called(directory: Path, cache: str, before: str = "") -> str:
    (directory / "own.py").write_text(OWN)
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= dict.fromkeys(("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), str(directory / "home"))
    done = subprocess.run(
        [sys.executable, "-c", CALL.format(before=before)],
        capture_output=True, text=True, cwd=directory, env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes")
def test_a_full_disk_for_the_cache_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    assert called(tmp_path, str(tmp_path / "cache"), before=FULL) == "3 8"


def test_a_cache_that_cannot_be_made_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert called(tmp_path, str(tmp_path / "file" / "cache")) == "3 8"


def test_what_is_compiled_is_kept_for_the_next_process(tmp_path: Path) -> None:
    assert called(tmp_path, str(tmp_path / "cache")) == called(tmp_path, str(tmp_path / "cache")) == "3 8"
    assert len(list((tmp_path / "cache").rglob("*.nbc"))) == 2


def test_nothing_is_kept_among_the_files_of_a_package(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    assert called(tmp_path, "") == "3 8"
    kept = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.nbc")]
    assert len(kept) == 2
    assert {path.parts[0] for path in kept} == {"home"}


def test_where_the_home_cannot_be_written_it_is_kept_beside_the_source(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    assert called(tmp_path, "") == "3 8"
    assert {path.parent.name for path in tmp_path.rglob("*.nbc")} == {"__pycache__"}
