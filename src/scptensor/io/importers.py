"""HDF5 files to containers: that of `scpstore`."""

from scpstore.io.importers import *  # noqa: F403
from scpstore.io.importers import __all__ as __all__
