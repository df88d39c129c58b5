"""The path by which scripts import `hdmea.steps.runner`.

The same module, so that what they assign here counts there.
"""

import sys
from typing import TYPE_CHECKING

from hdmea.steps import runner as _module

if TYPE_CHECKING:
    from hdmea.steps.runner import *  # noqa: F403
else:
    sys.modules[__name__] = _module
