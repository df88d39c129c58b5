"""One line for every program that uses h5py: `import h5burst.auto` enables `h5burst.accelerate`."""

from __future__ import annotations

import atexit
import os
import sys

from h5burst.accelerate import Status, disable, enable, enabled, status

__all__ = ["Status", "disable", "enable", "enabled", "status"]

VARIABLE = "H5BURST_AUTO"  # "report": what was taken over is printed when the process ends


def _report() -> None:
    print(status(), file=sys.stderr)


enable()
if os.environ.get(VARIABLE, "").strip().lower() == "report":
    atexit.register(_report)
