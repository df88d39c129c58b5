"""The path by which scripts import `hdmea.session.hdf5_store`.

The same module, so that what they assign here counts there.
"""

import sys
from typing import TYPE_CHECKING

from hdmea.session import hdf5_store as _module

if TYPE_CHECKING:
    from hdmea.session.hdf5_store import *  # noqa: F403
else:
    sys.modules[__name__] = _module
