"""Two installations beside each other: is a wheel as fast as a build of one's own?

    python benchmarks/two_builds.py PYTHON OTHER_PYTHON [--rounds 9]

Each interpreter does the same work on the same simulated recording, in a process of its own that stays; they take
turns, one works while the other waits, on one thread. Printed are medians of processor time, and of their ratios round
by round. The results must be equal.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

NOISE, GREY = "perfect_dense_noise_15x15_15hz_r42_3min", "baseline_127"


def works(directory: Path) -> dict[str, Callable[[], Any]]:
    """What is timed, by name; each returns what must be equal."""
    import h5burst
    from hdmea.features import compute_sta
    from hdmea.io import add_section_time, section_spike_times
    from hdmea.pipeline import create_session, load_recording, load_recording_with_eimage_sta
    from hdmea.simulate import simulate_recording

    made = simulate_recording(directory, n_units=100, playlist=[NOISE, GREY], sensor_duration_s=4.0)
    loaded = load_recording(made.cmcr_path, made.cmtr_path, session=create_session("a", output_dir=directory))
    tables = {"playlist_file_path": made.playlist_path, "movie_length_file_path": made.movie_length_path}
    add_section_time(playlist_name=made.playlist_name, session=loaded, **tables)

    def sections_and_averages() -> Any:
        section_spike_times(config_dir=made.config_dir, session=loaded, force=True)
        compute_sta(stimuli_dir=made.stimuli_dir, session=loaded, force=True)
        return [unit["features"][f"sta_{NOISE}"]["data"] for unit in loaded.units.values()]

    def images() -> Any:
        session = create_session("b", output_dir=directory)
        load_recording_with_eimage_sta(made.cmcr_path, made.cmtr_path, session=session, duration_s=4.0)
        return [unit["features"]["eimage_sta"]["data"] for unit in session.units.values()]

    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (4000, 3000)).astype(np.float64)
    path = directory / "counts.h5"

    def save() -> Any:
        h5burst.save(path, {"counts": counts}, compression="gzip", overwrite=True)
        return [counts]

    return {
        "sections and spike-triggered averages": sections_and_averages,
        "electrical images": images,
        "save, gzip": save,
        "load": lambda: [h5burst.load(path)["counts"]],
    }


def serve() -> None:
    """Do the work that each line of the input names, and answer with its processor time and a hash of its result."""
    with TemporaryDirectory() as directory:
        known = works(Path(directory))
        print("\t".join(known), flush=True)
        for line in sys.stdin:
            started = time.process_time()
            result = known[line.strip()]()
            seconds = time.process_time() - started
            digest = hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in result)).hexdigest()
            print(seconds, digest, sep="\t", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time two installations beside each other.")
    parser.add_argument("pythons", nargs=2, metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    environment = {**os.environ, "H5BURST_NUM_THREADS": "1"}
    sides = [
        subprocess.Popen(
            [python, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        for python in arguments.pythons
    ]

    def answer(side: subprocess.Popen[str]) -> list[str]:
        assert side.stdout is not None
        return side.stdout.readline().rstrip("\n").split("\t")

    def ask(side: subprocess.Popen[str], name: str) -> tuple[float, str]:
        print(name, file=side.stdin, flush=True)
        seconds, digest = answer(side)
        return float(seconds), digest

    names, _same = map(answer, sides)
    print(f"{'CPU seconds':40} {'first':>8} {'second':>8} {'second : first (least, most)':>30}")
    for name in names:
        times: list[list[float]] = [[], []]
        for turn in range(arguments.rounds + 1):
            answers = {index: ask(sides[index], name) for index in ((0, 1) if turn % 2 else (1, 0))}
            assert answers[0][1] == answers[1][1], f"{name}: the results differ"
            if turn:  # the first is a warm-up
                for index in (0, 1):
                    times[index].append(answers[index][0])
        ratios = [second / first for first, second in zip(*times, strict=True)]
        first, second = map(statistics.median, times)
        middle = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f})"
        print(f"{name:40} {first:8.3f} {second:8.3f} {middle:>30}")
    for side in sides:
        side.communicate()


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
