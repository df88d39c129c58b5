"""A file that another process holds open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_elsewhere(path: Path, mode: str) -> Iterator[None]:
    """Another process holds the file open."""
    code = f"import h5py, sys; f = h5py.File({str(path)!r}, {mode!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline().strip() == b"open"
        yield
        process.stdin.close()
        process.wait(30)
