"""h5burst: trees of arrays to HDF5 files and back, fast, durable and within a memory budget.

All that others use is importable from here; the stub `__init__.pyi` lists it. Names are imported when they are first
used, so that `import h5burst` costs next to nothing.
"""

from __future__ import annotations

from typing import Any

from h5burst.runtime.exports import find_export, stub_exports

__version__ = "0.2.0"

_exports = stub_exports(__file__)
__all__ = sorted(_exports)


def __getattr__(name: str) -> Any:
    export = globals()[name] = find_export(__name__, name, _exports)
    return export


def __dir__() -> list[str]:
    return [*globals(), *__all__]
