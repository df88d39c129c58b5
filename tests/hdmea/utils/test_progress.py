"""Progress is drawn where somebody watches, and nowhere else."""

from __future__ import annotations

import io
import sys

import pytest

from hdmea.utils.progress import reporting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    with reporting("counting") as report:
        assert report is not None
        report(1, 2)

    assert "counting" in terminal.getvalue()


def test_progress_is_quiet_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting("counting") as report:
        assert report is None

    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
