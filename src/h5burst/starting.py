"""The beginning of installed commands: `from h5burst.starting import PACKAGE` is the function that runs `PACKAGE.cli`.

Ctrl-C while that is imported ends the command as one line, as it does later.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable


def __getattr__(package: str) -> Callable[[], int]:
    if package.startswith("_"):
        raise AttributeError(package)

    def main() -> int:
        try:
            run: Callable[[], int] = importlib.import_module(f"{package}.cli").main
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        return run()

    return main
