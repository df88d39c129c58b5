"""The recording file that a step works on: looked into, edited, made smaller; errors in the contract's words."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from h5burst import Group, Transaction, compact, edit, locks, read_tree
from hdmea.session.interrupted import interrupted_steps, steps_in_progress

logger = logging.getLogger(__name__)

STATES_KEPT = 2  # when a file is compacted: the one before the step that was redone, and the one before that
_MIN_COMPACTED = 1 << 20  # bytes of a file that is looked at for dead space

LOCKED = (
    "File is already open for writing: {path}. HDF5 supports single-writer access only. "
    "Close the file in other processes before writing."
)
_UNREADABLE = "Cannot read HDF5 file: {path}. The file may be corrupted or incomplete."
_INTERRUPTED = (
    " HDF5 marks it as still being written: {step} was interrupted, or another process writes it at this moment. "
    "If none does, clear the mark with `h5clear -s {path}`, check the file with `hdmea verify {path}`, and run the "
    "step again with force=True."
)


def require_file(path: Path) -> None:
    """Raise the contract's `FileNotFoundError` where there is no file."""
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "HDF5 file not found", str(path))


def recording_tree(path: Path) -> Group:
    """An existing recording file, to be read, as a lazy tree. Raises as `open_recording_hdf5` does."""
    require_file(path)
    try:
        tree = read_tree(path, lazy=True)
        warn_of_interruption(tree, path)
        return tree
    except OSError as error:
        raise explained(error, path) from error


def warn_of_interruption(root: h5py.Group | Group, path: Path) -> None:
    """A warning for each step that was interrupted while it wrote."""
    for step in steps_in_progress(root):
        logger.warning("%s: %s was interrupted while it wrote; run it again with force=True", path, step)


def explained(error: OSError, path: Path) -> OSError:
    """The contract's error for a file that does not open; of an interrupted edit it names the step."""
    reason = str(error)
    if isinstance(error, BlockingIOError) or "already open for read" in reason or "unable to lock file" in reason:
        return OSError(LOCKED.format(path=path))
    if isinstance(error, PermissionError):
        return PermissionError(error.errno, f"No permission to open HDF5 file: {path}")
    message = _UNREADABLE.format(path=path)
    if "h5clear" in reason:
        message += _INTERRUPTED.format(path=path, step=" and ".join(interrupted_steps(path)) or "an edit")
    return OSError(message)


def require_not_open(path: Path) -> None:
    """Raise the contract's `OSError` for a file that this or another process has open through HDF5.

    The lock is the one that HDF5 takes; Windows and file systems without such locks do without.
    """
    if not locks.are_used():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if locks.try_exclusive(descriptor) is locks.Answer.REFUSED:
            raise OSError(LOCKED.format(path=path))
    finally:
        os.close(descriptor)


@contextmanager
def edited(path: Path, step: str | None = None) -> Iterator[Transaction]:
    """A transaction on a recording file. Raises as `open_recording_hdf5` does; who reads the file does not matter.

    step: the step, for the log of the file.
    """
    recording_tree(path)
    try:
        transaction = edit(path, step)
    except OSError as error:
        raise explained(error, path) from error
    with transaction:
        yield transaction


def compact_if_mostly_dead(path: Path) -> None:
    """Write a recording file anew when more than half of it is what no state that is kept needs.

    Redone steps leave that. The states that are kept are those before the last steps, so that each can be undone.
    """
    if path.stat().st_size < _MIN_COMPACTED:
        return
    try:
        compact(path, STATES_KEPT, min_dead=0.5)
    except OSError as error:  # another program edits the file, or the disk is full: a later step does it
        logger.info("%s keeps its dead space for now: %s", path, error)
