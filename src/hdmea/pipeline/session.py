"""The path by which scripts import `hdmea.session.session`.

The same module, so that what they assign here counts there.
"""

import sys
from typing import TYPE_CHECKING

from hdmea.session import session as _module

if TYPE_CHECKING:
    from hdmea.session.session import *  # noqa: F403
else:
    sys.modules[__name__] = _module
