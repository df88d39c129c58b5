"""Pictures of one unit's spike train and waveform."""

from __future__ import annotations

from hdmea.plot import content
from hdmea.plot.axes import BLUE, RED, Axes, axes_of, label, nothing, open_frame
from hdmea.plot.content import Data


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

    Raises `KeyError` for a unit that is not there, `ValueError` for a bin that is not positive or too wide.
    """
    _check_bins(longest_ms, bin_ms)
    session, ax = content.opened(data), axes_of(ax)
    times = content.spikes_s(session, content.unit_of(session, unit))
    label(ax, "interval (ms)", "intervals (count)", f"{unit}: intervals")
    if len(times) < 2:
        return nothing(ax, "fewer than two spikes")
    counts, edges = content.isi_histogram(times, longest_ms, bin_ms)
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

    Raises as `plot_isi`.
    """
    _check_bins(longest_ms, bin_ms)
    session, ax = content.opened(data), axes_of(ax)
    times = content.spikes_s(session, content.unit_of(session, unit))
    label(ax, "lag (ms)", "pairs of spikes (count)", f"{unit}: autocorrelogram")
    if len(times) < 2:
        return nothing(ax, "fewer than two spikes")
    counts, edges = content.autocorrelogram(times, longest_ms, bin_ms)
    ax.stairs(counts, edges, fill=True, color=BLUE)
    ax.set_xlim(edges[0], edges[-1])
    open_frame(ax)
    return ax


def plot_waveform(data: Data, unit: str, *, ax: Axes | None = None) -> Axes:
    """The mean waveform that the sorter stored, in its unit, about its trough. Raises `KeyError` as `plot_isi`."""
    session, ax = content.opened(data), axes_of(ax)
    found = content.waveform_of(session, content.unit_of(session, unit))
    label(ax, "time from trough (ms)", "amplitude (unit of the file)", f"{unit}: waveform")
    if found is None:
        return nothing(ax, "no waveform stored")
    ax.plot(*found, color=BLUE, lw=1.5)
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    open_frame(ax)
    return ax


def _check_bins(longest_ms: float, bin_ms: float) -> None:
    if not 0 < bin_ms <= longest_ms:
        raise ValueError(f"bin_ms must be positive and at most longest_ms ({longest_ms:g}), got {bin_ms:g}")
