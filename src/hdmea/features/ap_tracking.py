"""The path by which scripts import `hdmea.steps.axons`: the same module, so that what they assign here counts there."""

import sys
from typing import TYPE_CHECKING

from hdmea.steps import axons as _module

if TYPE_CHECKING:
    from hdmea.steps.axons import *  # noqa: F403
else:
    sys.modules[__name__] = _module
