"""hdmea: high-density multi-electrode array recordings of the retina, from the vendor's files to one HDF5 file."""

from typing import Any

from h5burst import __version__ as __version__
from h5burst import find_export, stub_exports

_exports = stub_exports(__file__)
__all__ = sorted(_exports)


def __getattr__(name: str) -> Any:
    return find_export(__name__, name, _exports)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
