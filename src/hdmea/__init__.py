"""hdmea: high-density multi-electrode array recordings of the retina, from the vendor's files to one HDF5 file."""

from typing import Any

from h5burst import __version__ as __version__
from hdmea.utils.lazy import find_name

_NAMES = {
    "hdmea.session.session": ("PipelineSession", "SaveState", "create_session"),
    "hdmea.bridges.arrays": ("to_xarray",),
    "hdmea.bridges.nwb": ("export_nwb",),
    "hdmea.bridges.tables": ("feature_frame", "trace_frames", "write_tables"),
}

__all__ = [
    "PipelineSession",
    "SaveState",
    "create_session",
    "export_nwb",
    "feature_frame",
    "to_xarray",
    "trace_frames",
    "write_tables",
]


def __getattr__(name: str) -> Any:
    return find_name(__name__, name, _NAMES)
