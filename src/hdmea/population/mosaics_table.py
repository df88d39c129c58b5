"""The table of mosaics: every type in every recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from hdmea.population.chip_area import Region
from hdmea.population.mosaics import MIN_SOMATA, Mosaic, mosaic

CHIP_SIDE = 65.0  # electrodes

SCHEMA = {
    **{"recording": pl.String(), "type": pl.String(), "n": pl.Int64(), "region": pl.String()},
    **{name: pl.Float64() for name in Mosaic.__dataclass_fields__ if name != "n"},
}


def mosaics_table(cells: pl.DataFrame, regions: Mapping[str, Region], seed: int) -> pl.DataFrame:
    """A row a type and recording with enough somata; lengths in electrodes.

    The region is the part of the chip that retina covers, where it is known, else the chip. Coverage is of the fields'
    1-SD ellipses, where chip and stimulus are aligned.
    """
    typed = cells.filter(pl.col("type").is_not_null() & pl.col("soma_row").is_finite() & pl.col("soma_col").is_finite())
    by_mosaic = typed.group_by(["recording", "type"], maintain_order=True)
    enough = [(names, group) for names, group in by_mosaic if len(group) >= MIN_SOMATA]

    def measured(one: tuple[tuple[object, ...], pl.DataFrame]) -> dict[str, Any]:
        (recording, kind), group = one
        region = regions.get(str(recording))
        somata = group.select("soma_col", "soma_row").to_numpy()
        pitch_um = region.pitch_um if region is not None else np.nan
        found = mosaic(
            somata,
            CHIP_SIDE,
            CHIP_SIDE,
            field_areas=group["field_area_um2"].to_numpy() / pitch_um**2,
            seed=seed,
            region=region,
        )
        row: dict[str, Any] = {"recording": recording, "type": kind, "region": "chip" if region is None else "retina"}
        return row | {name: getattr(found, name) for name in found.__dataclass_fields__}

    return pl.DataFrame([measured(one) for one in enough], schema=SCHEMA)  # one thread: GEOS builds its index lazily
