"""The page of a batch that is running."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from hdmea.batch.job import JobOutcome, Status
from hdmea.batch.live import LivePage
from hdmea.batch.progress import BatchProgress
from hdmea.pipeline import run_batch
from support.batch_tools import statuses, wait_for

RENEWED = '<meta http-equiv="refresh" content="5">'


def rows(page: Path) -> dict[str, list[str]]:
    """By recording, the text of the other cells."""
    text = page.read_text(encoding="utf-8")
    found = {}
    for row in re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", text, re.S):
        name, *cells = [html.unescape(re.sub(r"<[^>]*>", "", part)) for part in re.split(r"</t[hd]>", row)]
        found[name] = cells[:-1]
    return found


def test_it_shows_what_is_done(tmp_path: Path) -> None:
    names, page = ["one", "<b>two</b>", "three"], tmp_path / "index.html"
    with LivePage(tmp_path, names, BatchProgress(3, show=False)) as shown:
        assert {name: cells[0] for name, cells in rows(page).items()} == dict.fromkeys(names, "waiting")
        assert RENEWED in page.read_text(encoding="utf-8")
        shown.report("one", "load_spikes")
        wait_for(lambda: rows(page)["one"][0] == "running: load_spikes")
        shown.report("<b>two</b>", "save")
        shown.finished(JobOutcome("one", Status.DONE, figures={"units": 7, "median_rate": 2.5, "warnings": 1}))
        wait_for(lambda: rows(page)["one"][0] == "done" and rows(page)["<b>two</b>"][0] == "running: save")
        assert rows(page)["one"][1:] == ["7", "", "", "", "1", "2.5", ""]
        assert "1 ended of: 3 recordings" in page.read_text(encoding="utf-8")
        shown.finished(JobOutcome("<b>two</b>", Status.FAILED, "ValueError: <script>"))
    text = page.read_text(encoding="utf-8")
    assert {name: cells[0] for name, cells in rows(page).items()} == {
        "one": "done",
        "<b>two</b>": "failed",
        "three": "not started",
    }
    assert rows(page)["<b>two</b>"][-1] == "ValueError: <script>"
    assert "<script>" not in text
    assert 'http-equiv="refresh"' not in text


def test_a_page_that_cannot_be_written_does_not_end_the_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "out"
    directory.mkdir()
    with LivePage(directory, ["one"], BatchProgress(1, show=None)) as shown:
        (directory / "index.html").unlink()
        (directory / "index.html").mkdir()  # it cannot be replaced
        shown.finished(JobOutcome("one", Status.DONE))
    assert "could not be written" in capsys.readouterr().err


def test_a_batch_keeps_it(tmp_path: Path, spikes_manifest) -> None:  # type: ignore[no-untyped-def]
    manifest = spikes_manifest(2, extra=("bad.h5,bad",))
    (manifest.parent / "bad.h5").write_text("this is not HDF5")
    out = tmp_path / "out"
    result = run_batch(manifest, out, steps=["load_spikes"], live=True, progress=False, jobs=1)
    assert sorted(statuses(result)) == ["done", "done", "failed"]
    found = rows(out / "index.html")
    assert {name: cells[0] for name, cells in found.items()} == {"rec0": "done", "rec1": "done", "bad": "failed"}
    assert found["rec0"][1] == "4"
    assert "bad.h5" in found["bad"][-1]
    run_batch(manifest, out, steps=["load_spikes"], live=True, report=True, progress=False, jobs=1)
    assert rows(out / "index.html")["rec0"][0] == "skipped"
    assert "rec0.html" in (out / "index.html").read_text(encoding="utf-8")


def test_tasks_of_an_array_show_all_recordings(tmp_path: Path, spikes_manifest) -> None:  # type: ignore[no-untyped-def]
    out, manifest = tmp_path / "out", spikes_manifest(3)

    def task(number: int) -> None:
        run_batch(
            manifest, out, steps=["load_spikes"], live=True, progress=False, jobs=1, array_task=number, array_count=2
        )

    task(1)
    states = {name: cells[0] for name, cells in rows(out / "index.html").items()}
    assert sorted(states.values()) == ["done", "waiting", "waiting"]
    assert RENEWED in (out / "index.html").read_text(encoding="utf-8")  # until the other task has ended
    task(0)
    assert [cells[:2] for cells in rows(out / "index.html").values()] == [["done", "4"]] * 3
    assert RENEWED not in (out / "index.html").read_text(encoding="utf-8")


def test_tasks_that_run_at_once_and_what_is_not_theirs(tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    with LivePage(tmp_path, ["one", "three"], BatchProgress(2, show=False), (0, names)) as first:
        with LivePage(tmp_path, ["two"], BatchProgress(1, show=False), (1, names)) as second:
            first.report("one", "save")
            second.finished(JobOutcome("two", Status.FAILED, "ValueError: no spikes"))
            wait_for(lambda: rows(tmp_path / "index.html")["one"][0] == "running: save")
            wait_for(lambda: rows(tmp_path / "index.html")["two"][0] == "failed")
        assert RENEWED in (tmp_path / "index.html").read_text(encoding="utf-8")
        first.finished(JobOutcome("one", Status.DONE))
    assert [cells[0] for cells in rows(tmp_path / "index.html").values()] == ["done", "failed", "not started"]
    assert RENEWED not in (tmp_path / "index.html").read_text(encoding="utf-8")
    (tmp_path / ".batch_live_0001.json").write_text("[]")
    with pytest.raises(OSError, match="not what a task of a batch has written"):
        LivePage(tmp_path, ["one"], BatchProgress(1, show=False), (0, names))


def test_it_replaces_no_page_of_others(tmp_path: Path, spikes_manifest) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("somebody's own")
    with pytest.raises(FileExistsError, match=r"index\.html"):
        run_batch(spikes_manifest(1), out, steps=["load_spikes"], live=True, progress=False)
    assert (out / "index.html").read_text() == "somebody's own"
