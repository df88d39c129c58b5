"""A whole recording through the flow `full`: seconds of each step, and what it recovers beside the truth.

python benchmarks/full_recording.py [--directory DIRECTORY] [--units 100] [--sensor-s 60] [--rounds 1]

A full chip of 65 x 65 electrodes, 60 s of its sensor data, seven stimuli, 100 cells with axons to one optic-nerve head,
as in `hdmea demo --full`, which takes 10 s of sensor data. The simulation is not counted; its files take 11 GB of
DIRECTORY, by default a temporary one. Each round runs the flow in a new process, with as many threads as
H5BURST_NUM_THREADS says.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from hdmea.batch.job import Job, JobOptions, Outcome, run_job
from hdmea.batch.run import plan
from hdmea.demo_full import batch_of_one, compare_full, simulate_full
from hdmea.pipeline import PipelineSession


def measured(job: Job) -> tuple[Outcome, float]:
    """What became of the flow, and the CPU seconds of this process."""
    return run_job(job), time.process_time()


def show(outcome: Outcome, cpu_s: float) -> None:
    if outcome.reason:
        raise SystemExit(f"{outcome.status.value}: {outcome.reason}; see {outcome.log_path}")
    for step, seconds in outcome.step_seconds.items():
        print(f"{step:32} {seconds:7.2f} s")
    print(f"{'the whole flow':32} {outcome.seconds:7.2f} s, {cpu_s:.2f} s of CPU")
    if outcome.peak_memory_bytes is not None:
        print(f"memory at its peak {outcome.peak_memory_bytes / 2**30:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, help="for all files; by default one that is removed")
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--sensor-s", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        directory = options.directory or Path(temporary)
        started = time.perf_counter()
        recording = simulate_full(directory, options.units, sensor_s=options.sensor_s)
        size = recording.cmcr_path.stat().st_size
        print(f"simulated in {time.perf_counter() - started:.1f} s, not counted: {size / 1e9:.1f} GB", flush=True)
        row, parameters = batch_of_one(recording, options.sensor_s)
        recipe = {
            "flow": "full",
            "steps": None,
            "parameters": parameters,
        }
        (job,) = plan([row], directory, options=JobOptions(force=True), **recipe)
        for _ in range(options.rounds):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                outcome, cpu_s = process.submit(measured, job).result()
            show(outcome, cpu_s)
        for finding in compare_full(PipelineSession.load(outcome.output_path), recording):
            print(f"{finding.what}: {finding.result}{'' if finding.passed else ' (not as true)'}")


if __name__ == "__main__":
    main()
