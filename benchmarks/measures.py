"""All measures of 300 units and the stimuli of a whole recording: seconds of the step that extracts them.

Run as a script: `python benchmarks/measures.py [units]`. A recording is simulated, loaded, cut and averaged first; the
features are extracted twice, because the first time Numba loads its cached machine code.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from hdmea.features import compute_sta
from hdmea.io import add_section_time, section_spike_times
from hdmea.pipeline import PipelineSession, create_session, extract_features, load_recording
from hdmea.simulate import FULL_PLAYLIST, simulate_recording


def sectioned(directory: Path, units: int) -> PipelineSession:
    made = simulate_recording(directory, n_units=units, playlist=FULL_PLAYLIST, sensor_duration_s=0)
    session = load_recording(made.cmcr_path, made.cmtr_path, session=create_session("measures"))
    playlist = {"playlist_file_path": made.playlist_path, "movie_length_file_path": made.movie_length_path}
    add_section_time(playlist_name=made.playlist_name, **playlist, session=session)
    section_spike_times(config_dir=made.config_dir, session=session)
    return compute_sta(stimuli_dir=made.stimuli_dir, session=session)


def main(units: int = 300, rounds: int = 3) -> None:
    with TemporaryDirectory() as directory:
        session = sectioned(Path(directory), units)
        movies = sorted({name for unit in session.units.values() for name in unit["spike_times_sectioned"]})
        wall, cpu = [], []
        for _ in range(rounds + 1):
            started, cpu_started = time.perf_counter(), time.process_time()
            extract_features(features=movies, force=True, session=session)
            wall.append(time.perf_counter() - started)
            cpu.append(time.process_time() - cpu_started)
        print(f"{units} units, {len(movies)} stimuli: {', '.join(movies)}")
        print(f"first {wall[0]:.2f} s; then median {statistics.median(wall[1:]):.2f} s wall")
        print(f"{statistics.median(cpu[1:]):.2f} s of CPU")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
