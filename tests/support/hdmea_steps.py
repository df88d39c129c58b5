"""The pipeline as a list of steps, to be run on a file, on a session, or on both by turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hdmea.features import compute_sta
from hdmea.io import add_section_time, add_section_windows, section_spike_times
from hdmea.pipeline import (
    PipelineSession,
    create_session,
    extract_features,
    load_recording,
    load_recording_with_eimage_sta,
    load_spikes,
)
from hdmea.simulate import SimulatedRecording

DATASET_ID = "rec"


@dataclass(frozen=True)
class Step:
    """A step with all its arguments but where to run it."""

    name: str
    run: Callable[..., Any]


def step(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Step:
    return Step(function.__name__, partial(function, *args, **kwargs))


def simulated_steps(recording: SimulatedRecording, *, images: bool = True) -> list[Step]:
    """Everything that can be done with a simulated recording."""
    load = load_recording_with_eimage_sta if images else load_recording
    playlist = {
        "playlist_name": recording.playlist_name,
        "playlist_file_path": recording.playlist_path,
        "movie_length_file_path": recording.movie_length_path,
    }
    return [
        step(load, recording.cmcr_path, recording.cmtr_path, DATASET_ID),
        step(add_section_time, **playlist),
        step(section_spike_times, pad_margin=(0.5, 0.25), config_dir=recording.config_dir),
        step(compute_sta, cover_range=(-20, 0), stimuli_dir=recording.stimuli_dir),
        step(extract_features),
    ]


def window_steps(path: Path) -> list[Step]:
    """What a recording of spontaneous activity goes through."""
    return [
        step(load_spikes, path, DATASET_ID),
        step(add_section_windows, length_s=600.0, name="spontaneous"),
        step(section_spike_times),
        step(extract_features, features=["baseline_127", "frif"], config_overrides={"movie_name": "spontaneous"}),
    ]


def run_immediate(steps: Sequence[Step], output_dir: Path) -> Path:
    """The steps on a file, one after the other."""
    path: Path = steps[0].run(output_dir=output_dir).hdf5_path
    for each in steps[1:]:
        each.run(hdf5_path=path)
    return path


def run_deferred(steps: Sequence[Step], output_dir: Path) -> PipelineSession:
    """The steps on one session, not saved."""
    session = create_session(DATASET_ID, output_dir=output_dir)
    for each in steps:
        each.run(session=session)
    return session
