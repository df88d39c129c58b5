"""How the extractors' helpers are compiled. It imports Numba, so that extractors import it in their functions only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`numba.njit(cache=True, nogil=True)`; compiled by each process where no cache can be written.

    Numba itself goes without a cache only where it finds no directory that may be written to. A directory that is full,
    as a home with a quota, ends its first call in an `OSError`, after the work of compiling was done.
    """
    try:
        dispatcher: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return cast(Function, numba.njit(nogil=True)(function))
    cache = dispatcher._cache  # Numba has no option for this
    save = cache.save_overload

    def save_if_possible(signature: Any, data: Any) -> None:
        with suppress(OSError):
            save(signature, data)

    cache.save_overload = save_if_possible
    return cast(Function, dispatcher)
