"""Axes, colours and what is drawn where there is nothing to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
else:
    Axes: TypeAlias = Any

# Okabe & Ito 2008, "Color Universal Design": told apart with any kind of colour vision.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
GREY = "#777777"
SEQUENTIAL, DIVERGING, CIRCULAR = "viridis", "PuOr", "twilight"


def axes_of(ax: Axes | None, *, polar: bool = False) -> Axes:
    """The axes given, or new ones of a new figure.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        A polar picture is to be drawn into axes that are not polar.
    """
    if ax is not None:
        if polar and ax.name != "polar":
            raise ValueError("this picture needs polar axes: give ax=figure.add_subplot(projection='polar')")
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("hdmea.plot needs matplotlib: pip install 'h5burst[plot]'") from error
    figure = pyplot.figure(layout="constrained", figsize=(4.5, 3.4))
    axes: Axes = figure.add_subplot(projection="polar" if polar else None)
    return axes


def nothing(ax: Axes, why: str) -> Axes:
    """Say in the axes why nothing is drawn."""
    ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", va="center", color=GREY, wrap=True, fontsize=9)
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def label(ax: Axes, x: str, y: str, title: str = "") -> Axes:
    """Name both axes with their units; the title is plain text, whatever a name holds."""
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    if title:
        ax.set_title(title, fontsize=10, parse_math=False)
    return ax


def open_frame(ax: Axes) -> None:
    """Without the upper and the right line."""
    ax.spines[["top", "right"]].set_visible(False)
