"""Recordings larger than memory: electrical images of one, and a session of one saved compressed, within a budget.

python benchmarks/stream_50gb.py SIZE [--budget 2GiB] [--file recording.cmcr] [--directory DIRECTORY] [--json FILE]

SIZE: of the simulated sensor stream (five minutes of the full chip at 20 kHz are 50.7 GB), and of the session's arrays
unless --session-size says otherwise. The stream is made block by block: no input file is needed. DIRECTORY takes
the session: as much as its arrays, and again what they are compressed. Each part runs in a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from figures import machine
from harness import memory_now, memory_peak, sustained_disk_bandwidth

from h5burst.arrays import chunks
from h5burst.memory.budget import format_bytes, parse_bytes
from h5burst.model.source import ArraySource
from h5burst.model.tree import Storage
from h5burst.read.blocks import read_ahead
from h5burst.runtime import threads
from hdmea.features.eimage_sta import EImageOptions
from hdmea.io.cmcr import open_recording
from hdmea.pipeline import PipelineSession, create_session
from hdmea.simulate.chip import CHIP_SIDE, draw_electrodes, draw_layout
from hdmea.simulate.options import AxonOptions, ChipOptions, NoiseOptions
from hdmea.simulate.sensor import SensorStream, footprint
from hdmea.steps.load import RecordingData
from hdmea.steps.load_with_images import take_images

RATE_HZ = 20_000.0
SPIKE_RATE_HZ = 5.0
CHANNELS = 8
SAMPLE_BYTES = 1 << 29  # of a source, to learn how fast it is alone
CODEC_SAMPLE_BYTES = 1 << 26
DISK_SAMPLE_BYTES = 16 << 30  # at most: more than the system holds back before it writes
# Beyond the budget: a block a thread in each stage, stacks of the threads that start, the allocator's own.
ALLOWANCE_BYTES = 64 << 20


class Channel:
    """A long channel of noise around a slow wave, as an AD converter gives it: one piece, over and over.

    Making it costs no more than copying; the piece is far longer than what deflate looks back on.
    """

    PIECE = 1 << 18

    def __init__(self, samples: int, dtype: np.dtype[Any], seed: int) -> None:
        self.shape, self.dtype = (samples,), dtype
        wave = 900 * np.sin(np.arange(self.PIECE) * (2 * np.pi / self.PIECE))
        noise = np.random.default_rng(seed).normal(0, 8, self.PIECE)
        piece = np.rint(wave + noise).astype(dtype)
        self._piece = np.concatenate([piece, piece])

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        out = np.empty(stop - start, self.dtype)
        for first in range(0, len(out), self.PIECE):
            at = (start + first) % self.PIECE
            part = out[first : first + self.PIECE]
            part[:] = self._piece[at : at + len(part)]
        return out


def channels(size: int) -> dict[str, Channel]:
    """`CHANNELS` of them that take `size` bytes together: half float32, half int16."""
    dtypes = [np.dtype(np.float32 if number % 2 else np.int16) for number in range(CHANNELS)]
    return {
        f"channel_{number}": Channel(size // CHANNELS // dtype.itemsize, dtype, number)
        for number, dtype in enumerate(dtypes)
    }


def sensor(size: int, units: int) -> SensorStream:
    """The full chip for as long as `size` bytes last."""
    patch, frames = (CHIP_SIDE, CHIP_SIDE), max(1, size // (2 * CHIP_SIDE**2))
    rng = np.random.default_rng(0)
    layout = draw_layout(units, patch, ChipOptions(), AxonOptions(), rng)
    footprints = [footprint(layout, unit, patch, RATE_HZ) for unit in range(units)]
    # White noise, which costs next to nothing to make: the source is not what is measured.
    electrodes = draw_electrodes(patch, ChipOptions(), NoiseOptions(spread=0, autocorrelation=0, common=0), rng)
    return SensorStream(frames, electrodes, RATE_HZ, footprints, list(spikes(frames, units).values()), 0)


def spikes(frames: int, units: int) -> dict[str, np.ndarray[Any, Any]]:
    """Spike times of all units, samples."""
    rng = np.random.default_rng(1)
    count = max(1, round(SPIKE_RATE_HZ * frames / RATE_HZ))
    return {f"unit_{n + 1:03d}": np.sort(rng.integers(0, frames, count)) for n in range(units)}


# ---------------------------------------------------------------- the two parts


def stream_images(source: ArraySource, units: int, session: PipelineSession) -> dict[str, Any]:
    """Electrical images of all units into the session, pass by pass as its budget asks for."""
    began, frames = time.perf_counter(), source.shape[0]
    loaded = RecordingData(
        {unit_id: {"spike_times": train, "features": {}} for unit_id, train in spikes(frames, units).items()}
    )
    to_do: set[int] = set()
    options = EImageOptions(sampling_rate=RATE_HZ, duration_s=math.ceil(frames / RATE_HZ), spike_limit=None)
    outcome = take_images(
        source, loaded, list(loaded.units), options, session.memory, lambda done, of: to_do.add(of // frames)
    )
    session.add_units(loaded.units)
    seconds, (passes,) = time.perf_counter() - began, to_do
    return {
        "bytes": size_of(source) * passes,
        "passes": passes,
        "seconds": seconds,
        "computing_share": outcome.filter_seconds / seconds,
    }


def stream_channels(sources: dict[str, Channel], session: PipelineSession) -> dict[str, Any]:
    """Long channels into the session."""
    began = time.perf_counter()
    for name, source in sources.items():
        session.add_metadata({name: session.stream(source)})
    total = sum(map(size_of, sources.values()))
    return {"bytes": total, "seconds": time.perf_counter() - began}


def save(session: PipelineSession, level: int) -> dict[str, Any]:
    """The session as a gzip-compressed file."""
    size, began = round(session.memory_estimate_gb * 1e9), time.perf_counter()
    path = session.save(compression="gzip", compression_level=level)
    return {"bytes": size, "seconds": time.perf_counter() - began, "file_bytes": path.stat().st_size}


def size_of(source: ArraySource) -> int:
    return math.prod(source.shape) * source.dtype.itemsize


def bytes_in(directory: Path) -> int:
    """Bytes on disk of all files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


