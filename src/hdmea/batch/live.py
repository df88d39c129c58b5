"""The page of a batch that is running: which recording is at which step, what failed, and the figures so far.

It is a file that is written whole, again and again, and that browsers load anew by themselves: no server is needed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from h5burst import durable
from hdmea.batch.gather import turn
from hdmea.batch.job import JobOutcome, Status
from hdmea.batch.progress import BatchProgress
from hdmea.report.directory import Row, write_rows

RENEWED_S = 5  # by browsers
_EVERY_S = 1.0  # written at most so often
_WAITING, _RUNNING = "waiting", "running"
_PARTS, _LOCK = (
    ".batch_live_*.json",
    ".batch_live.lock",
)  # what an array's tasks know, and whose turn it is


class LivePage:
    """The index of a directory while a batch fills it, beside the progress that it passes everything on to.

    names: of the recordings of this batch. task: which of an array's tasks this is, and the names of all recordings;
    then each task keeps a file of what it knows, and the page shows all of them.

    Raises `OSError` at once where the page cannot be written; later, `say` is told, and the batch goes on.
    """

    def __init__(
        self,
        directory: Path,
        names: Sequence[str],
        progress: BatchProgress,
        task: tuple[int, Sequence[str]] | None = None,
    ) -> None:
        self._directory, self._progress, self._task = directory, progress, task
        self._rows = {name: Row(name, _WAITING) for name in names}
        self._lock, self._changed, self._ends = threading.Lock(), threading.Event(), threading.Event()
        self._problem = ""
        self._write(RENEWED_S)
        self._thread = threading.Thread(target=self._keep_writing, name="hdmea live page", daemon=True)
        self._thread.start()

    def report(self, dataset_id: str, activity: str) -> None:
        """A recording now does this."""
        self._progress.report(dataset_id, activity)
        self._set(Row(dataset_id, f"{_RUNNING}: {activity}"))

    def finished(self, outcome: JobOutcome) -> None:
        """A recording has ended."""
        self._progress.finished(outcome)
        key_figures = {name: str(value) for name, value in outcome.figures.items()}
        units, warnings = key_figures.pop("units", ""), key_figures.pop("warnings", "")
        figures = (units, "", "", "", warnings)
        said, state = " ".join(outcome.reason.split()), outcome.status.value
        self._set(Row(outcome.dataset_id, state, figures=figures, said=said, key_figures=key_figures))

    def _set(self, row: Row) -> None:
        with self._lock:
            self._rows[row.name] = row
        self._changed.set()

    def _keep_writing(self) -> None:
        while not self._ends.is_set():
            self._changed.wait()
            self._changed.clear()
            try:
                self._write(RENEWED_S)
            except OSError as error:
                self._problem = f"the page of the running batch could not be written: {error}"
            self._ends.wait(_EVERY_S)

    def _write(self, renewed_s: int | None) -> None:
        with self._lock:
            of_task = dict(self._rows)
        if self._task is None:
            self._write_page(list(of_task.values()), renewed_s)
            return
        number, names = self._task
        part = self._directory / _PARTS.replace("*", f"{number:04d}")
        content = {"ends": renewed_s is None, "rows": [asdict(row) for row in of_task.values()]}
        with durable.replacing(part, overwrite=True) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
        with turn(self._directory / _LOCK, "the page of the running batch"):
            shown = {name: Row(name, _WAITING) for name in names}
            is_running = False
            for path in sorted(self._directory.glob(_PARTS)):
                rows, ends = _part(path)
                shown |= {row.name: row for row in rows if row.name in shown}
                is_running |= not ends
            is_running |= any(row.state == _WAITING for row in shown.values())  # a task that has not begun
            self._write_page([shown[name] for name in names], RENEWED_S if is_running else None)

    def _write_page(self, rows: list[Row], renewed_s: int | None) -> None:
        ended = sum(not row.state.startswith((_WAITING, _RUNNING)) for row in rows)
        title = f"{self._directory.name} at {time.strftime('%Y-%m-%d %H:%M:%S')}, {ended} ended of"
        write_rows(self._directory / "index.html", title, rows, renewed_s)

    def __enter__(self) -> LivePage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write it for the last time: what has not ended was not started, and no browser renews it any more."""
        self._ends.set()
        self._changed.set()
        self._thread.join()
        for name, row in self._rows.items():
            if row.state == _WAITING:
                self._rows[name] = Row(name, Status.NOT_STARTED.value)
        try:
            self._write(None)
        except OSError as why:
            self._problem = f"the page of the batch could not be written: {why}"
        if self._problem:
            self._progress.say(self._problem)


def _part(path: Path) -> tuple[list[Row], bool]:
    """The rows of one task, and whether it has ended. Raises `OSError`."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return [Row(**{**row, "figures": tuple(row["figures"])}) for row in said["rows"]], bool(said["ends"])
    except (ValueError, LookupError, TypeError) as error:
        raise OSError(f"{path} is not what a task of a batch has written: remove it ({error})") from error
