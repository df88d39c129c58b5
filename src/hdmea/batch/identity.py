"""What a result was made of: its input files, modules and versions as they were, and how they differ from today's.

A file is known by its size, the time at which it was written, and a hash of its content: of all of it up to 1 MiB, else
of head and tail. Of tables only what concerns the recording counts, of directories of movies and configs only the files
of its movies: another row or another movie does not make another result.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from h5burst import format_bytes
from hdmea.features.registry import ENTRY_POINTS
from hdmea.steps.table import STEPS, takes_path
from hdmea.utils.exceptions import ConfigurationError

_WHOLE_BYTES = 1 << 20  # files up to this size are hashed whole, larger ones in head and tail of half of it each
_DIRECTORIES = {"stimuli_dir": "HDMEA_STIMULI_DIR", "config_dir": "HDMEA_CONFIG_DIR"}
_OUTPUTS = {"output_path"}  # what a step writes
_NOT_DATA = {".log"}  # of a sorter's directory: programs write it when they only look

Identity = dict[str, Any]  # what is told of one input, as JSON; None: it is not there
VERSIONS = "versions"  # the key of what is no input: the package itself


def identities(steps: Iterable[Any], modules: Iterable[str]) -> dict[str, Identity | None]:
    """What a recording's result depends on beside its parameters, by name, as it is now.

    steps: each with `name` and `arguments`. modules: as `hdmea.utils.user_modules` takes them.
    """
    steps = list(steps)
    found: dict[str, Identity | None] = {VERSIONS: _versions()}
    for path in _files(steps):
        found[str(path)] = _identity(path)
    for step in steps:
        if step.name == "add_section_time":
            found["playlist"] = _playlist(step.arguments)
    for name in modules:
        file = _module_file(name)
        found[f"module {name}"] = None if file is None else _identity(file)
    return found


def differences(stored: Mapping[str, Any], now: Mapping[str, Identity | None]) -> list[str]:
    """What differs between the inputs of a result and those of today, for people; what is not there now is not known
    to differ. Versions are not looked at.
    """
    said = []
    for name in [*stored, *(name for name in now if name not in stored)]:
        before, after = stored.get(name), now.get(name)
        if name == VERSIONS or (name in now and after is None):
            continue
        if not _same(before, after):
            said.append(f"{name} {_change(name, stored, now)}")
    return said


def newer_files(steps: Iterable[Any], result: Path) -> list[str]:
    """The inputs that were written after a result that does not say what it was made of."""
    written = result.stat().st_mtime_ns
    newer = []
    for path in _files(list(steps)):
        found = _identity(path)
        if found is not None and found["modified_ns"] > written:
            newer.append(f"{path} is newer")
    return newer


def _same(one: Identity | None, other: Identity | None) -> bool:
    if one is None or other is None:
        return one is other
    ignored = {"modified_ns"} if one.get("whole") and other.get("whole") else set()
    return {k: v for k, v in one.items() if k not in ignored} == {k: v for k, v in other.items() if k not in ignored}


def _change(name: str, stored: Mapping[str, Any], now: Mapping[str, Identity | None]) -> str:
    if name not in stored or stored[name] is None:
        return "is new"
    if name not in now:
        return "is not asked for any more"
    before, after = stored[name], now[name]
    if not (isinstance(before, dict) and after is not None and "bytes" in before and "bytes" in after):
        return "is different"
    return f"is different: {_told(after)}, and was {_told(before)}"


def _told(identity: Identity) -> str:
    try:
        written = datetime.fromtimestamp(identity["modified_ns"] / 1e9, tz=timezone.utc)
        return f"{format_bytes(identity['bytes'])} of {written:%Y-%m-%d %H:%M:%S} UTC"
    except (KeyError, TypeError, ValueError, OverflowError):
        return "something else"


# ---------------------------------------------------------------- which files


def _files(steps: list[Any]) -> Iterator[Path]:
    """Files and directories of the steps' arguments, and of directories of movies the files of the recording's."""
    movies = _movies(steps)
    directories = {Path(value).absolute() for name in _DIRECTORIES.values() if (value := os.environ.get(name))}
    seen = set()
    for step in steps:
        for name, value in step.arguments.items():
            if not takes_path(name) or name in _OUTPUTS or not isinstance(value, (str, Path)):
                continue
            if name in _DIRECTORIES:
                directories.add(Path(value))
            elif step.name != "add_section_time" and value not in seen:
                seen.add(value)
                yield Path(value)
    for directory in sorted(directories):
        for movie in sorted(movies):
            yield from (path for suffix in (".npy", ".json") if (path := directory / f"{movie}{suffix}").is_file())


def _movies(steps: list[Any]) -> set[str]:
    """Names that may be those of movies: the playlist's, and the short texts among arguments and their defaults."""
    movies: set[str] = set()
    for step in steps:
        if step.name == "add_section_time" and (playlist := _playlist(step.arguments)) is not None:
            movies.update(playlist["movies"])
        defaults = STEPS[step.name].defaults() if step.name in STEPS else {}
        movies.update(_texts({**defaults, **step.arguments}))
    return {movie for movie in movies if movie and os.sep not in movie and "\0" not in movie and len(movie) < 200}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _playlist(arguments: Mapping[str, Any]) -> Identity | None:
    """The movies of a recording's playlist and their lengths; None where they cannot be read: the step says why."""
    from hdmea.steps.section_time import requested_movies  # with what reads tables

    names = ("playlist_name", "playlist_file_path", "movie_length_file_path")
    try:
        movies, lengths = requested_movies(**{name: arguments.get(name) for name in names})
    except (ConfigurationError, OSError, ValueError, TypeError):
        return None
    return {"movies": movies, "frames": [lengths.get(movie) for movie in movies]}


