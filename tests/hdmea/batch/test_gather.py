"""The table of key figures of all tasks of an array."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hdmea.batch import gather
from hdmea.batch.gather import gather_figures
from hdmea.batch.run import run_batch
from hdmea.utils.exceptions import DataLoadError


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def write_summary(directory: Path, task: int, written_at: str, *recordings: tuple[str, str, int]) -> Path:
    path = directory / f"batch_summary_{task:04d}.json"
    listed = [{"dataset_id": name, "status": status, "figures": {"units": units}} for name, status, units in recordings]
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"written_at": written_at, "recordings": listed}), encoding="utf-8")
    return temporary.replace(path)


def test_every_task_leaves_the_table_of_all_that_are_done(
    spikes_manifest: Callable[..., Path], tmp_path: Path, parameters: dict[str, dict[str, object]]
) -> None:
    manifest, out = spikes_manifest(3), tmp_path / "out"
    seen = []
    for task in (1, 0):
        run_batch(manifest, out, parameters=parameters, array_task=task, array_count=2, jobs=1, progress=False)
        seen.append([(row["dataset_id"], row["status"], row["units"]) for row in rows_of(out / "batch_figures.csv")])
    assert sorted(row[1] for row in seen[0]) != ["done"] * 3
    assert [row[0] for row in seen[0]] == [row[0] for row in seen[1]] == ["rec0", "rec1", "rec2"]
    assert {row[1] for row in seen[0]} == {"done", "not started"}
    assert seen[1] == [(f"rec{n}", "done", "4") for n in range(3)]


def test_the_latest_word_on_a_recording_counts(tmp_path: Path) -> None:
    write_summary(tmp_path, 0, "2030-01-02T00:00:00", ("a", "done", 5))
    write_summary(tmp_path, 1, "2030-01-01T00:00:00", ("a", "failed", 0), ("b", "done", 7), ("gone", "done", 1))
    rows = rows_of(gather_figures(tmp_path, ["b", "a", "c"]))
    assert [(row["dataset_id"], row["status"], row["units"]) for row in rows] == [
        ("b", "done", "7"),
        ("a", "done", "5"),
        ("c", "not started", ""),
    ]


def test_tasks_that_end_at_once_lose_no_rows(tmp_path: Path) -> None:
    names = [f"rec{number}" for number in range(12)]

    def end(number: int) -> None:
        own = write_summary(tmp_path, number, f"2030-01-01T00:00:{number:02d}", (names[number], "done", number))
        gather_figures(tmp_path, names, own)

    tasks = [threading.Thread(target=end, args=(number,)) for number in range(12)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join(60)
    rows = rows_of(tmp_path / "batch_figures.csv")
    assert [(row["dataset_id"], row["status"], row["units"]) for row in rows] == [
        (name, "done", str(number)) for number, name in enumerate(names)
    ]
    assert not (tmp_path / gather.LOCK).exists()


def test_a_task_reads_its_own_summary_alone_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, read = gather._content, []
    monkeypatch.setattr(gather, "_content", lambda path: read.append(path) or content(path))
    names = [f"rec{number}" for number in range(40)]
    for number, name in enumerate(names):
        gather_figures(tmp_path, names, write_summary(tmp_path, number, "2030", (name, "done", number)))
    assert len(read) == 40
    assert [row["status"] for row in rows_of(tmp_path / "batch_figures.csv")] == ["done"] * 40


def test_a_table_of_other_recordings_is_made_anew_from_all_summaries(tmp_path: Path) -> None:
    write_summary(tmp_path, 0, "2030-01-01T00:00:00", ("a", "done", 5))
    (tmp_path / "batch_figures.csv").write_text("dataset_id,status\nb,done\n", encoding="utf-8")
    own = write_summary(tmp_path, 1, "2030-01-01T00:00:01", ("b", "failed", 0))
    rows = rows_of(gather_figures(tmp_path, ["a", "b"], own))
    assert [(row["dataset_id"], row["status"]) for row in rows] == [("a", "done"), ("b", "failed")]


@pytest.mark.parametrize("content", ["", "[]", '{"written_at": "", "recordings": [{"status": "done"}]}'])
def test_what_is_not_a_summary_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "batch_summary_0000.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataLoadError, match=r"batch_summary_0000\.json is not the summary of a batch: remove it"):
        gather_figures(tmp_path, ["a"])


def test_names_that_a_spreadsheet_would_compute_are_text(tmp_path: Path) -> None:
    names = ['=HYPERLINK("http://x")', "@a", "-5", "+b", "plain"]
    for number, name in enumerate(names):
        path = gather_figures(tmp_path, names, write_summary(tmp_path, number, "2030", (name, "done", number)))
    written = ["'" + names[0], "'@a", "-5", "'+b", "plain"]
    assert [(row["dataset_id"], row["status"]) for row in rows_of(path)] == [(name, "done") for name in written]
