"""The table of mosaics: every type in every recording."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np
import polars as pl

from h5burst import parallel_map
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
    columns = cells.select("recording", "type", "soma_row", "soma_col", "field_area_um2").with_row_index("number")
    typed = columns.filter(
        pl.col("type").is_not_null() & pl.col("soma_row").is_finite() & pl.col("soma_col").is_finite()
    )
    by_recording = [group for _, group in typed.group_by("recording", maintain_order=True)]
    # A region is of one thread: GEOS builds the index of a prepared geometry when it is first used.
    measured = parallel_map(lambda group: _of_recording(group, regions, seed), by_recording)
    rows = sorted((row for rows in measured for row in rows), key=itemgetter("first"))
    return pl.DataFrame([{name: row[name] for name in SCHEMA} for row in rows], schema=SCHEMA)


def _of_recording(cells: pl.DataFrame, regions: Mapping[str, Region], seed: int) -> list[dict[str, Any]]:
    """A row a type of one recording's cells, with the number of its `first` cell."""
    recording = str(cells["recording"][0])
    region = regions.get(recording)
    pitch_um = region.pitch_um if region is not None else np.nan
    somata, areas = cells.select("soma_col", "soma_row").to_numpy(), cells["field_area_um2"].to_numpy() / pitch_um**2
    cells_of: dict[str, list[int]] = {}
    for n, kind in enumerate(cells["type"].to_list()):
        cells_of.setdefault(kind, []).append(n)
    rows, nulls = [], dict[int, Any]()
    for kind, chosen in cells_of.items():
        if len(chosen) < MIN_SOMATA:
            continue
        measured = mosaic(
            somata[chosen],
            CHIP_SIDE,
            CHIP_SIDE,
            field_areas=areas[chosen],
            seed=seed,
            region=region,
            nulls=nulls,
        )
        row: dict[str, Any] = {"first": cells["number"][chosen[0]], "recording": recording, "type": kind}
        row["region"] = "chip" if region is None else "retina"
        rows.append(row | {name: getattr(measured, name) for name in measured.__dataclass_fields__})
    return rows
