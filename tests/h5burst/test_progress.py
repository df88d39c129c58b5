"""Progress is drawn where somebody watches, and nowhere else."""

from __future__ import annotations

import io
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from h5burst import console
from h5burst.progress import reporting, watched


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


def test_a_bar_within_another_is_drawn_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    with reporting("the step"):
        with reporting("its images") as report:
            assert report is not None
            report(3, 4)
        with reporting("another part"):
            pass

    drawn = terminal.getvalue()
    assert drawn.index("the step") < drawn.index("its images") < drawn.index("another part")


def test_other_threads_draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert watched()
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(watched).result()


def test_quiet_commands_draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(console, "output", console.OutputSettings(quiet=True))
    with reporting("counting") as report:
        assert report is None


def test_progress_is_quiet_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting("counting") as report:
        assert report is None

    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
