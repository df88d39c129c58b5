"""Limits of the memory that a process may use, and of that which arrays may take."""

from __future__ import annotations

import os
import re
from pathlib import Path

from h5burst.runtime import cgroups, threads

BUDGET_VARIABLE = "H5BURST_MEMORY_BUDGET"
_MIN_LEFT = 1 << 26  # of a limit that is nearly reached
DEFAULT_SHARE = 0.8  # of what the process may use, where nobody set a budget

_UNITS = {"": 1, "b": 1} | {
    f"{prefix}{suffix}": base**power
    for power, prefix in enumerate("kmgt", start=1)
    for suffix, base in (("", 1024), ("b", 1000), ("ib", 1024))
}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d*)?(?:e\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_bytes(amount: int | str) -> int:
    """Bytes from a whole number or text with a unit.

    Parameters
    ----------
    amount : int or str
        A number of bytes, "4GiB", "500 MB", "1.5G" (G alone is GiB) or "2048".

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    ValueError
        For text that is neither, and what is not positive.
    TypeError
        For another type.

    Examples
    --------
    >>> from h5burst import parse_bytes
    >>> parse_bytes("500 MB"), parse_bytes("4GiB")
    (500000000, 4294967296)
    """
    if isinstance(amount, bool) or not isinstance(amount, (int, str)):
        raise TypeError(f"a memory budget is bytes or text such as '4GiB', got {amount!r}")
    if isinstance(amount, int):
        size = amount
    else:
        match = _AMOUNT.fullmatch(amount)
        unit = _UNITS.get(match[2].lower()) if match else None
        if match is None or unit is None:
            raise ValueError(
                f"cannot read {amount!r} as an amount of memory: use bytes or text such as '4GiB', '500 MB'"
            )
        size = int(float(match[1]) * unit)
    if size < 1:
        raise ValueError(f"a memory budget must be positive, got {amount!r}")
    return size


def format_bytes(size: int | float) -> str:
    """Bytes for people.

    Parameters
    ----------
    size : int or float
        Bytes.

    Returns
    -------
    str

    Examples
    --------
    >>> from h5burst import format_bytes
    >>> format_bytes(1536 << 20)
    '1.5 GiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def process_limit() -> int:
    """Bytes that this process may use: the least of its cgroup's limit, its own limits (`ulimit`), Slurm's allocation
    and the free memory.
    """
    limits = [*cgroups.memory_limits(), *_own_limits(), *_slurm_limits(), *_free_memory()]
    return min(limits) if limits else 1 << 62


def memory_budget(requested: int | str | None = None) -> int:
    """Bytes that arrays may take.

    Parameters
    ----------
    requested : int or str, optional
        As of `parse_bytes`.

    Returns
    -------
    int
        The requested, else `H5BURST_MEMORY_BUDGET`, else 80 % of what the machine, its container and limits leave to
        this process.

    Raises
    ------
    ValueError, TypeError
        As of `parse_bytes`.

    Examples
    --------
    >>> from h5burst import memory_budget
    >>> memory_budget("1GiB")
    1073741824
    """
    if requested is not None:
        return parse_bytes(requested)
    text = os.environ.get(BUDGET_VARIABLE, "").strip()
    if text:
        try:
            return parse_bytes(text)
        except ValueError as error:
            raise ValueError(f"{BUDGET_VARIABLE}: {error}") from error
    return int(DEFAULT_SHARE * process_limit())


def _own_limits() -> list[int]:
    """Bytes that `ulimit -v` and `ulimit -d` leave beside what is mapped already."""
    try:
        import resource

        pages = [int(text) for text in Path("/proc/self/statm").read_text(encoding="ascii").split()]
    except (ImportError, OSError, ValueError):
        return []
    used = {resource.RLIMIT_AS: pages[0], resource.RLIMIT_DATA: pages[5]}
    soft = {kind: resource.getrlimit(kind)[0] for kind in used}
    size = resource.getpagesize()
    return [
        max(limit - used[kind] * size, _MIN_LEFT) for kind, limit in soft.items() if limit != resource.RLIM_INFINITY
    ]


def _slurm_limits() -> list[int]:
    """Memory that Slurm gave, in MiB a node or a CPU."""
    node, cpu = os.environ.get("SLURM_MEM_PER_NODE", ""), os.environ.get("SLURM_MEM_PER_CPU", "")
    if node.isdigit() and int(node) > 0:
        return [int(node) << 20]
    if cpu.isdigit() and int(cpu) > 0:
        cpus = os.environ.get("SLURM_CPUS_ON_NODE", "")
        return [(int(cpu) << 20) * (int(cpus) if cpus.isdigit() else threads.thread_count())]
    return []


def _free_memory() -> list[int]:
    for line in cgroups.lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return [int(line.split()[1]) << 10]
    return _windows_free_memory()


def _windows_free_memory() -> list[int]:
    if os.name != "nt":
        return []
    import ctypes

    class MemoryStatus(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong)
            for name in ("total", "free", "page_total", "page_free", "total_v", "free_v", "x")
        ]

    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined,unused-ignore]
    return [int(status.free)]
