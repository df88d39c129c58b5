"""Structures and errors: those of `scpstore.core`."""

from scpstore.core import *  # noqa: F403
from scpstore.core import __all__ as __all__
