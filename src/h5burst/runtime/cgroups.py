"""Limits by the control groups of this process: of Linux, versions 2 and 1, from its own group up to the root.

The files are those of the kernel's documentation: `cgroup-v2.rst`, and `cgroup-v1/memory.rst`, `sched-bwc.rst`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def memory_limits() -> list[int]:
    """Bytes that each group allows, of those that have a limit."""
    return [
        int(text)
        for _, directory in _groups("memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        for text in lines(directory / name)[:1]
        if text.isdigit()
    ]


def cpu_limits() -> list[float]:
    """CPUs' worth of time that each group allows, of those that have a quota."""
    limits = []
    for version, directory in _groups("cpu"):
        if version == 2:
            quota, _, period = lines(directory / "cpu.max")[0].partition(" ")
        else:
            quota, period = (lines(directory / f"cpu.cfs_{name}_us")[0] for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
            limits.append(int(quota) / int(period))
    return limits


def _groups(controller: str) -> Iterator[tuple[int, Path]]:
    """The directories of this process's groups that have a controller, each with its version."""
    for line in lines("/proc/self/cgroup"):
        if line.count(":") < 2:
            continue
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            version, bases = 2, [_ROOT]
        elif controller in controllers.split(","):
            version, bases = 1, sorted({_ROOT / controller, _ROOT / controllers})
        else:
            continue
        for base in bases:
            directory = base / group.lstrip("/")
            while directory != base.parent:
                yield version, directory
                directory = directory.parent


def lines(path: str | Path) -> list[str]:
    """Those of a file of the system; one empty line where there is none."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").split("\n")
    except OSError:  # not on this system
        return [""]
