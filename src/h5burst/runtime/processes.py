"""Processes by name: who made a file, and whether that process still runs.

A process is told from its successors under the same number by its machine, the machine's boot and the time at which
it started. All of that fits into a file name.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

_TOKEN = re.compile(r"([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]+)-([0-9a-f]+)")


@dataclass(frozen=True)
class Process:
    """One process of one machine.

    machine, boot: 8 hexadecimal digits each; started: clock ticks from boot, 0 where the system does not tell.
    """

    machine: str
    boot: str
    pid: int
    started: int

    @classmethod
    def current(cls) -> Process:
        machine, boot = _machine_and_boot()
        return cls(machine, boot, os.getpid(), _start_of(os.getpid()) or 0)

    @classmethod
    def parse(cls, token: str) -> Process | None:
        """The process that `str` has made a token of; None for any other text."""
        match = _TOKEN.fullmatch(token)
        return cls(match[1], match[2], int(match[3], 16), int(match[4], 16)) if match else None

    def __str__(self) -> str:
        return f"{self.machine}-{self.boot}-{self.pid:x}-{self.started:x}"

    def is_gone(self) -> bool | None:
        """True where it has ended; None for a process of another machine, of which nothing can be known here."""
        machine, boot = _machine_and_boot()
        if self.machine != machine:
            return None
        if self.boot != boot or not is_running(self.pid):
            return True
        started = _start_of(self.pid)
        return bool(self.started and started and started != self.started)


def is_running(pid: int) -> bool:
    """True where a process of this machine has this number and has not ended; one that nobody waited for has ended."""
    if sys.platform == "win32":
        return _is_running_on_windows(pid)
    if _state_of(pid) in ("Z", "X"):
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is somebody else's
        return True
    return True


@functools.cache
def _machine_and_boot() -> tuple[str, str]:
    """Marks of this machine, and of its time since the last start; process numbers are unique therein."""
    parts = [socket.gethostname(), _text("/etc/machine-id")]
    try:
        parts.append(os.readlink("/proc/self/ns/pid"))  # containers of one machine have their own numbers
    except OSError:  # not Linux
        parts.append("")
    return _digits("\n".join(parts)), _digits(_text("/proc/sys/kernel/random/boot_id"))


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _state_of(pid: int) -> str:
    """The letter of a process's state in /proc; empty where that is not known."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[0] if fields else ""


def _start_of(pid: int) -> int | None:
    """The time at which a process started, in clock ticks from boot (field 22 of `/proc/PID/stat`, see proc(5))."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[19].isdigit() else None


def _is_running_on_windows(pid: int) -> bool:
    """`os.kill` would end the process there."""
    import ctypes

    synchronize, timeout = 0x00100000, 0x00000102
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(synchronize, False, pid)
    if not handle:
        return False
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == timeout)
    finally:
        kernel.CloseHandle(handle)
