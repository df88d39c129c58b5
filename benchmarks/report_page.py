"""The page of a large recording: how large it is, what it takes to write, and how long a browser takes to open it.

    hdmea demo --full --units 12 --output-dir DIR
    python benchmarks/report_page.py DIR/full.h5 --units 300

The units of a recording with all stimuli are repeated under new names until there are so many; the file is written once
and left in the recording's directory. A child writes the page, so that its memory is its own; time is CPU time. The
browser (Chromium, driven by playwright) is timed from the request to the first section drawn, by wall clock, the least
of three.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

from hdmea.pipeline import PipelineSession

CHROMIUM = "/usr/bin/chromium"
WRITE = """
import json, sys, time
from hdmea.report import write_report
before = time.process_time()
path = write_report(sys.argv[1], sys.argv[2], overwrite=True)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"cpu_s": time.process_time() - before, "bytes": path.stat().st_size, "peak_mb": peak / 1024}))
"""


def repeated(recording: Path, units: int) -> Path:
    """A file with so many units: those of the recording, again and again."""
    path = recording.with_name(f"{recording.stem}_{units}_units.h5")
    if path.exists():
        return path
    session = PipelineSession.load(recording)
    found = itertools.cycle(list(session.units.values()))
    session.units = {f"unit_{number:04d}": next(found) for number in range(units)}
    session.dataset_id = path.stem
    return session.save(path)


def opened_s(page: Path) -> float:
    """Seconds to open a page and draw its first section, the least of three."""
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(3):
            context = browser.new_context()
            tab = context.new_page()
            started = time.perf_counter()
            tab.goto(page.resolve().as_uri())
            tab.locator("main svg").first.wait_for()
            times.append(time.perf_counter() - started)
            context.close()
        browser.close()
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--units", type=int, default=300)
    arguments = parser.parse_args()
    file = repeated(arguments.recording, arguments.units)
    page = file.with_suffix(".html")
    command = [sys.executable, "-c", WRITE, str(file), str(page)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"{arguments.units} units: {found['bytes'] / 1e6:.1f} MB, written in {found['cpu_s']:.1f} s of CPU and")
    print(f"{found['peak_mb']:.0f} MB of memory, opened in {opened_s(page):.2f} s")


if __name__ == "__main__":
    main()
