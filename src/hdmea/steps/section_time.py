"""Sections from a playlist and the frame pulses: when each movie played."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from h5burst import find_export
from hdmea.io.playlists import read_columns, read_movie_lengths, read_playlist
from hdmea.io.stimulus_config import CONFIG_DIR_VARIABLE, SHIPPED_CONFIG_DIR
from hdmea.steps.frames import convert_frame_to_sample_index as convert_frame_to_sample_index
from hdmea.steps.frames import convert_sample_index_to_frame as convert_sample_index_to_frame
from hdmea.steps.frames import frame_timestamps_of
from hdmea.steps.run_step import AlreadyDoneError, Outcome, Target, run_step
from hdmea.steps.section_windows import WINDOWS
from hdmea.steps.section_windows import add_section_windows as add_section_windows
from hdmea.utils.defaults import chosen_path
from hdmea.utils.discovery import LENGTH_COLUMNS, PLAYLIST_COLUMNS
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.problems import Problems

if TYPE_CHECKING:
    from hdmea.session.session import PipelineSession

Samples = npt.NDArray[np.uint64]

PLAYLIST_FILE, MOVIE_LENGTH_FILE = "playlist.csv", "movie_length.csv"
PLAYLIST_DIR_VARIABLE = "HDMEA_PLAYLIST_DIR"
PRE_MARGIN_FRAME_NUM, POST_MARGIN_FRAME_NUM, DEFAULT_PAD_FRAME = 60, 120, 180
_SHIPPED_PLAYLIST, _SHIPPED_LENGTHS = SHIPPED_CONFIG_DIR / PLAYLIST_FILE, SHIPPED_CONFIG_DIR / MOVIE_LENGTH_FILE
# Scripts assign other paths to these names.
DEFAULT_PLAYLIST_PATH: str | Path = _SHIPPED_PLAYLIST
DEFAULT_MOVIE_LENGTH_PATH: str | Path = _SHIPPED_LENGTHS
PLAYLIST_MOVIES = "section_time_movies"  # metadata: the movies of the playlist, in the order of its first sections
_BLOCK = 1 << 18  # samples of a light trace at a time


def add_section_time(
    hdf5_path: Target = None,
    playlist_name: str | None = None,
    *,
    playlist_file_path: str | Path | None = None,
    movie_length_file_path: str | Path | None = None,
    repeats: int = 1,
    pad_frame: int = DEFAULT_PAD_FRAME,
    pre_margin_frame_num: int = PRE_MARGIN_FRAME_NUM,
    post_margin_frame_num: int = POST_MARGIN_FRAME_NUM,
    force: bool = False,
    session: PipelineSession | None = None,
) -> bool | PipelineSession:
    """Work out when each movie of a playlist played, and the mean light trace of its presentations.

    The movies play in order, the whole playlist `repeats` times. Each has `pad_frame` frames before and after it; its
    section reaches from `pre_margin_frame_num` before its first frame to `post_margin_frame_num` after its last. Stores
    `stimulus/section_time/{movie}` (presentations, 2) uint64 samples and `stimulus/light_template/{movie}` (samples,)
    float32. A movie that `movie_length.csv` lacks is skipped with a warning.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    playlist_name
        A row of `playlist.csv`.
    playlist_file_path, movie_length_file_path
        Default: what was assigned to `DEFAULT_PLAYLIST_PATH` and `DEFAULT_MOVIE_LENGTH_PATH`, else `playlist.csv` and
        `movie_length.csv` in the directory that the environment variable `HDMEA_PLAYLIST_DIR` or `HDMEA_CONFIG_DIR`
        names.
    repeats
        How often the playlist was played.
    pad_frame
        Frames of background before and after each movie.
    pre_margin_frame_num, post_margin_frame_num
        Frames by which a section is longer than its movie, before and after it.
    force
        Replace sections of a playlist that are there.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    bool or PipelineSession
        Whether any section was stored (False when `movie_length.csv` knows none of the movies); or `session`.

    Raises
    ------
    ConfigurationError
        An unknown playlist, a missing or malformed CSV, a number outside its range.
    MissingInputError
        There are no frame timestamps.
    FileExistsError
        Immediate mode, without `force`: there are sections. With a session that is a warning.

    Examples
    --------
    >>> from hdmea.pipeline import PipelineSession, add_section_time
    >>> tables = {"playlist_file_path": "stimuli/playlist.csv", "movie_length_file_path": "stimuli/movie_length.csv"}
    >>> add_section_time("loaded.h5", "all", **tables)
    True
    >>> PipelineSession.load("loaded.h5").stimulus["section_time"]["dense_noise_15x15"]
    array([[ 1207, 18017]], dtype=uint64)
    """

    def step(recording: PipelineSession) -> Outcome[bool]:
        if not force and (done := _playlist_sections(recording)):
            raise AlreadyDoneError(f"add_section_time was done already ({', '.join(done)})")
        timestamps = frame_timestamps_of(recording, "add_section_time")
        movies, lengths = requested_movies(playlist_name, playlist_file_path, movie_length_file_path)
        outcome = Outcome(False)
        timing = (pad_frame, pre_margin_frame_num, post_margin_frame_num)
        frames = _section_frames(movies * repeats, lengths, timing, outcome)
        sections = {movie: _to_samples(rows, timestamps) for movie, rows in frames.items()}
        outcome.result = bool(sections)
        if sections:
            _store(recording, sections, outcome)
            facts = {
                "section_time_playlist": playlist_name,
                "section_time_repeats": repeats,
                PLAYLIST_MOVIES: list(sections),
            }
            recording.metadata.update(facts)
            outcome.changed += [("metadata", name) for name in facts]
        return outcome

    _check_numbers(repeats, pad_frame, pre_margin_frame_num, post_margin_frame_num)
    return run_step("add_section_time", step, hdf5_path, session)


def _check_numbers(repeats: int, *frames: int) -> None:
    if repeats < 1:
        raise ConfigurationError(f"repeats must be at least 1, not {repeats}")
    if min(frames) < 0:
        raise ConfigurationError("pad_frame, pre_margin_frame_num and post_margin_frame_num must not be negative")


def _playlist_sections(recording: PipelineSession) -> list[str]:
    """Existing playlist sections."""
    windows = recording.metadata.get(WINDOWS) or {}
    return [movie for movie in recording.stimulus.get("section_time") or {} if movie not in windows]


def requested_movies(
    playlist_name: str | None = None,
    playlist_file_path: str | Path | None = None,
    movie_length_file_path: str | Path | None = None,
    **_others: Any,
) -> tuple[list[str], dict[str, int]]:
    """The movies of a playlist in order, and the frames of every movie, by arguments of `add_section_time`.

    Raises one `ConfigurationError` that says all that is missing or wrong.
    """
    problems = Problems()
    movies: list[str] = []
    lengths: dict[str, int] = {}
    with problems.noting():
        path = _table(playlist_file_path, DEFAULT_PLAYLIST_PATH, _SHIPPED_PLAYLIST, _PLAYLISTS)
        if playlist_name is None:
            names = ", ".join(read_columns(path, PLAYLIST_COLUMNS)["playlist_name"]) or "none"
            raise ConfigurationError(f"give a playlist_name (in commands --playlist); {path} has: {names}")
        movies = read_playlist(playlist_name, path)
    with problems.noting():
        path = _table(movie_length_file_path, DEFAULT_MOVIE_LENGTH_PATH, _SHIPPED_LENGTHS, _LENGTHS)
        lengths = read_movie_lengths(path)
    problems.raise_any()
    return movies, lengths


@dataclass(frozen=True)
class _TableSpec:
    """A table that `add_section_time` needs, and how it is named."""

    description: str
    columns: Sequence[str]
    file: str
    argument: str
    option: str


_PLAYLISTS = _TableSpec("playlists", PLAYLIST_COLUMNS, PLAYLIST_FILE, "playlist_file_path", "--playlist-file")
_LENGTHS = _TableSpec("movie lengths", LENGTH_COLUMNS, MOVIE_LENGTH_FILE, "movie_length_file_path", "--movie-lengths")


def _table(argument: str | Path | None, assigned: str | Path, shipped: Path, spec: _TableSpec) -> Path:
    """The file of a table. Raises `ConfigurationError` where nothing names one."""
    path = chosen_path(argument, assigned, shipped, (PLAYLIST_DIR_VARIABLE, CONFIG_DIR_VARIABLE), spec.file)
    if path is shipped and not path.is_file():
        raise ConfigurationError(
            f"add_section_time needs {spec.description}, a CSV file with the columns {', '.join(spec.columns)}: name "
            f"it by {spec.argument} (in commands {spec.option}), or the directory of {spec.file} by "
            f"{PLAYLIST_DIR_VARIABLE}"
        )
    return path


def _section_frames(
    movies: Sequence[str], lengths: Mapping[str, int], timing: tuple[int, int, int], outcome: Outcome[bool]
) -> dict[str, list[tuple[int, int]]]:
    """First and last frame of each presentation of each movie, the movies one after the other."""
    pad, before, after = timing
    frames: dict[str, list[tuple[int, int]]] = {}
    count = 0
    for movie in dict.fromkeys(movies):
        if movie not in lengths:
            outcome.warn(f"movie {movie!r} is not in movie_length.csv: skipped")
    for movie in movies:
        if (length := lengths.get(movie)) is not None:
            frames.setdefault(movie, []).append((count + pad - before, count + pad + after + length + 1))
            count += 2 * pad + length + 1
    return frames


def _to_samples(frames: list[tuple[int, int]], timestamps: npt.NDArray[np.int64]) -> Samples:
    samples: Samples = convert_frame_to_sample_index(np.array(frames), timestamps).astype(np.uint64)
    return samples


def _store(recording: PipelineSession, sections: dict[str, Samples], outcome: Outcome[bool]) -> None:
    stimulus = recording.stimulus
    windows = recording.metadata.get(WINDOWS) or {}
    kept = {name: rows for name, rows in (stimulus.get("section_time") or {}).items() if name in windows}
    stimulus["section_time"] = kept | sections
    outcome.changed.append(("stimulus", "section_time"))
    light = (stimulus.get("light_reference") or {}).get("raw_ch1")
    if light is None:
        outcome.warn("there is no light reference raw_ch1: no light templates")
        return
    stimulus["light_template"] = {movie: light_template(light, rows) for movie, rows in sections.items()}
    outcome.changed.append(("stimulus", "light_template"))


def light_template(light: Any, rows: Samples) -> npt.NDArray[np.float32]:
    """The mean of the light trace over a movie's presentations, as long as the shortest of them."""
    bounds = [(int(start), min(int(stop), len(light))) for start, stop in rows]
    length = max(min(stop - start for start, stop in bounds), 0)
    mean = np.empty(length, dtype=np.float32)
    for first in range(0, length, _BLOCK):
        last = min(first + _BLOCK, length)
        total = np.zeros(last - first, dtype=np.float64)
        for start, _ in bounds:
            total += light[start + first : start + last]
        mean[first:last] = total / len(bounds)
    return mean


def __getattr__(name: str) -> Any:
    return find_export(__name__, name, {"add_section_time_analog": "hdmea.steps.analog_sections"})
