"""Python processes of our own that import nothing from the directory they happen to run in."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_PACKAGES = ("h5burst", "numpy", "h5py", "hdf5plugin")  # found where this process finds them
_START = "import json, sys; sys.path += json.loads(sys.argv.pop(1)); "


def command(code: str, arguments: Sequence[str] = ()) -> list[str]:
    """A command line that runs `code`, with `arguments` in `sys.argv[1:]`.

    `-I` leaves the working directory, `PYTHONPATH` and `PYTHONSTARTUP` out. The directories of the packages that the
    code needs come last and as absolute paths, so that nothing beside them takes the place of a standard module.
    """
    return [sys.executable, "-I", "-c", _START + code, json.dumps(_directories()), *arguments]


def environment() -> dict[str, str]:
    """This process's environment without what tells Python where to find modules."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _directories() -> list[str]:
    """The directories that hold the packages, each once."""
    directories = []
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None and Path(spec.origin).name == "__init__.py":
            directories.append(str(Path(spec.origin).resolve().parents[1]))
    return list(dict.fromkeys(directories))
