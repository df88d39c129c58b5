"""A recording as one HTML page: `write_report`, and the command `hdmea report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hdmea.utils.lazy import find_name

if TYPE_CHECKING:
    from hdmea.report.write import write_report as write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    return find_name(__name__, name, {"hdmea.report.write": ("write_report",)})
