"""A whole simulated recording on disk, and the truth behind it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.io.stimulus_config import StimulusConfig, load_stimulus_configs, save_stimulus_config
from hdmea.simulate import mcs_files
from hdmea.simulate.population import Population, draw_population
from hdmea.simulate.sensor import (
    CHIP_SIDE,
    NOISE_COUNTS,
    Footprint,
    SensorStream,
    draw_footprint,
    draw_somata,
    shape_times,
)
from hdmea.simulate.spikes import draw_spikes
from hdmea.simulate.stimuli import Movie, grid_of, render
from hdmea.simulate.timeline import Timeline, arrange

DEFAULT_PLAYLIST = (
    "perfect_dense_noise_15x15_15hz_r42_3min",
    "baseline_127",
    "step_up_5s_5i_b0_3x",
    "moving_h_bar_s5_d8_3x",
    "green_blue_3s_3i_3x",
    "freq_step_5st_3x",
)
# Seven stimuli and 20 minutes with what follows them: the size of a real session.
FULL_PLAYLIST = (*DEFAULT_PLAYLIST, "step_up_5s_5i_b0_30x")

PLAYLIST_NAME = "simulated"
LIGHT_BASE, LIGHT_GAIN, LIGHT_NOISE = 2000, 40, 20.0
PULSE_HEIGHT, PULSE_NOISE, PULSE_S = 20000, 20.0, 0.003
SUB_THRESHOLD_FRACTION = 0.1
CELL_STREAM, UNIT_STREAM, FILE_STREAM, LIGHT_STREAM = 4, 5, 6, 7
_ANALOG_BLOCK_S = 10
_NOISE_POOL = 1 << 20


@dataclass(frozen=True, slots=True)
class Truth:
    """What the pipeline should find; one entry a unit, in the order of `unit_ids`.

    soma_row, soma_col: electrode of the soma, 1-based on the chip (and on the patch, which lies in its corner);
    spike_samples: every spike; frame_samples: first sample of each frame that the pipeline counts; section_frames:
    (first frame of the movie, its length) of each presentation, by movie.
    """

    unit_ids: list[str]
    population: Population
    soma_row: npt.NDArray[np.int64]
    soma_col: npt.NDArray[np.int64]
    spike_samples: list[npt.NDArray[np.int64]]
    frame_samples: npt.NDArray[np.int64]
    section_frames: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The cells' properties as plain values, for JSON; spikes and frames are in the files themselves."""
        cells = {name: getattr(self.population, name).tolist() for name in Population.__slots__}
        cells["preferred_direction_deg"] = [
            value if np.isfinite(value) else None for value in cells["preferred_direction_deg"]
        ]
        return {
            "unit_ids": self.unit_ids,
            "soma_row": self.soma_row.tolist(),
            "soma_col": self.soma_col.tolist(),
            "spike_count": [len(train) for train in self.spike_samples],
            "section_frames": self.section_frames,
            **cells,
        }


@dataclass(frozen=True, slots=True)
class SimulatedRecording:
    """Where a simulated recording's files lie, and its truth."""

    cmcr_path: Path
    cmtr_path: Path
    playlist_path: Path
    movie_length_path: Path
    stimuli_dir: Path
    config_dir: Path
    truth_path: Path
    playlist_name: str
    movies: tuple[str, ...]
    sampling_rate: float
    duration_s: float
    truth: Truth


