"""Pictures of one unit's responses to stimuli."""

from __future__ import annotations

from typing import Any

import numpy as np

from hdmea.plot import figure_data
from hdmea.plot.axes import BLUE, DIVERGING, RED, Axes, axes_of, label, nothing, open_frame
from hdmea.plot.figure_data import Data, Field, Tuning


def plot_raster(data: Data, unit: str, movie: str, *, ax: Axes | None = None) -> Axes:
    """A unit's spikes, trial by trial.

    Parameters
    ----------
    data
        A session, or the path of its file, which is read as it is used.
    unit
        Its ID.
    movie
        The section.
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
    >>> from hdmea.plot import plot_raster
    >>> plot_raster("recording.h5", "unit_001", "moving_h_bar_s5_d8_3x").figure.savefig("raster.png")
    """
    session, ax = figure_data.opened(data), axes_of(ax)
    windows = figure_data.windows_of(session, figure_data.unit_of(session, unit), movie)
    label(ax, "time in trial (s)", "trial", f"{unit}: {movie}")
    if windows is None or not len(windows):
        return nothing(ax, f"no spikes cut by {movie}")
    trains = [windows.of(trial) / windows.rate for trial in range(len(windows))]
    ax.eventplot(trains, lineoffsets=list(range(1, len(trains) + 1)), linelengths=0.8, colors=BLUE, linewidths=0.8)
    ax.set_xlim(0, float(windows.durations_s.max()) or 1.0)
    ax.set_ylim(len(trains) + 0.5, 0.5)
    ax.locator_params(axis="y", integer=True)
    if not any(map(len, trains)):
        ax.text(0.5, 0.5, "no spikes", transform=ax.transAxes, ha="center")
    open_frame(ax)
    return ax


def plot_psth(data: Data, unit: str, movie: str, *, bin_s: float | None = None, ax: Axes | None = None) -> Axes:
    """Mean rate over trials, with one SD of the trials shaded where there are several.

    Parameters
    ----------
    data
        A session, or the path of its file, which is read as it is used.
    unit
        Its ID.
    movie
        The section.
    bin_s
        Seconds; default 20 ms, or for long trials so wide that one has at most 400 bins.
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
        A bin that is not positive.

    Examples
    --------
    >>> from hdmea.plot import plot_psth
    >>> plot_psth("recording.h5", "unit_001", "moving_h_bar_s5_d8_3x", bin_s=0.1).figure.savefig("psth.png")
    """
    if bin_s is not None and not bin_s > 0:
        raise ValueError(f"bin_s must be a positive number of seconds, got {bin_s}")
    session, ax = figure_data.opened(data), axes_of(ax)
    windows = figure_data.windows_of(session, figure_data.unit_of(session, unit), movie)
    label(ax, "time in trial (s)", "rate (spikes/s)", f"{unit}: {movie}")
    psth = None if windows is None else figure_data.psth_of(windows, bin_s or figure_data.bin_for(windows))
    if psth is None:
        return nothing(ax, f"no trials of {movie}")
    if psth.trials > 1:
        low = np.maximum(psth.mean - psth.sd, 0)
        ax.stairs(psth.mean + psth.sd, psth.edges_s, baseline=low, fill=True, color=BLUE, alpha=0.25, label="± SD")
    ax.stairs(psth.mean, psth.edges_s, color=BLUE, lw=1.2, label=f"mean of {psth.trials} trials")
    ax.set_xlim(0, psth.edges_s[-1])
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize=8)
    open_frame(ax)
    return ax


