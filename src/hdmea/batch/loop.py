"""The loop of a batch: what is done with recordings that end, whatever runs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hdmea.batch.job import Job, JobOutcome, Report, Status
from hdmea.batch.resources import Resources

Finished = Callable[[JobOutcome], None]


@dataclass(frozen=True)
class Limits:
    """retries: more tries of a recording that fails; max_failures: failed ones before no more are started."""

    retries: int = 0
    max_failures: int | None = None


@dataclass(frozen=True)
class FinishedAttempt:
    """A try of a recording that ended; is_final: another would not help, or was made."""

    job: Job
    attempt: int
    outcome: JobOutcome
    is_final: bool = False


class Executor(Protocol):
    """Runs recordings: in processes of this machine, or on a cluster."""

    @property
    def is_busy(self) -> bool:
        """True where any recording that was submitted has not ended."""
        ...

    @property
    def resources(self) -> Resources:
        """Number of recordings that run at once, and what each may use."""
        ...

    def submit(self, job: Job, attempt: int) -> None:
        """Run a recording as soon as there is space for it."""
        ...

    def collect(self) -> list[FinishedAttempt]:
        """Return what has ended since the last call; waits a moment at most."""
        ...

    def drop_waiting(self) -> None:
        """Start nothing more; what runs goes on, as far as the executor can tell it from the rest."""
        ...

    def stop(self) -> None:
        """Start nothing more, and tell what runs to checkpoint and end. Called again and again."""
        ...


def run_all(
    jobs: Sequence[Job],
    executor: Executor,
    limits: Limits,
    stop: threading.Event,
    report: Report,
    finished: Finished,
) -> list[JobOutcome]:
    """Run every recording, the largest first, so that none of them runs alone at the end; outcomes in `jobs`' order.

    stop: when set, nothing is started any more. report: told what recordings do; finished: told each outcome.
    """
    outcomes: dict[str, JobOutcome] = {}
    failures = 0
    for job in sorted(jobs, key=lambda job: job.input_bytes, reverse=True):
        executor.submit(job, 1)
    while executor.is_busy:
        if stop.is_set():
            executor.stop()
        for ended in executor.collect():
            job, outcome = ended.job, ended.outcome
            outcome.attempts = ended.attempt
            is_failed = outcome.status is Status.FAILED
            if is_failed and not ended.is_final and ended.attempt <= limits.retries and not stop.is_set():
                report(job.dataset_id, f"failed ({outcome.reason}); trying again")
                executor.submit(job, ended.attempt + 1)
                continue
            outcomes[job.dataset_id] = outcome
            finished(outcome)
            failures += is_failed
        if limits.max_failures is not None and failures > limits.max_failures:
            executor.drop_waiting()
    return [outcomes.get(job.dataset_id) or not_started(job) for job in jobs]


def not_started(job: Job) -> JobOutcome:
    """The outcome of a recording whose turn never came."""
    return JobOutcome(job.dataset_id, Status.NOT_STARTED, "the batch ended before its turn", str(job.output_path))
