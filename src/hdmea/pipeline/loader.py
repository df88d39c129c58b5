"""The path by which scripts import `hdmea.session.loader`.

The same module, so that what they assign here counts there.
"""

import sys
from typing import TYPE_CHECKING

from hdmea.session import loader as _module

if TYPE_CHECKING:
    from hdmea.session.loader import *  # noqa: F403
else:
    sys.modules[__name__] = _module
