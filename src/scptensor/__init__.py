"""scptensor: the public names of `scpstore` under the module paths of this package's contract, and nothing else."""

from scpstore import *  # noqa: F403
from scpstore import __all__ as __all__
from scpstore import __version__ as __version__
