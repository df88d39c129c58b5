"""The figures of a run as text, and the machine they were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy",
    "scipy",
    "h5py",
    "polars",
    "numba",
    "hdf5plugin",
    "deflate",
    "isal",
    "anndata",
    "spikeinterface",
    "pynwb",
    "zarr",
    "zarrs",
    "versioned-hdf5",
    "elephant",
    "hidefix",
    "pyfive",
    "virtualizarr",
    "kerchunk",
    "remfile",
    "scanpy",
    "xarray",
    "h5netcdf",
    "McsPyDataTools",
)
_SHOWN_ELSEWHERE = (
    *("name", "other", "ours_s", "other_s", "ratio", "ratio_min", "ratio_max"),
    *("target_ratio", "target_s", "target_share", "target_MB", "target_peak_MB", "target_load_ratio", "growth"),
    *("limit", "limit_s", "share_of_limit"),
)


def machine() -> dict[str, Any]:
    """Processor, memory, system and versions; the load says how much others were doing at the end of the run."""
    return {
        "processor": _line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_GiB": round(int((_line("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 2**20, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def _line(path: str, key: str) -> str | None:
    file = Path(path)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), None)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def ratio(row: dict[str, Any]) -> tuple[str, str]:
    """How many times faster, and the spread of that over the rounds."""
    middle = f"{row['ratio']:.1f}" if "ratio" in row else ""
    return middle, f"{row['ratio_min']:.1f}-{row['ratio_max']:.1f}" if "ratio_min" in row else ""


def verdicts(row: dict[str, Any]) -> list[tuple[str, bool]]:
    """Each target of a benchmark, and whether it was reached."""
    found = []
    if "target_ratio" in row:
        found.append((f">= {row['target_ratio']:g}x", row["ratio"] >= row["target_ratio"]))
    if "target_s" in row:
        found.append((f"<= {seconds(row['target_s'])}", row["ours_s"] <= row["target_s"]))
    if "target_share" in row:
        found.append((f"<= {row['target_share']:g} x data", row["share_of_data"] <= row["target_share"]))
    if "target_MB" in row:
        found.append((f"<= {row['target_MB']:g} MB", row["MB"] <= row["target_MB"]))
    if "target_peak_MB" in row:
        found.append((f"peak <= {row['target_peak_MB']:g} MB", row["peak_MB"] <= row["target_peak_MB"]))
    if "target_load_ratio" in row:
        found.append((f"load >= {row['target_load_ratio']:g}x", row["load_ratio"] >= row["target_load_ratio"]))
    return found


def targets(row: dict[str, Any]) -> str:
    return "; ".join(f"{text}: {'reached' if reached else 'MISSED'}" for text, reached in verdicts(row))


def more(row: dict[str, Any]) -> str:
    """Everything else that a benchmark said."""
    others = [(name, value) for name, value in row.items() if name not in _SHOWN_ELSEWHERE]
    return ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in others)


def seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} us"
