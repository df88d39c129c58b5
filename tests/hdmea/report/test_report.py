"""The page of a recording, opened in a browser: what it shows is the file's, it sorts, filters, leads, and is safe."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst.console import run as run_command
from hdmea import geometry
from hdmea.batch.figures import write_table
from hdmea.cli import app
from hdmea.features import FeatureRegistry
from hdmea.features.families import FAMILIES
from hdmea.pipeline import create_session
from hdmea.report import write_report
from hdmea.report.directory import without_page, write_index
from hdmea.report.values import explanation, unit_and_meaning
from hdmea.session.session import PipelineSession
from support.browser import accessibility_faults, data_of, downloaded, fits, go_to, opened
from support.pictured import MOVIE, UNIT, made

HOSTILE = "</script><script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
LABELS = ("alpha", "beta", "gamma", HOSTILE)


def recording(directory: Path) -> PipelineSession:
    """Four units: one with everything, and three of 10, 30 and 20 spikes; hostile text wherever text may be."""
    session = made(directory)
    session.dataset_id = HOSTILE
    for number, count in ((1, 10), (2, 30), (3, 20)):
        session.units[f"unit_00{number}"] = {
            "spike_times": (np.arange(count) * 997).astype(np.uint64),
            "row": number,
            "col": 1,
        }
    session.units["unit_003"]["spike_times_sectioned"] = {
        HOSTILE: {"trials_spike_times": {}, "trials_start_end": np.empty((0, 2), np.int64)}
    }
    for unit, label in zip(session.units.values(), LABELS, strict=True):
        unit["auto_label"] = {"type": label}
    session.units[UNIT]["features"]["strange"] = {HOSTILE: 5.0, "reason": "too <b>few</b> spikes"}
    session.units[UNIT]["features"]["bar"]["data"]["nan"] = float("nan")
    session.metadata["note"] = HOSTILE
    session.warnings.append(f"step: {HOSTILE}")
    return session


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("report")
    return write_report(recording(directory).save(directory / "recording.h5"))


@pytest.fixture
def page(chromium: Any, page_file: Path) -> Iterator[Any]:
    with opened(chromium, page_file) as shown:
        yield shown


def go(page: Any, section: str, heading: str) -> None:
    page.get_by_role("link", name=section, exact=True).click()
    page.locator("main h2", has_text=heading).first.wait_for()


def first_column(page: Any) -> list[str]:
    found: list[str] = page.locator("#units tbody th").all_inner_texts()
    return found


def value(page: Any, name: str) -> str:
    head = page.locator("th").filter(has_text=re.compile(f"^{re.escape(name)}$"))
    row = page.locator("main tr", has=head)
    found: str = row.locator("td").first.inner_text()
    return found


def test_hostile_text_is_text(page: Any) -> None:
    assert page.locator("h1").inner_text() == HOSTILE
    for section in ("Overview", "Chip", "Table", "Units", "Population", "What went wrong"):
        page.get_by_role("link", name=section, exact=True).click()
        page.wait_for_timeout(50)
        assert page.locator("main img, main script, main b").count() == 0
    assert page.locator("main li").inner_text() == f"step: {HOSTILE}"
    assert page.locator("td", has_text="too <b>few</b> spikes").count() == 1
    assert page.title() == HOSTILE


def test_overview_says_what_the_file_says(page: Any) -> None:
    assert [value(page, name) for name in ("duration (s)", "units", "sections", "warnings")] == ["8", "4", "1", "1"]
    assert value(page, "acquisition_rate") == "10000"
    assert value(page, "note") == HOSTILE
    assert value(page, f"1 {MOVIE}") == "2"
    times = page.get_by_role("region", name="section, windows").locator("td").all_inner_texts()[1:3]
    assert all(re.fullmatch(r"\d+\.\d{3}", time) for time in times)
    assert page.locator("main svg").count() == 2


def test_overview_says_how_the_file_came_about(chromium: Any, tmp_path: Path) -> None:
    path = made(tmp_path).save(tmp_path / "recording.h5")
    for message in ("a first look", HOSTILE):
        with h5burst.edit(path, message) as tx:
            tx.set_attributes((), {"seen": message})
    h5burst.undo(path)
    with opened(chromium, write_report(path)) as page:
        rows = page.locator("h2:has-text('How this file came about') + div tbody tr").all_inner_texts()
        assert [row.split("\t")[0] for row in rows] == ["3", "2", "1", "0"]
        assert rows[0].endswith("restored state 1 (state 1 again)")
        assert rows[1].endswith(HOSTILE)
        assert rows[2].endswith("a first look")
        assert page.title() != "taken"


def test_table_sorts_filters_and_is_the_files(page: Any) -> None:
    go(page, "Table", "Table")
    assert first_column(page) == ["unit_000", "unit_001", "unit_002", "unit_003"]
    by_spikes = page.locator("#units th button", has_text="count")  # the unit of "spikes"
    by_spikes.focus()
    page.keyboard.press("Enter")
    assert first_column(page) == ["unit_001", "unit_003", "unit_002", "unit_000"]
    assert page.locator("#units th[aria-sort=ascending]").count() == 1
    page.keyboard.press("Enter")  # the focus has stayed on the button
    assert first_column(page) == ["unit_000", "unit_002", "unit_003", "unit_001"]
    cells = page.locator("#units tbody tr").first.locator("td").all_inner_texts()
    assert cells[:3] == ["50.000", "400", "0"]  # 400 spikes in 8 s, 10 ms apart

    page.locator("summary").click()
    page.locator(".columns label", has_text="auto_label/type").locator("input").check()
    page.locator("#units-filter").fill("ALPHA")
    assert first_column(page) == [UNIT]
    page.locator("#units-filter").fill("no such text")
    assert first_column(page) == []
    assert page.locator("#units-count").inner_text() == "0 of 4 units"
    page.locator("#units-filter").fill("")
    page.get_by_label("Range of").select_option("spikes")
    page.get_by_label("at least").fill("15")
    page.get_by_label("at most").fill("30")
    assert first_column(page) == ["unit_002", "unit_003"]


def test_csv_holds_every_value_of_the_rows_shown(page: Any) -> None:
    go(page, "Table", "Table")
    page.locator("#units-filter").fill("unit_000")
    name, (row,) = downloaded(page, "#units-download")
    assert row["unit"] == UNIT
    assert row["auto_label/type"] == "alpha"
    assert float(row["bar/preferred_direction"]) == 90.0
    assert row["bar/nan"] == ""
    assert row[f"strange/{HOSTILE}"] == "5"
    assert name.endswith(".csv")


def test_links_lead_to_the_unit_and_keys_go_on(page: Any) -> None:
    go(page, "Table", "Table")
    page.locator("#units a", has_text="unit_002").click()
    page.locator("main h2", has_text="unit_002").wait_for()
    for key, name in (("j", "unit_003"), ("ArrowRight", "unit_003"), ("k", "unit_002"), ("ArrowLeft", "unit_001")):
        page.keyboard.press(key)
        page.locator("main h2", has_text=name).wait_for()
    page.go_back()
    page.locator("main h2", has_text="unit_002").wait_for()
    go(page, "Chip", "Chip")
    mark = page.locator('svg a[href="#unit=0"]')
    mark.focus()
    page.keyboard.press("Enter")
    page.locator("main h2", has_text=UNIT).wait_for()


def test_a_unit_shows_every_picture_and_its_values(page: Any) -> None:
    page.evaluate("location.hash = 'unit=0'")
    page.locator("main h2", has_text=UNIT).wait_for()
    titles = page.locator("main h3").all_inner_texts()
    assert titles == [
        "Waveform", "Intervals between spikes", "Autocorrelogram", "Rate over time", "Tuning: bar", "Electrical image",
        "Waveforms on the electrodes", "Receptive field: sta_noise", "Time course: sta_noise", "Frames: sta_noise",
        MOVIE,
    ]  # fmt: skip
    assert page.locator("main .nothing:not(.tools *)").count() == 0
    assert value(page, "bar/dsi") == "0.6"
    assert page.locator("main .tick").get_attribute("d").count("M") == 300
    rate = page.locator("figure", has=page.locator('h3:text-is("Rate over time")')).inner_text()
    assert "present in 50 of 100" in rate  # of 8 s, spikes in the first four
    go_to(page, "unit=3")
    page.locator("main h2", has_text="unit_003").wait_for()
    gone = page.locator("#gone").inner_text()
    assert gone == "Not stored for this unit: waveform, electrical image, spike-triggered average, direction tuning."


def test_frames_and_traces_are_all_there(page: Any) -> None:
    """The average has four frames of 15 x 15 pixels; the soma is at column 8, row 12 of 25 x 20 electrodes."""
    go_to(page, "unit=0")
    labels = [one.get_attribute("aria-label") for one in page.locator(".frames svg").all()]
    assert labels == [f"Average at {number} frame of the window" for number in range(4)]
    assert page.locator(".frames .peak").inner_text() == "2 frame of the window"
    traces = page.locator("figure", has=page.locator("h3", has_text="Waveforms on")).locator("path.line")
    assert traces.get_attribute("d").count("M") == 49  # three electrodes to each side


def test_population_and_chip_hold_what_is_there(page: Any) -> None:
    go(page, "Chip", "Chip")
    assert page.locator("main svg a").count() == 4
    page.get_by_label("Colour").select_option("bar/preferred_direction")
    assert page.locator("main .hollow").count() == 3
    assert page.locator("main .dot").count() == 1
    go(page, "Population", "Population")
    assert page.locator("main svg ellipse").count() == 1
    page.get_by_label("Scatter: x").select_option("spikes")
    page.get_by_label("Scatter: y").select_option("row")
    assert (
        page.locator("figure", has=page.locator('h3:text-is("Scatter: row against spikes")')).locator("circle").count()
        == 4
    )


def test_unit_shows_pairs_of_spikes_at_their_lags(page_file: Path) -> None:
    """Spikes every 10 ms: all pairs are 10, 20, … ms apart, in the bins that begin there."""
    one = data_of(page_file, "unit-0")
    assert {lag: count for lag, count in enumerate(one["pairs"]) if count} == {10 * k: 400 - k for k in range(1, 5)}
    assert sum(one["over"]) == 400


def test_mosaics_are_apart_by_polarity_and_values_have_intervals(chromium: Any, tmp_path: Path) -> None:
    session = made(tmp_path)
    first = session.units[UNIT]
    for number, polarity in enumerate((1, -1, -1), 1):
        field = {**first["features"]["sta_noise"], "sta_geometry": dict(first["features"]["sta_noise"]["sta_geometry"])}
        field["sta_geometry"]["polarity"] = polarity
        bar = {"data": {**first["features"]["bar"]["data"], "preferred_direction": 100.0 * number}}
        step = {"data": {"on_latency_ms": 50.0 + number, "on_latency_se_ms": 2.0}}
        features = {"sta_noise": field, "bar": bar, "step": step}
        session.units[f"unit_00{number}"] = {**first, "features": features}
    session.metadata["electrode_alignment"] = {"bar_pixels_per_noise_pixel": 20.0, "scale_px_per_um": 0.025}
    session.metadata["electrode_pitch_um"] = 42.0
    with opened(chromium, write_report(session, tmp_path / "page.html")) as page:
        go_to(page, "population")
        text = page.locator(".panels").inner_text()
        assert "OFF: 2 units" in text
        assert "ON: 1 units" in text
        # A pixel is 40 um, and the frame some five pixels wide.
        assert page.locator(".panels .bar-text").all_text_contents() == ["50 µm"] * page.locator(".panels svg").count()
        latencies = page.locator('[aria-label="Intervals: step/on_latency_ms"]')
        assert latencies.locator("a").first.get_attribute("aria-label") == "unit_001: 51 ± 3.92"
        directions = page.locator('[aria-label="Intervals: bar/preferred_direction"]')
        assert directions.locator("circle").count() == 4
        go_to(page, "unit=0")
        image = page.locator("figure", has=page.locator('h3:text-is("Electrical image")'))
        assert image.locator(".bar-text").text_content() == "200 µm"  # of 25 electrodes, 42 um apart


INTERVALS = {  # by feature and value: what is stored beside it, and the text; values are 5
    "step/on_latency_ms": ({"on_latency_se_ms": 2.0}, "± 3.92"),
    "step/off_latency_ms": ({"off_latency_se_ms": 0.5}, "± 0.98"),
    "colour/green_on_latency_ms": ({"green_on_latency_se_ms": 1.0}, "± 1.96"),
    "colour/blue_off_latency_ms": ({"blue_off_latency_se_ms": float("nan")}, ""),
    "bar/dsi_cv": ({"dsi_cv_low": -0.25, "dsi_cv_high": 0.75}, "-0.25 to 0.75"),
    "bar/preferred_direction": ({"preferred_direction_se": 10.0, "preferred_direction_ci95": 43.0}, "± 43"),
    "bar/preferred_orientation": ({"preferred_orientation_se": 10.0, "preferred_orientation_ci95": 21.5}, "± 21.5"),
    "eimage_sta/geometry/center_col": ({"center_col_se": 0.5}, "± 0.98"),
    "eimage_sta/geometry/center_row": ({"center_row_se": 0.25}, "± 0.49"),
    "eimage_sta/geometry/center_corrected_row": ({"center_corrected_se": 1.0}, "± 1.96"),
    "ap_tracking/ap_pathway/velocity_m_s": ({"velocity_se": 0.1}, "± 0.196"),
    "ap_tracking/ap_pathway/direction_angle": ({"direction_angle_se": 2.0}, "± 3.92"),
    "ap_tracking/ap_pathway/slope": ({"std_err": 0.5}, "± 0.98"),
    "ap_tracking/soma_polar_coordinates/radius_um": ({"radius_se_um": 10.0}, "± 19.6"),
    "ap_tracking/soma_polar_coordinates/angle_deg": ({"angle_se_deg": 3.0}, "± 5.88"),
    "sta_noise/sta_geometry/center_col": ({"center_col_se": 0.1}, "± 0.196"),
    "sta_noise/sta_geometry/gaussian_fit/center_x": ({"center_x_se": 0.2}, "± 0.392"),
    "bar/dsi": ({}, ""),
}


def with_intervals(directory: Path) -> PipelineSession:
    """One unit with every value that has an interval, where the steps store it."""
    session = made(directory)
    features = session.units[UNIT]["features"]
    for path, (beside, _) in INTERVALS.items():
        feature, *inner, name = path.split("/")
        place = features.setdefault(feature, {} if inner else {"data": {}})
        for part in inner or ["data"]:
            place = place.setdefault(part, {})
        place |= {name: 5.0, **beside}
    return session


def test_a_unit_shows_the_interval_of_every_value_that_has_one(chromium: Any, tmp_path: Path) -> None:
    with opened(chromium, write_report(with_intervals(tmp_path), tmp_path / "page.html")) as page:
        go_to(page, "unit=0")
        rows = page.locator(".values tbody tr").all()
        found = {row.locator("th").inner_text(): tuple(row.locator("td").all_inner_texts()[:2]) for row in rows}
    assert {name: found[name] for name in INTERVALS} == {name: ("5", text) for name, (_, text) in INTERVALS.items()}


def test_every_error_that_is_stated_is_one_that_the_page_shows() -> None:
    """Arrays have no row of their own in the page, and the errors of a recording are not a unit's."""
    stated = re.compile(r"_(se|ci95|low|high)(_(ms|um|deg))?$|^std_err$")
    names = {name for family in FAMILIES.values() for name in family.output_schema}
    average = np.random.default_rng(0).normal(size=(60, 15, 15))
    scale = geometry.ImageScale(20_000, 10, 16.0)
    axon = geometry.axon_record(geometry.Axon(axon_seen=False), scale)
    field = geometry.field_record(geometry.receptive_field(average), 1 / 60)
    for record in (geometry.soma_record(geometry.soma_geometry(average[:, :8, :8], scale)), *axon.values(), field):
        names |= set(record)
    names |= set(field["gaussian_fit"]) | {"center_corrected_se"}
    shown = {re.sub("^(green|blue)_", "", name) for beside, _ in INTERVALS.values() for name in beside}
    shown |= {"center_row_se", "center_y_se", "f1_se"}  # the other coordinate; an array
    assert {re.sub("^(green|blue)_", "", name) for name in names if stated.search(name)} <= shown


