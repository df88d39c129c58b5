"""Choice among several sources of a path."""

from __future__ import annotations

import os
from pathlib import Path


def chosen_path(
    argument: str | os.PathLike[str] | None,
    assigned: str | os.PathLike[str] | None,
    shipped: Path,
    variables: tuple[str, ...],
    name: str = "",
) -> Path:
    """The path to use: the call's argument, else an assigned name, else an environment variable, else what ships.

    Parameters
    ----------
    argument
        What the caller passed.
    assigned, shipped
        The module's name as it is now, and the object it was at first: another object means that a script assigned it.
    variables
        Environment variables that name a directory, the first that is set counts.
    name
        The file in that directory.
    """
    if argument is not None:
        return Path(argument)
    if assigned is not None and assigned is not shipped:
        return Path(assigned)
    for variable in variables:
        if directory := os.environ.get(variable):
            return Path(directory) / name
    return shipped
