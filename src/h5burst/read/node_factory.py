"""What readers need to know of lazy trees, so that neither of the two imports the other."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np

from h5burst._ext.h5parse import Type
from h5burst.model.source import ArraySource
from h5burst.model.tree import Link, Node
from h5burst.read.handle import FileHandle

Names: TypeAlias = tuple[str, ...]  # from the root
Place: TypeAlias = "int | tuple[str, bytes]"  # a group of this file, or what an external link to it leads through


class LazyNodeFactory(Protocol):
    """What a lazy tree is made of: arrays, and the members of groups, that read themselves on access."""

    def array(self, handle: FileHandle, address: int, names: Names, shape: tuple[int, ...], type_: Type) -> ArraySource:
        """The dataset whose object header is at `address`."""
        ...

    def members(
        self, handle: FileHandle, address: int, names: Names, above: frozenset[Place]
    ) -> tuple[dict[str, Node], dict[str, Link]]:
        """Children and links of the group whose object header is at `address`; `above`: the groups that it is in."""
        ...

    def by_name(self, handle: FileHandle, names: Names, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ArraySource:
        """A dataset that only libhdf5 reads."""
        ...
