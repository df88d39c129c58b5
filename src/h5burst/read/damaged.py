"""The node of a lazy tree for an object that cannot be read."""

from __future__ import annotations

from typing import Any, NoReturn

from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import Array

_ASKED = frozenset({"data", "attrs", "storage", "children"})


class DamagedNode(Array):
    """An object of a lazy tree that is damaged: any use of it raises the error that says why.

    It is there, so that it is not taken for missing, and so that its neighbours can be read.

    Parameters
    ----------
    error : CorruptFileError
        What is wrong.

    Examples
    --------
    >>> import h5burst
    >>> node = h5burst.DamagedNode(h5burst.CorruptFileError("a.h5", "/x: its header is damaged"))
    >>> node.data
    Traceback (most recent call last):
    h5burst.model.errors.CorruptFileError: Cannot read HDF5 file: a.h5: /x: its header is damaged. The file may be \
    damaged or incomplete.
    """

    __slots__ = ("error",)

    def __init__(self, error: CorruptFileError) -> None:
        self.error = error

    def __getattribute__(self, name: str) -> Any:
        if name in _ASKED:
            object.__getattribute__(self, "fail")()
        return object.__getattribute__(self, name)

    def fail(self) -> NoReturn:
        """Raise the error, any number of times."""
        raise type(self.error)(self.error.path, self.error.message, self.error.problems)

    def __getitem__(self, path: Any) -> NoReturn:
        self.fail()

    def __contains__(self, path: Any) -> NoReturn:
        self.fail()

    def __repr__(self) -> str:
        return f"<DamagedNode: {self.error.message}>"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return DamagedNode, (self.error,)
