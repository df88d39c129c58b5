"""The key figures of all recordings of an array of tasks in one table, whichever task ends last."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hdmea.batch.figures import write_table
from hdmea.batch.job import Status
from hdmea.utils.exceptions import DataLoadError

TABLE = "batch_figures.csv"
SUMMARIES = "batch_summary_*.json"  # one a task

Stamps = dict[Path, tuple[int, int]]


def gather_figures(output_dir: Path, dataset_ids: Sequence[str]) -> Path:
    """Write the table of all recordings in their order, from the summaries of the tasks that have ended.

    Every task calls this once its own summary is written. Two that end at once cannot lose each other's rows: a task
    that sees another summary after it has written the table writes it again. Recordings that no summary has are "not
    started".

    Raises `DataLoadError` for a summary that is not one.
    """
    path = output_dir / TABLE
    while True:
        seen = _stamps(output_dir)
        known = _latest(list(seen))
        write_table(path, [known.get(name, _unknown(name)) for name in dataset_ids])
        if _stamps(output_dir) == seen:
            return path


def _stamps(output_dir: Path) -> Stamps:
    stamps = {}
    for path in sorted(output_dir.glob(SUMMARIES)):
        status = path.stat()
        stamps[path] = (status.st_mtime_ns, status.st_ino)
    return stamps


def _latest(summaries: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """By dataset ID, what the summary that was written last says of each recording."""
    contents = sorted((_content(path) for path in summaries), key=lambda content: str(content["written_at"]))
    return {
        one["dataset_id"]: {"dataset_id": one["dataset_id"], "status": one["status"], **one["figures"]}
        for content in contents
        for one in content["recordings"]
    }


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
