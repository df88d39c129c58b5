"""The log of one recording, beside those of others that the same process works on."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hdmea.utils.clock import utc_now

logger = logging.getLogger(__name__)

_LOGGERS = ("hdmea", "h5burst", "py.warnings")
_OWN_DOING = "Overwriting existing "  # checkpoints and outputs of its own are what a batch replaces
_lock = threading.Lock()
_writers: dict[int, logging.Handler] = {}  # by thread: the log of the recording that it works on
_levels: dict[str, int] = {}  # of the loggers, as they were before the first of these logs


class _OwnRecords(logging.Filter):
    """Passes what the thread of a recording says, and what threads say that work on none: those of pools."""

    def __init__(self, thread: int) -> None:
        super().__init__()
        self._thread = thread

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith(_OWN_DOING):
            return False
        return record.thread == self._thread or record.thread not in _writers


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """For the block, the records of `hdmea` and `h5burst`, and warnings, go to a recording's own log as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    thread = threading.get_ident()
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(_OwnRecords(thread))
    _add(thread, handler)
    logger.info("process %d on %s, %s", os.getpid(), sys.platform, utc_now())
    try:
        yield
    finally:
        _remove(thread, handler)
        handler.close()


def _add(thread: int, handler: logging.Handler) -> None:
    with _lock:
        for name in _LOGGERS:
            log = logging.getLogger(name)
            _levels.setdefault(name, log.level)
            log.addHandler(handler)
            log.setLevel(min(log.level or logging.INFO, logging.INFO))
        _writers[thread] = handler


def _remove(thread: int, handler: logging.Handler) -> None:
    with _lock:
        del _writers[thread]
        for name in _LOGGERS:
            log = logging.getLogger(name)
            log.removeHandler(handler)
            if not _writers:
                log.setLevel(_levels.pop(name))
