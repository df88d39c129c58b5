"""The list of recordings of a batch: CSV, JSON Lines or TOML, one recording a row, or a directory of recordings."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from h5burst import read_tree
from hdmea.step_table import takes_path
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.names import default_dataset_id, recording_path
from hdmea.utils.problems import Problems

COLUMNS = ("cmcr", "cmtr", "spikes", "dataset_id", "playlist")
PATH_COLUMNS = ("cmcr", "cmtr", "spikes")


@dataclass(frozen=True)
class Recording:
    """One row: where the recording is, what it is called, and options of its own.

    options: step name to the keyword arguments that this recording has for itself.
    """

    dataset_id: str
    cmcr: Path | None = None
    cmtr: Path | None = None
    spikes: Path | None = None
    playlist: str | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def input_bytes(self) -> int:
        """The size of its files, of those that can be looked at: how long it may take beside others."""
        size = 0
        for path in (self.cmcr, self.cmtr, self.spikes):
            with suppress(OSError, ValueError):
                size += path.stat().st_size if path is not None else 0
        return size


def read_manifest(path: str | Path) -> list[Recording]:
    """The recordings of a manifest: `.csv`, `.jsonl` or `.toml` (`[[recording]]` tables), or those in a directory.

    In a directory, not below it, they are `.cmcr` and `.cmtr` files, two of one name together, and HDF5 files of sorted
    spikes; results of hdmea and other files are left out.

    Columns are `cmcr`, `cmtr`, `spikes` (paths, relative ones to the manifest's directory), `dataset_id`, `playlist`,
    and `step.parameter` for one parameter of one step (JSON, else text); JSON Lines and TOML may nest them as `"step":
    {"parameter": …}`. Raises `FileNotFoundError`, and `ConfigurationError` that names file and row.
    """
    path = Path(path)
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".toml": _toml_rows}
    reader = _directory_rows if path.is_dir() else readers.get(path.suffix.lower())
    if not path.exists():
        raise FileNotFoundError(f"No such manifest: {path}")
    if reader is None:
        raise ConfigurationError(f"{path}: a manifest is one of {', '.join(readers)}")
    problems, recordings = Problems(), []
    for number, row in reader(path):
        with problems.noting():
            directory = path if path.is_dir() else path.parent
            recordings.append(recording_of(row, directory, f"{path}, row {number}"))
    problems.raise_any()
    if not recordings:
        no_files = " (.cmcr, .cmtr, .h5 of sorted spikes)" if path.is_dir() else ""
        raise ConfigurationError(f"{path} {'holds' if path.is_dir() else 'lists'} no recording{no_files}")
    _reject_duplicate_ids(recordings, path)
    return recordings


def reject_directory(path: Path) -> None:
    """Raise `ConfigurationError` for a directory in place of a manifest of an array's tasks."""
    if path.is_dir():
        raise ConfigurationError(
            f"{path}: tasks of an array need a manifest, as a directory may change between them: list its recordings "
            "in a CSV file with the columns cmcr, cmtr or spikes"
        )


def _directory_rows(directory: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(path for path in directory.iterdir() if path.is_file()):
        kind = path.suffix.lower().removeprefix(".")
        if kind in ("cmcr", "cmtr"):
            rows.setdefault(path.stem, {})[kind] = path.name
        elif kind in ("h5", "hdf5") and _may_hold_spikes(path):
            rows[path.name] = {"spikes": path.name}
    yield from enumerate(rows.values(), start=1)


def _may_hold_spikes(path: Path) -> bool:
    """Tell recordings from results. A file that cannot be read is taken for one: its row of the batch says why."""
    from hdmea.io.mcs_h5 import is_mcs_h5

    try:
        names = read_tree(path, lazy=True).children.keys()
    except (OSError, ValueError):
        return True
    return {"spikes", "sCount"} <= names or is_mcs_h5(path)


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    text = _text(path)
    blank = len(text) - len(text.lstrip("\r\n \t"))
    blank = text.rfind("\n", 0, blank) + 1  # whole lines alone
    reader = csv.DictReader(io.StringIO(text[blank:], newline=""))
    offset = text[:blank].count("\n")
    try:
        header = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = header
        if twice := sorted({name for name in header if header.count(name) > 1}):
            raise ConfigurationError(f"{path}, line 1: the column {', '.join(map(repr, twice))} is there twice")
        for number, row in enumerate(reader, start=2 + offset):
            if None in row:
                raise ConfigurationError(f"{path}, line {number}: more fields than the header has")
            yield number, {name: _csv_value(name, text) for name, text in row.items() if text}
    except csv.Error as error:
        raise ConfigurationError(f"{path}, line {reader.line_num + 1 + offset}: not CSV: {error}") from error


def _csv_value(name: str, text: str) -> Any:
    if name in COLUMNS:
        return text.strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):  # other line ends may stand in JSON's text
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_once_each)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{path}, line {number}: not JSON: {_reason(error)}") from error
        if not isinstance(row, dict):
            raise ConfigurationError(f"{path}, line {number}: a recording is a JSON object")
        yield number, row


