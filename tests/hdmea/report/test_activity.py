"""What a page holds of spontaneous activity: the numbers in it, against the recording."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdmea.pipeline import create_session, find_waves, load_spikes, measure_synchrony
from hdmea.report import write_report
from hdmea.spontaneous import waves_of
from support import simulated_waves as made
from support.browser import fits, go_to, opened


@pytest.fixture
def session(tmp_path):
    simulated = made.simulate_waves(made.array_60(), 300.0, 4)
    file = made.write_wave_file(tmp_path / "P9.h5", simulated.trains_s, simulated.positions_um, 300.0)
    return load_spikes(file, session=create_session("P9", output_dir=tmp_path / "out"))


def recording_of(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script[^>]*id="recording"[^>]*>(.*?)</script>', text, re.DOTALL)[1])


def test_waves_are_on_the_page_with_who_took_part_and_when(session):
    measure_synchrony(session=session)
    find_waves(session=session)
    shown = recording_of(write_report(session.save()))["activity"]
    waves = waves_of(session)
    assert len(shown["waves"]) == len(waves) > 2
    for one, wave in zip(shown["waves"], waves, strict=True):
        numbers = np.frombuffer(base64.b64decode(one["units"]), "<u4")
        assert [f"unit_{number + 1:03d}" for number in numbers] == list(wave.units)
        onsets = wave.start_s + np.frombuffer(base64.b64decode(one["onsets"]), "<u4") / 1000
        assert onsets == pytest.approx(wave.onsets_s, abs=6e-4)
        assert one["speed"] == pytest.approx(wave.speed_um_s, nan_ok=True)
    raster = np.frombuffer(base64.b64decode(shown["raster"]["values"]), "u1").reshape(60, 1000)
    x, _ = shown["places"]
    first = int(np.argmin(np.array(x)))  # rows go along x
    times = session.units[f"unit_{first + 1:03d}"]["spike_times"] / 20_000
    assert set(np.flatnonzero(raster.any(axis=0))) >= set((times / 0.3).astype(int))
    stored = session.metadata["synchrony"]["sttc_over_distance"]
    assert shown["distance"]["mean"] == pytest.approx(np.where(np.isnan(stored["mean"]), None, stored["mean"]).tolist())


def test_the_table_of_waves_is_printed_whole_with_as_many_decimals_in_each_row(session, chromium):
    find_waves(session=session)
    with opened(chromium, write_report(session.save())) as page:
        page.set_viewport_size({"width": int(182 / 25.4 * 96), "height": 900})  # between the margins of A4
        page.emulate_media(media="print")
        go_to(page, "waves")
        table = page.get_by_role("region", name="wave, start (s)")
        assert fits(page)
        assert table.evaluate("one => one.scrollWidth <= one.clientWidth")
        rows = [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]
        assert len(rows) == len(waves_of(session)) > 2
        assert [float(row[0]) for row in rows] == pytest.approx([wave.start_s for wave in waves_of(session)], abs=5e-4)
        for column in zip(*rows, strict=True):
            assert len({len(cell.partition(".")[2]) for cell in column if cell != "–"}) <= 1, column


def test_the_raster_is_dark_on_a_dark_page(session, chromium):
    find_waves(session=session)
    page_file = write_report(session.save())
    for scheme, is_dark in (("light", False), ("dark", True)):
        with opened(chromium, page_file) as page:
            page.emulate_media(color_scheme=scheme)
            go_to(page, "waves")
            with Image.open(io.BytesIO(page.locator("svg image").first.screenshot())) as picture:
                assert (np.median(np.asarray(picture.convert("L"))) < 128) == is_dark


def test_a_page_without_these_steps_says_so(session):
    assert recording_of(write_report(session.save()))["activity"] is None


def test_some_units_alone_are_shown_with_their_waves(session):
    find_waves(session=session)
    path = session.save()
    some = recording_of(write_report(path, units=["unit_030", "unit_007"]))["activity"]
    for one in some["waves"]:
        assert set(np.frombuffer(base64.b64decode(one["units"]), "<u4")) <= {0, 1}
        assert one["count"] > 5