def test_numbers_of_a_column_have_the_same_decimals(page: Any) -> None:
    assert page.evaluate("decimals([1.25, 22.5, 3.125])(2)") == "2.000"
    assert page.evaluate("decimals([1.25, 22.5, 3.125])(-1.11e-16)") == "0.000"
    assert page.evaluate("decimals([0.5, 0.25, 1e-7])(1e-7)") == "1.0e-7"
    assert page.evaluate("decimals([1, 2, null])(2)") == "2"


def test_bars_stay_below_the_frame(page: Any) -> None:
    go_to(page, "unit=0")
    inside = """[...document.querySelectorAll('figure svg')]
        .map(svg => [svg.querySelector('.bar'), svg.querySelector('.axis')])
        .filter(([bar, axis]) => bar && axis && bar.tagName === 'path')
        .map(([bar, axis]) => bar.getBBox().y - axis.getBBox().y)"""
    found = page.evaluate(inside)
    assert len(found) == 2
    assert min(found) > 5


def test_figures_alone_are_printed_on_request(page: Any) -> None:
    go_to(page, "unit=0")
    page.evaluate("window.print = () => { window.printed = document.querySelector('#main').className; }")
    page.locator("#print-figures").click()
    assert page.evaluate("window.printed") == "only-figures"
    page.emulate_media(media="print")
    assert not page.locator(".values").is_visible()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator(".values").is_visible()


