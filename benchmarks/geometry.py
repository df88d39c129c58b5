"""What the geometry of 300 units costs, in time of the clock and of the processors.

python benchmarks/geometry.py [--units 300] [--threads N]

Cells are made up as in the tests (50 samples of 65 x 65 electrodes; a movie of 10 800 frames of 15 x 15 pixels).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from h5burst import parallel_map, thread_count
from hdmea import geometry
from support.electrode_cells import SPIKE, cell_image
from support.noise_cells import FRAMES, HOLD, movie, noise_cell, respond, triggered

SCALE = geometry.ImageScale(20_000, SPIKE, 16.0)
DIFFERENT = 40  # cells; more units are the same again


@contextmanager
def measured(name: str, units: int) -> Iterator[None]:
    clock, processors = time.perf_counter(), time.process_time()
    yield
    clock, processors = time.perf_counter() - clock, time.process_time() - processors
    print(
        f"{name:32} {clock:6.2f} s  {processors:6.2f} s of CPU  {1000 * processors / units:6.2f} ms a unit", flush=True
    )


def tracked(image: np.ndarray) -> Any:
    clean = geometry.clean_image(image, SCALE)
    soma = geometry.soma_geometry(clean)
    return geometry.track_axon(clean, soma=soma)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=300)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    images = [cell_image(rng)[0] for _ in range(DIFFERENT)]
    responses = [respond(rng, noise_cell(rng, 0.35 * (n % 2)), "sigmoid", 2000)[0] for n in range(DIFFERENT)]
    averages = [triggered(counts) for counts in responses]
    trains = [np.repeat(np.arange(FRAMES), counts) for counts in responses]
    which = [n % DIFFERENT for n in range(options.units)]
    print(f"{options.units} units, {thread_count(options.threads)} threads")

    def each(name: str, function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        parallel_map(function, items[:2], options.threads)
        with measured(name, options.units):
            return parallel_map(function, [items[n] for n in which], options.threads)

    each("soma", lambda image: geometry.soma_geometry(image, SCALE), images)
    each("soma and axon", tracked, images)
    fields = each("receptive field", lambda a: geometry.receptive_field(a, last_frame=1, hold=HOLD), averages)
    prepared = geometry.NoiseMovie.of(movie())
    with measured("linear-nonlinear model", options.units):
        geometry.fit_ln_models(
            prepared, [trains[n] for n in which], [field.z for field in fields], 1 / 60, threads=options.threads
        )
    somata, angles = rng.uniform(2, 62, (options.units, 2)), rng.uniform(0, 360, options.units)
    with measured("optic-nerve head", 1):
        geometry.find_nerve_head(somata, angles)
    with measured("alignment", 1):
        geometry.align(16 * somata, 0.19 * somata + rng.normal(0, 0.4, somata.shape))


if __name__ == "__main__":
    main()
