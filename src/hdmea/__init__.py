"""hdmea: high-density multi-electrode array recordings of the retina, from the vendor's files to one HDF5 file."""

from typing import Any

from hdmea.utils.lazy import find_name

__version__ = "0.1.0"

_NAMES = {"hdmea.session.session": ("PipelineSession", "SaveState", "create_session")}

__all__ = ["PipelineSession", "SaveState", "create_session"]


def __getattr__(name: str) -> Any:
    return find_name(__name__, name, _NAMES)
