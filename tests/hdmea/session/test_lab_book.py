"""The lab book of a recording's file: a line a step, in its history or, where a file has none, in an attribute."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest

import h5burst
from h5burst import console
from hdmea import __version__
from hdmea.cli import app
from hdmea.io import add_section_windows, annotate, section_spike_times
from hdmea.pipeline import PipelineSession, extract_features
from hdmea.session import lab_book
from support.hdmea_recordings import recording


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return recording(tmp_path).save(tmp_path / "rec_2.h5")


def said(capsys: pytest.CaptureFixture[str], *words: Any, code: int = 0) -> str:
    assert console.run(app, [str(word) for word in words]) == code
    return capsys.readouterr().out


def steps(path: Path, directory: Path) -> list[str]:
    """Three steps with arguments; how their lines must begin, the newest first."""
    table = directory / "secret_directory" / "table.csv"
    table.parent.mkdir()
    pl.DataFrame([{"recording": path.stem, "age": 61}]).write_csv(table)
    add_section_windows(path, length_s=0.5)
    section_spike_times(path, pad_margin=(0.25, 0.5))
    annotate(table, hdf5_path=path)
    return [
        "annotate table='table.csv' (",
        "section_spike_times pad_margin=[0.25, 0.5] (",
        "add_section_windows length_s=0.5 (",
    ]


ENDING = re.compile(rf"\(hdmea {re.escape(__version__)}, [0-9.e+-]+ s\)$")


def test_each_step_is_a_line_with_what_it_was_given(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = steps(saved, saved.parent)
    messages = [commit.message or "" for commit in h5burst.log(saved)]
    for message, beginning in zip(messages, expected, strict=False):
        assert message.startswith(beginning)
        assert ENDING.search(message)
    assert not any("secret_directory" in message for message in messages)
    assert "section_spike_times pad_margin" in said(capsys, "log", saved)
    assert [entry.number for entry in lab_book.entries(saved)] == [3, 2, 1, 0]
    said(capsys, "undo", saved)
    assert "gsheet_row" not in PipelineSession.load(saved).metadata


def test_a_file_that_is_edited_as_a_copy_keeps_the_lines_itself(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(saved, "r+") as file:
        file.attrs["reference"] = file["units"].ref
    expected = steps(saved, saved.parent)
    with h5py.File(saved) as file:
        stored = json.loads(file["pipeline"].attrs["lab_book"])
    assert len(stored) == 3
    for line, beginning in zip(reversed(stored), expected, strict=True):
        assert re.match(rf"\d{{4}}-\d\d-\d\dT\S+ {re.escape(beginning)}", line)
    assert list(h5burst.log(saved)) == []
    assert "annotate table='table.csv'" in said(capsys, "log", saved)
    assert [entry.number for entry in lab_book.entries(saved)] == [None] * 3
    assert PipelineSession.load(saved).metadata["gsheet_row"]["age"] == 61


def test_the_attribute_stays_small(saved: Path) -> None:
    with h5py.File(saved, "r+") as file:
        file.attrs["reference"] = file["units"].ref
        file.require_group("pipeline").attrs["lab_book"] = json.dumps(
            [f"2026-01-01 {n} {'x' * 990}" for n in range(31)]
        )
    extract_features(saved, ["frif"])
    noted = lab_book.noted(saved)
    assert "extract_features features=['frif']" in noted[0]
    assert 25 < len(noted) < 33
    assert "2026-01-01 30 " in noted[1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float64(0.5), "0.5"),
        (None, "None"),
        ("noise", "'noise'"),
        ("/home/someone/table.csv", "'table.csv'"),
        ("C:\\Users\\someone\\table.csv", "'table.csv'"),
        (Path("/home/someone/x.h5"), "'x.h5'"),
        ({"a": (1, 2), "path": "/home/someone/b"}, "{'a': [1, 2], 'path': 'b'}"),
        (list(range(9)), "[0, 1, 2, 3, 4, 5, … 9 in all]"),
        (np.zeros((3, 4)), "ndarray (3, 4)"),
        (len, "builtin_function_or_method"),
        ("x" * 200, repr("x" * 60)),
    ],
)
def test_values_in_a_few_words(value: Any, text: str) -> None:
    assert lab_book.short(value) == text


def test_a_line_fits_a_record() -> None:
    line = lab_book.line_of("annotate", {f"name {n}": "é" * 100 for n in range(100)}, 1.5)
    assert len(line.encode()) <= 4096
    assert line.endswith(f"(hdmea {__version__}, 1.5 s)")
