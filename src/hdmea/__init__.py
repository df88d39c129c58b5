"""hdmea: high-density multi-electrode array recordings of the retina, from the vendor's files to one HDF5 file."""

from typing import Any

from h5burst import __version__ as __version__
from hdmea.utils.lazy import find_name

_NAMES = {"hdmea.session.session": ("PipelineSession", "SaveState", "create_session")}

__all__ = ["PipelineSession", "SaveState", "create_session"]


def __getattr__(name: str) -> Any:
    return find_name(__name__, name, _NAMES)