def test_a_section_is_found_by_its_label(page: Any) -> None:
    go_to(page, "What%20went%20wrong")
    assert page.locator("main h2").first.inner_text() == "What went wrong"


SECTIONS = ("overview", "chip", "table", "unit=0", "population", "waves", "problems")


@pytest.mark.parametrize("width", [360, 800, 1500])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_window_and_is_not_empty(page: Any, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 700})
    pictures = set()
    for section in SECTIONS:
        go_to(page, section)
        assert fits(page), section
        pictures.add(page.screenshot())
    assert len(pictures) == 7
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    for section in SECTIONS:
        go_to(page, section)
        assert accessibility_faults(page) == [], section


def test_headings_skip_no_level(page: Any) -> None:
    check = """() => [...document.querySelectorAll('h1, h2, h3')].map(one => Number(one.tagName[1]))"""
    for section in SECTIONS:
        go_to(page, section)
        levels = page.evaluate(check)
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), section


def test_it_works_by_keyboard_alone(page: Any) -> None:
    """From the top: the first stop leads to the content, then the sections, then what is in them."""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator("nav a", has_text="Table").focus()
    page.keyboard.press("Enter")
    page.locator("main h2", has_text="Table").wait_for()
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "units-filter"
    page.keyboard.type("unit_002")
    assert first_column(page) == ["unit_002"]
    page.keyboard.type("jk")  # letters in a field turn no page
    assert page.locator("main h2", has_text="Table").count() == 1


