"""Spontaneous activity of many recordings: a table with one row a recording, and its measures against age."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from h5burst import durable
from hdmea.bridges.table_files import TableWriter, checked_format
from hdmea.session.session import PipelineSession
from hdmea.spontaneous.records import BURSTS, SYNCHRONY, WAVES
from hdmea.steps.per_unit import get_nested, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FACTS = {"laboratory": "key", "age": "age", "genotype": "genotype", "condition": "cond", "species": "species"}
OF_BURSTS = (
    *("burst_rate_per_min", "burst_duration_s", "burst_spikes", "burst_spike_share", "inter_burst_interval_s"),
    "inter_burst_interval_cv",
)
MAX_IN_A_ROW = 4


def activity_table(recordings: Iterable[str | Path | PipelineSession]) -> pl.DataFrame:
    """One row a recording: what it is of, and its rates, bursts, synchrony and waves.

    Parameters
    ----------
    recordings
        Files or sessions that the flow `waves` was run on; what a step has not measured is null.

    Returns
    -------
    polars.DataFrame
        `recording`; `laboratory` (the publication's key), `age` (days after birth), `genotype`, `condition` and
        `species`, as the source says; `units`, `duration_s`, `rate_hz` and measures of bursts, medians over units;
        `sttc_mean`, `sttc_decay_um`, `sttc_decay_se_um`; and the measures of `hdmea.spontaneous.wave_measures`.
        Sorted by age and name; NaN is null.

    Raises
    ------
    OSError, ValueError
        A file that is no recording.

    Examples
    --------
    >>> from hdmea.population.activity import activity_table
    >>> table = activity_table(["waves.h5"])
    >>> table["units"].item(), table["wave_count"].item()
    (16, 2.0)
    """
    rows = [_row(one) for one in recordings]
    table = pl.DataFrame(rows, infer_schema_length=None) if rows else pl.DataFrame({"recording": [], "age": []})
    return table.fill_nan(None).sort("age", "recording", nulls_last=True)


def _row(recording: str | Path | PipelineSession) -> dict[str, Any]:
    session = recording if isinstance(recording, PipelineSession) else PipelineSession.load(Path(recording), lazy=True)
    duration_s = session.duration_s()
    counts, bursts = [], []
    for unit in session.units.values():
        counts.append(len(unit["spike_times"]))
        bursts.append([number(get_nested(unit, "features", BURSTS, "data", name)) for name in OF_BURSTS])
    facts = session.metadata.get("sys_meta") or {}
    synchrony, measures = session.metadata.get(SYNCHRONY) or {}, get_nested(session.metadata, WAVES, "measures") or {}
    return {
        "recording": session.dataset_id,
        **{name: _fact(facts.get(key), name) for name, key in FACTS.items()},
        "units": len(counts),
        "duration_s": float(duration_s),
        "rate_hz": _median(np.array(counts, np.float64)) / duration_s,
        **dict(zip(OF_BURSTS, map(_median, np.reshape(bursts, (-1, len(OF_BURSTS))).T), strict=True)),
        "sttc_mean": number(synchrony.get("sttc_mean")),
        "sttc_decay_um": number(get_nested(synchrony, "sttc_over_distance", "decay_um")),
        "sttc_decay_se_um": number(get_nested(synchrony, "sttc_over_distance", "decay_se_um")),
        **{name: number(value) for name, value in measures.items()},
    }


def _fact(value: Any, name: str) -> Any:
    if name == "age":
        return number(value) if isinstance(value, (int, float, np.number)) else None
    return None if value is None else str(value)


def _median(values: Any) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def write_activity(
    recordings: Iterable[str | Path], output: Path, plot: Path | None, *, overwrite: bool
) -> pl.DataFrame:
    """Write the table of recordings to a file, and beside it, where it is asked for, its measures against age.

    Parameters
    ----------
    recordings
        Session files.
    output
        The table, in the format that its suffix says: `.parquet`, `.csv`, `.tsv` or `.arrow`.
    plot
        A picture of `plot_by_age`, in the format that its suffix says; None draws none.
    overwrite
        Replace files that exist.

    Returns
    -------
    polars.DataFrame
        What was written, as `activity_table` gives it.

    Raises
    ------
    FileExistsError
        One of the files exists, without `overwrite`.
    ConfigurationError
        A suffix that is not a table's.
    ValueError
        A plot, and no recording says its age.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hdmea.population.activity import write_activity
    >>> len(write_activity(["waves.h5"], Path("activity.csv"), None, overwrite=False))
    1
    """
    for path in (output, plot):
        if path is not None:
            durable.require_absent(path, overwrite)
    form = checked_format(output)
    table = activity_table(recordings)
    facts = dict.fromkeys(table.columns, ("", ""))
    with (
        durable.replacing(output, overwrite=overwrite) as written,
        TableWriter(written, form, dict(table.schema), facts) as writer,
    ):
        writer.write(table)
    if plot is not None:
        kind = plot.suffix.removeprefix(".") or "png"
        with durable.replacing(plot, overwrite=overwrite) as written:
            plot_by_age(table).savefig(written, format=kind)
    return table


def plot_by_age(table: pl.DataFrame, measures: Iterable[str] | None = None) -> Figure:
    """Draw measures against age, a laboratory a colour, a recording a point; lines join a laboratory's medians.

    Parameters
    ----------
    table
        Of `activity_table`.
    measures
        Columns; default all that are numbers and that two recordings have.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a measure.

    Raises
    ------
    ValueError
        A column that the table does not have, or fewer than two recordings with an age.

    Examples
    --------
    >>> from hdmea.population.activity import activity_table, plot_by_age
    >>> table = activity_table(["waves.h5"]).with_columns(age=9.0)
    >>> [axes.get_title() for axes in plot_by_age(table, ["wave_rate_per_min"]).axes]
    ['wave rate per min']
    """
    from matplotlib.figure import Figure

    with_age = table.filter(pl.col("age").is_not_null()) if "age" in table.columns else table.head(0)
    if not len(with_age):
        raise ValueError("no recording of the table says its age")
    skipped = {*FACTS, "recording", "sttc_decay_se_um"}
    numeric = [one for one, kind in with_age.schema.items() if kind.is_numeric() and one not in skipped]
    chosen = [one for one in numeric if with_age[one].count() > 1] if measures is None else list(measures)
    if unknown := [one for one in chosen if one not in with_age.columns]:
        raise ValueError(f"the table has no column {', '.join(unknown)}; it has {', '.join(numeric)}")
    if not chosen:
        raise ValueError("no measure that two recordings with an age have")
    rows = -(-len(chosen) // MAX_IN_A_ROW)
    figure = Figure(figsize=(3.4 * min(len(chosen), MAX_IN_A_ROW), 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, min(len(chosen), MAX_IN_A_ROW), squeeze=False).ravel()
    for axes, measure in zip(panels, chosen, strict=False):
        _draw(axes, with_age, measure)
    for axes in panels[len(chosen) :]:
        axes.remove()
    panels[0].legend(fontsize="small")
    return figure


def _draw(axes: Axes, table: pl.DataFrame, measure: str) -> None:
    labelled = table.with_columns(laboratory=pl.col("laboratory").fill_null("unknown"))
    for (laboratory,), rows in labelled.group_by("laboratory", maintain_order=True):
        (points,) = axes.plot(rows["age"], rows[measure], "o", alpha=0.7, label=str(laboratory))
        middle = rows.group_by("age").agg(pl.col(measure).median()).drop_nulls().sort("age")
        axes.plot(middle["age"], middle[measure], color=points.get_color(), linewidth=1)
    axes.set(title=measure.replace("_", " "), xlabel="age (days)")
