"""Pictures of one unit's spike train and waveform."""

from __future__ import annotations

from hdmea.plot import figure_data
from hdmea.plot.axes import BLUE, RED, Axes, axes_of, label, nothing, open_frame
from hdmea.plot.figure_data import Data


def plot_isi(
    data: Data,
    unit: str,
    *,
    longest_ms: float = 100.0,
    bin_ms: float = 1.0,
    refractory_ms: float = 1.5,
    ax: Axes | None = None,
) -> Axes:
    """Histogram of the intervals between spikes, up to `longest_ms`; the refractory period is shaded.

    Parameters
    ----------
    data
        A session, or the path of its file, which is read as it is used.
    unit
        Its ID.
    longest_ms, bin_ms
        Longest interval and width of a bin in ms.
    refractory_ms
        What is shaded.
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
        A bin that is not positive or too wide.

    Examples
    --------
    >>> from hdmea.plot import plot_isi
    >>> plot_isi("recording.h5", "unit_001", longest_ms=50.0).figure.savefig("isi.png")
    """
    _check_bins(longest_ms, bin_ms)
    session, ax = figure_data.opened(data), axes_of(ax)
    times = figure_data.spikes_s(session, figure_data.unit_of(session, unit))
    label(ax, "interval (ms)", "intervals (count)", f"{unit}: intervals")
    if len(times) < 2:
        return nothing(ax, "fewer than two spikes")
    counts, edges = figure_data.isi_histogram(times, longest_ms, bin_ms)
    ax.axvspan(0, refractory_ms, color=RED, alpha=0.2, lw=0, label=f"below {refractory_ms:g} ms")
    ax.stairs(counts, edges, fill=True, color=BLUE)
    ax.set_xlim(0, edges[-1])
    ax.legend(frameon=False, fontsize=8)
    open_frame(ax)
    return ax


def plot_autocorrelogram(
    data: Data, unit: str, *, longest_ms: float = 50.0, bin_ms: float = 1.0, ax: Axes | None = None
) -> Axes:
    """Pairs of a unit's spikes by the time between them, each spike with itself left out.

    Parameters
    ----------
    data
        A session, or the path of its file, which is read as it is used.
    unit
        Its ID.
    longest_ms, bin_ms
        Longest time and width of a bin in ms.
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
        A bin that is not positive or too wide.

    Examples
    --------
    >>> from hdmea.plot import plot_autocorrelogram
    >>> plot_autocorrelogram("recording.h5", "unit_001").figure.savefig("pairs.png")
    """
    _check_bins(longest_ms, bin_ms)
    session, ax = figure_data.opened(data), axes_of(ax)
    times = figure_data.spikes_s(session, figure_data.unit_of(session, unit))
    label(ax, "lag (ms)", "pairs of spikes (count)", f"{unit}: autocorrelogram")
    if len(times) < 2:
        return nothing(ax, "fewer than two spikes")
    counts, edges = figure_data.autocorrelogram(times, longest_ms, bin_ms)
    ax.stairs(counts, edges, fill=True, color=BLUE)
    ax.set_xlim(edges[0], edges[-1])
    open_frame(ax)
    return ax


def plot_waveform(data: Data, unit: str, *, ax: Axes | None = None) -> Axes:
    """The mean waveform that the sorter stored, in its unit, about its trough.

    Parameters
    ----------
    data
        A session, or the path of its file, which is read as it is used.
    unit
        Its ID.
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

    Examples
    --------
    >>> from hdmea.plot import plot_waveform
    >>> plot_waveform("recording.h5", "unit_001").figure.savefig("waveform.png")
    """
    session, ax = figure_data.opened(data), axes_of(ax)
    waveform = figure_data.waveform_of(session, figure_data.unit_of(session, unit))
    label(ax, "time from trough (ms)", "amplitude (unit of the file)", f"{unit}: waveform")
    if waveform is None:
        return nothing(ax, "no waveform stored")
    ax.plot(*waveform, color=BLUE, lw=1.5)
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    open_frame(ax)
    return ax


def _check_bins(longest_ms: float, bin_ms: float) -> None:
    if not 0 < bin_ms <= longest_ms:
        raise ValueError(f"bin_ms must be positive and at most longest_ms ({longest_ms:g}), got {bin_ms:g}")