def test_print_is_light_and_whole(page: Any) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    go_to(page, "table")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    hidden = "[...document.querySelectorAll('nav, .tools')].every(one => getComputedStyle(one).display === 'none')"
    assert page.evaluate(hidden)
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflow") == "visible"
    go_to(page, "unit=0")
    assert page.pdf(format="A4").startswith(b"%PDF-")
    gap = "main.getBoundingClientRect().bottom - main.lastElementChild.getBoundingClientRect().bottom"
    assert page.evaluate(gap) < 10  # more of it may take a sheet of its own, which is empty


@pytest.mark.parametrize(("millimetres", "name"), [(277, "A4"), (259, "letter")])
def test_every_column_is_on_paper(page: Any, millimetres: int, name: str) -> None:
    """The table is printed across: what is chosen fits between the margins, however many columns it is."""
    go(page, "Table", "Table")
    boxes = page.locator(".columns input")
    page.evaluate("document.querySelector('details').open = true")
    for number in range(boxes.count()):
        boxes.nth(number).check()
    chosen = page.evaluate("[...document.querySelectorAll('#units thead th')].map(one => one.textContent)")
    assert len(chosen) > 12
    page.set_viewport_size({"width": int(millimetres / 25.4 * 96), "height": 700})
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    cells = "[...document.querySelectorAll('.sheet th, .sheet td')]"
    edge = f"Math.max(...{cells}.map(one => one.getBoundingClientRect().right))"
    assert page.evaluate(edge) <= page.evaluate("innerWidth")
    over = f"{cells}.filter(one => one.scrollWidth > one.clientWidth + 1)"
    assert page.evaluate(f"{over}.map(one => one.textContent)") == []
    printed = page.evaluate("[...document.querySelectorAll('.sheet thead th')].map(one => one.textContent)")
    assert set(printed) == set(chosen)
    pdf = page.pdf(format=name, prefer_css_page_size=True)
    sizes = [(float(width), float(height)) for width, height in re.findall(rb"/MediaBox \[0 0 (\S+) (\S+)\]", pdf)]
    assert sizes
    assert all(width > height for width, height in sizes)  # no upright sheet with the heading alone
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator(".sheet table").count() == 1


