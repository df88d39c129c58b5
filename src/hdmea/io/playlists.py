"""Tables of what was shown: the movies of each playlist, and how many frames each movie has."""

from __future__ import annotations

import ast
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hdmea.utils.choices import there_are
from hdmea.utils.discovery import LENGTH_COLUMNS, PLAYLIST_COLUMNS
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.names import movie_name

_MAX_DIGITS = 12  # of a number of frames: at 60 Hz centuries


def read_playlist(playlist_name: str, playlist_path: Path) -> list[str]:
    """The movies of one playlist, by name, in order; only its own row is parsed.

    Raises `ConfigurationError` that lists what there is for an unknown playlist or a missing file.
    """
    table = read_columns(playlist_path, PLAYLIST_COLUMNS)
    names = table["playlist_name"]
    if playlist_name not in names:
        names_known = there_are(playlist_name, names)
        raise ConfigurationError(f"no playlist {playlist_name!r} in {playlist_path}; {names_known}")
    rows = [text for name, text in zip(names, table["movie_names"], strict=True) if name == playlist_name]
    if len(set(rows)) > 1:
        raise ConfigurationError(f"the playlist {playlist_name!r} stands twice in {playlist_path}, with other movies")
    text = rows[0]
    return [movie_name(item) for item in _literal_list(text, playlist_name, playlist_path)]


def _literal_list(text: Any, playlist_name: str, path: Path) -> list[str]:
    try:
        items = ast.literal_eval(str(text).strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        message = f"playlist {playlist_name!r} in {path}: movie_names is not a list literal: {str(text)[:80]!r}"
        raise ConfigurationError(message) from error
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise ConfigurationError(f"playlist {playlist_name!r} in {path}: movie_names must be a list of names")
    return list(items)


def read_movie_lengths(path: Path) -> dict[str, int]:
    """Frames of every movie, by movie name. Raises `ConfigurationError` for a file that is missing or no such table."""
    table = read_columns(path, LENGTH_COLUMNS)
    lengths: dict[str, int] = {}
    for name, text in zip(table["movie_name"], table["movie_length"], strict=True):
        if not str(text).strip().isdecimal():
            raise ConfigurationError(f"{path}: movie_length of {name!r} is not a number of frames: {text!r}")
        movie, frames = movie_name(str(name).strip()), str(text).strip()
        if len(frames) > _MAX_DIGITS:
            raise ConfigurationError(f"{path}: movie_length of {name!r} is too large: {frames[:20]}… frames")
        if lengths.setdefault(movie, int(frames)) != int(frames):
            raise ConfigurationError(
                f"{path}: the movie {movie} stands there twice, with {lengths[movie]} and {frames} frames"
            )
    return lengths


def read_columns(path: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """Read a CSV table as text. Raises `ConfigurationError` for a file that is missing or lacks one of the columns."""
    if not path.is_file():
        tables = sorted(item.name for item in path.parent.glob("*.csv")) if path.parent.is_dir() else []
        raise ConfigurationError(f"no file {path}; CSV files in that directory: {', '.join(tables) or 'none'}")
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            header, *rows = [row for row in csv.reader(stream, strict=True) if row] or [[]]
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as CSV: {error}") from error
    header = [name.strip() for name in header]
    if missing := [name for name in columns if name not in header]:
        raise ConfigurationError(f"{path} lacks the columns {missing}; it has {header}")
    for number, row in enumerate(rows, 2):
        if len(row) > len(header):
            raise ConfigurationError(f"{path}: row {number} has {len(row)} values, the first {len(header)}: {row}")
    return {name: [row[n] if n < len(row) else "" for row in rows] for n, name in enumerate(header)}
