"""What the first use costs in a fresh process: a batch job pays it every time."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import workloads

ROUNDS = 3
HERE = str(Path(__file__).parent)

_SPIKES = "t = np.arange(0, 10000, 7); o = np.array([0, len(t)])"
_KERNELS = {
    "sections": (
        f"from hdmea.kernels.sections import SortedTrains; {_SPIKES}",
        "SortedTrains(t, o).cut(np.array([[0, 500]]))",
    ),
    "STA": (
        f"from hdmea.kernels.sta import triggered_average; {_SPIKES}; m = np.zeros((9000, 15, 15), np.uint8)",
        "triggered_average(m, t, o, (-60, 0))",
    ),
    "firing rates": (
        f"from hdmea.kernels.rates import firing_rates; {_SPIKES}",
        "firing_rates(t.astype(np.uint64), o, bin_width=100.0, duration=10000.0, rate_hz=1000.0)",
    ),
}
_TREE = "from h5burst.model.tree import Array, Group; g = Group({'a': Array(np.arange(9))}); p = tempfile.mktemp('.h5')"
_FILES = {
    "write_tree": (f"import h5burst; import tempfile; {_TREE}", "h5burst.write_tree(p, g)"),
    "read_tree": (
        f"import h5burst; import tempfile; {_TREE}; h5burst.write_tree(p, g)",
        "h5burst.read_tree(p)",
    ),
}
_IMPORTS = {f"import {name}": ("", f"import {name}") for name in ("numpy", "h5burst", "hdmea", "scptensor")}


def inside(setup: str, work: str) -> float:
    """Seconds of `work` in a new process after `setup`."""
    preamble = "" if work.startswith("import") else "import numpy as np; "
    code = (
        f"import sys, time; sys.path.insert(0, {HERE!r}); {preamble}{setup}\nstarted = time.perf_counter()\n{work}\n"
        "print(time.perf_counter() - started)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.splitlines()[-1])


def measure(benchmark, setup, work, **extra):
    times = []
    benchmark.pedantic(lambda: times.append(inside(setup, work)), rounds=ROUNDS)
    benchmark.extra_info.update(ours_s=statistics.median(times), slowest_s=max(times), **extra)


@pytest.mark.parametrize("name", _IMPORTS)
def test_import(benchmark, name):
    extra = {"target_s": 0.3} if name == "import hdmea" else {}
    measure(benchmark, *_IMPORTS[name], **extra)


@pytest.mark.parametrize("name", _KERNELS | _FILES)
def test_first_call(benchmark, name):
    measure(benchmark, *(_KERNELS | _FILES)[name])


@pytest.mark.parametrize("feature", ["frif", *workloads.FULL_PLAYLIST[:6]])
def test_first_feature(benchmark, feature):
    """The first extraction of a feature for two units, in a process that has loaded a sectioned session."""
    recording = workloads.simulated(0, units=2, duration_s=1000.0)
    path = workloads.saved(recording)
    setup = f"from hdmea.pipeline import PipelineSession, extract_features; s = PipelineSession.load({str(path)!r})"
    measure(benchmark, setup, f"extract_features([{feature!r}], session=s, force=True)".replace("(", "(None, ", 1))
