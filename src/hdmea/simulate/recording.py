"""A whole simulated recording on disk, and the truth behind it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from h5burst import durable
from hdmea.io.stimulus_config import StimulusConfig, load_stimulus_configs, save_stimulus_config
from hdmea.simulate import mcs_files
from hdmea.simulate.analog import analog_blocks
from hdmea.simulate.chip import CHIP_SIDE, draw_alignment, draw_electrodes, draw_layout
from hdmea.simulate.movies import Movie
from hdmea.simulate.options import SimulationOptions
from hdmea.simulate.population import draw_irregularities, draw_population
from hdmea.simulate.sensor import SensorStream, footprint
from hdmea.simulate.spikes import discharge
from hdmea.simulate.stimuli import grid_of, render
from hdmea.simulate.timeline import Timeline, arrange
from hdmea.simulate.truth import Truth, truth_file
from hdmea.simulate.unit_tables import unit_records

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
# Seeds of what is drawn once a recording; each unit and block has one of its own besides.
CELL_SEED, FILE_SEED, LAYOUT_SEED, ELECTRODE_SEED, ALIGNMENT_SEED, CLOCK_SEED, IRREGULARITY_SEED = (
    4,
    6,
    9,
    10,
    11,
    12,
    13,
)


@dataclass(frozen=True, slots=True)
class SimulatedRecording:
    """Files of a simulated recording, and its truth.

    Attributes
    ----------
    cmcr_path, cmtr_path : pathlib.Path
        The recording as the vendor's software leaves it.
    playlist_path, movie_length_path : pathlib.Path
        Tables for `add_section_time`.
    stimuli_dir, config_dir : pathlib.Path
        Directories of the movies' frames and of the stimulus configs.
    truth_path : pathlib.Path
        The truth as JSON.
    playlist_name : str
        Of the playlist in its table.
    movies : tuple of str
        The playlist.
    sampling_rate : float
        Hz.
    duration_s : float
        Length of the recording, seconds.
    truth : Truth
        What the pipeline should find.

    Examples
    --------
    >>> from hdmea.simulate import simulate_recording
    >>> made = simulate_recording("lab", n_units=2, playlist=["baseline_127"], sensor_duration_s=0)
    >>> made.cmcr_path.name, made.movies
    ('simulated.cmcr', ('baseline_127',))
    """

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
    options: SimulationOptions | None = None,
) -> SimulatedRecording:
    """Write a `.cmcr`/`.cmtr` pair with known truth, and the playlist, lengths, configs and frames of its stimuli.

    Parameters
    ----------
    output_dir
        Directory, made if need be: `{name}.cmcr`, `{name}.cmtr`, `{name}_truth.json`, `playlist.csv`,
        `movie_length.csv`, `stimuli/{movie}.npy` (frames, height, width) uint8, `configs/{movie}.json`.
        The moving bar's movie has 300 x 300 pixels and is stored as a sparse file: 1.2 GB long, 0.6 GB on disk.
    name
        Of the files.
    n_units
        Units, sorted without error; 0 is allowed.
    patch
        Rows and columns of the sensor patch, up to 65 x 65; it is in the chip's first corner.
    playlist
        Movies in order; those that are known by name are drawn by what `hdmea.simulate.stimuli` says of them, any other
        one of a known family from its config (see `config_dir`).
    repeats
        How often the playlist is played.
    duration_s
        Length of the recording; None: as long as the playlist takes, with the light steps after it.
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
    overwrite
        Whether a recording of that name may be replaced.
    options
        What else the recording is like; see `hdmea.simulate.options`. None: the defaults; `REALISTIC`: as real ones
        are.

    Returns
    -------
    SimulatedRecording
        The paths, and the truth.

    Raises
    ------
    ValueError
        An impossible size, rate, duration or option; missing or invalid stimulus configs.
    FileExistsError
        A recording of that name is there and `overwrite` is False.

    Examples
    --------
    >>> from hdmea.pipeline import create_session, load_recording
    >>> from hdmea.simulate import simulate_recording
    >>> made = simulate_recording("lab", n_units=2, patch=(6, 6), playlist=["baseline_127"], sensor_duration_s=1.0)
    >>> session = load_recording(made.cmcr_path, made.cmtr_path, session=create_session("simulated"))
    >>> sorted(session.units) == made.truth.unit_ids
    True
    """
    _check(n_units, patch, sampling_rate, cutout_samples, repeats, pad_frames)
    options = options or SimulationOptions()
    directory = Path(output_dir)
    configs = list(load_stimulus_configs(dict.fromkeys(playlist), config_dir).values())
    grid = grid_of(configs)
    movies = {config.movie: render(config, grid) for config in configs}
    timeline = arrange(
        [movies[movie] for movie in playlist],
        sampling_rate=sampling_rate,
        pad_frames=pad_frames,
        repeats=repeats,
        duration_s=duration_s,
        clock=options.clock,
        light_steps=options.light_steps,
        rng=np.random.default_rng([seed, CLOCK_SEED]),
    )
    truth = draw_truth(n_units, patch, timeline, grid, ds_fraction, options, seed)
    recording = SimulatedRecording(
        cmcr_path=directory / f"{name}.cmcr",
        cmtr_path=directory / f"{name}.cmtr",
        playlist_path=directory / "playlist.csv",
        movie_length_path=directory / "movie_length.csv",
        stimuli_dir=directory / "stimuli",
        config_dir=directory / "configs",
        truth_path=directory / f"{name}_truth.json",
        playlist_name=PLAYLIST_NAME,
        movies=tuple(playlist),
        sampling_rate=sampling_rate,
        duration_s=timeline.sample_count / sampling_rate,
        truth=truth,
    )
    for path in (recording.cmcr_path, recording.cmtr_path):
        durable.require_absent(path, overwrite)
    with durable.annotating_oserror(directory, "write a simulated recording"):
        for needed in (directory, recording.stimuli_dir, recording.config_dir):
            needed.mkdir(parents=True, exist_ok=True)
        _write_stimuli(recording, configs, movies)
        _write_raw(recording, timeline, sensor_duration_s, options, seed)
        _write_sorted(recording, timeline, patch, cutout_samples, options, seed)
        content = truth_file(truth, timeline, options, patch)
        recording.truth_path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
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


def draw_truth(
    n_units: int,
    patch: tuple[int, int],
    timeline: Timeline,
    grid: tuple[int, int],
    ds_fraction: float,
    options: SimulationOptions,
    seed: int,
) -> Truth:
    """Cells, chip and spikes of a recording; patch: rows and columns of electrodes, grid: pixels of the noise movie."""

    of_retina = seed if options.retina_seed is None else options.retina_seed

    def rng(purpose: int) -> np.random.Generator:
        return np.random.default_rng([of_retina, purpose])

    electrodes = draw_electrodes(patch, options.chip, options.noise, rng(ELECTRODE_SEED))
    layout = draw_layout(n_units, patch, options.chip, options.axons, rng(LAYOUT_SEED), electrodes.is_dead)
    alignment, centers = None, None
    if options.alignment is not None:
        drawn = rng(ALIGNMENT_SEED)
        alignment = draw_alignment(patch, grid, options.alignment, options.chip.pitch_um, drawn)
        centers = alignment.to_pixels(layout.soma_xy) + drawn.normal(0, options.alignment.scatter_px, (n_units, 2))
    population = draw_population(n_units, grid, ds_fraction, rng(CELL_SEED), options.cells, centers, options.types)
    irregularities = draw_irregularities(n_units, options.cells, layout.soma_xy, rng(IRREGULARITY_SEED))
    fired = discharge(population, irregularities, options.cells, timeline, grid, seed)
    sections: dict[str, list[tuple[int, int]]] = {}
    for movie, start in timeline.shown:
        sections.setdefault(movie.name, []).append((start, movie.length))
    return Truth(
        unit_ids=[f"unit_{n + 1:03d}" for n in range(n_units)],
        population=population,
        soma_row=layout.soma_electrode[:, 0] + 1,
        soma_col=layout.soma_electrode[:, 1] + 1,
        spike_samples=fired.sorted_units,
        frame_samples=timeline.frame_samples,
        section_frames=sections,
        layout=layout,
        electrodes=electrodes,
        alignment=alignment,
        irregularities=irregularities,
        discharge=fired,
        light_steps=timeline.light_steps,
    )


def _write_stimuli(recording: SimulatedRecording, configs: list[StimulusConfig], movies: dict[str, Movie]) -> None:
    with recording.playlist_path.open("w", newline="", encoding="utf-8") as file:
        names = [f"{movie}.mov" for movie in recording.movies]
        csv.writer(file).writerows([("playlist_name", "movie_names"), (recording.playlist_name, repr(names))])
    with recording.movie_length_path.open("w", newline="", encoding="utf-8") as file:
        lengths = [(name, movie.length) for name, movie in movies.items()]
        csv.writer(file).writerows([("movie_name", "movie_length"), *lengths])
    for config in configs:
        save_stimulus_config(config, recording.config_dir)
        movies[config.movie].save(recording.stimuli_dir)


def _write_raw(
    recording: SimulatedRecording,
    timeline: Timeline,
    sensor_duration_s: float | None,
    options: SimulationOptions,
    seed: int,
) -> None:
    rate, frames = timeline.sampling_rate, timeline.sample_count
    if sensor_duration_s is not None:
        frames = min(frames, round(sensor_duration_s * rate))
    mcs_files.write_cmcr(
        recording.cmcr_path,
        sampling_rate=rate,
        sample_count=timeline.sample_count,
        analog=analog_blocks(timeline, seed, options.light_steps.height_counts),
        sensor=sensor_stream(recording.truth, frames, rate, options, seed) if frames else None,
        rng=np.random.default_rng([seed, FILE_SEED, 0]),
    )


def sensor_stream(
    truth: Truth, frames: int, sampling_rate: float, options: SimulationOptions, seed: int
) -> SensorStream:
    """The sensor data of a recording, `frames` long: every cell's spikes and axon, and the noise."""
    layout, electrodes = truth.layout, truth.electrodes
    footprints = [
        footprint(
            layout,
            unit,
            (electrodes.is_dead.shape[0], electrodes.is_dead.shape[1]),
            sampling_rate,
            pitch_um=options.chip.pitch_um,
            axons=options.axons,
            is_dead=electrodes.is_dead,
        )
        for unit in range(len(layout))
    ]
    return SensorStream(frames, electrodes, sampling_rate, footprints, truth.discharge.cells, seed)


def _write_sorted(
    recording: SimulatedRecording,
    timeline: Timeline,
    patch: tuple[int, int],
    cutout_samples: int,
    options: SimulationOptions,
    seed: int,
) -> None:
    truth = recording.truth
    units = unit_records(
        truth.layout,
        patch,
        truth.spike_samples,
        timeline.sampling_rate,
        timeline.sample_count,
        cutout_samples,
        options.noise,
        seed,
    )
    mcs_files.write_cmtr(
        recording.cmtr_path, recording.cmcr_path.name, units, np.random.default_rng([seed, FILE_SEED, 1])
    )
