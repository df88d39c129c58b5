"""Parallel filters for programs that use h5py, without a change to them: `enable`, `disable`, `enabled`, `status`.

While it is enabled, h5py's datasets read and write chunks with gzip, lzf, shuffle and fletcher32 in threads, where that
gives what h5py would; all else goes to h5py's own methods. `import h5burst.auto` enables it for a whole program.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from h5burst.accelerate import takeover, tally
from h5burst.runtime.threads import thread_count

__all__ = ["Status", "disable", "enable", "enabled", "status"]

_lock = threading.Lock()
_is_enabled = False


@dataclass(frozen=True)
class Status:
    """Counts of what was taken over from h5py since the process began.

    Attributes
    ----------
    is_enabled
        Whether calls are taken over now.
    reads, writes
        How many calls were taken over.
    bytes_read, bytes_written
        Of the arrays, in bytes.
    seconds_reading, seconds_writing
        In these calls.
    left
        Why others were left to h5py, each with how many times; too small ones are not counted.

    Examples
    --------
    >>> from h5burst import accelerate
    >>> accelerate.status().is_enabled
    False
    """

    is_enabled: bool
    reads: int
    writes: int
    bytes_read: int
    bytes_written: int
    seconds_reading: float
    seconds_writing: float
    left: dict[str, int]

    def __str__(self) -> str:
        lines = [f"h5burst.accelerate: {'enabled' if self.is_enabled else 'disabled'}, {thread_count()} threads"]
        for verb, calls, size, seconds in (
            ("reads", self.reads, self.bytes_read, self.seconds_reading),
            ("writes", self.writes, self.bytes_written, self.seconds_writing),
        ):
            lines.append(f"  {verb} taken over: {calls}, {size / 1e6:.1f} MB in {seconds:.3f} s")
        for reason, count in sorted(self.left.items(), key=lambda item: (-item[1], item[0])):
            lines.append(f"  left to h5py: {count} x {reason}")
        return "\n".join(lines)


def enable() -> None:
    """Take reads and writes of h5py's datasets over, in all of this process, until `disable`.

    Raises
    ------
    ValueError
        `H5BURST_NUM_THREADS` is not a number of threads.

    Examples
    --------
    >>> from h5burst import accelerate
    >>> accelerate.enable()
    >>> accelerate.disable()
    """
    global _is_enabled
    thread_count()
    with _lock:
        for owner, name, _, ours in takeover.REPLACED:
            setattr(owner, name, ours)
        _is_enabled = True


def disable() -> None:
    """Give h5py its own methods back. What others have set in their place since stays.

    Examples
    --------
    >>> from h5burst import accelerate
    >>> accelerate.disable()
    """
    global _is_enabled
    with _lock:
        for owner, name, original, ours in takeover.REPLACED:
            if vars(owner).get(name) is ours:
                setattr(owner, name, original)
        _is_enabled = False


@contextmanager
def enabled() -> Iterator[None]:
    """Take reads and writes over within a block; afterwards it is as it was before. For all threads.

    Yields
    ------
    None
        While calls are taken over.

    Examples
    --------
    >>> import h5py, numpy as np
    >>> from h5burst import accelerate
    >>> with accelerate.enabled(), h5py.File("numbers.h5", "w") as file:
    ...     made = file.create_dataset("x", data=np.arange(1e6), compression="gzip", shuffle=True)
    """
    was_enabled = _is_enabled
    enable()
    try:
        yield
    finally:
        if not was_enabled:
            disable()


def status() -> Status:
    """Counts of what was taken over, and of what was not and why.

    Returns
    -------
    Status
        Of this process; `print` shows it in some lines.

    Examples
    --------
    >>> from h5burst import accelerate
    >>> sorted(accelerate.status().left) == sorted(set(accelerate.status().left))
    True
    """
    now = tally.current()
    return Status(
        _is_enabled, now.reads.calls, now.writes.calls, now.reads.bytes, now.writes.bytes, now.reads.seconds,
        now.writes.seconds, dict(now.left),
    )  # fmt: skip