def _toml_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not TOML: {_reason(error)}") from error
    rows = table.get("recording")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigurationError(f"{path}: recordings are [[recording]] tables")
    yield from enumerate(rows, start=1)


def _text(path: Path) -> str:
    """The whole file as text, without a byte order mark. `ConfigurationError` names file and line of what is none."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{path}, line {line}: not UTF-8 text: save the file as UTF-8") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ConfigurationError(f"{path}, line {line}: a NUL character: this is not a text file, or damaged")
    return text


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, in which nothing is there twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return row


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    has_long_number = "integer string conversion" in str(error)  # Python's words about its limit
    return "it has a number of thousands of digits: write it as text" if has_long_number else str(error)


def _check_text(row: Mapping[str, Any], where: str) -> None:
    """Raise `ConfigurationError` for a column of the recording that is not plain text."""
    for name in COLUMNS:
        value = row.get(name)
        if value is None or (isinstance(value, (Path, int)) and not isinstance(value, bool)):
            continue
        if not isinstance(value, str):
            raise ConfigurationError(f"{where}: {name} must be text, not {value!r}")
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ConfigurationError(f"{where}: {name} has characters that no file name can have: {value!r}")


def recording_of(row: Mapping[str, Any], directory: Path, where: str) -> Recording:
    """The recording of a row, its relative paths below `directory`.

    Raises `ConfigurationError` that begins with `where`.
    """
    _check_text(row, where)
    paths = {name: (directory / str(row[name])).absolute() for name in PATH_COLUMNS if row.get(name)}
    if not paths:
        raise ConfigurationError(f"{where}: give at least one of {', '.join(PATH_COLUMNS)}")
    if "spikes" in paths and len(paths) > 1:
        raise ConfigurationError(f"{where}: spikes is for recordings sorted elsewhere, without cmcr and cmtr")
    dataset_id = row.get("dataset_id") or default_dataset_id(
        paths.get("cmcr"), paths.get("cmtr") or paths.get("spikes")
    )
    options = _options({name: value for name, value in row.items() if name not in COLUMNS}, directory, where)
    return Recording(str(dataset_id), **paths, playlist=row.get("playlist"), options=options)


def _below(directory: Path, parameter: str, value: Any) -> Any:
    """The value of a parameter; a path that is relative is so to the manifest."""
    is_path = isinstance(parameter, str) and takes_path(parameter) and isinstance(value, str)
    return str((directory / value).absolute()) if is_path else value


def _options(columns: Mapping[str, Any], directory: Path, where: str) -> dict[str, dict[str, Any]]:
    """`{"step.parameter": value}` and `{"step": {"parameter": value}}`, both as the latter."""
    options: dict[str, dict[str, Any]] = {}
    for name, value in columns.items():
        step, _, parameter = name.partition(".")
        if parameter:
            options.setdefault(step, {})[parameter] = _below(directory, parameter, value)
        elif isinstance(value, Mapping):
            arguments = {parameter: _below(directory, parameter, item) for parameter, item in value.items()}
            options.setdefault(step, {}).update(arguments)
        else:
            raise ConfigurationError(f"{where}: unknown column {name!r}; use {', '.join(COLUMNS)} or step.parameter")
    return options


def _reject_duplicate_ids(recordings: list[Recording], path: Path) -> None:
    seen: set[Path] = set()
    for recording in recordings:
        file = recording_path("", recording.dataset_id)
        if file in seen:
            raise ConfigurationError(f"{path}: dataset_id {recording.dataset_id!r} stands there twice")
        seen.add(file)
