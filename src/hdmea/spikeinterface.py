"""The path by which scripts import `hdmea.bridges.spikeinterface`: needs `pip install 'h5burst[neuro]'`."""

import sys
from typing import TYPE_CHECKING

from hdmea.bridges import spikeinterface as _module

if TYPE_CHECKING:
    from hdmea.bridges.spikeinterface import *  # noqa: F403
else:
    sys.modules[__name__] = _module
