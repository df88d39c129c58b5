"""Steps show that they go on, and log what they took."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest

from hdmea.io import add_section_windows, section_spike_times
from support.hdmea_recordings import recording


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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
