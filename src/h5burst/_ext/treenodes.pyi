from typing import Any, final

import numpy as np

from h5burst.model.tree import Array

@final
class ArrayMaker:
    def __init__(self, array_type: type[Any]) -> None: ...
    def by_number(self, arrays: Any, dtype: np.dtype[Any]) -> dict[str, Array] | None: ...

@final
class TreeScanner:
    def __init__(
        self,
        array_type: type[Any],
        group_type: type[Any],
        plain_types: frozenset[Any],
        longest_name: int,
        max_axes: int,
    ) -> None: ...
    def nodes_to_check(
        self, root: Any, path: tuple[str, ...], max_names: int, any_array: bool
    ) -> list[tuple[tuple[Any, ...], Any]] | None: ...
