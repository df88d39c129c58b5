"""When each movie played: sections from a playlist and the frame pulses, or regular windows without a stimulus."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from h5burst import find_export
from hdmea.io.stimulus_config import CONFIG_DIR_VARIABLE, SHIPPED_CONFIG_DIR
from hdmea.kernels.rates import frames_at
from hdmea.steps.run_step import AlreadyDoneError, Outcome, Target, run_step
from hdmea.utils.choices import there_are
from hdmea.utils.defaults import chosen_path
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from hdmea.utils.inputs import LENGTH_COLUMNS, PLAYLIST_COLUMNS
from hdmea.utils.names import movie_name
from hdmea.utils.problems import Problems

if TYPE_CHECKING:
    import polars as pl

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
WINDOWS = "section_windows"  # metadata: the sections that are regular windows, and how they were made


# ---------------------------------------------------------------- frames and samples


def convert_frame_to_sample_index(frame: Any, frame_timestamps: npt.ArrayLike) -> Any:
    """The sample at which a frame began, clipped to the first and last frame.

    Parameters
    ----------
    frame
        Number of a frame from 0, or integers of any shape (…).
    frame_timestamps
        (frames,) integers, ascending: the sample at which each frame began.

    Returns
    -------
    int or ndarray
        An int for one frame; else int64 samples of the shape of `frame`.

    Raises
    ------
    ValueError
        `frame_timestamps` does not have one axis, or is empty.

    Examples
    --------
    >>> from hdmea.io import convert_frame_to_sample_index
    >>> convert_frame_to_sample_index([0, 1, 9], [7, 17, 27])
    array([ 7, 17, 27])
    """
    timestamps = _timestamps(frame_timestamps)
    frames = np.clip(np.asarray(frame, dtype=np.int64), 0, len(timestamps) - 1)
    samples = timestamps[frames]
    return int(samples) if np.ndim(frame) == 0 else samples


def convert_sample_index_to_frame(sample_index: Any, frame_timestamps: npt.ArrayLike) -> Any:
    """The last frame that began at or before a sample, clipped to the first and last frame.

    Parameters
    ----------
    sample_index
        A sample, or integers of any shape (…).
    frame_timestamps
        (frames,) integers, ascending: the sample at which each frame began.

    Returns
    -------
    int or ndarray
        An int for one sample; else int64 frames of the shape of `sample_index`.

    Raises
    ------
    ValueError
        `frame_timestamps` does not have one axis, or is empty.

    Examples
    --------
    >>> from hdmea.io import convert_sample_index_to_frame
    >>> convert_sample_index_to_frame([0, 17, 26, 90], [7, 17, 27])
    array([0, 1, 1, 2])
    """
    timestamps = _timestamps(frame_timestamps)
    samples = np.asarray(sample_index)
    frames = frames_at(np.ravel(samples).astype(np.int64, copy=False), timestamps)
    return int(frames[0]) if samples.ndim == 0 else frames.reshape(samples.shape)


def _timestamps(frame_timestamps: npt.ArrayLike) -> npt.NDArray[np.int64]:
    timestamps = np.asarray(frame_timestamps).astype(np.int64, copy=False)
    if timestamps.ndim != 1 or timestamps.size == 0:
        raise ValueError("frame_timestamps must be one axis of at least one frame")
    return timestamps


def frame_timestamps_of(session: PipelineSession, step: str) -> npt.NDArray[np.int64]:
    """A session's frame pulses. Raises `MissingInputError` where it has none."""
    timestamps = session.metadata.get("frame_timestamps")
    if timestamps is None or len(timestamps) == 0:
        message = (
            f"{step} needs metadata/frame_timestamps: run load_recording first, with the .cmcr file whose "
            "channel 2 holds the frame pulses"
        )
        raise MissingInputError(message, step, "frame_timestamps")
    return _timestamps(timestamps)


# ---------------------------------------------------------------- playlists


def read_playlist(playlist_name: str, playlist_path: Path) -> list[str]:
    """The movies of one playlist, by name, in order; only its own row is parsed.

    Raises `ConfigurationError` that lists what there is for an unknown playlist or a missing file.
    """
    table = _read_csv(playlist_path, PLAYLIST_COLUMNS)
    names = table["playlist_name"].to_list()
    if playlist_name not in names:
        known = there_are(playlist_name, map(str, names))
        raise ConfigurationError(f"no playlist {playlist_name!r} in {playlist_path}; {known}")
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


_MOST_DIGITS = 12  # of a number of frames: at 60 Hz centuries


def read_movie_lengths(path: Path) -> dict[str, int]:
    """Frames of every movie, by movie name. Raises `ConfigurationError` for a file that is missing or no such table."""
    table = _read_csv(path, LENGTH_COLUMNS)
    lengths: dict[str, int] = {}
    for name, text in zip(table["movie_name"].to_list(), table["movie_length"].to_list(), strict=True):
        if not str(text).strip().isdecimal():
            raise ConfigurationError(f"{path}: movie_length of {name!r} is not a number of frames: {text!r}")
        movie, frames = movie_name(str(name).strip()), str(text).strip()
        if len(frames) > _MOST_DIGITS:
            raise ConfigurationError(f"{path}: movie_length of {name!r} is too large: {frames[:20]}… frames")
        if lengths.setdefault(movie, int(frames)) != int(frames):
            raise ConfigurationError(
                f"{path}: the movie {movie} stands there twice, with {lengths[movie]} and {frames} frames"
            )
    return lengths


