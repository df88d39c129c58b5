"""Libraries to preload into processes under test, built once, such as that of faults (`h5burst/runtime/faults.c`)."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "h5burst" / "runtime" / "faults.c"


@functools.cache
def library(source: Path = SOURCE) -> Path:
    """The built library; skips the test where there is no compiler, or no preloading."""
    if os.uname().sysname != "Linux":
        pytest.skip("preloads a library, as Linux does")
    built = Path(tempfile.mkdtemp(prefix="h5burst-faults-")) / "faults.so"
    try:
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-fno-builtin", "-o", built, source, "-ldl"], check=True)
    except FileNotFoundError:
        pytest.skip("needs a C compiler")
    return built


def environment(**faults: str) -> dict[str, str]:
    """The environment of a process whose file system is of another kind, such as FAULT_FLOCK="granted"."""
    return {**os.environ, "LD_PRELOAD": str(library()), **faults}
