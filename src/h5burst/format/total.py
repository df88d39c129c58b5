"""The frame of all decoders: bytes in, and a value or one kind of error out."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from h5burst.model.errors import CorruptStructureError

Given = ParamSpec("Given")
Result = TypeVar("Result")

_MISFITS = (struct.error, LookupError, ArithmeticError)  # what bytes that do not fit end in


def total(structure: str, *, reads: bool = False) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Make a decoder total: `CorruptStructureError` for all that is not `structure`, named with its article.

    So a decoder may take its bytes for right, and say in words of its own only what would else pass unseen. reads: it
    reads them from a file, which may be an object that raises ValueError when it is closed.
    """
    misfits = _MISFITS if reads else (*_MISFITS, ValueError)

    def decorate(decode: Callable[Given, Result]) -> Callable[Given, Result]:
        @functools.wraps(decode)
        def decode_or_refuse(*args: Given.args, **options: Given.kwargs) -> Result:
            try:
                return decode(*args, **options)
            except misfits as error:
                raise CorruptStructureError(f"{structure} is too short, or has impossible values") from error

        return decode_or_refuse

    return decorate
