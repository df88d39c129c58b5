"""The gallery of the site: pictures of `hdmea.plot` with their calls, a page of `hdmea report`, of one simulation."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import matplotlib as mpl

from hdmea import demo, plot
from hdmea.report import write_report

UNITS = 12
REPORT = "examples/recording.html"
UNIT, STEP, COLOURS = "unit_001", "step_up_5s_5i_b0_3x", "green_blue_3s_3i_3x"
SELECTIVE = "the first unit that is selective for a direction"


class Picture(NamedTuple):
    """A function of `hdmea.plot`, the arguments after `data`, and what is seen."""

    function: str
    arguments: tuple[str, ...]
    what: str
    named: tuple[tuple[str, str], ...] = ()


PICTURES = (
    Picture("plot_sections", (), "The light reference of the whole recording, and its sections."),
    Picture("plot_raster", (UNIT, STEP), "Spikes during a light step, a row a trial."),
    Picture("plot_psth", (UNIT, STEP), "The mean rate over the trials of the step, with its standard deviation."),
    Picture("plot_raster", (UNIT, COLOURS), "Spikes during flashes of two colours, a row a trial."),
    Picture("plot_tuning", (SELECTIVE,), "The response to a bar that moves in eight directions."),
    Picture("plot_receptive_field", (UNIT,), "The spike-triggered average: frames, the peak and its fit, time course."),
    Picture("plot_rf_mosaic", (), "The fitted receptive fields of all units."),
    Picture("plot_electrical_image", (UNIT,), "The mean voltage on each electrode around the time of a spike."),
    Picture("plot_waveform", (UNIT,), "The mean waveform that the sorter stored."),
    Picture("plot_isi", (UNIT,), "The intervals between spikes, and the refractory period."),
    Picture("plot_autocorrelogram", (UNIT,), "When a unit fires again before and after each of its spikes."),
    Picture("plot_unit_map", (), "Where the units are on the chip."),
    Picture("plot_quality", (), "How a measure of quality is distributed over the units.", (("measure", "rate"),)),
)


@cache
def made() -> tuple[dict[str, bytes], bytes]:
    """Pictures as PNG by the calls that draw them, in the order of `PICTURES`; and the report of the same recording."""
    found = {}
    with TemporaryDirectory() as directory, mpl.rc_context({"figure.dpi": 90, "font.size": 9}):
        recording = demo.simulate_demo(Path(directory) / "recording", UNITS, 0)
        session = demo.analyse(recording, Path(directory), "simulated")
        session.save(Path(directory) / "simulated.h5")
        selective = list(session.units)[int(recording.truth.population.is_direction_selective.argmax())]
        for picture in PICTURES:
            arguments = [selective if one is SELECTIVE else one for one in picture.arguments]
            words = ["data", *(f'"{one}"' for one in arguments), *(f'{name}="{one}"' for name, one in picture.named)]
            axes: Any = getattr(plot, picture.function)(session, *arguments, **dict(picture.named))
            stream = io.BytesIO()
            axes.figure.savefig(stream, format="png", bbox_inches="tight", metadata={"Software": None})
            found[f"hdmea.plot.{picture.function}({', '.join(words)})"] = stream.getvalue()
        report = write_report(session, Path(directory) / "simulated.html").read_bytes()
    return found, report


def files() -> dict[str, bytes]:
    """What the page shows: place in the site, and content."""
    pictures, report = made()
    return {**{_place(number): picture for number, picture in enumerate(pictures.values())}, REPORT: report}


def text() -> str:
    """The calls and the pictures below the page's beginning."""
    parts = [
        f"All units, with these pictures and more, are on [the page that `hdmea report` writes]({REPORT}). "
        "It opens without a server, and is one file that can be sent to others.",
    ]
    seen = set()
    for number, (words, picture) in enumerate(zip(made()[0], PICTURES, strict=True)):
        parts += [] if picture.function in seen else [f"## {picture.function}"]
        parts += [picture.what, f"```python\n{words}\n```", f"![{picture.what}]({_place(number)})"]
        seen.add(picture.function)
    return "\n\n".join(parts) + "\n"


def _place(number: int) -> str:
    return f"images/gallery/{number:02}.png"
