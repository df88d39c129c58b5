"""Parts of containers to and from h5py groups: those of `scpstore`."""

from scpstore.io.serializers import *  # noqa: F403
from scpstore.io.serializers import __all__ as __all__
