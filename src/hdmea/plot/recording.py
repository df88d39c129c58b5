"""Pictures of a whole recording."""

from __future__ import annotations

import numpy as np

from hdmea.plot import figure_data
from hdmea.plot.axes import BLUE, COLOURS, GREY, Axes, axes_of, label, nothing, open_frame
from hdmea.plot.figure_data import Data


def plot_sections(data: Data, *, bins: int = 1500, ax: Axes | None = None) -> Axes:
    """The light reference over time, and each section that was found as a shaded stretch with its name in the legend.

    Parameters
    ----------
    data
        A session, or the path of its file, which is read as it is used.
    bins
        The trace is drawn as the range between its lowest and highest sample in each of so many stretches.
    ax
        Axes to draw into; default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Those drawn into; they say so where there is nothing to draw.

    Raises
    ------
    ValueError
        Fewer than one bin.

    Examples
    --------
    >>> from hdmea.plot import plot_sections
    >>> plot_sections("recording.h5", bins=500).figure.savefig("sections.png")
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    session, ax = figure_data.opened(data), axes_of(ax)
    light, sections = figure_data.light_of(session, bins), figure_data.sections_of(session)
    label(ax, "time (s)", "light reference (ADC counts)", session.dataset_id)
    if light is None and not sections:
        return nothing(ax, "no light reference and no sections")
    if light is None:
        ax.set_ylabel("")
        ax.set_yticks([])
    else:
        ax.fill_between(light.times_s, light.low, light.high, color=GREY, lw=0.6, ec=GREY)
    for i, (name, bounds) in enumerate(sections.items()):
        colour, hatch = COLOURS[i % len(COLOURS)], "" if i < len(COLOURS) else "//"
        for number, (start, end) in enumerate(bounds):
            shown = None if number else f"{name.lstrip('_') or name} (n = {len(bounds)})"
            ax.axvspan(start, end, color=colour, alpha=0.3, lw=0, hatch=hatch, label=shown)
    if sections:
        for text in ax.legend(fontsize=7, loc="upper left", bbox_to_anchor=(0, -0.2), frameon=False).texts:
            text.set_parse_math(False)
    open_frame(ax)
    return ax


MEASURES = {
    "mean rate (spikes/s)": "rate",
    "intervals below 1.5 ms (%)": "violations",
    "spikes (count)": "count",
}


def plot_quality(data: Data, measure: str = "rate", *, ax: Axes | None = None) -> Axes:
    """Distribution of a measure of quality over the units.

    Parameters
    ----------
    data
        A session, or the path of its file, which is read as it is used.
    measure
        "rate" (spikes/s over the recording, or to the last spike of all where its length is not known), "violations"
        (intervals below 1.5 ms, percent) or "count" (spikes).
    ax
        Axes to draw into; default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Those drawn into; they say so where there is nothing to draw.

    Raises
    ------
    ValueError
        Another measure.

    Examples
    --------
    >>> from hdmea.plot import plot_quality
    >>> plot_quality("recording.h5", "violations").figure.savefig("quality.png")
    """
    names = {short: long for long, short in MEASURES.items()}
    if measure not in names:
        raise ValueError(f"measure must be one of {', '.join(names)}, not {measure!r}")
    session, ax = figure_data.opened(data), axes_of(ax)
    measures = figure_data.quality_of(session)
    values = measures[measure][np.isfinite(measures[measure])]
    label(ax, names[measure], "units (count)", session.dataset_id)
    if not len(values):
        return nothing(ax, "no unit with spikes enough")
    ax.hist(values, bins=min(40, max(5, round(np.sqrt(len(values)) * 2))), color=BLUE)
    ax.locator_params(axis="y", integer=True)
    median = float(np.median(values))
    ax.axvline(median, color=GREY, ls="--", lw=1, label=f"median {median:.3g}")
    ax.legend(frameon=False, fontsize=8)
    open_frame(ax)
    return ax
