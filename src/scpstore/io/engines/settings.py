"""Settings of a search engine, from its own log in the directory of its report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from scpstore.io import report_kinds as kinds

_MAX_BYTES = 1 << 20
Settings = tuple[str | None, dict[str, str]]


def settings_beside(path: Path, kind: str) -> Settings:
    """The version of the engine (None: not known) and its settings as text; empty where there is no log."""
    read = _READERS.get(kind)
    try:
        return (None, {}) if read is None else read(path)
    except (OSError, UnicodeDecodeError, ValueError):  # no log, or another's: it is not what was asked for
        return None, {}


def _text(path: Path) -> str:
    with open(path, "rb") as stream:
        return stream.read(_MAX_BYTES).decode("utf-8-sig")


def _diann(path: Path) -> Settings:
    """`report.log.txt` beside `report.tsv`: "DIA-NN 1.9.1 …" and the command line."""
    stem = re.sub(r"(\.pg_matrix|\.pr_matrix)?\.(tsv|txt|csv|parquet)(\.gz)?$", "", path.name)
    text = _text(path.with_name(f"{stem}.log.txt"))
    version = re.search(r"^DIA-NN (\S+)", text, re.MULTILINE)
    command = re.search(r"^\S*diann\S*\s.*--.*$", text, re.MULTILINE | re.IGNORECASE)
    return version and version[1], {} if command is None else {"command": command[0].strip()}


def _maxquant(path: Path) -> Settings:
    """`parameters.txt`: a table of two columns."""
    parameters = dict(_pairs(_text(path.with_name("parameters.txt")), "\t"))
    return parameters.get("Version"), {
        name: value for name, value in parameters.items() if name not in ("Parameter", "Version")
    }


def _fragpipe(path: Path) -> Settings:
    """`fragpipe.workflow`: a line a setting."""
    text = _text(path.with_name("fragpipe.workflow"))
    version = re.search(r"FragPipe \(?v?([\d.]+)", text)
    return version and version[1], dict(_pairs(text, "="))


def _sage(path: Path) -> Settings:
    """`results.json`."""
    settings = json.loads(_text(path.with_name("results.json")))
    if not isinstance(settings, dict):
        return None, {}
    version = settings.pop("version", None)
    return None if version is None else str(version), {name: json.dumps(value) for name, value in settings.items()}


def _pairs(text: str, separator: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, is_pair, value = line.partition(separator)
        if is_pair and not line.startswith("#"):
            yield name.strip(), value.strip()


_READERS: dict[str, Callable[[Path], Settings]] = {
    kinds.DIANN: _diann,
    kinds.MAXQUANT: _maxquant,
    kinds.MAXQUANT_PEPTIDES: _maxquant,
    kinds.MAXQUANT_EVIDENCE: _maxquant,
    kinds.FRAGPIPE: _fragpipe,
    kinds.SAGE: _sage,
}