def test_every_sheet_of_a_long_table_has_its_heads(page: Any, tmp_path: Path) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("the text of PDFs is read by pdftotext: apt-get install poppler-utils")
    go_to(page, "table")
    page.evaluate("""() => {
        const often = some => Array.from({ length: 40 }, () => some).flat();
        sheet.names = often(sheet.names);
        for (const one of sheet.columns) one.values = often(one.values);
    }""")
    page.pdf(path=str(tmp_path / "table.pdf"), format="A4", prefer_css_page_size=True)
    reader = ["pdftotext", "-layout", "table.pdf", "-"]
    text = subprocess.run(reader, cwd=tmp_path, capture_output=True, text=True, check=True)
    sheets = [sheet for sheet in text.stdout.split("\f") if "unit_001" in sheet]
    assert len(sheets) > 1
    assert ["violations" in sheet for sheet in sheets] == [True] * len(sheets)


def test_counts_are_marked_at_whole_numbers(page: Any) -> None:
    go_to(page, "population")
    histograms = page.locator("figure").filter(has_text="units (count)")
    marks = histograms.locator("svg text[text-anchor=end]").all_text_contents()
    assert len(marks) > histograms.count() > 2
    assert [mark for mark in marks if not mark.isdigit()] == []


def test_columns_are_found_by_a_part_of_their_name(page: Any) -> None:
    go(page, "Table", "Table")
    page.evaluate("document.querySelector('details').open = true")
    before = page.locator(".columns label:visible").count()
    page.get_by_label("Columns with").fill("spik")
    names = page.locator(".columns label:visible").all_inner_texts()
    assert 0 < len(names) < before
    assert all("spik" in name.lower() for name in names)


def test_ranges_add_up(page: Any) -> None:
    go(page, "Table", "Table")
    page.get_by_label("at least").fill("15")
    page.get_by_label("Range of").select_option("spikes")
    assert first_column(page) == ["unit_000", "unit_002", "unit_003"]
    page.get_by_role("button", name="One more range").click()
    page.get_by_label("Range of").last.select_option("row")
    page.get_by_label("at most").last.fill("3")
    assert first_column(page) == ["unit_002", "unit_003"]


# ---------------------------------------------------------------- without a browser


