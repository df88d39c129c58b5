"""The page of a recording: one HTML file that needs nothing else. Units are written one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from h5burst import durable
from hdmea.report import gather
from hdmea.session.session import PipelineSession
from hdmea.utils.progress import reporting

GENERATOR = '<meta name="generator" content="hdmea report">'
# Nothing is loaded from anywhere; the page's own scripts and styles are in it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def write_page(
    session: PipelineSession,
    output: str | Path | None = None,
    *,
    units: Sequence[str] | None = None,
    overwrite: bool = False,
    forget: bool = False,
) -> Path:
    """The page of one recording; see `hdmea.report.write_report`.

    forget: empty each unit in the session once it is written, so that memory does not grow with their number; for a
    session that is read lazily and that nobody else has.
    """
    path = _output(session, output)
    may_write(path, overwrite)
    wanted = _wanted(session, units)
    with durable.replacing(path, overwrite=True) as temporary, temporary.open("w", encoding="utf-8") as page:
        page.writelines(_page(session, wanted, forget))
    return path


def may_write(path: Path, overwrite: bool) -> None:
    """Raise `FileExistsError` for a file that no report wrote, unless it may be replaced."""
    if path.exists() and not overwrite and not is_report(path):
        raise FileExistsError(f"{path} exists and is not a report: give another output, or overwrite")


def is_report(path: Path) -> bool:
    """Whether a file is a page that this module wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(4096)


def head(title: str) -> str:
    """The page's beginning, up to its body."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{GENERATOR}\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{asset('page.css')}</style></head>\n"
    )


def asset(name: str) -> str:
    """A script or style of the page."""
    return files("hdmea.report").joinpath(name).read_text(encoding="utf-8")


def data_element(name: str, content: Any) -> str:
    """Values as JSON in an element that the page's script reads; no text in it can end the element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    # A lone surrogate cannot be written as UTF-8.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def _output(session: PipelineSession, output: str | Path | None) -> Path:
    if output is not None:
        return Path(output)
    if session.hdf5_path is None:
        raise ValueError("the session has no file: save it first, or give the page's path")
    return session.hdf5_path.with_suffix(".html")


def _wanted(session: PipelineSession, units: Sequence[str] | None) -> list[str]:
    if units is None:
        return list(session.units)
    if strange := [name for name in units if name not in session.units]:
        some = ", ".join(list(session.units)[:5]) or "none"
        raise ValueError(f"no unit {', '.join(map(repr, strange))} in {session.dataset_id!r}; there are: {some} …")
    return list(dict.fromkeys(units))


def _page(session: PipelineSession, wanted: list[str], forget: bool) -> Iterator[str]:
    yield head(session.dataset_id)
    yield asset("body.html")
    recording = gather.begin(session, wanted)
    with reporting("report") as report:
        for number, name in enumerate(wanted):
            yield data_element(f"unit-{number}", gather.add_unit(recording, name))
            if forget:
                session.units[name] = {}
            if report is not None:
                report(number + 1, len(wanted))
    yield data_element("recording", gather.finish(recording))
    yield f"<script>\n{asset('draw.js')}</script>\n<script>\n{asset('page.js')}</script>\n</body></html>\n"
