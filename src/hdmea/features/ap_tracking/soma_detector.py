"""The path by which scripts import what finds a soma in an electrical image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.features.ap_tracking.pathway_analysis import RefinedSoma
from hdmea.geometry import ImageScale, clean_image, soma_geometry

__all__ = ["find_soma_from_3d_sta"]


def find_soma_from_3d_sta(
    sta: npt.ArrayLike,
    *further: Any,
    sampling_rate_hz: float = 20_000.0,
    spike_sample: int = 10,
    pitch_um: float = 16.0,
    **options: Any,
) -> RefinedSoma:
    """The soma in an electrical image (window, rows, columns), by `hdmea.geometry.soma_geometry`; NaN without one.

    Further arguments are options of an earlier method, without effect.
    """
    image = np.asarray(sta, np.float32)
    scale = ImageScale(sampling_rate_hz, spike_sample, pitch_um)
    soma = soma_geometry(clean_image(image, scale))
    return RefinedSoma(float(soma.trough_sample), float(soma.center_col), float(soma.center_row))
