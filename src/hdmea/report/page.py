"""The page of a recording: one HTML file that needs nothing else. Units are written one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from h5burst import durable, page
from h5burst.progress import reporting
from hdmea.report import page_data
from hdmea.session.session import PipelineSession

GENERATOR = "hdmea report"
SECTIONS = (
    ("overview", "Overview"),
    ("chip", "Chip"),
    ("table", "Table"),
    ("unit", "Units"),
    ("population", "Population"),
    ("waves", "Waves"),
    ("problems", "What went wrong"),
)


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
    names = _wanted(session, units)
    with (
        durable.replacing(path, overwrite=True) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.writelines(_page(session, names, forget))
    return path


def may_write(path: Path, overwrite: bool) -> None:
    """Raise `FileExistsError` for a file that no report wrote, unless it may be replaced."""
    page.may_write(path, GENERATOR, overwrite)


def is_report(path: Path) -> bool:
    """True where a file is a page that this module wrote."""
    return page.is_page(path, GENERATOR)


def is_page_of(path: Path, recording: Path) -> bool:
    """True where a file is the page of all units of a recording as its file is now."""
    if not is_report(path):
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST_MARK))
        return _mark(recording).encode() in file.read()


_LONGEST_MARK = 200


def _mark(recording: Path) -> str:
    """Mark at the end of a page, of the file that it is about."""
    status = recording.stat()
    return f"<!-- of a file of {status.st_size} bytes, written at {status.st_mtime_ns} ns -->"


def _output(session: PipelineSession, output: str | Path | None) -> Path:
    if output is not None:
        return Path(output)
    if session.own_file is None:
        raise ValueError("the session has no file: save it first, or give the page's path")
    return session.own_file.with_suffix(".html")


def _wanted(session: PipelineSession, units: Sequence[str] | None) -> list[str]:
    if units is None:
        return list(session.units)
    if strange := [name for name in units if name not in session.units]:
        some = ", ".join(list(session.units)[:5]) or "none"
        raise ValueError(f"no unit {', '.join(map(repr, strange))} in {session.dataset_id!r}; there are: {some} …")
    return list(dict.fromkeys(units))


def _page(session: PipelineSession, names: list[str], forget: bool) -> Iterator[str]:
    own_file = session.own_file
    of_file = own_file is not None and own_file.is_file() and len(names) == session.unit_count
    mark = _mark(own_file) if of_file and own_file is not None else ""  # before anything is read
    yield page.begin(session.dataset_id, GENERATOR, SECTIONS)
    recording = page_data.begin(session)
    with reporting("report") as report:
        for number, name in enumerate(names):
            yield page.data_element(f"unit-{number}", page_data.add_unit(recording, name))
            if forget:
                session.units[name] = {}
            if report is not None:
                report(number + 1, len(names))
    yield page.data_element("recording", page_data.finish(recording))
    yield page.end("hdmea.report", "pictures.js", "activity.js", "page.js")
    yield mark
