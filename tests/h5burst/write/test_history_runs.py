"""A sample of the long runs about the history of files; the whole of each is a command (docs/development.md)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support import history_runs

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


def test_every_state_survives_kills(tmp_path: Path) -> None:
    found = history_runs.kills(tmp_path / "file.h5", 6)
    assert found["wrong"] == {}
    assert found["changes"] >= 6


def test_opens_during_commits_fail_never(tmp_path: Path) -> None:
    found = history_runs.opens(tmp_path / "file.h5", 2000)
    assert found["wrong"] == []
    assert found["opens"] == 2000
    assert found["commits"] > 1


def test_all_of_several_writers_is_there(tmp_path: Path) -> None:
    found = history_runs.puts(tmp_path / "file.h5", 4, 15)
    assert found["there"] == found["puts"] == 60