def simulate_recording(
    output_dir: str | PathLike[str],
    *,
    name: str = "simulated",
    n_units: int = 40,
    patch: tuple[int, int] = (16, 16),
    playlist: Sequence[str] = DEFAULT_PLAYLIST,
    repeats: int = 1,
    duration_s: float | None = None,
    sensor_duration_s: float | None = 10.0,
    sampling_rate: float = 20000.0,
    seed: int = 0,
    ds_fraction: float = 0.25,
    pad_frames: int = 180,
    cutout_samples: int = 32,
    config_dir: str | PathLike[str] | None = None,
    overwrite: bool = False,
) -> SimulatedRecording:
    """Write a `.cmcr`/`.cmtr` pair with known truth, and the playlist, lengths, configs and frames of its stimuli.

    Parameters
    ----------
    output_dir
        Folder, made if need be: `{name}.cmcr`, `{name}.cmtr`, `{name}_truth.json`, `playlist.csv`,
        `movie_length.csv`, `stimuli/{movie}.npy` (frames, height, width) uint8, `configs/{movie}.json`.
    n_units
        Units, sorted without error; 0 is allowed.
    patch
        Rows and columns of the sensor patch, up to 65 x 65; it lies in the chip's first corner.
    playlist
        Movies in order; each is drawn from its config (see `config_dir`), so any stimulus of a known family will do.
    repeats
        How often the playlist is played.
    duration_s
        Length of the recording; None: as long as the playlist takes.
    sensor_duration_s
        How much of the recording, from its start, has sensor data; None: all of it; 0: no sensor stream.
    sampling_rate
        Hz; a sample must last a whole number of microseconds.
    seed
        The same seed and arguments give the same files, byte for byte.
    ds_fraction
        Fraction of units that are direction selective.
    pad_frames
        Frames of background before and after each movie, as `add_section_time` takes them.
    cutout_samples
        Samples of the cut-out that the `.cmtr` holds of each peak.
    config_dir
        Stimulus configs; default as in `hdmea.io.stimulus_config`.

    Returns
    -------
    SimulatedRecording
        The paths, and the truth.

    Raises
    ------
    ValueError
        An impossible size, rate or duration; missing or invalid stimulus configs.
    FileExistsError
        A recording of that name is there and `overwrite` is False.
    """
    _check(n_units, patch, sampling_rate, cutout_samples, repeats, pad_frames)
    folder = Path(output_dir)
    configs = list(load_stimulus_configs(dict.fromkeys(playlist), config_dir).values())
    grid = grid_of(configs)
    movies = {config.movie: render(config, grid) for config in configs}
    timeline = arrange(
        [movies[movie] for movie in playlist],
        sampling_rate=sampling_rate,
        pad_frames=pad_frames,
        repeats=repeats,
        duration_s=duration_s,
    )
    truth = _draw_truth(n_units, patch, timeline, grid, ds_fraction, seed)
    recording = SimulatedRecording(
        cmcr_path=folder / f"{name}.cmcr",
        cmtr_path=folder / f"{name}.cmtr",
        playlist_path=folder / "playlist.csv",
        movie_length_path=folder / "movie_length.csv",
        stimuli_dir=folder / "stimuli",
        config_dir=folder / "configs",
        truth_path=folder / f"{name}_truth.json",
        playlist_name=PLAYLIST_NAME,
        movies=tuple(playlist),
        sampling_rate=sampling_rate,
        duration_s=timeline.sample_count / sampling_rate,
        truth=truth,
    )
    for path in (recording.cmcr_path, recording.cmtr_path):
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists; pass overwrite=True to replace it")
    for made in (folder, recording.stimuli_dir, recording.config_dir):
        made.mkdir(parents=True, exist_ok=True)
    _write_stimuli(recording, configs, movies, grid)
    _write_recording(recording, timeline, patch, sensor_duration_s, cutout_samples, seed)
    recording.truth_path.write_text(json.dumps(truth.as_dict(), indent=1) + "\n", encoding="utf-8")
    return recording


def _check(
    n_units: int, patch: tuple[int, int], sampling_rate: float, cutout_samples: int, repeats: int, pad_frames: int
) -> None:
    mcs_files.tick_us(sampling_rate)
    if sampling_rate < 1000:
        raise ValueError(f"sampling_rate={sampling_rate:g}: at least 1000 Hz, or frame pulses run together")
    if n_units < 0 or cutout_samples < 0 or repeats < 1 or pad_frames < 0:
        raise ValueError("n_units, cutout_samples and pad_frames must not be negative, repeats at least 1")
    if len(patch) != 2 or not all(1 <= side <= CHIP_SIDE for side in patch):
        raise ValueError(f"patch={patch}: rows and columns must be from 1 to {CHIP_SIDE}")