def test_figures_are_the_files(page_file: Path) -> None:
    one = data_of(page_file, "unit-0")
    assert one["isi"] == [0] * 10 + [399] + [0] * 89
    (response,) = one["responses"]
    assert (response["trials"], response["spikes"], response["bin"]) == (2, 300, 0.02)
    assert response["sums"] == [4] * 50 + [2] * 50  # 100 spikes/s in each of two trials, then in one
    assert response["squares"] == [8] * 50 + [4] * 50
    assert one["tunings"][0]["y"] == [1, 8, 2, -1]
    assert one["fields"][0]["ellipse"] == [9, 4, 2, 1, 30]
    assert one["image"]["soma"] == [8, 12]
    assert one["image"]["axon"] == [[9, 12], [14, 13]]
    found = data_of(page_file, "recording")
    assert {c["name"]: c["values"] for c in found["columns"]}["spikes"] == [400, 10, 30, 20]
    assert found["places"][:2] == [[8, 12], [0, 0]]
    total = sum(found["population"]) * 8 / 300 * 4
    assert total == pytest.approx(460)
    assert ["units without the feature bar", 3, 4] in found["missing"]


def test_frames_and_traces_are_the_files(page_file: Path, tmp_path: Path) -> None:
    """Within half a step: frames have 254 steps over the range of the colours, traces 127 up to the largest value."""
    features = made(tmp_path).units[UNIT]["features"]
    one = data_of(page_file, "unit-0")
    field = one["fields"][0]
    steps = np.frombuffer(base64.b64decode(field["frames"]["values"]), np.uint8).reshape(4, 15, 15)
    found = field["middle"] + (steps / 254 - 0.5) * 2 * field["reach"]
    assert field["frames"]["numbers"] == [0, 1, 2, 3]
    np.testing.assert_allclose(found, features["sta_noise"]["data"], atol=field["reach"] / 254 * 1.01)
    traces = one["image"]["traces"]
    values = np.frombuffer(base64.b64decode(traces["values"]), np.int8).reshape(7, 7, 3) / 127 * traces["top"]
    stored = features["eimage_sta"]["data"][
        :, traces["row"] : traces["row"] + 7, traces["column"] : traces["column"] + 7
    ]
    assert (traces["row"] + 3, traces["column"] + 3) == (12, 8)
    np.testing.assert_allclose(values, stored.transpose(1, 2, 0), atol=traces["top"] / 254 * 1.01)


def test_chosen_units(tmp_path: Path) -> None:
    file = recording(tmp_path).save(tmp_path / "a.h5")
    page = write_report(file, tmp_path / "some.html", units=["unit_002", "unit_002"])
    assert data_of(page, "recording")["units"] == ["unit_002"]
    session = PipelineSession.load(file, lazy=True)
    of_session = write_report(session, tmp_path / "session.html")
    assert data_of(of_session, "unit-0") == data_of(write_report(file), "unit-0")
    assert len(session.units[UNIT]["spike_times"]) == 400  # the session is as it was
    with pytest.raises(ValueError, match="no unit 'unit_9'"):
        write_report(file, units=["unit_9"])


def test_a_recording_with_nothing_in_it(tmp_path: Path, chromium: Any) -> None:
    file = create_session("empty", output_dir=tmp_path).save()
    opened, wrong = chromium.new_page(), []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(write_report(file).as_uri())
    for section in ("overview", "chip", "table", "unit=0", "unit", "population", "problems", "%E4%B8%8D"):
        opened.evaluate(f"location.hash = '{section}'")
        opened.wait_for_timeout(30)
        assert opened.locator("main h2").count() >= 1
    opened.close()
    assert wrong == []


def test_what_is_no_report_is_not_replaced(tmp_path: Path) -> None:
    file = recording(tmp_path).save(tmp_path / "a.h5")
    own = tmp_path / "a.html"
    own.write_text("mine")
    with pytest.raises(FileExistsError, match=r"a\.html"):
        write_report(file)
    assert own.read_text() == "mine"
    assert write_report(file, overwrite=True) == own
    assert write_report(file) == own  # a report is replaced
    with pytest.raises(FileNotFoundError):
        write_report(tmp_path / "not there.h5")
    with pytest.raises(ValueError, match="save it first"):
        write_report(create_session("x", output_dir=tmp_path))


