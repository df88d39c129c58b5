"""Small recordings for tests: sessions with frames, light and spikes, and the CSV and JSON files beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hdmea.pipeline import PipelineSession

RATE_HZ = 1000.0
FRAME_SAMPLES = 10  # a frame pulse every so many samples
FIRST_FRAME = 7


def recording(
    output_dir: Path, *, units: int = 3, frames: int = 2000, seed: int = 0, dataset_id: str = "rec"
) -> PipelineSession:
    """A loaded session: `frames` frame pulses, a ramp of light, random sorted spikes over the whole of it."""
    rng = np.random.default_rng(seed)
    samples = FIRST_FRAME + frames * FRAME_SAMPLES
    session = PipelineSession(dataset_id=dataset_id, output_dir=output_dir)
    session.add_units(
        {
            f"unit_{n + 1:03d}": {
                "spike_times": np.sort(rng.integers(0, samples, 400 + n)).astype(np.uint64),
                "waveform": rng.normal(size=5).astype(np.float32),
                "firing_rate_10hz": np.ones(samples // 100, np.float32),
                "row": n + 1,
                "col": 1,
                "global_id": n + 1,
                "features": {},
            }
            for n in range(units)
        }
    )
    timestamps = (FIRST_FRAME + FRAME_SAMPLES * np.arange(frames)).astype(np.uint64)
    session.add_metadata(
        {
            "dataset_id": dataset_id,
            "acquisition_rate": RATE_HZ,
            "sample_interval": 1 / RATE_HZ,
            "frame_timestamps": timestamps,
            "frame_time": timestamps / RATE_HZ,
            "sys_meta": {"program": "none"},
        }
    )
    session.add_stimulus({"light_reference": {"raw_ch1": np.arange(samples, dtype=np.float32)}})
    session.mark_step_complete("load_recording")
    return session


def write_playlist(
    directory: Path, playlists: Mapping[str, str | Sequence[str]], lengths: Mapping[str, Any]
) -> dict[str, Path]:
    """`playlist.csv` and `movie_length.csv`, as keyword arguments of `add_section_time`."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = [f'{name},"{movies if isinstance(movies, str) else list(movies)}"' for name, movies in playlists.items()]
    playlist = directory / "playlist.csv"
    playlist.write_text("\n".join(["playlist_name,movie_names", *rows]) + "\n", encoding="utf-8")
    length = directory / "movie_length.csv"
    rows = [f"{movie},{frames}" for movie, frames in lengths.items()]
    length.write_text("\n".join(["movie_name,movie_length", *rows]) + "\n", encoding="utf-8")
    return {"playlist_file_path": playlist, "movie_length_file_path": length}


def write_config(directory: Path, movie: str, **section_kwargs: Any) -> None:
    """`{movie}.json` with those section_kwargs."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{movie}.json").write_text(json.dumps({"section_kwargs": section_kwargs}), encoding="utf-8")
