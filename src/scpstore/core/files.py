"""The way of containers into files and out of them.

`scpstore.io` puts its functions here, so that core imports none of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIXES = (".h5", ".hdf5")


@dataclass
class FileFunctions:
    """The functions behind `ScpContainer.save`, `ScpContainer.load` and `ScpContainer.update`."""

    save: Callable[..., None]
    load: Callable[..., Any]
    update: Callable[..., None]


_registered: list[FileFunctions] = []


def register(functions: FileFunctions) -> None:
    """Make these the functions that containers are saved and loaded with."""
    _registered[:] = [functions]


def file_functions() -> FileFunctions:
    """The functions that were registered; `import scpstore` does it."""
    return _registered[0]


def checked_suffix(path: str | os.PathLike[str]) -> Path:
    """The path of a container. Raises ValueError for another suffix than those of HDF5."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"Unsupported file suffix {path.suffix!r} of {path}: use {' or '.join(SUFFIXES)}")
    return path
