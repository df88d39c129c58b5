"""A recording as a laboratory has it, made here: cells with somata, axons and receptive fields, noise and a moving bar.

All shapes are this module's own, and so are the numbers; nothing is taken from the package's simulator.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.pipeline import PipelineSession
from support.hdmea_recordings import FRAME_SAMPLES, RATE_HZ, recording, write_config, write_playlist

Floats = npt.NDArray[np.float64]

NOISE, BAR = "dense_noise_15x15", "moving_h_bar_s5_d8_3x"
NOISE_FRAMES, SLOT, DIRECTIONS, REPEATS = 1500, 24, 8, 3
BAR_SIDE = 75  # pixels; the noise movie has 15
PITCH_UM, IMAGE_RATE_HZ = 16.0, 20000.0
CHIP_SIDE = 24
PIXELS_PER_ELECTRODE, ROTATION_DEG = 0.45, 30.0  # of the map from chip to stimulus
HEAD = (40.0, 8.0)  # column and row of the optic-nerve head, off the chip
LIGHT_STEPS = (34_000, 36_500)  # samples, after the last frame
SAMPLES = 40_000


@dataclass(frozen=True)
class Cell:
    """A cell's places: soma (column, row) in electrodes, receptive field (x, y) in pixels of the noise movie."""

    soma: tuple[float, float]
    field: tuple[float, float]


def cells(count: int = 12) -> list[Cell]:
    """Somata in a ring-like grid about the chip's middle, and their places in the stimulus."""
    rng = np.random.default_rng(3)
    somata = rng.uniform(5, 18, (count, 2))
    turn = np.deg2rad(ROTATION_DEG)
    matrix = PIXELS_PER_ELECTRODE * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    fields = (somata - 11.5) @ matrix.T + 7
    return [Cell((s[0], s[1]), (f[0], f[1])) for s, f in zip(somata.tolist(), fields.tolist(), strict=True)]


