"""Where reading goes over to libhdf5: only after a child process has read the same and lived."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from h5burst._ext.h5parse import Uncovered
from h5burst.errors import CorruptFileError
from h5burst.parse import guard, libhdf5
from h5burst.parse.makers import Makers
from h5burst.tree import Group, Node


class InUseError(Uncovered):
    """A file that is open for writing: libhdf5 knows whether by this very process, and what is not on disk yet."""


def read_file(path: str | os.PathLike[str], why: Uncovered, makers: Makers | None = None) -> Group:
    """A whole file, which the parser gave up because of `why`."""
    path = os.path.abspath(path)
    node = libhdf5.read_node(path, "/", makers) if isinstance(why, InUseError) else read_node(path, "/", makers)
    if not isinstance(node, Group):
        raise CorruptFileError(path, "its root is no group")
    return node


def read_node(path: str, name: str, makers: Makers | None = None) -> Node | None:
    """An object and all below it; None for what is neither group nor dataset."""
    guard.check(path, name, lazy=makers is not None)
    return libhdf5.read_node(path, name, makers)


def read_attribute(path: str, name: str, attribute: str) -> Any:
    """One attribute of an object."""
    guard.check(path, name, attribute=attribute)
    return libhdf5.read_attribute(path, name, attribute)


def read_box(path: str, name: str, box: Sequence[tuple[int, int]], *, known: bool) -> np.ndarray[Any, Any]:
    """A box of a dataset. known: libhdf5 has read from this dataset before."""
    if not known:
        guard.check(path, name, box=box)
    return libhdf5.read_box(path, name, box)