def _read_csv(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    import polars as pl

    if not path.is_file():
        there = sorted(item.name for item in path.parent.glob("*.csv")) if path.parent.is_dir() else []
        raise ConfigurationError(f"no file {path}; CSV files in that directory: {', '.join(there) or 'none'}")
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as CSV: {error}") from error
    table = table.rename({name: name.strip() for name in table.columns})
    if missing := [name for name in columns if name not in table.columns]:
        raise ConfigurationError(f"{path} lacks the columns {missing}; it has {table.columns}")
    return table


# ---------------------------------------------------------------- add_section_time


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
            known = ", ".join(map(str, _read_csv(path, PLAYLIST_COLUMNS)["playlist_name"])) or "none"
            raise ConfigurationError(f"give a playlist_name (in commands --playlist); {path} has: {known}")
        movies = read_playlist(playlist_name, path)
    with problems.noting():
        path = _table(movie_length_file_path, DEFAULT_MOVIE_LENGTH_PATH, _SHIPPED_LENGTHS, _LENGTHS)
        lengths = read_movie_lengths(path)
    problems.raise_any()
    return movies, lengths


@dataclass(frozen=True)
class _TableSpec:
    """A table that `add_section_time` needs, and how it is named."""

    what: str
    columns: Sequence[str]
    file: str
    argument: str
    option: str


_PLAYLISTS = _TableSpec("playlists", PLAYLIST_COLUMNS, PLAYLIST_FILE, "playlist_file_path", "--playlist-file")
_LENGTHS = _TableSpec("movie lengths", LENGTH_COLUMNS, MOVIE_LENGTH_FILE, "movie_length_file_path", "--movie-lengths")


def _table(argument: str | Path | None, assigned: str | Path, shipped: Path, wanted: _TableSpec) -> Path:
    """The file of a table. Raises `ConfigurationError` where nothing names one."""
    path = chosen_path(argument, assigned, shipped, (PLAYLIST_DIR_VARIABLE, CONFIG_DIR_VARIABLE), wanted.file)
    if path is shipped and not path.is_file():
        raise ConfigurationError(
            f"add_section_time needs {wanted.what}, a CSV file with the columns {', '.join(wanted.columns)}: name it "
            f"by {wanted.argument} (in commands {wanted.option}), or the directory of {wanted.file} by "
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


# ---------------------------------------------------------------- add_section_windows


def add_section_windows(
    hdf5_path: Target = None,
    *,
    length_s: float,
    step_s: float | None = None,
    name: str = "window",
    force: bool = False,
    session: PipelineSession | None = None,
) -> bool | PipelineSession:
    """Regular windows over the whole recording, for recordings without a stimulus.

    Stores `stimulus/section_time/{name}` (windows, 2) uint64 samples: windows of `length_s` seconds every `step_s`
    seconds that are wholly within the recording. `section_spike_times` takes each as a trial.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    length_s
        Length of a window in seconds.
    step_s
        Seconds from the start of one window to that of the next; default `length_s`: end to end.
    name
        Of the section.
    force
        Replace windows of that name.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    bool or PipelineSession
        True, or `session`.

    Raises
    ------
    ConfigurationError
        A length or step that is not positive, or longer than the recording.
    MissingInputError
        No recording was loaded.
    FileExistsError
        Immediate mode, without `force`: there are windows of that name. With a session that is a warning.

    Examples
    --------
    >>> from hdmea.pipeline import PipelineSession, add_section_windows
    >>> session = add_section_windows(length_s=10.0, session=PipelineSession.load("loaded.h5"))
    >>> session.stimulus["section_time"]["window"][:2]
    array([[    0, 10000], [10000, 20000]], dtype=uint64)
    """

    def step(recording: PipelineSession) -> Outcome[bool]:
        sections = recording.stimulus.get("section_time") or {}
        if name in sections and not force:
            raise AlreadyDoneError(f"add_section_windows was done already ({name})")
        windows = _windows(recording, length_s, length_s if step_s is None else step_s)
        recording.stimulus["section_time"] = {**sections, name: windows}
        made = {"length_s": float(length_s), "step_s": float(length_s if step_s is None else step_s)}
        recording.metadata[WINDOWS] = {**(recording.metadata.get(WINDOWS) or {}), name: made}
        return Outcome(True, [("stimulus", "section_time", name), ("metadata", WINDOWS)])

    return run_step("add_section_windows", step, hdf5_path, session)


def _windows(recording: PipelineSession, length_s: float, step_s: float) -> Samples:
    if not (0 < length_s < float("inf") and 0 < step_s < float("inf")):
        raise ConfigurationError(f"length_s and step_s must be positive, not {length_s} and {step_s}")
    rate = acquisition_rate_of(recording, "add_section_windows")
    length, end = round(length_s * rate), recording_end_sample(recording)
    if length < 1 or length > end:
        raise ConfigurationError(f"a window of {length_s} s does not fit into a recording of {end / rate:.3f} s")
    count = int((end - length) // (step_s * rate)) + 1
    starts = np.rint(np.arange(count) * (step_s * rate)).astype(np.uint64)
    windows = np.stack([starts, starts + np.uint64(length)], axis=1)
    return windows[windows[:, 1] <= end]


def acquisition_rate_of(recording: PipelineSession, step: str) -> float:
    """Samples a second. Raises `MissingInputError` where no recording was loaded."""
    rate = recording.metadata.get("acquisition_rate")
    if rate is None:
        raise MissingInputError(f"{step} needs metadata/acquisition_rate: run load_recording first", step, "recording")
    return float(rate)


def recording_end_sample(recording: PipelineSession) -> int:
    """The recording's end, in samples; 0 where nothing tells it."""
    duration = recording.duration_s()
    return round(duration * acquisition_rate_of(recording, "recording")) if np.isfinite(duration) else 0


def __getattr__(name: str) -> Any:
    return find_export(__name__, name, {"add_section_time_analog": "hdmea.steps.analog_sections"})
