"""Pictures of a recording: one function a picture, each takes `(data, …, ax=None)` and returns the axes.

`data` is a session or the path of a file, which is read lazily: no more than what is drawn. Needs matplotlib (the extra
`plot`). What is drawn, as numbers, comes from `hdmea.plot.figure_data`, which needs no matplotlib.
"""

from typing import Any

from h5burst import find_export, stub_exports

_exports = stub_exports(__file__)
__all__ = sorted(_exports)


def __getattr__(name: str) -> Any:
    return find_export(__name__, name, _exports)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
