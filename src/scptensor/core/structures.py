"""The structures of a container: those of `scpstore`."""

from scpstore.core.structures import *  # noqa: F403
from scpstore.core.structures import __all__ as __all__
