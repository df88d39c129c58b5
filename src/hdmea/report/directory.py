"""The index of a batch: one row a recording with its state and key figures, linked to its page."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from h5burst import durable, page
from hdmea.plot import figure_data
from hdmea.report.page import GENERATOR, is_page_of, is_report, may_write, write_page
from hdmea.session.session import PipelineSession
from hdmea.utils.cells import plain_text
from hdmea.utils.names import recording_path

COLUMNS = ("recording", "state", "units", "duration (s)", "sections", "features", "warnings")
NUMBER = ' class="number"'


_SHOWN_ELSEWHERE = ("dataset_id", "status", "units", "warnings")  # of the table of figures


@dataclass
class Row:
    """A recording of a batch. page: its page's name in the directory, None without one."""

    name: str
    state: str
    file_stem: str = ""
    page: str | None = None
    figures: tuple[str, ...] = ("", "", "", "", "")
    said: str = ""
    key_figures: Mapping[str, str] = field(default_factory=dict)


def write_index(
    directory: Path,
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    pages: Collection[str] | None = None,
) -> Path:
    """A page for each recording of a directory that has none of what it is now, and the index of all of them.

    pages: names of the recordings that may get a page (default all); others are listed, and linked to the page that
    they have. Recordings that a batch's summary (`batch_summary*.json`) names and that left no file are listed too; the
    key figures of `batch_figures*.csv` are columns of their own. Raises `FileNotFoundError` for a directory without
    either, `FileExistsError` for an index or a page that is not a report.
    """
    path = directory / "index.html" if output is None else Path(output)
    may_write(path, overwrite)
    states = _states(directory)
    stems = None if pages is None else {_stem(name) for name in pages}
    recordings = sorted(directory.glob("*.h5"))
    if not recordings and not states:
        raise FileNotFoundError(f"{directory} holds no recording (.h5) and no summary of a batch")
    rows = [
        _row(file, states.pop(file.stem, {}), path.parent, overwrite, stems is None or file.stem in stems)
        for file in recordings
    ]
    rows += [
        Row(str(one["dataset_id"]), str(one.get("status", "unknown")), said=_said(one))
        for _, one in sorted(states.items())
    ]
    figures = _key_figures(directory)
    for row in rows:
        row.key_figures = figures.get(row.file_stem or _stem(row.name), {})
    write_rows(path, directory.name, rows)
    return path


def write_rows(path: Path, title: str, rows: list[Row], renewed_s: int | None = None) -> None:
    """An index of these recordings. renewed_s: seconds after which browsers load it anew, while a batch runs."""
    with durable.replacing(path, overwrite=True) as temporary:
        temporary.write_text(_page(title, rows, renewed_s), encoding="utf-8", errors="backslashreplace")


def _stem(dataset_id: str) -> str:
    """The stem of a recording's file: characters of the ID that no file name can have are written otherwise there."""
    return recording_path("", dataset_id).stem


def _states(directory: Path) -> dict[str, dict[str, Any]]:
    """Read the batch's summaries of each recording, the latest last; a summary that cannot be read is an error."""
    summaries: dict[str, dict[str, Any]] = {}
    for summary in sorted(directory.glob("batch_summary*.json"), key=lambda one: one.stat().st_mtime_ns):
        try:
            rows = json.loads(summary.read_text(encoding="utf-8"))["recordings"]
            summaries |= {_stem(str(row["dataset_id"])): row for row in rows}
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"{summary} is not the summary of a batch: {error}") from error
    return summaries


def _key_figures(directory: Path) -> dict[str, dict[str, str]]:
    """By recording, what the batches' tables say of it, the latest last; a table that is not one is an error."""
    figures: dict[str, dict[str, str]] = {}
    for table in sorted(directory.glob("batch_figures*.csv"), key=lambda one: one.stat().st_mtime_ns):
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if "dataset_id" not in row:
                    raise ValueError(f"{table} is not the table of a batch's figures: it has no column dataset_id")
                row_texts = {str(name): str(value) for name, value in row.items() if name and value is not None}
                figures[_stem(plain_text(row_texts["dataset_id"]))] = {
                    n: v for n, v in row_texts.items() if n not in _SHOWN_ELSEWHERE
                }
    return figures


def _row(file: Path, said: dict[str, Any], beside: Path, overwrite: bool, may_make: bool) -> Row:
    state = str(said.get("status", "saved"))
    page_path = file.with_suffix(".html")
    if may_make:
        may_write(page_path, overwrite)
    try:
        if may_make and not is_page_of(page_path, file):
            write_page(PipelineSession.load(file, lazy=True), page_path, overwrite=overwrite, forget=True)
        session = PipelineSession.load(file, lazy=True)
        features = _feature_names(session)
    except (OSError, ValueError) as error:
        return Row(file.stem, "unreadable", file.stem, said=" ".join(str(error).split()))
    duration = figure_data.duration_of(session)
    figures = (
        str(session.unit_count),
        f"{duration:.0f}" if duration > 0 else "",
        str(len(figure_data.sections_of(session))),
        str(len(features)),
        str(len(session.warnings)),
    )
    return Row(
        session.dataset_id,
        state,
        file.stem,
        _link(page_path, beside) if is_report(page_path) else None,
        figures,
        _said(said),
    )


def without_page(directory: Path) -> list[Path]:
    """The recordings of a directory that have no page of what they are now."""
    return [file for file in sorted(directory.glob("*.h5")) if not is_page_of(file.with_suffix(".html"), file)]


def _feature_names(session: PipelineSession) -> set[str]:
    """The features of all units; each unit is emptied in the session, so that not all are in memory at once."""
    names: set[str] = set()
    for unit_id in list(session.units):
        names |= {str(name) for name in session.units[unit_id].get("features") or {}}
        session.units[unit_id] = {}
    return names


def _link(page_path: Path, beside: Path) -> str:
    same = page_path.parent.resolve() == beside.resolve()
    return quote(page_path.name) if same else page_path.resolve().as_uri()


def _said(row: dict[str, Any]) -> str:
    return str(row.get("reason") or "")


def _page(title: str, rows: list[Row], renewed_s: int | None) -> str:
    more = list(dict.fromkeys(name for row in rows for name in row.key_figures))
    names = (*COLUMNS, *(name.replace("_", " ") for name in more), "what was said")
    numbers = {*COLUMNS[2:], *(name.replace("_", " ") for name in more)}
    return (
        f"{page.head(title, GENERATOR, renewed_s)}<body>"
        f"<header><h1>{escape(title)}: {len(rows)} recording{'s' if len(rows) != 1 else ''}</h1></header>\n"
        f"<main>{page.table('Recordings', names, [_cells(row, more) for row in rows], numbers)}</main></body></html>\n"
    )


def _cells(row: Row, more: list[str]) -> str:
    name = escape(row.name)
    linked = f'<a href="{escape(row.page)}">{name}</a>' if row.page else name
    figures = (row.key_figures.get(key, "") for key in more)
    numbers = "".join(f"<td{NUMBER}>{escape(text)}</td>" for text in (*row.figures, *figures))
    others = f"<td>{escape(row.state)}</td>{numbers}<td>{escape(row.said)}</td>"
    return f'<tr><th scope="row">{linked}</th>{others}</tr>'
