"""The gallery of the site: every picture with its call, and every kind of page, of what is simulated here.

Pictures of `hdmea.plot` and a page are of one recording; `plot_by_age` and a page with waves of spontaneous activity at
three ages; a population of two recordings, with the index of their directory; a container of proteins.
"""

from __future__ import annotations

import importlib.util
import io
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib import pyplot, style

import scpstore.report
from hdmea import demo, plot
from hdmea.features import extract_rf_geometry
from hdmea.io import section_spike_times
from hdmea.pipeline import add_section_time, create_session, extract_features, load_recording_with_eimage_sta, run_flow
from hdmea.population.activity import activity_table, plot_by_age
from hdmea.population.build import build_population
from hdmea.report import write_report
from hdmea.simulate import TWELVE_TYPES, SimulationOptions, simulate_recording
from scptensor import Assay, ScpContainer, ScpMatrix

UNITS = 12
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


BY_AGE = Picture(
    "plot_by_age", ('["wave_rate_per_min", "wave_speed_um_s"]',), "Measures of spontaneous activity against age."
)
AGES = (3, 6, 9)
WAVES_S = 400.0
THEMES = ("light", "dark")  # of the site

PAGES = {  # place below examples/: title, the command that writes it, what it shows
    "recording.html": ("A recording", "hdmea report recording.h5", "All units of the recording of the first pictures."),
    "waves.html": ("Spontaneous activity", "hdmea report P9.h5", "The same kind of page, with its section *Waves*."),
    "results/index.html": (
        "A directory",
        "hdmea report results",
        "The recordings of a directory.",
    ),
    "population.html": (
        "A population",
        "hdmea population results -o population",
        "Its types and mosaics.",
    ),
    "container.html": (
        "A container of proteins",
        "scptensor report cells.h5",
        "Layers and what is missing.",
    ),
}


Themes = tuple[bytes, bytes]  # a picture as PNG for the light site, and for the dark one


@cache
def made() -> tuple[dict[str, Themes], dict[str, bytes]]:
    """Pictures by the calls that draw them, in the order of the page; and pages by their places in the site."""
    pictures: dict[str, Themes] = {}
    pages: dict[str, bytes] = {}
    with TemporaryDirectory() as name, mpl.rc_context({"figure.dpi": 90, "font.size": 9}):
        directory = Path(name)
        pictures.update(_pictures_of_a_recording(directory, pages))
        table, pages["waves.html"] = _spontaneous(directory / "ages")
        call = f"hdmea.population.activity.plot_by_age(activity_table(paths), {BY_AGE.arguments[0]})"
        pictures[call] = _themes(partial(plot_by_age, table, re.findall(r"\w+", BY_AGE.arguments[0])))
        pages |= _population(directory / "results")
        pages["container.html"] = scpstore.report.write_report(_container(), directory / "cells.html").read_bytes()
    return pictures, pages


def _pictures_of_a_recording(directory: Path, pages: dict[str, bytes]) -> Iterator[tuple[str, Themes]]:
    recording = demo.simulate_demo(directory / "recording", UNITS, 0)
    session = demo.analyse(recording, directory, "simulated")
    extract_rf_geometry(stimuli_dir=recording.stimuli_dir, session=session)  # the fields of the mosaic
    session.save(directory / "simulated.h5")
    selective = list(session.units)[int(recording.truth.population.is_direction_selective.argmax())]
    for picture in PICTURES:
        arguments = [selective if one is SELECTIVE else one for one in picture.arguments]
        words = ["data", *(f'"{one}"' for one in arguments), *(f'{name}="{one}"' for name, one in picture.named)]
        draw = partial(getattr(plot, picture.function), session, *arguments, **dict(picture.named))
        yield f"hdmea.plot.{picture.function}({', '.join(words)})", _themes(draw)
    pages["recording.html"] = write_report(session, directory / "simulated.html").read_bytes()


def _spontaneous(directory: Path) -> tuple[pl.DataFrame, bytes]:
    """The table of recordings at several ages, and the page of the oldest; trains by the tests' generator."""
    generator = _beside("../tests/support/simulated_waves.py")
    directory.mkdir()
    files = []
    for age in AGES:
        for laboratory in ("North", "South"):
            seed = 2 * age + (laboratory == "North")
            waves = generator.simulate_waves(generator.array_60(), WAVES_S, seed, interval_s=(90.0 / age, 270.0 / age))
            path = directory / f"P{age}_{laboratory}.h5"
            facts = {"age": age, "key": f"{laboratory}2026"}
            generator.write_wave_file(path, waves.trains_s, waves.positions_um, WAVES_S, **facts)
            few = {"measure_synchrony": {"shifts": 4}}
            done = run_flow("waves", spikes_path=path, output_dir=directory / "results", parameters=few)
            files.append(done.hdf5_path)
    return activity_table(files), write_report(files[-1], directory / "waves.html").read_bytes()