def plot_tuning(data: Data, unit: str, feature: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Response by direction, polar, with the preferred direction and its 95 % interval.

    Negative responses are drawn at 0. The interval is 1.96 standard errors, as stored, to each side.

    Parameters
    ----------
    data
        A session, or the path of its file, which is read as it is used.
    unit
        Its ID.
    feature
        Default the first one with a tuning curve.
    ax
        Polar axes to draw into; default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Those drawn into; they say so where there is nothing to draw.

    Raises
    ------
    KeyError
        The unit is not there.
    ValueError
        The axes are not polar.

    Examples
    --------
    >>> from hdmea.plot import plot_tuning
    >>> plot_tuning("recording.h5", "unit_001").figure.savefig("tuning.png")
    """
    session, ax = figure_data.opened(data), axes_of(ax, polar=True)
    tunings = figure_data.tunings_of(figure_data.unit_of(session, unit))
    tuning = next((one for one in tunings if feature in (None, one.feature)), None)
    ax.set_title(f"{unit}: {feature or (tuning.feature if tuning else 'tuning')}", fontsize=10, parse_math=False)
    if tuning is None or not np.isfinite(tuning.response).any():
        return nothing(ax, "no tuning curve")
    _draw_tuning(ax, tuning)
    return ax


def _draw_tuning(ax: Axes, tuning: Tuning) -> None:
    order = np.argsort(tuning.directions_deg)
    angles = np.radians(tuning.directions_deg[order])
    response = np.maximum(np.nan_to_num(tuning.response[order]), 0)
    ax.plot(np.append(angles, angles[0]), np.append(response, response[0]), "o-", color=BLUE, ms=4)
    top = float(response.max()) or 1.0
    if np.isfinite(tuning.preferred_deg):
        middle = np.radians(tuning.preferred_deg)
        ax.plot([middle, middle], [0, top], color=RED, lw=2)
        if np.isfinite(tuning.half_width_deg):
            half = np.radians(tuning.half_width_deg)
            ax.fill_between(np.linspace(middle - half, middle + half, 90), 0, top, color=RED, alpha=0.2, lw=0)
    ax.set_ylim(0, top * 1.05)
    p_value = f", p = {tuning.p_value:.2g}" if np.isfinite(tuning.p_value) else ""
    interval = f" ({tuning.dsi_low:.2f} to {tuning.dsi_high:.2f})" if np.isfinite(tuning.dsi_low) else ""
    ax.set_xlabel(f"direction (degrees), response (spikes/s)\nDSI {tuning.dsi:.2f}{interval}{p_value}", fontsize=9)


def plot_receptive_field(
    data: Data, unit: str, feature: str | None = None, *, frames: int = 6, ax: Axes | None = None
) -> Axes:
    """Frames of the spike-triggered average, the field at the peak's lag with the fitted ellipse, and the time course.

    The pictures are in axes inside `ax` (`ax.child_axes`: the frames, the field, the time course). The ellipse is at
    one SD of the fit.

    Parameters
    ----------
    data
        A session, or the path of its file, which is read as it is used.
    unit
        Its ID.
    feature
        Default the first average of the unit.
    frames
        So many, evenly over the window, one of them the peak's.
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
        Fewer than one frame.

    Examples
    --------
    >>> from hdmea.plot import plot_receptive_field
    >>> plot_receptive_field("recording.h5", "unit_001", frames=4).figure.savefig("field.png")
    """
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    session, ax = figure_data.opened(data), axes_of(ax)
    one = figure_data.unit_of(session, unit)
    name = feature or next(iter(figure_data.field_names(one)), None)
    field = None if name is None else figure_data.field_of(one, name)
    ax.set_title(f"{unit}: {name or 'receptive field'}", fontsize=10, parse_math=False)
    if field is None:
        return nothing(ax, "no spike-triggered average")
    ax.axis("off")
    middle, reach = field.colour_range
    look: dict[str, Any] = {
        "cmap": DIVERGING,
        "vmin": middle - reach,
        "vmax": middle + reach,
        "interpolation": "nearest",
    }
    _draw_frames(ax, field, min(frames, len(field.average)), look)
    _draw_field(ax, field, look)
    _draw_time_course(ax, field)
    return ax


def _lag_text(field: Field, frame: int) -> str:
    """Lag of a frame, with the unit where there is one."""
    unit = field.lag_unit if field.lag_unit == "ms" else "frames"
    return f"frame {frame}" if field.lag_unit.startswith("frame of") else f"{field.lags[frame]:.0f} {unit}"


def _draw_frames(ax: Axes, field: Field, count: int, look: dict[str, Any]) -> None:
    lags = np.linspace(0, len(field.average) - 1, count).round().astype(int)
    lags[np.argmin(np.abs(lags - field.peak_frame))] = field.peak_frame
    for i, lag in enumerate(lags):
        small = ax.inset_axes((i / count, 0.72, 0.94 / count, 0.24))
        small.imshow(field.average[lag], **look)
        small.set(xticks=[], yticks=[])
        small.set_title(_lag_text(field, int(lag)), fontsize=7)


def _draw_field(ax: Axes, field: Field, look: dict[str, Any]) -> None:
    from matplotlib.patches import Ellipse

    large = ax.inset_axes((0.02, 0.1, 0.44, 0.52))
    shown = large.imshow(field.space, **look)
    beside = large.inset_axes((1.04, 0, 0.05, 1))
    ax.figure.colorbar(shown, cax=beside).set_label("average (movie's unit)", fontsize=7)
    if (shape := field.ellipse) is not None:
        size = 2 * shape.half_major, 2 * shape.half_minor
        large.add_patch(Ellipse((shape.x, shape.y), *size, angle=shape.angle_deg, fill=False, ec=RED, lw=1.5))
    label(large, "x (pixels)", "y (pixels)", _lag_text(field, field.peak_frame))


def _draw_time_course(ax: Axes, field: Field) -> None:
    course = ax.inset_axes((0.7, 0.1, 0.3, 0.52))
    course.plot(field.lags, field.time_course, color=BLUE)
    course.axvline(field.lags[field.peak_frame], color=RED, lw=0.8, ls=":")
    name = "frame of the window" if field.lag_unit.startswith("frame of") else f"time from spike ({field.lag_unit})"
    label(course, name, "", "time course")
    open_frame(course)
