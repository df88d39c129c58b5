"""Bars on a terminal, plain time-stamped lines elsewhere, and the table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from h5burst import console, format_bytes
from hdmea.batch.job import JobOutcome, Status


class BatchProgress:
    """Display of a batch at work. show: True always, False never, None on a terminal as bars and elsewhere as lines."""

    def __init__(self, total: int, show: bool | None = None) -> None:
        self._console = Console(stderr=True)
        self._silent = show is False
        self._bars = None
        if not self._silent and self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bars = Progress(*columns, console=self._console, transient=True)
            self._task = self._bars.add_task("recordings", total=total)
        self._doing: dict[str, str] = {}

    def __enter__(self) -> BatchProgress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def say(self, text: str) -> None:
        if self._silent:
            return
        if self._bars:
            self._console.print(text, highlight=False)
        else:
            print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", file=sys.stderr, flush=True)

    def report(self, dataset_id: str, activity: str) -> None:
        """A recording now does this."""
        if self._bars:
            self._doing[dataset_id] = activity
            running = ", ".join(f"{name}: {doing}" for name, doing in self._doing.items())
            self._bars.update(self._task, description=running[:100])
        else:
            self.say(f"{dataset_id}: {activity}")

    def finished(self, outcome: JobOutcome) -> None:
        self._doing.pop(outcome.dataset_id, None)
        reason = f" ({outcome.reason})" if outcome.reason else ""
        self.say(f"{outcome.dataset_id}: {outcome.status.value} in {outcome.seconds:.1f} s{reason}")
        if self._bars:
            self._bars.advance(self._task)


def print_summary(outcomes: Iterable[JobOutcome]) -> None:
    """One row a recording: status, time, peak memory, and for what is not done the reason and the log."""
    rows = [
        (
            outcome.dataset_id,
            outcome.status.value,
            f"{outcome.seconds:.1f}",
            "" if outcome.peak_memory_bytes is None else format_bytes(outcome.peak_memory_bytes),
            outcome.reason,
            outcome.log_path if outcome.status is Status.FAILED else "",
        )
        for outcome in outcomes
    ]
    console.print_rows(rows, ("recording", "status", "seconds", "peak memory", "reason", "log"))
