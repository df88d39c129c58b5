"""At Python's start, with `H5BURST_AUTO` set: once h5py is imported, `h5burst.auto` is; beside a `.pth` that asks.

It imports neither h5py nor h5burst itself, and whatever is wrong with h5burst becomes a warning.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any


def _enable() -> None:
    try:
        import h5burst.auto  # noqa: F401
    except Exception as error:  # noqa: BLE001 - the program that starts must not notice more than this
        warnings.warn(f"h5burst.auto is not used: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=2)


class _AfterH5py:
    """Finds no module; the one that finds h5py gets something more to do."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "h5py" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                run(module)
                _enable()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if __name__ == "_h5burst_auto":  # its name in a virtual environment
    if "h5py" in sys.modules:
        _enable()
    else:
        sys.meta_path.insert(0, _AfterH5py())  # type: ignore[arg-type]
