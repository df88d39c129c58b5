"""The path by which scripts import `hdmea.steps.section_by_direction`: the same module, so assignments count there."""

import sys
from typing import TYPE_CHECKING

from hdmea.steps import section_by_direction as _module

if TYPE_CHECKING:
    from hdmea.steps.section_by_direction import *  # noqa: F403
else:
    sys.modules[__name__] = _module
