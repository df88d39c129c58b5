"""How the benchmarks measure: both sides in alternation on the same data, limits in the same run, memory apart."""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = int(os.environ.get("H5BURST_BENCH_ROUNDS", "5"))


@dataclass
class Versus:
    """Seconds of every round of both sides, in the order in which they alternated."""

    ours: list[float]
    other: list[float]
    other_name: str
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times faster ours is: the median of the ratios round by round."""
        return statistics.median(self.ratios)

    @property
    def ratios(self) -> list[float]:
        return [other / ours for ours, other in zip(self.ours, self.other, strict=True)]

    def as_json(self) -> dict[str, Any]:
        return {
            "other": self.other_name,
            "ours_s": statistics.median(self.ours),
            "other_s": statistics.median(self.other),
            "ratio": self.ratio,
            "ratio_min": min(self.ratios),
            "ratio_max": max(self.ratios),
            **self.extra,
        }


def versus(
    benchmark: Any,
    ours: Callable[[], Any],
    other: Callable[[], Any],
    *,
    other_name: str,
    same: Callable[[Any, Any], bool] | None,
    rounds: int = ROUNDS,
    before: Callable[[], Any] | None = None,
    warmup: bool = True,
    **extra: Any,
) -> Versus:
    """Time `ours` against `other`, a round of each in turn after one warm-up of both.

    same: whether both gave the same result; None where the caller has checked. before: run ahead of each side of each
    round, untimed (to remove an output file). warmup: without it nothing runs ahead of the first round. extra: more
    figures for the table, such as bytes or a target ratio.
    """
    times: list[float] = []
    cpu: dict[str, list[float]] = {"ours": [], "other": []}
    results: dict[str, Any] = {}
    prepare = before or (lambda: None)

    def run_other() -> None:
        prepare()
        gc.collect()
        started, cpu_started = time.perf_counter(), time.process_time()
        results["other"] = other()
        times.append(time.perf_counter() - started)
        cpu["other"].append(time.process_time() - cpu_started)
        prepare()
        gc.collect()

    def run_ours() -> None:
        started = time.process_time()
        results["ours"] = ours()
        cpu["ours"].append(time.process_time() - started)

    benchmark.pedantic(run_ours, setup=run_other, rounds=rounds, iterations=1, warmup_rounds=int(warmup))
    if same is not None:
        assert same(results["ours"], results["other"]), "the two sides disagree"
    ours_times = list(benchmark.stats.stats.data)
    # What other programs on the machine take of the wall time does not count here.
    extra |= {f"{side}_cpu_s": statistics.median(spent[-len(ours_times) :]) for side, spent in cpu.items()}
    result = Versus(ours_times, times[-len(ours_times) :], other_name, extra)
    benchmark.extra_info.update(result.as_json())
    return result


_RUN = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
wall, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))
"""