def _draw_truth(
    n_units: int, patch: tuple[int, int], timeline: Timeline, grid: tuple[int, int], ds_fraction: float, seed: int
) -> Truth:
    rng = np.random.default_rng([seed, CELL_STREAM])
    population = draw_population(n_units, grid, ds_fraction, rng)
    somata = draw_somata(n_units, patch, rng)
    sections: dict[str, list[tuple[int, int]]] = {}
    for movie, start in timeline.shown:
        sections.setdefault(movie.name, []).append((start, movie.length))
    return Truth(
        unit_ids=[f"unit_{n + 1:03d}" for n in range(n_units)],
        population=population,
        soma_row=somata[:, 0] + 1,
        soma_col=somata[:, 1] + 1,
        spike_samples=draw_spikes(population, timeline, grid, seed),
        frame_samples=timeline.frame_samples,
        section_frames=sections,
    )


def _write_stimuli(
    recording: SimulatedRecording, configs: list[StimulusConfig], movies: dict[str, Movie], grid: tuple[int, int]
) -> None:
    with recording.playlist_path.open("w", newline="", encoding="utf-8") as file:
        names = [f"{movie}.mov" for movie in recording.movies]
        csv.writer(file).writerows([("playlist_name", "movie_names"), (recording.playlist_name, repr(names))])
    with recording.movie_length_path.open("w", newline="", encoding="utf-8") as file:
        lengths = [(name, movie.length) for name, movie in movies.items()]
        csv.writer(file).writerows([("movie_name", "movie_length"), *lengths])
    for config in configs:
        save_stimulus_config(config, recording.config_dir)
        np.save(recording.stimuli_dir / f"{config.movie}.npy", movies[config.movie].grey(grid), allow_pickle=False)


def _write_recording(
    recording: SimulatedRecording,
    timeline: Timeline,
    patch: tuple[int, int],
    sensor_duration_s: float | None,
    cutout_samples: int,
    seed: int,
) -> None:
    truth, rate = recording.truth, timeline.sampling_rate
    somata = list(zip((truth.soma_row - 1).tolist(), (truth.soma_col - 1).tolist(), strict=True))
    footprints = [
        draw_footprint(soma, patch, rate, np.random.default_rng([seed, UNIT_STREAM, n]))
        for n, soma in enumerate(somata)
    ]
    frames = timeline.sample_count
    if sensor_duration_s is not None:
        frames = min(frames, round(sensor_duration_s * rate))
    sensor = SensorStream(frames, patch, rate, footprints, truth.spike_samples, seed) if frames else None
    mcs_files.write_cmcr(
        recording.cmcr_path,
        sampling_rate=rate,
        sample_count=timeline.sample_count,
        analog=analog_blocks(timeline, seed),
        sensor=sensor,
        rng=np.random.default_rng([seed, FILE_STREAM, 0]),
    )
    mcs_files.write_cmtr(
        recording.cmtr_path,
        recording.cmcr_path.name,
        _unit_info(truth, footprints, somata),
        _peak_tables(truth, footprints, somata, timeline, cutout_samples, seed),
        np.random.default_rng([seed, FILE_STREAM, 1]),
    )


