"""Earlier name of `hdmea.plot.figure_data`."""

import warnings
from typing import Any

from hdmea.plot import figure_data


def __getattr__(name: str) -> Any:
    value = getattr(figure_data, name)
    warnings.warn("hdmea.plot.content is called hdmea.plot.figure_data now", DeprecationWarning, stacklevel=2)
    return value