# ---------------------------------------------------------------- what the machine can do


def source_speed(source: ArraySource) -> float:
    """Bytes a second that the source alone gives, in blocks as large as those of the computation."""
    rows = min(source.shape[0], max(1, SAMPLE_BYTES * source.shape[0] // size_of(source)))
    began = time.perf_counter()
    for _ in read_ahead(source, 512, stop=rows):
        pass
    return rows * size_of(source) / source.shape[0] / (time.perf_counter() - began)


def codec_speed(level: int) -> float:
    """Bytes a second that shuffle and deflate take in all threads, of data in memory and to nowhere."""
    seconds, total = 0.0, 0
    for source in list(channels(CHANNELS * CODEC_SAMPLE_BYTES).values())[:2]:  # one of each dtype
        data = source.read(0, source.shape[0])
        plan = chunks.plan(data.shape, data.dtype, Storage("gzip", level))
        assert plan is not None
        began = time.perf_counter()
        for _ in chunks.encode(data, plan):
            pass
        seconds, total = seconds + time.perf_counter() - began, total + data.nbytes
    return total / seconds


# ---------------------------------------------------------------- one part, in a process of its own


@contextmanager
def measured(row: dict[str, Any], limited_to: int | None) -> Iterator[None]:
    """Resident memory before and at most while the block runs, in `row`; its address space limited for as long.

    limited_to: bytes beyond what the process has mapped at the start.
    """
    threads.parallel_map(time.sleep, [0.01] * 2 * threads.thread_count())  # all of the pool's threads are there
    gc.collect()
    row["before_bytes"] = memory_now()
    with address_space(limited_to):
        yield
    row["peak_bytes"] = memory_peak()


@contextmanager
def address_space(beyond: int | None) -> Iterator[None]:
    """No more than so many bytes beyond what is mapped now: what asks for more gets MemoryError."""
    if beyond is None:
        yield
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as stream:
        mapped = int(stream.read().split()[0]) * resource.getpagesize()
    former = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + beyond, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, former)


def limit(options: argparse.Namespace) -> int | None:
    """Bytes that a part may map beyond what it has before it begins."""
    return options.budget + ALLOWANCE_BYTES if options.limited else None


def run_images(options: argparse.Namespace) -> list[dict[str, Any]]:
    row: dict[str, Any] = {"part": "electrical images", "limit": "source"}
    with (
        open_source(options) as source,
        create_session("images", output_dir=options.directory, memory_budget=options.budget) as session,
    ):
        source.read(0, 1)
        with measured(row, limit(options)):
            row |= stream_images(source, options.units, session)
        row["disk_bytes"] = bytes_in(options.directory)
        session.save(compression="gzip")
        if not options.limited:
            _, reading = sustained_disk_bandwidth(str(options.directory), min(options.size, DISK_SAMPLE_BYTES))
            row["source_bytes_per_s"] = source_speed(source)
            # A recording comes from a disk: what that gives is the limit, unless the simulation is slower.
            row["limit"] = "disk" if reading < row["source_bytes_per_s"] else "source"
            row["limit_bytes_per_s"] = min(reading, row["source_bytes_per_s"])
    return [row]


@contextmanager
def open_source(options: argparse.Namespace) -> Iterator[ArraySource]:
    if options.file is None:
        yield sensor(options.size, options.units)
        return
    with open_recording(options.file) as recording:
        if recording.sensor is None:
            raise SystemExit(f"{options.file} holds no sensor stream")
        yield recording.sensor


def run_session(options: argparse.Namespace) -> list[dict[str, Any]]:
    moving: dict[str, Any] = {"part": "channels into the session", "limit": "disk"}
    saving: dict[str, Any] = {"part": "save with gzip", "limit": "codec"}
    with create_session("channels", output_dir=options.directory, memory_budget=options.budget) as session:
        sources = channels(options.size)
        with measured(moving, limit(options)):
            moving |= stream_channels(sources, session)
        moving["disk_bytes"] = bytes_in(options.directory)
        with measured(saving, limit(options)):
            saving |= save(session, options.level)
        saving["before_bytes"] = moving["before_bytes"]  # without the session's arrays
        saving["disk_bytes"] = moving["disk_bytes"] + saving["file_bytes"]
        check(session, sources)
    if not options.limited:
        moving["limit_bytes_per_s"], _ = sustained_disk_bandwidth(
            str(options.directory), min(options.size, DISK_SAMPLE_BYTES)
        )
        saving["limit_bytes_per_s"] = codec_speed(options.level)
    return [moving, saving]


def check(session: PipelineSession, sources: dict[str, Channel]) -> None:
    """Pieces of every channel in the saved file are those of its source."""
    for name, source in sources.items():
        for start in np.linspace(0, source.shape[0] - 1000, 20).astype(int).tolist():
            if not np.array_equal(session.metadata[name][start : start + 1000], source.read(start, start + 1000)):
                raise SystemExit(f"{name} from {start} differs from what was streamed into the session")


PARTS: dict[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {"images": run_images, "session": run_session}


# ---------------------------------------------------------------- the command


def main(arguments: list[str] | None = None) -> int:
    options = parsed(arguments)
    if options.part:
        print(json.dumps(PARTS[options.part](options)))
        return 0
    rows = []
    with tempfile.TemporaryDirectory(prefix="h5burst_stream_", dir=options.directory) as directory:
        for part in PARTS:
            size = options.session_size if part == "session" and options.session_size else options.size
            rows += in_process(part, size, options, Path(directory) / part)
    print(table(rows, options.budget))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n", encoding="utf-8")
    return 0


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("size", type=parse_bytes, help="of the sensor stream and of the session, such as 50GB")
    parser.add_argument("--session-size", type=parse_bytes, help="of the session's arrays, where the disk is small")
    parser.add_argument("--budget", type=parse_bytes, default=parse_bytes("2GiB"))
    parser.add_argument("--file", type=Path, help="take the sensor stream of this .cmcr file instead")
    parser.add_argument("--directory", type=Path, help="for scratch and output; default the system's for such files")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--units", type=int, default=200, help="of which electrical images are made")
    parser.add_argument("--level", type=int, default=4, help="of gzip")
    parser.add_argument(
        "--limited",
        action="store_true",
        help="a check: the address space ends behind budget and blocks, no comparisons",
    )
    parser.add_argument("--part", choices=PARTS, help="run this part alone, in DIRECTORY and in this process")
    options = parser.parse_args(arguments)
    if options.part and not options.directory:
        parser.error("--part needs --directory")
    return options


def in_process(part: str, size: int, options: argparse.Namespace, directory: Path) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, str(size), "--budget", str(options.budget), "--part", part]
    command += ["--directory", str(directory), *(["--file", str(options.file)] if options.file else [])]
    command += [
        "--level",
        str(options.level),
        "--units",
        str(options.units),
        *(["--limited"] if options.limited else []),
    ]
    # Every arena of glibc's allocator maps 64 MiB, used or not.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"} if options.limited else None
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{part} failed")
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def table(rows: list[dict[str, Any]], budget: int) -> str:
    """The figures as a Markdown table."""
    header = ["budget " + format_bytes(budget), "data", "time", "throughput", "of what alone reaches", "peak RSS"]
    lines = [[*header, "of which before", "disk"], ["---"] * 8]
    for row in rows:
        speed = row["bytes"] / row["seconds"]
        lines.append(
            [
                row["part"] + (f", passes: {row['passes']}" if "passes" in row else ""),
                f"{row['bytes'] / 1e9:.1f} GB",
                f"{row['seconds']:.0f} s",
                f"{speed / 1e6:.0f} MB/s",
                compared(speed, row),
                format_bytes(row["peak_bytes"]),
                format_bytes(row["before_bytes"]),
                f"{row['disk_bytes'] / 1e9:.2f} GB",
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def compared(speed: float, row: dict[str, Any]) -> str:
    if "limit_bytes_per_s" not in row:
        return ""
    alone = row["limit_bytes_per_s"]
    return f"{speed / alone:.0%} of the {row['limit']}'s {alone / 1e6:.0f} MB/s"


if __name__ == "__main__":
    sys.exit(main())
