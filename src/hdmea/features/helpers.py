"""How the extractors compile their helpers, and how all of those are made ready at once.

Importing this module imports Numba: extractors do it inside their functions. Each helper has an obvious counterpart
in the tests' references that it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`numba.njit(cache=True, nogil=True)`; without the cache where no folder for it can be written to."""
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast(Function, numba.njit(nogil=True)(function))


def warm_up() -> None:
    """Load or compile every compiled function of the extractors for the types that they call it with."""
    from hdmea.features import harmonics, psth, resampling

    for module in (psth, resampling, harmonics):
        module.warm_up()
