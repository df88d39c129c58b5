"""Files and tables of containers: those of `scpstore.io`."""

from scpstore.io import *  # noqa: F403
from scpstore.io import __all__ as __all__
