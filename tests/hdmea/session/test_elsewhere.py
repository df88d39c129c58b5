"""Sessions whose process, or the process that they were sent to, is in another directory than they were made in."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hdmea import PipelineSession, create_session

TIMES = np.array([5, 8, 13], np.uint64)
UNIT = {"unit_001": {"spike_times": TIMES}}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; `elsewhere` is beside it."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def nothing_elsewhere(here: Path) -> bool:
    return not list((here.parent / "elsewhere").iterdir())


def saved_elsewhere(session: PipelineSession, directory: Path, queue: multiprocessing.Queue[str]) -> None:
    os.chdir(directory)
    session.add_units({"unit_002": {"spike_times": TIMES}})
    queue.put(str(session.save()))


def test_a_save_goes_where_the_session_was_made(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = PipelineSession("day1", output_dir=Path("results"))
    session.add_units(UNIT)
    monkeypatch.chdir("../elsewhere")

    path = session.save()

    assert path == here / "results" / "day1.h5"
    assert session.output_dir == Path("results")
    assert nothing_elsewhere(here)


def test_a_saved_session_is_saved_again_to_its_own_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = PipelineSession("day1", output_dir=Path("results"))
    session.add_units(UNIT)
    assert session.save() == Path("results/day1.h5")
    monkeypatch.chdir("../elsewhere")
    session.add_units({"unit_002": {"spike_times": TIMES}})

    assert session.ensure_saved() == here / "results" / "day1.h5"

    assert nothing_elsewhere(here)
    assert list(PipelineSession.load(here / "results" / "day1.h5").units) == ["unit_001", "unit_002"]


def test_a_lazy_session_is_read_and_saved_from_elsewhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = PipelineSession("day1", output_dir=Path("results"))
    session.add_units(UNIT)
    session = PipelineSession.load(session.save(), lazy=True)
    monkeypatch.chdir("../elsewhere")
    session.add_metadata({"note": "moved"})

    session.save()

    assert np.array_equal(session.units["unit_001"]["spike_times"], TIMES)
    assert PipelineSession.load(here / "results" / "day1.h5").metadata["note"] == "moved"
    assert nothing_elsewhere(here)


def test_a_path_that_is_given_later_is_of_the_directory_then(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = PipelineSession("day1")
    session.add_units(UNIT)
    monkeypatch.chdir("../elsewhere")
    session.save("mine.h5")
    session.set_source_files(cmcr_path="raw.cmcr")
    monkeypatch.chdir(here)

    assert session.own_file == here.parent / "elsewhere" / "mine.h5"
    assert session.source_file("cmcr_path") == here.parent / "elsewhere" / "raw.cmcr"
    assert session.save() == here.parent / "elsewhere" / "mine.h5"


def test_another_process_saves_it_where_it_was_made(here: Path) -> None:
    session = PipelineSession("day1", output_dir=Path("results"))
    session.add_units(UNIT)
    session.save()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=saved_elsewhere, args=(session, here.parent / "elsewhere", queue))
    worker.start()

    assert queue.get(timeout=200) == str(here / "results" / "day1.h5")

    worker.join()
    assert nothing_elsewhere(here)
    assert list(PipelineSession.load("results/day1.h5").units) == ["unit_001", "unit_002"]


def test_the_scratch_file_goes_from_wherever_the_process_is(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = PipelineSession("day1", output_dir=Path("results"), memory_budget="8MiB")
    session.add_metadata({"a": np.arange(2_000_000)})
    monkeypatch.chdir("../elsewhere")
    session.add_metadata({"b": np.arange(2_000_000) + 1})

    session.save()

    assert [entry.name for entry in (here / "results").iterdir()] == ["day1.h5"]
    assert np.array_equal(PipelineSession.load(here / "results" / "day1.h5").metadata["b"], np.arange(2_000_000) + 1)
    assert nothing_elsewhere(here)


def test_sources_are_found_from_elsewhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = create_session(cmtr_path="data/day1.cmtr", output_dir="results")
    monkeypatch.chdir("../elsewhere")

    assert session.source_files["cmtr_path"] == Path("data/day1.cmtr")
    assert session.source_file("cmtr_path") == here / "data" / "day1.cmtr"
    assert session.source_file("spikes_path") is None


def test_a_removed_directory_does_not_matter_to_absolute_paths(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"""
import os, numpy as np
os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})
from hdmea import PipelineSession
session = PipelineSession("day1", output_dir={str(tmp_path)!r})
session.add_units({{"unit_001": {{"spike_times": np.array([5], np.uint64)}}}})
session.save(); session.add_metadata({{"x": 1}}); session.save()
print(len(PipelineSession.load({str(tmp_path / "day1.h5")!r}, lazy=True).units))
"""
    if os.name == "nt":
        pytest.skip("Windows removes no directory that somebody is in")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("1", 0), done.stderr
