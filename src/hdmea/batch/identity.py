"""Inputs of a result: its input files, modules and versions as they were, and how they differ from today's.

Files are known as `hdmea.utils.file_identity` knows them. Of tables only what concerns the recording counts, of
directories of movies and configs only the files of its movies: another row or another movie does not make another
result.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hdmea.step_table import STEPS, takes_path
from hdmea.utils import file_identity
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.file_identity import Identity, identity_of
from hdmea.utils.user_modules import ENTRY_POINTS

_DIRECTORIES = {"stimuli_dir": "HDMEA_STIMULI_DIR", "config_dir": "HDMEA_CONFIG_DIR"}
_OUTPUTS = {"output_path"}  # what a step writes

VERSIONS = "versions"  # the key of what is no input: the package itself


def identities(steps: Iterable[Any], modules: Iterable[str]) -> dict[str, Identity | None]:
    """Return all that a recording's result depends on beside its parameters, by name, as it is now.

    steps: each with `name` and `arguments`. modules: as `hdmea.utils.user_modules` takes them.
    """
    steps = list(steps)
    by_name: dict[str, Identity | None] = {VERSIONS: _versions()}
    for path in _files(steps):
        by_name[str(path)] = identity_of(path)
    for step in steps:
        if step.name == "add_section_time":
            by_name["playlist"] = _playlist(step.arguments)
    for name in modules:
        file = _module_file(name)
        by_name[f"module {name}"] = None if file is None else identity_of(file)
    return by_name


def differences(stored: Mapping[str, Any], now: Mapping[str, Identity | None]) -> list[str]:
    """Differences between the inputs of a result and those of today, for people; versions are not looked at."""
    return file_identity.differences(stored, now, ignored=(VERSIONS,))


def newer_files(steps: Iterable[Any], result: Path) -> list[str]:
    """The inputs that were written after a result that does not say what it was made of."""
    written = result.stat().st_mtime_ns
    newer = []
    for path in _files(list(steps)):
        identity = identity_of(path)
        if identity is not None and identity["modified_ns"] > written:
            newer.append(f"{path} is newer")
    return newer


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