def analog_blocks(timeline: Timeline, seed: int) -> Iterator[npt.NDArray[np.int32]]:
    """The two analog channels, light and frame pulses, in consecutive blocks (2, samples) of int32 ADC counts."""
    rate = timeline.sampling_rate
    step = round(_ANALOG_BLOCK_S * rate)
    rng = np.random.default_rng([seed, LIGHT_STREAM])
    pool = rng.standard_normal(_NOISE_POOL + step, dtype=np.float32)
    light = np.concatenate([np.zeros(len(timeline.pulse_samples) - timeline.frame_count), timeline.mean_luminance()])
    light = np.concatenate([[0.0], light]) * LIGHT_GAIN + LIGHT_BASE  # dark before the first pulse
    width = max(2, min(round(PULSE_S * rate), round(rate / 120)))
    # The sum of the pulse's rise stays a single peak of the difference, and wide enough for its 99.9th percentile.
    rise = np.array([1.0]) if rate <= 30000 else np.array([0.25, 0.75, 1.0])
    for start in range(0, timeline.sample_count, step):
        samples = np.arange(start, min(start + step, timeline.sample_count))
        frame = np.searchsorted(timeline.pulse_samples, samples, side="right")
        onsets = np.concatenate([[-width], timeline.pulse_samples])
        since = samples - onsets[frame]
        pulse = np.where(since < width, rise[np.minimum(since, len(rise) - 1)], 0.0) * PULSE_HEIGHT
        block = np.empty((2, len(samples)), np.int32)
        for channel, clean, noise in ((0, light[frame], LIGHT_NOISE), (1, pulse, PULSE_NOISE)):
            at = int(rng.integers(len(pool) - len(samples)))
            block[channel] = np.rint(clean + noise * pool[at : at + len(samples)])
        yield block


def _unit_info(truth: Truth, footprints: list[Footprint], somata: list[tuple[int, int]]) -> np.ndarray:
    info = np.zeros(len(footprints), mcs_files.UNIT_INFO)
    info["UnitID"] = np.arange(1, len(footprints) + 1)
    info["Row"], info["Column"] = truth.soma_row, truth.soma_col
    info["SensorID"] = mcs_files.sensor_id(truth.soma_row, truth.soma_col)
    for row, footprint, soma in zip(info, footprints, somata, strict=True):
        waveform = footprint.soma_waveform(soma)
        row["RoiSize"] = int(footprint.template.any(axis=0).sum())
        row["SNR"] = -waveform.min() / NOISE_COUNTS
        row["Separability"] = row["SNR"] / np.sqrt(1 + row["SNR"])
        row["Kurtosis"] = ((waveform - waveform.mean()) ** 4).mean() / max(float(waveform.var()), 1e-12) ** 2 - 3
    return info


def _peak_tables(
    truth: Truth,
    footprints: list[Footprint],
    somata: list[tuple[int, int]],
    timeline: Timeline,
    cutout_samples: int,
    seed: int,
) -> Iterator[np.ndarray]:
    """Each unit's peaks: its spikes, and some sub-threshold ones among them that are not included."""
    tick = mcs_files.tick_us(timeline.sampling_rate)
    time_s = shape_times(timeline.sampling_rate)
    before = int(np.searchsorted(time_s, 0)) - cutout_samples // 3
    rng = np.random.default_rng([seed, LIGHT_STREAM, 1])
    pool = rng.standard_normal(_NOISE_POOL, dtype=np.float32) * np.float32(NOISE_COUNTS)
    for n, (footprint, soma, spikes) in enumerate(zip(footprints, somata, truth.spike_samples, strict=True)):
        rng = np.random.default_rng([seed, UNIT_STREAM, n, 1])
        others = np.setdiff1d(
            rng.integers(0, max(timeline.sample_count, 1), round(SUB_THRESHOLD_FRACTION * len(spikes))), spikes
        )
        samples = np.concatenate([spikes, others])
        order = np.argsort(samples, kind="stable")
        included = order < len(spikes)
        at = np.arange(before, before + cutout_samples)
        shape = np.where((at >= 0) & (at < len(time_s)), footprint.soma_waveform(soma)[at.clip(0, len(time_s) - 1)], 0)
        starts = rng.integers(0, len(pool) - cutout_samples, len(samples))
        noise = np.lib.stride_tricks.sliding_window_view(pool, max(cutout_samples, 1))[starts][:, :cutout_samples]
        height = np.where(included, np.float32(1), np.float32(0.3))
        cutouts = noise + height[:, None] * shape.astype(np.float32)
        yield mcs_files.peak_table(samples[order] * tick, included, cutouts)
