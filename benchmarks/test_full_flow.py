"""A whole recording through the flow `full`, and the page of a recording of 300 units.

A full chip of 65 x 65 electrodes, seven stimuli, cells with axons to one optic-nerve head, as in `hdmea demo --full`.
H5BURST_BENCH_UNITS (30) is the number of cells, H5BURST_BENCH_SENSOR_S (10) the seconds of sensor data: 170 MB each.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import workloads
from harness import alone

from hdmea.batch.job import Job, JobOptions, JobOutcome, run_job
from hdmea.batch.run import plan
from hdmea.demo_full import batch_of_one, compare_full, simulate_full
from hdmea.pipeline import PipelineSession

UNITS = int(os.environ.get("H5BURST_BENCH_UNITS", "30"))
SENSOR_S = float(os.environ.get("H5BURST_BENCH_SENSOR_S", "10"))
UNITS_OF_PAGE = 300
CHROMIUM = "/usr/bin/chromium"
WRITE = """
import json, sys, time
from hdmea.report import write_report
wall, before = time.perf_counter(), time.process_time()
path = write_report(sys.argv[1], sys.argv[2], overwrite=True)
wall, cpu = time.perf_counter() - wall, time.process_time() - before
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"wall_s": wall, "cpu_s": cpu, "page_MB": path.stat().st_size / 1e6, "peak_MB": peak * 1024 / 1e6}))
"""


@pytest.fixture(scope="module")
def simulated():
    return simulate_full(workloads.directory() / "full", UNITS, sensor_s=SENSOR_S)


@pytest.fixture(scope="module")
def analysed(simulated):
    """What became of the flow, the CPU seconds of its process, and both of the simulated recording."""
    row, parameters = batch_of_one(simulated, SENSOR_S)
    recipe = {"flow": "full", "steps": None, "parameters": parameters}
    (job,) = plan([row], workloads.directory() / "full", options=JobOptions(force=True), **recipe)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        outcome, cpu_s = process.submit(measured, job).result()
    assert not outcome.reason, f"{outcome.status.value}: {outcome.reason}; see {outcome.log_path}"
    return outcome, cpu_s


def measured(job: Job) -> tuple[JobOutcome, float]:
    """In a process of its own, whose CPU seconds are told."""
    return run_job(job), time.process_time()


def test_whole_recording(benchmark, simulated, analysed):
    """Every step of the flow; the simulation is not counted."""
    outcome, cpu_s = analysed
    benchmark.pedantic(lambda: None, rounds=1)
    findings = compare_full(PipelineSession.load(outcome.output_path), simulated)
    steps = ", ".join(f"{step} {seconds:.2f} s" for step, seconds in outcome.step_seconds.items())
    benchmark.extra_info.update(
        ours_s=outcome.seconds,
        ours_cpu_s=cpu_s,
        peak_MB=(outcome.peak_memory_bytes or 0) / 1e6,
        GB=simulated.cmcr_path.stat().st_size / 1e9,
        units=UNITS,
        as_true=f"{sum(finding.passed for finding in findings)} of {len(findings)}",
        steps=steps,
        target_s=60,
    )


@pytest.fixture(scope="module")
def page(analysed):
    """The page, with what it took to write. Units are repeated under new names until there are so many."""
    outcome, _ = analysed
    session = PipelineSession.load(outcome.output_path)
    found = itertools.cycle(list(session.units.values()))
    session.units = {f"unit_{number:04d}": next(found) for number in range(UNITS_OF_PAGE)}
    session.dataset_id = "page"
    file = session.save(workloads.directory() / "page.h5", overwrite=True)
    path = file.with_suffix(".html")
    command = [sys.executable, "-c", WRITE, str(file), str(path)]
    return path, json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_page_of_300_units(benchmark, page):
    """Written by a process of its own."""
    _, figures = page
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.extra_info.update(
        ours_s=figures["wall_s"],
        ours_cpu_s=figures["cpu_s"],
        MB=figures["page_MB"],
        peak_MB=figures["peak_MB"],
        target_s=15,
        target_MB=25,
    )


@pytest.mark.skipif(
    importlib.util.find_spec("playwright") is None or not Path(CHROMIUM).exists(), reason="needs playwright, Chromium"
)
def test_opening_that_page(benchmark, page):
    """From the request to the first picture drawn, in Chromium."""
    from playwright.sync_api import sync_playwright

    path, _ = page
    times = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])

        def opened() -> None:
            context = browser.new_context()
            tab = context.new_page()
            started = time.perf_counter()
            tab.goto(path.resolve().as_uri())
            tab.locator("main svg").first.wait_for()
            times.append(time.perf_counter() - started)
            context.close()

        alone(benchmark, opened, rounds=3, target_s=3)
        browser.close()
    benchmark.extra_info.update(ours_s=statistics.median(times[1:]))
