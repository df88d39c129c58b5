"""The key figures of all recordings of an array of tasks in one table, whichever task ends last.

Tasks that end at once take turns, by a lock file, and each puts its own rows into the table that is there. Only where
that table is not of these recordings are the summaries of all tasks read.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hdmea.batch.figures import write_table
from hdmea.batch.job import Status
from hdmea.batch.lock import RecordingLockedError, holding
from hdmea.utils.cells import plain_text
from hdmea.utils.exceptions import ConfigurationError, DataLoadError

TABLE = "batch_figures.csv"
SUMMARIES = "batch_summary_*.json"  # one a task

LOCK = ".batch_figures.lock"
_PATIENCE_S = 60.0  # for the turn of others; then a task goes on without, and their rows may be lost until the next one
_POLL_S = 0.05

logger = logging.getLogger(__name__)


def gather_figures(output_dir: Path, dataset_ids: Sequence[str], own_summary: Path | None = None) -> Path:
    """Write the table of all recordings in their order, from the summaries of the tasks that have ended.

    Every task calls this once its own summary is written. Recordings that no summary has are "not started".

    own_summary: of this task, where the table needs no more than its rows anew. Raises `DataLoadError` for a
    summary that is not one.
    """
    path = output_dir / TABLE
    with turn(output_dir / LOCK, "the table of figures"):
        rows = None if own_summary is None else _table(path, dataset_ids)
        if rows is None or own_summary is None:
            rows = _latest(sorted(output_dir.glob(SUMMARIES)))
        else:
            rows |= _latest([own_summary])
        write_table(path, [rows.get(name, _unknown(name)) for name in dataset_ids])
    return path


@contextlib.contextmanager
def turn(lock: Path, table: str) -> Iterator[None]:
    """Hold the lock for the block, which writes `table`, as soon as others have given it back."""
    until = time.monotonic() + _PATIENCE_S
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(holding(lock))
            except RecordingLockedError as error:
                if time.monotonic() > until:
                    logger.warning("%s is written although %s", table, error)
                    break
                time.sleep(_POLL_S)
            else:
                break
        yield


def _table(path: Path, dataset_ids: Sequence[str]) -> dict[str, dict[str, Any]] | None:
    """The rows of the table that is there, by dataset ID; None for one that is not of just these recordings."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
        by_name = {plain_text(row["dataset_id"]): {**row, "dataset_id": plain_text(row["dataset_id"])} for row in rows}
    except (OSError, KeyError, ValueError, csv.Error):
        return None
    return by_name if list(by_name) == list(dataset_ids) else None


def _latest(summaries: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """By dataset ID, what the summary that was written last says of each recording."""
    contents = sorted((_content(path) for path in summaries), key=lambda content: str(content["written_at"]))
    return {
        one["dataset_id"]: {"dataset_id": one["dataset_id"], "status": one["status"], **one["figures"]}
        for content in contents
        for one in content["recordings"]
    }


def check_summary(path: Path) -> None:
    """Raise `ConfigurationError` for what is not the summary of a batch: before work whose figures it would hold up."""
    try:
        _content(path)
    except (DataLoadError, OSError) as error:
        raise ConfigurationError(str(error)) from error


def _content(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for one in content["recordings"]:
            {name: one[name] for name in ("dataset_id", "status")} | one["figures"]
        content["written_at"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataLoadError(f"{path} is not the summary of a batch: remove it ({error})", path) from error
    return content


def _unknown(dataset_id: str) -> dict[str, Any]:
    return {"dataset_id": dataset_id, "status": Status.NOT_STARTED.value}
