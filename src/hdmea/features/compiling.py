"""Compilation of the extractors' helpers. It imports Numba, so that extractors import it in their functions only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache

Function = TypeVar("Function", bound=Callable[..., Any])


class _Places(CompileResultCacheImpl):  # type: ignore[misc, unused-ignore]
    """Places where Numba keeps compiled code: NUMBA_CACHE_DIR, the user's cache directory, else beside the source.

    Numba itself looks beside the source first, among the files of the package, which pip then cannot remove.
    """

    _locator_classes = sorted(CompileResultCacheImpl._locator_classes, key=lambda one: "InTree" in one.__name__)


class _Cache(FunctionCache):  # type: ignore[misc, unused-ignore]
    """Goes without a cache where the directory is full, as a home with a quota: what was compiled is there anyway."""

    _impl_class = _Places

    def save_overload(self, signature: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(signature, data)  # type: ignore[no-untyped-call, unused-ignore]


def compiled(function: Function) -> Function:
    """As `numba.njit(cache=True, nogil=True)`; compiled by each process where no cache can be written."""
    dispatcher: Any = numba.njit(nogil=True)(function)
    with suppress(RuntimeError):  # no directory may be written to
        dispatcher._cache = _Cache(function)  # type: ignore[no-untyped-call, unused-ignore]  # Numba has no option
    return cast(Function, dispatcher)
