"""What readers need to know of lazy trees, so that neither of the two imports the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from h5burst.model.tree import Node


@dataclass(frozen=True, slots=True)
class LazyNodeFactory:
    """What a lazy tree is made of.

    `array(file, address, names, shape, type)` and `children(file, address, names, above)`: an array and the members of
    a group that read themselves on access; `by_name(path, names, shape, dtype)`: an array that only libhdf5
    reads.
    """

    array: Callable[..., Any]
    children: Callable[..., dict[str, Node]]
    by_name: Callable[..., Any]