def run_process(command: list[str]) -> tuple[float, float, int]:
    """Seconds of the clock and of the processors that a program took, and the most bytes that it held.

    A small process starts it: what is started inherits the most that the one that starts it held.
    """
    done = subprocess.run([sys.executable, "-S", "-c", _RUN, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    wall, cpu, peak = json.loads(done.stdout.splitlines()[-1])
    return wall, cpu, peak


def versus_processes(
    benchmark: Any, ours: list[str], other: list[str], *, other_name: str, rounds: int, **extra: Any
) -> Versus:
    """Time two commands, each a process of its own, a round of each in turn; with CPU seconds and peak memory."""
    found: dict[str, list[tuple[float, float, int]]] = {"ours": [], "other": []}

    def run_both() -> None:
        for side, command in (("other", other), ("ours", ours)):
            found[side].append(run_process(command))

    benchmark.pedantic(run_both, rounds=rounds, iterations=1)
    for side, runs in found.items():
        extra[f"{side}_cpu_s"] = statistics.median(run[1] for run in runs)
        extra[f"{side}_peak_MB"] = max(run[2] for run in runs) / 1e6
    result = Versus([run[0] for run in found["ours"]], [run[0] for run in found["other"]], other_name, extra)
    benchmark.extra_info.update(result.as_json())
    return result


def alone(benchmark: Any, ours: Callable[[], Any], *, rounds: int = ROUNDS, warmup: bool = True, **extra: Any) -> float:
    """Time something that has no other side; its median in seconds."""
    cpu: list[float] = []

    def run() -> None:
        started = time.process_time()
        ours()
        cpu.append(time.process_time() - started)

    benchmark.pedantic(run, rounds=rounds, iterations=1, warmup_rounds=int(warmup))
    median = statistics.median(benchmark.stats.stats.data)
    benchmark.extra_info.update(ours_s=median, ours_cpu_s=statistics.median(cpu[-rounds:]), **extra)
    return median


# ---------------------------------------------------------------- limits of the machine


def limit(benchmark: Any, what: str, work: Callable[[], Any], *, times: float = 1.0) -> None:
    """What this machine takes for the part of a benchmark that no other implementation could leave out; median of five.

    what: in words. work: does that part, or a piece of it of which the whole has so many `times`.
    """
    work()
    seconds = times * statistics.median(_time(work) for _ in range(5))
    limit_seconds(benchmark, what, seconds)


def limit_seconds(benchmark: Any, what: str, seconds: float) -> None:
    """As `limit`, of a time that was found otherwise."""
    found = benchmark.extra_info
    found.update(limit=what, limit_s=seconds, share_of_limit=seconds / found["ours_s"])


@lru_cache
def memcpy_bandwidth(megabytes: int = 256) -> float:
    """Bytes a second that one thread copies (each byte counted once), best of five."""
    source = np.ones(megabytes << 20, np.uint8)
    target = np.empty_like(source)
    target[:] = source
    return source.nbytes / min(_time(lambda: np.copyto(target, source)) for _ in range(5))


@lru_cache
def disk_write_bandwidth(directory: str, megabytes: int = 256) -> float:
    """Bytes a second to a new file, fsync included, median of three."""
    block = np.random.default_rng(0).integers(0, 256, 8 << 20, dtype=np.uint8).tobytes()
    path = Path(directory) / "bandwidth.bin"

    def write() -> None:
        with open(path, "wb") as stream:
            for _ in range(megabytes // 8):
                stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())

    seconds = statistics.median(_time(write) for _ in range(3))
    path.unlink()
    return (megabytes << 20) / seconds


def sustained_disk_bandwidth(directory: str, nbytes: int) -> tuple[float, float]:
    """Bytes a second of writing, fsync included, and of reading a file of `nbytes` that no cache holds; one run.

    For files too large for the page cache to swallow: of small ones the first gigabytes cost only memory.
    """
    block = np.random.default_rng(0).integers(0, 256, 8 << 20, dtype=np.uint8)
    path, count = Path(directory) / "bandwidth.bin", max(1, nbytes // block.nbytes)

    def write() -> None:
        for _ in range(count):
            stream.write(block.data)
        os.fsync(stream.fileno())

    def read() -> None:
        while stream.readinto(block.data):
            pass

    with open(path, "wb", buffering=0) as stream:
        writing = _time(write)
    with open(path, "rb", buffering=0) as stream:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        reading = _time(read)
    path.unlink()
    return count * block.nbytes / writing, count * block.nbytes / reading


@lru_cache
def cached_write_bandwidth(directory: str, megabytes: int = 96) -> float:
    """Bytes a second that a new file takes into the page cache in calls of 1 MiB, median of five."""
    path, block = Path(directory) / "bandwidth.bin", bytes(1 << 20)

    def write() -> None:
        with open(path, "wb", buffering=0) as stream:
            for _ in range(megabytes):
                stream.write(block)

    seconds = statistics.median(_time(write) for _ in range(5))
    path.unlink()
    return (megabytes << 20) / seconds


@lru_cache
def cached_read_bandwidth(directory: str, megabytes: int = 256) -> float:
    """Bytes a second from the page cache into a buffer that is used again, best of five."""
    path = Path(directory) / "bandwidth.bin"
    path.write_bytes(bytes(megabytes << 20))
    buffer = bytearray(8 << 20)

    def read() -> None:
        with open(path, "rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass

    read()
    seconds = min(_time(read) for _ in range(5))
    path.unlink()
    return (megabytes << 20) / seconds


def _time(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


# ---------------------------------------------------------------- memory

_MEASURE = """
import json, resource, sys
{setup}
import gc; gc.collect()
def high_water():  # not ru_maxrss, which a new process inherits from the one that started it
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024
def now():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
before = now()
{work}
print(json.dumps({{"before": before, "peak": high_water()}}))
"""


def peak_memory(setup: str, work: str) -> dict[str, int]:
    """Resident bytes before `work` and at most until after it, of both pieces of code in a process of their own."""
    code = _MEASURE.format(setup=setup, work=work)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise RuntimeError(f"the measured process failed:\n{done.stderr[-2000:]}")
    result: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return result


def memory_peak() -> int:
    """Most resident bytes of this process so far.

    Not `ru_maxrss`, which a process inherits from the one that started it.
    """
    with open("/proc/self/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024


def memory_now() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm", encoding="ascii") as status:
        return int(status.read().split()[1]) * os.sysconf("SC_PAGESIZE")
