"""The beginning of installed commands: `from h5burst.starting import PACKAGE` is the function that runs `PACKAGE.cli`.

Ctrl-C while that is imported ends the command as one line, as it does later.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
from collections.abc import Callable


def _ignore_ctrl_c() -> None:
    """Behind a command's end: what Python itself does then would show a traceback."""
    with contextlib.suppress(ValueError, KeyboardInterrupt):  # of other threads than the main one
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def __getattr__(package: str) -> Callable[[], int]:
    if package.startswith("_"):
        raise AttributeError(package)

    def main() -> int:
        try:
            run: Callable[[], int] = importlib.import_module(f"{package}.cli").main
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        code = run()
        _ignore_ctrl_c()
        return code

    return main
