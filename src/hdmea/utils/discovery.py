"""Files in directories: for a run the recording and what goes with it; of results, the recordings."""

from __future__ import annotations

import csv
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from hdmea.utils.exceptions import ConfigurationError

PLAYLIST_COLUMNS = ("playlist_name", "movie_names")
LENGTH_COLUMNS = ("movie_name", "movie_length")
_DEPTH = 2  # directories below the one given


@dataclass(frozen=True, slots=True)
class Inputs:
    """Paths of what was found, None for what is not there; each field is named as its option of `hdmea run`."""

    cmcr: Path | None = None
    cmtr: Path | None = None
    playlist: str | None = None
    playlist_file: Path | None = None
    movie_lengths: Path | None = None
    stimuli: Path | None = None
    configs: Path | None = None

    def __str__(self) -> str:
        inputs = {field.name: getattr(self, field.name) for field in fields(self)}
        return ", ".join(
            f"--{name.replace('_', '-')} {shlex.quote(str(value))}"
            for name, value in inputs.items()
            if value is not None
        )


def existing(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file or directory that is there. Raises `FileNotFoundError`."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"no such file: {path}")
    return Path(path)


def recording_files(paths: Sequence[Path]) -> list[Path]:
    """The files that paths mean: a directory stands for the recordings (`.h5`) in it, by name.

    Raises
    ------
    FileNotFoundError
        A directory without any.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        recordings = sorted(path.glob("*.h5"))
        if not recordings:
            raise FileNotFoundError(f"{path} is a directory without recordings (.h5)")
        files += recordings
    return files


def find_inputs(directory: Path, given: Inputs) -> Inputs:
    """Look for all inputs of a run in a directory and two levels below.

    Parameters
    ----------
    directory
        What is looked through.
    given
        What needs no looking for.

    Raises
    ------
    NotADirectoryError
        It is none.
    ConfigurationError
        It holds no recording; or several files could be meant: the message lists them, and names the option that says
        which.
    """
    if not directory.is_dir():
        raise NotADirectoryError(
            f"{directory} is not a directory: pass the one that holds the recording, or files by options"
        )
    files = sorted(_files(directory, _DEPTH))
    cmcr = given.cmcr or _only(files, "--cmcr", lambda path: path.suffix.lower() == ".cmcr")
    cmtr = given.cmtr or _only(
        files,
        "--cmtr",
        lambda path: path.suffix.lower() == ".cmtr" and (cmcr is None or path.stem == cmcr.stem),
        lambda path: path.suffix.lower() == ".cmtr",
    )
    if cmcr is None and cmtr is None:
        raise ConfigurationError(f"{directory} holds no recording (.cmcr, .cmtr): use --cmcr, --cmtr or --spikes")
    playlist_file = given.playlist_file or _only(files, "--playlist-file", lambda path: _has(path, PLAYLIST_COLUMNS))
    return Inputs(
        cmcr=cmcr,
        cmtr=cmtr,
        playlist=given.playlist or _playlist(playlist_file, (cmcr or cmtr or directory).stem),
        playlist_file=playlist_file,
        movie_lengths=given.movie_lengths or _only(files, "--movie-lengths", lambda path: _has(path, LENGTH_COLUMNS)),
        stimuli=given.stimuli or _only(_parents(files, ".npy"), "--stimuli", lambda path: True),
        configs=given.configs or _only(_parents(files, ".json"), "--configs", lambda path: path != directory),
    )


def _files(directory: Path, depth: int) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_file():
            yield path
        elif depth and path.is_dir() and not path.is_symlink():
            yield from _files(path, depth - 1)


def _parents(files: list[Path], suffix: str) -> list[Path]:
    return sorted({path.parent for path in files if path.suffix.lower() == suffix})


def _only(paths: list[Path], option: str, *rules: Callable[[Path], bool]) -> Path | None:
    """Match of the first rule that fits anything; None where no rule does."""
    for rule in rules:
        matches = [path for path in paths if rule(path)]
        if len(matches) > 1:
            names = ", ".join(map(str, matches[:5])) + (f" and {len(matches) - 5} more" if len(matches) > 5 else "")
            raise ConfigurationError(f"{option} must say which is meant: {names}")
        if matches:
            return matches[0]
    return None


def _has(path: Path, columns: tuple[str, ...]) -> bool:
    """True where it is a CSV file with these columns."""
    if path.suffix.lower() != ".csv":
        return False
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        header = next(csv.reader(line for line in stream.readlines(1 << 16)), [])
    return set(columns) <= {name.strip() for name in header}


def _playlist(file: Path | None, recording: str) -> str | None:
    """The only playlist of a file, or the one that is named as the recording."""
    if file is None:
        return None
    with file.open(encoding="utf-8-sig", newline="") as stream:
        names = [str(row.get("playlist_name") or "").strip() for row in csv.DictReader(stream)]
    if len(names) == 1:
        return names[0]
    if recording in names:
        return recording
    raise ConfigurationError(f"--playlist must say which was shown; {file} has: {', '.join(names) or 'none'}")
