"""ADC counts to volts, as the vendor's tables say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import number


def volts_of(meta: Mapping[str, Any] | None, stream: str) -> tuple[float, float] | None:
    """Factor and offset from ADC counts to volts of a stream (`SensorMeta`, `ChannelMeta`); None where not known.

    volts = (counts - ADZero) · ConversionFactor · 10^Exponent, where the table's unit is V.
    """
    row = meta.get(stream) if isinstance(meta, Mapping) else None
    if not isinstance(row, Mapping) or str(row.get("Unit", "")).strip("\0 ").upper() != "V":
        return None
    stated, exponent = number(row.get("ConversionFactor")), number(row.get("Exponent"))
    factor = stated / 10.0**-exponent if exponent < 0 else stated * 10.0**exponent  # 10^9 is exact, 10^-9 is not
    if not (np.isfinite(factor) and factor > 0):
        return None
    return factor, 0.0 - number(row.get("ADZero"), 0.0) * factor


def counts_to_volts(session: PipelineSession, stream: str) -> tuple[float, float] | None:
    """As `volts_of`, of the files that a session was loaded from."""
    scales = (volts_of(session.metadata.get(source), stream) for source in ("cmcr_meta", "sys_meta"))
    return next((one for one in scales if one is not None), None)
