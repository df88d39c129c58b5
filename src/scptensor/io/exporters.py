"""Containers to HDF5 files: that of `scpstore`."""

from scpstore.io.exporters import *  # noqa: F403
from scpstore.io.exporters import __all__ as __all__