def test_index_of_a_batch(tmp_path: Path, chromium: Any) -> None:
    directory = tmp_path / "batch"
    first = recording(directory).save(directory / "a & b.h5")
    (directory / "broken.h5").write_bytes(b"no HDF5")
    rows = [
        {"dataset_id": "a & b", "status": "done", "reason": None},
        {"dataset_id": HOSTILE, "status": "failed", "reason": "ValueError: <i>no</i> units"},
    ]
    (directory / "batch_summary.json").write_text(json.dumps({"recordings": rows}))
    index = write_report(directory)
    assert index == directory / "index.html"
    made_at = first.with_suffix(".html").stat().st_mtime_ns
    opened = chromium.new_page()
    opened.goto(index.as_uri())
    cells = [row.locator("th, td").all_inner_texts() for row in opened.locator("tbody tr").all()]
    assert cells[0][:6] == [HOSTILE, "done", "4", "8", "1", "5"]
    assert cells[1][:2] == ["broken", "unreadable"]
    assert cells[2][:2] == [HOSTILE, "failed"]
    assert cells[2][-1] == "ValueError: <i>no</i> units"
    aligned = "cells => cells.map(one => getComputedStyle(one).textAlign)"
    assert opened.locator("thead th").evaluate_all(aligned) == opened.locator("tbody tr:first-child > *").evaluate_all(
        aligned
    )
    opened.locator("tbody a").click()
    opened.locator("main h2").first.wait_for()
    assert opened.locator("h1").inner_text() == HOSTILE
    opened.close()
    write_report(directory)
    assert first.with_suffix(".html").stat().st_mtime_ns == made_at  # not older than its file: left alone
    first.with_suffix(".html").write_text("mine")
    with pytest.raises(FileExistsError, match="not a report"):
        write_report(directory)
    with pytest.raises(FileNotFoundError, match="no recording"):
        write_report(tmp_path)
    with pytest.raises(ValueError, match="not for a directory"):
        write_report(directory, units=["unit_000"])


def test_a_hostile_files_name_is_text(tmp_path: Path, chromium: Any) -> None:
    name = "<img src=x onerror=document.title=1>"
    file = create_session("plain", output_dir=tmp_path).save()
    file.rename(tmp_path / f"{name}.h5")
    with opened(chromium, write_report(tmp_path)) as page:
        assert page.locator("img").count() == 0
        page.locator("tbody a").click()
        page.locator("main h2").first.wait_for()
        assert value(page, "file") == f"{name}.h5"
        assert (page.locator("img").count(), page.title()) == (0, "plain")


def test_command(tmp_path: Path) -> None:
    file = recording(tmp_path).save(tmp_path / "a.h5")
    command = [sys.executable, "-c", "import sys; from hdmea.cli import main; sys.exit(main())", "report"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *arguments], capture_output=True, text=True, env=dict(os.environ), check=False)

    done = run(str(file), "-o", str(tmp_path / "x.html"), "--units", "unit_001, unit_000", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"file": str(tmp_path / "x.html"), "bytes": (tmp_path / "x.html").stat().st_size}
    assert data_of(tmp_path / "x.html", "recording")["units"] == ["unit_001", "unit_000"]
    missing = run(str(tmp_path / "none.h5"))
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: No such file")


def test_run_writes_a_page_when_it_is_asked_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spikes = tmp_path / "wave.h5"
    with h5py.File(spikes, "w") as file:
        file["spikes"], file["sCount"] = np.array([0.5, 1.5, 1.7]), np.array([2, 1])
    words = ["run", "--spikes", spikes, "-o", tmp_path, "--dataset-id", "made", "--steps", "load_spikes", "--report"]
    (tmp_path / "made.html").write_text("mine")
    assert run_command(app, [str(word) for word in words]) == 2
    assert not (tmp_path / "made.h5").exists()  # it is said before the work
    assert "made.html" in capsys.readouterr().err
    (tmp_path / "made.html").unlink()
    assert run_command(app, [str(word) for word in words]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "made.h5"), str(tmp_path / "made.html")]
    assert data_of(tmp_path / "made.html", "recording")["units"] == ["unit_001", "unit_002"]


def test_batch_writes_pages_and_their_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["spikes"], file["sCount"] = np.array([0.5, 1.5, 1.7]), np.array([2, 1])
    (tmp_path / "broken.h5").write_bytes(b"not HDF5")
    (tmp_path / "manifest.csv").write_text(
        "spikes,dataset_id\n" + "".join(f"{n}.h5,{n}\n" for n in ("one", "two", "broken"))
    )
    results = tmp_path / "results"
    results.mkdir()
    words = ["batch", tmp_path / "manifest.csv", "-o", results, "--steps", "load_spikes", "--report", "--quiet"]
    (results / "one.html").write_text("mine")
    assert run_command(app, [str(word) for word in words]) == 2
    assert "one.html" in capsys.readouterr().err
    assert not (results / "one.h5").exists()  # it is said before the work
    (results / "one.html").unlink()
    assert run_command(app, [*(str(word) for word in words if word != "--quiet"), "--json"]) == 1  # one failed
    assert json.loads(capsys.readouterr().out)["report"] == str(results / "index.html")
    index = (results / "index.html").read_text(encoding="utf-8")
    assert [name in index for name in ('href="one.html"', 'href="two.html"', ">broken<", ">failed<")] == [True] * 4
    assert ">axons seen<" in index  # a key figure of batch_figures.csv
    assert data_of(results / "two.html", "recording")["units"] == ["unit_001", "unit_002"]


