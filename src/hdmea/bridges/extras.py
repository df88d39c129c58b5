"""Other people's packages that a bridge needs: imported when they are used, and asked for by an install line."""

from __future__ import annotations

import importlib
from typing import Any

# Top-level module -> the extra of this distribution that brings it.
EXTRA_OF = {
    "nwbinspector": "neuro",
    "probeinterface": "neuro",
    "pyarrow": "tables",
    "shapely": "population",
    "sklearn": "population",
    "threadpoolctl": "population",
    "pynwb": "neuro",
    "spikeinterface": "neuro",
    "xarray": "arrays",
}


class MissingExtraError(ImportError):
    """A package that a bridge needs is not installed; the message holds the line that installs it."""


def required(module: str, purpose: str) -> Any:
    """Import `module` for `purpose` (the subject of the message).

    Raises
    ------
    MissingExtraError
        Its package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        if not isinstance(error, ModuleNotFoundError) or (error.name or "").partition(".")[0] != package:
            raise
        message = f"{purpose} needs {package}, which is not installed: pip install 'h5burst[{EXTRA_OF[package]}]'"
        raise MissingExtraError(message, name=package) from error
