"""Errors: those of `scpstore`."""

from scpstore.core.exceptions import *  # noqa: F403
from scpstore.core.exceptions import __all__ as __all__