@pytest.mark.parametrize("text", ["{", "[]", '{"recordings": [{"status": "done"}]}', '{"recordings": 3}'])
def test_what_is_no_summary_of_a_batch_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "batch_summary.json").write_text(text)
    with pytest.raises(ValueError, match=r"batch_summary\.json is not the summary of a batch"):
        write_index(tmp_path)


def test_values_are_explained_by_their_feature() -> None:
    schema = FeatureRegistry.get_metadata("frif")["output_schema"]
    assert [explanation(f"frif/{name}") for name in schema] == list(schema.values())
    assert explanation("unit_meta/snr") == "as the sorter's table of units has it"
    assert explanation("nobodys/width_um") == "um"
    assert unit_and_meaning("um, along the axon") == ("µm", "along the axon")
    assert (explanation("x"), explanation("nobodys/x")) == ("", "")


def test_a_date_that_is_none_and_a_recording_without_a_length(tmp_path: Path) -> None:
    session = create_session("silent", output_dir=tmp_path)
    session.add_units({"unit_001": {"spike_times": np.empty(0, np.uint64)}})
    session.created_at = "last spring"
    found = data_of(write_report(session, tmp_path / "page.html"), "recording")
    assert ["made on", "last spring"] in found["facts"]
    assert ["units without spikes", 1, 1] in found["missing"]


def test_index_takes_key_figures_and_leaves_others_pages(tmp_path: Path) -> None:
    """An array task makes its own recordings' pages; those of others are linked where they are there."""
    for name in ("a", "b"):
        create_session(name, output_dir=tmp_path).save()
    (tmp_path / "batch_figures.csv").write_text(
        f'dataset_id,status,units,axons\na,done,0,17\nb,done,0,"{HOSTILE[:9]}"\n'
    )
    index = write_index(tmp_path, pages=["a"])
    assert not (tmp_path / "b.html").exists()
    text = index.read_text(encoding="utf-8")
    assert ">17</td>" in text
    assert 'href="b.html"' not in text
    assert ">&lt;/script&gt;</td>" in text
    write_index(tmp_path)
    assert 'href="b.html"' in index.read_text(encoding="utf-8")
    (tmp_path / "batch_figures.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match="dataset_id"):
        write_index(tmp_path)


def test_a_recording_without_a_page_is_told_with_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = create_session("whole", output_dir=tmp_path)
    session.add_metadata({"acquisition_rate": 1000.0})
    content = session.save().read_bytes()
    assert run_command(app, ["report", str(tmp_path)]) == 0
    (tmp_path / "broken.h5").write_bytes(content[: len(content) // 2])
    assert run_command(app, ["report", str(tmp_path)]) == 1
    assert f"no page about {tmp_path / 'broken.h5'}" in capsys.readouterr().err


def test_figures_of_a_name_that_a_spreadsheet_would_compute_are_found(tmp_path: Path) -> None:
    for name in ("=odd", "'even"):
        session = create_session(name, output_dir=tmp_path)
        session.add_metadata({"acquisition_rate": 1000.0})
        session.save()
    rows = [{"dataset_id": "=odd", "significant_fields": 40}, {"dataset_id": "'even", "significant_fields": 41}]
    write_table(tmp_path / "batch_figures.csv", rows)
    index = write_report(tmp_path).read_text(encoding="utf-8")
    assert ">40<" in index
    assert ">41<" in index


def test_the_page_of_a_file_that_an_older_one_replaced_is_made_anew(tmp_path: Path) -> None:
    """As a copy from an archive, which keeps its time; a page of some units is none of the recording."""
    session = create_session("rec", output_dir=tmp_path)
    session.add_metadata({"acquisition_rate": 1000.0})
    session.add_units({f"unit_00{number}": {"spike_times": np.arange(3, dtype=np.uint64)} for number in (1, 2)})
    path = session.save()
    page = path.with_suffix(".html")
    write_report(path, units=["unit_001"])
    assert without_page(tmp_path) == [path]
    write_report(tmp_path)
    assert "unit_002" in page.read_text(encoding="utf-8")
    made_at = page.stat().st_mtime_ns
    write_report(tmp_path)
    assert page.stat().st_mtime_ns == made_at

    session.add_units({"unit_003": {"spike_times": np.arange(3, dtype=np.uint64)}})
    session.save(overwrite=True)
    os.utime(path, (1, 1))
    write_report(tmp_path)
    assert "unit_003" in page.read_text(encoding="utf-8")
    assert without_page(tmp_path) == []
