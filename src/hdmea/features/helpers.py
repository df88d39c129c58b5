"""All compiled helpers of the extractors: how one is made, and how all are made ready at once.

Importing this module imports Numba. Each helper has an obvious counterpart in the tests' references that it is compared
with.
"""

from __future__ import annotations

from hdmea.features import harmonics, onset, psth, resampling
from hdmea.features.compiling import compiled

__all__ = ["compiled", "warm_up"]


def warm_up() -> None:
    """Load or compile every compiled function of the extractors for the types that they call it with."""
    for module in (psth, resampling, harmonics, onset):
        module.warm_up()
