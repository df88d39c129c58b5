"""Progress is drawn where somebody watches, and nowhere else."""

from __future__ import annotations

import io
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hdmea.io import add_section_windows, section_spike_times
from hdmea.utils.progress import reporting, watched
from support.hdmea_recordings import recording


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


def test_steps_show_a_bar_and_log_what_they_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    session = recording(tmp_path)

    with caplog.at_level(logging.INFO, "hdmea"):
        add_section_windows(length_s=1.0, name="windows", session=session)
        path = session.save()
        section_spike_times(path)

    assert [text.split(" took ")[0] for text in caplog.messages if " took " in text] == [
        "add_section_windows",
        "section_spike_times",
    ]
    assert "add_section_windows" in terminal.getvalue()
    assert "section_spike_times" in terminal.getvalue()


def test_progress_is_quiet_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting("counting") as report:
        assert report is None

    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
