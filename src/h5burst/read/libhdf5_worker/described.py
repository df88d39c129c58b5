"""One object of a file as data: what the child tells of it, and what `h5burst.info` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Described:
    """One object of a file.

    Attributes
    ----------
    path : str
        As stored, from the root.
    kind : str
        "group", "dataset", "datatype", "link to …", or "cannot be read: …".
    attributes : dict
        By name; empty for a link.
    shape : tuple of int, optional
        Of a dataset; None: null.
    dtype : str
        Of a dataset.
    stored_bytes : int
        Bytes of its elements in the file.
    filters : str
        Names of its filters.
    maxshape : tuple, optional
        None along an axis without a limit.
    chunks : tuple of int, optional
        None: not in chunks.
    nbytes : int
        Bytes of its elements in memory.
    hard_links : int
        How many lead to it.

    Examples
    --------
    >>> import h5burst
    >>> h5burst.save("a.h5", {"x": [1.0, 2.0]}, overwrite=True)
    >>> [(one.path, one.kind) for one in h5burst.info("a.h5").objects]
    [('/', 'group'), ('/x', 'dataset')]
    """

    path: str
    kind: str
    attributes: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    stored_bytes: int = 0
    filters: str = ""
    maxshape: tuple[int | None, ...] | None = None
    chunks: tuple[int, ...] | None = None
    nbytes: int = 0
    hard_links: int = 1
