"""Pictures of places: on the chip, and on the stimulus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hdmea.plot import figure_data
from hdmea.plot.axes import BLUE, CIRCULAR, GREY, RED, SEQUENTIAL, Axes, axes_of, label, nothing
from hdmea.plot.figure_data import Data, Image


def plot_electrical_image(data: Data, unit: str, *, waveforms: int = 3, ax: Axes | None = None) -> Axes:
    """Peak-to-peak amplitude at every electrode, the soma, the axon's path, and the traces around the soma.

    Parameters
    ----------
    data
        A session, or the path of its file, which is read as it is used.
    unit
        Its ID.
    waveforms
        Electrodes to each side of the soma (or of the largest amplitude) whose traces are drawn; 0 for none.
    ax
        Axes to draw into; default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Those drawn into; they say so where there is nothing to draw.

    Raises
    ------
    KeyError
        The unit is not there.
    ValueError
        A negative number of electrodes.

    Examples
    --------
    >>> from hdmea.plot import plot_electrical_image
    >>> ax = plot_electrical_image("recording.h5", "unit_001", waveforms=2)
    >>> ax.figure.savefig("image.png")
    """
    if waveforms < 0:
        raise ValueError(f"waveforms must be 0 or more electrodes, got {waveforms}")
    session, ax = figure_data.opened(data), axes_of(ax)
    image = figure_data.image_of(session, figure_data.unit_of(session, unit))
    label(ax, "column (electrodes)", "row (electrodes)", f"{unit}: electrical image")
    if image is None:
        return nothing(ax, "no electrical image")
    shown = ax.imshow(image.peak_to_peak, cmap=SEQUENTIAL, interpolation="nearest")
    ax.figure.colorbar(shown, ax=ax, label="peak to peak (ADC counts)")
    if len(image.axon):
        ax.plot(*image.axon.T, "-", color=RED, lw=1.5, label="axon")
    if image.soma is not None:
        ax.plot(*image.soma, "o", mfc="none", mec="white", ms=9, mew=1.8, label="soma")
    if waveforms:
        _draw_traces(ax, image, waveforms)
    if len(image.axon) or image.soma is not None:
        ax.legend(fontsize=7, loc="upper right", facecolor="0.3", labelcolor="white")
    return ax


def _draw_traces(ax: Axes, image: Image, reach: int) -> None:
    """The traces of the electrodes around the soma, each in the square of its electrode, in one collection."""
    from matplotlib.collections import LineCollection

    rows, columns = image.peak_to_peak.shape
    row, column = figure_data.middle_of(image)
    scale = 0.9 / (float(image.peak_to_peak.max()) or 1.0)
    along = np.linspace(-0.45, 0.45, len(image.average))
    traces = [
        np.stack([c + along, r - np.nan_to_num(image.average[:, r, c]) * scale], axis=1)
        for r in range(max(row - reach, 0), min(row + reach + 1, rows))
        for c in range(max(column - reach, 0), min(column + reach + 1, columns))
    ]
    ax.add_collection(LineCollection(traces, colors="white", linewidths=0.7), autolim=False)


def plot_unit_map(
    data: Data,
    values: Mapping[str, float] | None = None,
    *,
    name: str = "value",
    circular: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Map of the units on the chip, coloured by any value.

    Places are fitted somata where there are some, else the sorter's electrodes; units without either are left out, and
    their number is said.

    Parameters
    ----------
    data
        A session, or the path of its file, which is read as it is used.
    values
        Unit ID to a number; units without one, or with NaN, are hollow.
    name
        Of the value, with its unit, beside the colours.
    circular
        The values are angles in degrees.
    ax
        Axes to draw into; default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Those drawn into; they say so where there is nothing to draw.

    Examples
    --------
    >>> from hdmea.pipeline import PipelineSession
    >>> from hdmea.plot import plot_unit_map
    >>> session = PipelineSession.load("recording.h5")
    >>> counts = {unit_id: len(unit["spike_times"]) for unit_id, unit in session.units.items()}
    >>> plot_unit_map(session, counts, name="spikes").figure.savefig("map.png")
    """
    session, ax = figure_data.opened(data), axes_of(ax)
    places = {unit_id: figure_data.chip_position(unit) for unit_id, unit in session.units.items()}
    placed = {unit_id: xy for unit_id, xy in places.items() if xy is not None}
    without = len(places) - len(placed)
    title = f"{len(placed)} units" + (f" ({without} without a place)" if without else "")
    label(ax, "column (electrodes)", "row (electrodes)", title)
    if not placed:
        return nothing(ax, "no unit has a place on the chip")
    spots = np.array(list(placed.values()))
    colours = np.array([float((values or {}).get(unit_id, np.nan)) for unit_id in placed])
    has_value = np.isfinite(colours)
    ax.scatter(spots[~has_value, 0], spots[~has_value, 1], s=22, facecolors="none", edgecolors=GREY, linewidths=0.9)
    if has_value.any():
        limits: dict[str, Any] = {"vmin": 0, "vmax": 360} if circular else {}
        look: dict[str, Any] = {"cmap": CIRCULAR if circular else SEQUENTIAL, **limits}
        shown = ax.scatter(
            spots[has_value, 0],
            spots[has_value, 1],
            s=26,
            c=colours[has_value] % 360 if circular else colours[has_value],
            **look,
        )
        ax.figure.colorbar(shown, ax=ax).set_label(name, parse_math=False)
    ax.set_aspect("equal")
    ax.invert_yaxis()
    return ax


def plot_rf_mosaic(
    data: Data, feature: str | None = None, *, units: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """The ellipses of all fitted receptive fields at one SD, on the movie's pixels.

    Parameters
    ----------
    data
        A session, or the path of its file, which is read as it is used.
    feature
        Default the first spike-triggered average of any unit.
    units
        IDs; default all.
    ax
        Axes to draw into; default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Those drawn into; they say so where there is nothing to draw.

    Raises
    ------
    KeyError
        A unit is not there.

    Examples
    --------
    >>> from hdmea.plot import plot_rf_mosaic
    >>> plot_rf_mosaic("recording.h5").figure.savefig("mosaic.png")
    """
    session, ax = figure_data.opened(data), axes_of(ax)
    chosen = [figure_data.unit_of(session, one) for one in (session.units if units is None else units)]
    name = feature or next((one for unit in chosen for one in figure_data.field_names(unit)), None)
    fields = [] if name is None else [figure_data.field_ellipse(unit, name) for unit in chosen]
    shapes = [one for one in fields if one is not None]
    label(ax, "x (pixels)", "y (pixels)", f"{len(shapes)} of {len(chosen)} units: {name or 'no averages'}")
    if not shapes:
        return nothing(ax, "no fitted receptive field")
    from matplotlib.collections import EllipseCollection

    places = np.array([(one.x, one.y) for one in shapes])
    widths, heights = ([2 * getattr(one, half) for one in shapes] for half in ("half_major", "half_minor"))
    angles = [one.angle_deg for one in shapes]
    look: dict[str, Any] = {"facecolors": "none", "edgecolors": BLUE, "linewidths": 1.0}
    placed: dict[str, Any] = {"units": "xy", "offsets": places, "offset_transform": ax.transData}
    ax.add_collection(EllipseCollection(widths, heights, angles, **placed, **look))
    reach = max(*widths, *heights) / 2
    ax.set_xlim(places[:, 0].min() - reach, places[:, 0].max() + reach)
    ax.set_ylim(places[:, 1].max() + reach, places[:, 1].min() - reach)
    ax.set_aspect("equal")
    return ax
