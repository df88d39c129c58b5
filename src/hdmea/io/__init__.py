"""Files: recordings in and out, sections of the stimulus, sectioned spikes; and every public name of the pipeline."""

from typing import Any

from hdmea.public import PUBLIC_NAMES
from hdmea.utils.lazy import find_name

__all__ = [name for names in PUBLIC_NAMES.values() for name in names]


def __getattr__(name: str) -> Any:
    return find_name(__name__, name, PUBLIC_NAMES)
