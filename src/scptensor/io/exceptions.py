"""Errors of files: those of `scpstore`."""

from scpstore.io.exceptions import *  # noqa: F403
from scpstore.io.exceptions import __all__ as __all__
