"""Resources: how many recordings run at once, and what each may use."""

from __future__ import annotations

from dataclasses import dataclass

from h5burst import format_bytes, memory_budget, parse_bytes, thread_count

MIN_MEMORY = 256 << 20  # a job below this would spend its time moving arrays to and from its scratch file


@dataclass(frozen=True)
class Resources:
    """jobs at once, threads of each, bytes of arrays of each."""

    jobs: int
    threads: int
    memory_budget: int

    def __str__(self) -> str:
        return f"{self.jobs} at once x {self.threads} threads x {format_bytes(self.memory_budget)}"


def plan_resources(
    recordings: int, jobs: int | None = None, threads: int | None = None, budget: int | str | None = None
) -> Resources:
    """Fit jobs x threads x memory into what this process may use; what is given is kept.

    budget: bytes of one job's arrays. Raises ValueError for numbers below 1.
    """
    for name, number in (("jobs", jobs), ("threads", threads)):
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    cpus, memory = thread_count(), memory_budget()
    budget_bytes = None if budget is None else parse_bytes(budget)
    if jobs is None:
        fitting = max(1, memory // (budget_bytes or MIN_MEMORY))
        jobs = max(1, min(recordings, cpus // (threads or 1), fitting))
    return Resources(jobs, threads or max(1, cpus // jobs), budget_bytes or memory // jobs)
