"""`python -m h5burst.auto script.py arguments`: a script as it is, with `h5burst.auto` imported first."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import h5burst.auto  # noqa: F401


def main() -> None:
    """Run what the arguments name: a script, or `-m` and a module."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["-m"] and len(arguments) > 1:
        sys.argv = arguments[1:]
        sys.path.insert(0, "")
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments and not arguments[0].startswith("-"):
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")
    else:
        sys.exit("usage: python -m h5burst.auto script.py arguments, or -m module arguments")


if __name__ == "__main__":
    main()
