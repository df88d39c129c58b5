"""The path by which scripts import `hdmea.steps.section_time`.

The same module, so that what they assign here counts there.
"""

import sys
from typing import TYPE_CHECKING

from hdmea.steps import section_time as _module

if TYPE_CHECKING:
    from hdmea.steps.section_time import *  # noqa: F403
else:
    sys.modules[__name__] = _module