def _module_file(name: str) -> Path | None:
    if name.endswith(".py"):
        return Path(name)
    module = sys.modules.get(name)
    try:
        spec = getattr(module, "__spec__", None) or importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.has_location else None


@functools.cache
def _versions() -> Identity:
    """Of this package, and of those that bring features."""
    brought = {entry.dist.name: entry.dist.version for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)
               if entry.dist is not None}  # fmt: skip
    import hdmea

    return {"hdmea": hdmea.__version__, **dict(sorted(brought.items()))}


# ---------------------------------------------------------------- what a file is


def _identity(path: Path) -> Identity | None:
    """What tells a file, or all files of a directory, from others; None where there is none."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return _of_directory(path)
        return _of_file(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except (OSError, ValueError):
        return None


def _of_directory(directory: Path) -> Identity:
    digest, size, modified, whole = hashlib.sha256(), 0, 0, True
    for place, names, files in os.walk(directory):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            path = Path(place) / name
            if name.startswith(".") or path.suffix in _NOT_DATA or (one := _identity(path)) is None:
                continue
            digest.update(json.dumps([str(path.relative_to(directory)), one["sha256"], one["bytes"]]).encode())
            size += one["bytes"]
            if not one["whole"]:
                whole = False
                digest.update(str(one["modified_ns"]).encode())
            modified = max(modified, one["modified_ns"])
    return {"bytes": size, "modified_ns": modified, "sha256": digest.hexdigest()[:32], "whole": whole}


@functools.lru_cache(maxsize=4096)
def _of_file(path: Path, size: int, modified_ns: int, inode: int) -> Identity:
    """The number of the inode is there for what is cached alone. Only regular files are opened."""
    digest, whole = hashlib.sha256(), size <= _WHOLE_BYTES
    if path.is_file():
        with path.open("rb") as stream:
            digest.update(stream.read(_WHOLE_BYTES if whole else _WHOLE_BYTES // 2))
            if not whole:
                stream.seek(-_WHOLE_BYTES // 2, os.SEEK_END)
                digest.update(stream.read())
    return {"bytes": size, "modified_ns": modified_ns, "sha256": digest.hexdigest()[:32], "whole": whole}
