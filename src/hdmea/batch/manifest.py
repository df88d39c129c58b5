"""The list of recordings of a batch: CSV, JSON Lines or TOML, one recording a row."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.names import default_dataset_id, recording_path

COLUMNS = ("cmcr", "cmtr", "spikes", "dataset_id", "playlist")
PATH_COLUMNS = ("cmcr", "cmtr", "spikes")


@dataclass(frozen=True)
class Recording:
    """One row: where the recording lies, what it is called, and options of its own.

    options: step name to the keyword arguments that this recording has for itself.
    """

    dataset_id: str
    cmcr: Path | None = None
    cmtr: Path | None = None
    spikes: Path | None = None
    playlist: str | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_manifest(path: str | Path) -> list[Recording]:
    """The recordings of a manifest: `.csv`, `.jsonl` or `.toml` (`[[recording]]` tables).

    Columns are `cmcr`, `cmtr`, `spikes` (paths, relative ones to the manifest's folder), `dataset_id`, `playlist`, and
    `step.parameter` for one parameter of one step (JSON, else text); JSON Lines and TOML may nest them as
    `"step": {"parameter": …}`. Raises `FileNotFoundError`, and `ConfigurationError` that names file and row.
    """
    path = Path(path)
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".toml": _toml_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigurationError(f"{path}: a manifest is one of {', '.join(readers)}")
    if not path.exists():
        raise FileNotFoundError(f"No such manifest: {path}")
    recordings = [recording_of(row, path.parent, f"{path}, row {number}") for number, row in reader(path)]
    if not recordings:
        raise ConfigurationError(f"{path} lists no recording")
    _refuse_twins(recordings, path)
    return recordings


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with open(path, newline="", encoding="utf-8-sig") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            if None in row:
                raise ConfigurationError(f"{path}, line {number}: more fields than the header has")
            yield number, {name: _csv_value(name, text) for name, text in row.items() if text}


def _csv_value(name: str, text: str) -> Any:
    if name in COLUMNS:
        return text.strip()
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ConfigurationError(f"{path}, line {number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ConfigurationError(f"{path}, line {number}: a recording is a JSON object")
        yield number, row


def _toml_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error
    rows = table.get("recording")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigurationError(f"{path}: recordings are [[recording]] tables")
    yield from enumerate(rows, start=1)


def recording_of(row: Mapping[str, Any], folder: Path, where: str) -> Recording:
    """The recording of a row, its relative paths below `folder`.

    Raises `ConfigurationError` that begins with `where`.
    """
    paths = {name: (folder / str(row[name])).resolve() for name in PATH_COLUMNS if row.get(name)}
    if not paths:
        raise ConfigurationError(f"{where}: give at least one of {', '.join(PATH_COLUMNS)}")
    if "spikes" in paths and len(paths) > 1:
        raise ConfigurationError(f"{where}: spikes is for recordings sorted elsewhere, without cmcr and cmtr")
    dataset_id = row.get("dataset_id") or default_dataset_id(
        paths.get("cmcr"), paths.get("cmtr") or paths.get("spikes")
    )
    options = _options({name: value for name, value in row.items() if name not in COLUMNS}, where)
    return Recording(str(dataset_id), **paths, playlist=row.get("playlist"), options=options)


def _options(columns: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """`{"step.parameter": value}` and `{"step": {"parameter": value}}`, both as the latter."""
    options: dict[str, dict[str, Any]] = {}
    for name, value in columns.items():
        step, _, parameter = name.partition(".")
        if parameter:
            options.setdefault(step, {})[parameter] = value
        elif isinstance(value, Mapping):
            options.setdefault(step, {}).update(value)
        else:
            raise ConfigurationError(f"{where}: unknown column {name!r}; use {', '.join(COLUMNS)} or step.parameter")
    return options


def _refuse_twins(recordings: list[Recording], path: Path) -> None:
    seen: set[Path] = set()
    for recording in recordings:
        file = recording_path("", recording.dataset_id)
        if file in seen:
            raise ConfigurationError(f"{path}: dataset_id {recording.dataset_id!r} stands there twice")
        seen.add(file)
