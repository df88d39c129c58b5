"""IDs for units that others have named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hdmea.session.layout import UNIT_ID


def unit_names(given: Sequence[Any]) -> list[str]:
    """IDs of units: their own where they are ours, by number where they have one, else counted from 1."""
    plain = [one.item() if isinstance(one, np.generic) else one for one in given]
    if len(set(map(str, plain))) == len(plain):
        if all(isinstance(one, str) and UNIT_ID.fullmatch(one) for one in plain):
            return [str(one) for one in plain]
        if all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in plain):
            return [f"unit_{one:03d}" for one in plain]
    return [f"unit_{number + 1:03d}" for number in range(len(plain))]
