"""The compiled variant of the kernels that runs: the best that this machine has, unless told otherwise.

The environment variable `H5BURST_SIMD` (`baseline`, `avx2` or `avx512`) selects one for debugging. All of them give
the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from h5burst._ext import simd as _ext

VARIABLE = "H5BURST_SIMD"
LEVELS = ("baseline", "avx2", "avx512")

_forced: ContextVar[str | None] = ContextVar("h5burst_simd", default=None)


@cache
def available() -> tuple[str, ...]:
    """The variants that this machine runs, slowest first; "baseline" always is one."""
    return LEVELS[: _ext.detect() + 1]  # in a virtual machine each question takes longer than a small chunk


def active() -> str:
    """The variant that kernels called from here run.

    Raises
    ------
    ValueError
        `H5BURST_SIMD` names a variant that does not exist or that this machine does not run.
    """
    forced = _forced.get()
    if forced is not None:
        return forced
    wished = os.environ.get(VARIABLE, "").strip().lower()
    return _checked(wished, VARIABLE) if wished else available()[-1]


def level() -> int:
    """The number of the active variant, as the compiled kernels take it."""
    return LEVELS.index(active())


@contextmanager
def forced(variant: str) -> Iterator[None]:
    """Run this variant within the block, whatever `H5BURST_SIMD` says.

    Raises
    ------
    ValueError
        There is no such variant, or this machine does not run it.
    """
    token = _forced.set(_checked(variant, "variant"))
    try:
        yield
    finally:
        _forced.reset(token)


def _checked(variant: str, source: str) -> str:
    if variant not in LEVELS:
        raise ValueError(f"{source} must be one of {', '.join(LEVELS)}, got {variant!r}")
    if variant not in available():
        raise ValueError(f"{source}={variant!r}: this machine runs only {', '.join(available())}")
    return variant
