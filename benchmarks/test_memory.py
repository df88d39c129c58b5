"""Peak memory of a deferred run, save included, against the size of the session's data.

The data are the bytes of all arrays of the session in memory, each piece of memory once: the time axis of every
unit's firing rate is one array. The peak is resident memory beyond what the imported modules take. Among these are
those that the first feature of a stimulus imports: numba, and what extends it where it is installed, 130 MB together.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import workloads
from harness import alone, peak_memory

HERE = str(Path(__file__).parent)
SETUP = f"""
import sys; sys.path.insert(0, {HERE!r})
from pathlib import Path
import numpy as np
import workloads
from h5burst import parallel_map
from hdmea.features import psth
recording = workloads.Recording(Path({{path!r}}))
output = Path({{output!r}})
parallel_map(len, ["a", "b"])
psth.smoothed(np.zeros((1, 4)), 1.0)  # the first compiled function that is called makes numba import the rest of itself
"""
WORK = """
session = workloads.loaded(recording, output)
workloads.after_loading(recording, session=session)
session.save(compression={compression!r})
"""
SIZE = """
from h5burst import resident_bytes
high = high_water()
Path({size!r}).write_text(f"{{resident_bytes((session.units, session.stimulus, session.metadata))}} {{high}}")
"""


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_deferred_session(benchmark, tmp_path, compression):
    """In a process of its own."""
    recording = workloads.simulated(0)
    size = tmp_path / "size"
    setup = SETUP.format(path=str(recording.path), output=str(tmp_path))
    work = WORK.format(compression=compression) + SIZE.format(size=str(size))
    measured = {}
    alone(benchmark, lambda: measured.update(peak_memory(setup, work)), rounds=1, warmup=False)
    data, peak = map(int, size.read_text().split())
    taken = peak - measured["before"]
    benchmark.extra_info.update(data_MB=data / 1e6, peak_MB=taken / 1e6, share_of_data=taken / data, target_share=1.2)
