"""Importing this module registers every feature of the package."""

from hdmea.features import baseline, chirp, chromatic, dense_noise, frif, moving_bar, on_off

FAMILIES = (baseline, chirp, chromatic, dense_noise, frif, moving_bar, on_off)

__all__ = ["FAMILIES"]
