"""`h5burst auto`: two small files in a virtual environment that look for `H5BURST_AUTO` when Python starts."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

_STARTER = Path(__file__).parents[1] / "auto" / "starter.py"  # not imported: that would enable it
_LINE = 'import os; os.environ.get("H5BURST_AUTO", "0") not in ("", "0") and __import__("_h5burst_auto")\n'


def files() -> tuple[Path, Path]:
    """Paths of the `.pth` file and of the module that it imports, there or not."""
    directory = Path(sysconfig.get_path("purelib"))
    return directory / "h5burst_auto.pth", directory / "_h5burst_auto.py"


def is_installed() -> bool:
    return all(path.exists() for path in files())


def install() -> tuple[Path, Path]:
    """Write both files. Raises OSError outside a virtual environment: all programs of the machine would read them."""
    if sys.prefix == sys.base_prefix:
        raise OSError(f"{sys.prefix} is not a virtual environment: make one (python -m venv), or import h5burst.auto")
    line, module = files()
    module.write_text(_STARTER.read_text(encoding="utf-8"), encoding="utf-8")
    line.write_text(_LINE, encoding="utf-8")
    return line, module


def remove() -> list[Path]:
    """Remove both files, and what Python made of them. Which were there."""
    line, module = files()
    compiled = (module.parent / "__pycache__").glob(f"{module.stem}.*.pyc")
    removed = [path for path in (line, module, *compiled) if path.exists()]
    for path in removed:
        path.unlink()
    return removed