def electrical_image(cell: Cell, seed: int) -> npt.NDArray[np.float32]:
    """A soma with a trough at the spike, and an axon that runs straight to the head at 0.5 m/s, in noise of SD 1."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:CHIP_SIDE, :CHIP_SIDE]
    t = np.arange(50)[:, None, None] - 10
    dx, dy = cols - cell.soma[0], rows - cell.soma[1]
    soma = -90 * np.exp(-(dx**2 + dy**2) / (2 * 1.1**2)) * np.exp(-(t**2) / (2 * 2.0**2))
    way = np.array([HEAD[0] - cell.soma[0], HEAD[1] - cell.soma[1]])
    way /= np.linalg.norm(way)
    along, across = dx * way[0] + dy * way[1], -dx * way[1] + dy * way[0]
    arrival = along * PITCH_UM * 1e-6 / 0.5 * IMAGE_RATE_HZ
    axon = -11 * np.exp(-(across**2) / (2 * 0.8**2)) * np.exp(-((t - arrival) ** 2) / (2 * 1.5**2)) * (along > 1.5)
    return (soma + axon + rng.normal(0, 1, soma.shape)).astype(np.float32)


def noise_movie() -> npt.NDArray[np.uint8]:
    patterns = np.random.default_rng(11).integers(0, 2, (NOISE_FRAMES, 15, 15), np.uint8) * 255
    return patterns


def bar_movie() -> npt.NDArray[np.uint8]:
    """A bright bar that crosses the field once in each direction's slot, 5 pixels a frame."""
    middle = (BAR_SIDE - 1) / 2
    y, x = np.mgrid[:BAR_SIDE, :BAR_SIDE] - middle
    frames = np.zeros((REPEATS * DIRECTIONS * SLOT, BAR_SIDE, BAR_SIDE), np.uint8)
    for slot in range(REPEATS * DIRECTIONS):
        angle = np.deg2rad(45 * (slot % DIRECTIONS))
        along = x * np.cos(angle) + y * np.sin(angle)
        for frame in range(SLOT):
            frames[slot * SLOT + frame] = 255 * (np.abs(along - 5 * (frame - SLOT // 2)) <= 6)
    return frames


def responses(cell: Cell, movie: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.int64]:
    """Frames of the noise movie in which the cell spikes: a field of 1.3 pixels, 5 frames late, half-wave rectified."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:15, :15]
    space = np.exp(-((cols - cell.field[0]) ** 2 + (rows - cell.field[1]) ** 2) / (2 * 1.3**2))
    lags = np.exp(-((np.arange(12) - 5) ** 2) / (2 * 1.5**2))
    seen = np.convolve((movie.astype(float) / 127.5 - 1).reshape(len(movie), -1) @ space.ravel(), lags)[: len(movie)]
    rate = np.clip(seen / seen.std(), 0, None)
    return np.repeat(np.arange(len(movie)), rng.poisson(rate))


@dataclass(frozen=True)
class Laboratory:
    """Where the stimuli, configs and tables are."""

    directory: Path
    playlist: dict[str, Any]
    table: Path
    cells: list[Cell]


def write_laboratory(directory: Path) -> Laboratory:
    np.save(directory / f"{NOISE}.npy", noise_movie())
    np.save(directory / f"{BAR}.npy", bar_movie())
    write_config(directory, NOISE, start_frame=0, trial_length_frame=NOISE_FRAMES, repeat=1)
    config = {
        "family": "moving_bar",
        "section_kwargs": {"start_frame": 0, "trial_length_frame": DIRECTIONS * SLOT, "repeat": REPEATS},
        "parameters": {"directions_deg": list(range(0, 360, 45)), "direction_frames": SLOT},
    }
    (directory / f"{BAR}.json").write_text(json.dumps(config))
    lengths = {NOISE: NOISE_FRAMES, BAR: REPEATS * DIRECTIONS * SLOT}
    playlist = write_playlist(directory, {"all": [f"{NOISE}.mov", f"{BAR}.mov"]}, lengths)
    table = directory / "labels.csv"
    table.write_text("recording,unit_id,axon_type\nlab,unit_001,rgc\nlab,2,rgc\nother,unit_003,ac\n")
    return Laboratory(directory, {"playlist_name": "all", **playlist}, table, cells())


def load_by_hand(session: PipelineSession, laboratory: Laboratory) -> None:
    """What a laboratory's own loader puts into a session: dicts, arrays, scalars of numpy, None, NaN."""
    movie = noise_movie()
    frames = 2 * 180 + NOISE_FRAMES + 1 + 2 * 180 + REPEATS * DIRECTIONS * SLOT + 1 + 100
    base = recording(session.output_dir, units=len(laboratory.cells), frames=frames, dataset_id=session.dataset_id)
    rng = np.random.default_rng(5)
    for number, (cell, unit) in enumerate(zip(laboratory.cells, base.units.values(), strict=True)):
        shown = responses(cell, movie, number) + 180
        times = base.metadata["frame_timestamps"][shown] + rng.integers(0, FRAME_SAMPLES, len(shown))
        other = rng.integers(0, SAMPLES, 300)
        unit["spike_times"] = np.sort(np.concatenate([times.astype(np.int64), other])).astype(np.uint64)
        unit["unit_num"], unit["original_name"] = number + 1, f"Unit {number + 1}"
        unit["unit_meta"] = {"snr": np.float32(4.5), "comment": None, "isolation": float("nan"), "good": np.bool_(True)}
        unit["features"]["eimage_sta"] = {
            "data": electrical_image(cell, 100 + number),
            "metadata": {"sampling_rate": IMAGE_RATE_HZ, "pre_samples": 10, "post_samples": 40, "n_spikes": 500},
        }
    light = np.zeros(SAMPLES, np.float32)
    for start in LIGHT_STEPS:
        light[start : start + 1000] = 800
    session.add_units(base.units)
    session.add_metadata({**base.metadata, "recording_duration_s": SAMPLES / RATE_HZ, "electrode_pitch_um": PITCH_UM})
    session.add_stimulus(
        {
            "light_reference": {"raw_ch1": light},
            "frame_times": {"default": base.metadata["frame_timestamps"].copy()},
        }
    )
    session.mark_step_complete("load_recording_with_eimage_sta")