def _population(results: Path) -> dict[str, bytes]:
    """The pages of two recordings as a population, and of their directory."""
    files = []
    for seed, name in enumerate(("retina_a", "retina_b")):
        recording = simulate_recording(
            results.with_name(name), name=name, n_units=36, patch=(10, 10), playlist=[STEP, COLOURS],
            sensor_duration_s=2.0, cutout_samples=8, seed=seed, options=SimulationOptions(types=TWELVE_TYPES),
        )  # fmt: skip
        session = create_session(name, recording.cmcr_path, recording.cmtr_path, results)
        load_recording_with_eimage_sta(recording.cmcr_path, recording.cmtr_path, duration_s=2.0, session=session)
        add_section_time(
            playlist_name=recording.playlist_name,
            playlist_file_path=recording.playlist_path,
            movie_length_file_path=recording.movie_length_path,
            session=session,
        )
        section_spike_times(config_dir=recording.config_dir, session=session)
        extract_features(session=session)
        files.append(session.save())
    population = build_population(files, results.with_name("population"), max_types=8)
    write_report(results)
    pages = {f"results/{page.name}": page.read_bytes() for page in results.glob("*.html")}
    return {**pages, "population.html": (population.directory / "index.html").read_bytes()}


def _container() -> ScpContainer:
    """Forty cells of two kinds and sixty proteins, of which the scarce ones are missing more often."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 40)
    level = rng.normal(20, 3, 60)
    log2 = level + rng.normal(0, 0.6, (40, 60)) + np.outer(kind, rng.normal(0, 1.5, 60))
    log2[rng.random(log2.shape) < 1 / (1 + np.exp(log2 - 17))] = np.nan
    cells = pl.DataFrame({"_index": [f"cell{n}" for n in range(40)], "kind": [("A", "B")[one] for one in kind]})
    proteins = pl.DataFrame({"_index": [f"P{n:05}" for n in range(60)]})
    return ScpContainer(cells, {"proteins": Assay(proteins, {"raw": ScpMatrix(2**log2), "log2": ScpMatrix(log2)})})


def _beside(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("beside_gallery", Path(__file__).parent / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its data classes look for their types
    spec.loader.exec_module(module)
    return module


def _themes(draw: Callable[[], Any]) -> Themes:
    """draw: gives axes, or a figure."""
    light = _png(draw())
    with style.context("dark_background"):
        return light, _png(draw(), transparent=True)


def _png(drawn: Any, *, transparent: bool = False) -> bytes:
    stream = io.BytesIO()
    drawn.figure.savefig(
        stream, format="png", bbox_inches="tight", metadata={"Software": None}, transparent=transparent
    )
    pyplot.close(drawn.figure)
    return stream.getvalue()


def files() -> dict[str, bytes]:
    """What the page shows: place in the site, and content."""
    pictures, pages = made()
    return {
        **{
            _place(number, theme): picture
            for number, pair in enumerate(pictures.values())
            for theme, picture in zip(THEMES, pair, strict=True)
        },
        **{f"examples/{name}": page for name, page in pages.items()},
    }


def text() -> str:
    """The calls, the pictures and the pages below the page's beginning."""
    parts, seen = [], set()
    for number, (words, picture) in enumerate(zip(made()[0], (*PICTURES, BY_AGE), strict=True)):
        parts += [] if picture.function in seen else [f"## {picture.function}"]
        shown = [f"![{picture.what}]({_place(number, theme)}#only-{theme})" for theme in THEMES]
        parts += [picture.what, f"```python\n{words}\n```", "\n".join(shown)]
        seen.add(picture.function)
    parts += ["## Pages", "Each is one file that opens without a server and can be sent to others."]
    for name, (title, command, what) in PAGES.items():
        frame = f'<iframe class="example" src="examples/{name}" title="{title}" loading="lazy"></iframe>'
        parts += [f"### {title}", f"{what} [Open it alone](examples/{name}).", f"```sh\n{command}\n```", frame]
    return "\n\n".join(parts) + "\n"


def _place(number: int, theme: str) -> str:
    return f"images/gallery/{number:02}-{theme}.png"
