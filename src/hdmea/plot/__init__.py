"""Pictures of a recording: one function a picture, each takes `(data, …, ax=None)` and returns the axes.

`data` is a session or the path of a file, which is read lazily: no more than what is drawn. Needs matplotlib (the extra
`plot`). What is drawn, as numbers, comes from `hdmea.plot.content`, which needs no matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hdmea.utils.lazy import find_name

if TYPE_CHECKING:
    from hdmea.plot.chip import plot_electrical_image as plot_electrical_image
    from hdmea.plot.chip import plot_rf_mosaic as plot_rf_mosaic
    from hdmea.plot.chip import plot_unit_map as plot_unit_map
    from hdmea.plot.recording import plot_quality as plot_quality
    from hdmea.plot.recording import plot_sections as plot_sections
    from hdmea.plot.responses import plot_psth as plot_psth
    from hdmea.plot.responses import plot_raster as plot_raster
    from hdmea.plot.responses import plot_receptive_field as plot_receptive_field
    from hdmea.plot.responses import plot_tuning as plot_tuning
    from hdmea.plot.trains import plot_autocorrelogram as plot_autocorrelogram
    from hdmea.plot.trains import plot_isi as plot_isi
    from hdmea.plot.trains import plot_waveform as plot_waveform

_MODULES = {
    "hdmea.plot.chip": ("plot_electrical_image", "plot_rf_mosaic", "plot_unit_map"),
    "hdmea.plot.recording": ("plot_quality", "plot_sections"),
    "hdmea.plot.responses": ("plot_psth", "plot_raster", "plot_receptive_field", "plot_tuning"),
    "hdmea.plot.trains": ("plot_autocorrelogram", "plot_isi", "plot_waveform"),
}
__all__ = sorted(name for names in _MODULES.values() for name in names)


def __getattr__(name: str) -> Any:
    return find_name(__name__, name, _MODULES)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
