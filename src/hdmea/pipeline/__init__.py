"""The pipeline: sessions, loading, sections, features, flows; and every public name of `hdmea.io`."""

from typing import Any

from h5burst import find_export
from hdmea.public import PUBLIC_NAMES

__all__ = list(PUBLIC_NAMES)


def __getattr__(name: str) -> Any:
    return find_export(__name__, name, PUBLIC_NAMES)
