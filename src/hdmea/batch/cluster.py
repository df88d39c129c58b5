"""Clusters: this task's share of an array job, the Slurm script, and the dask engine."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from hdmea.batch.job import Job, Outcome, Report, Status, run_job
from hdmea.batch.local import Finished, not_started
from hdmea.batch.resources import Resources
from hdmea.utils.exceptions import ConfigurationError

Item = TypeVar("Item")

_MAX_COLLATERAL_RETRIES = 3  # times that a recording may be found waiting on a worker that died, before it is blamed

# Scheduler: variables of a task's number, of the first number, of the count.
_ARRAYS = {
    "Slurm": ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"),
    "PBS": ("PBS_ARRAY_INDEX", "", ""),
    "Grid Engine": ("SGE_TASK_ID", "SGE_TASK_FIRST", ""),
}


def array_share(
    task: int | None, count: int | None, environment: Mapping[str, str] | None = None
) -> tuple[int, int] | None:
    """(number from 0, count) of this task of an array job; None when it is not one.

    Given numbers come before those of the scheduler's environment. Raises `ConfigurationError` for numbers that do not
    fit, or a task without a count.
    """
    environment = os.environ if environment is None else environment
    if task is None:
        task, found = _from_environment(environment)
        count = found if count is None else count
    if task is None:
        if count is not None:
            raise ConfigurationError("--array-count goes with --array-task, or inside an array job")
        return None
    if count is None:
        raise ConfigurationError("how many tasks share the batch? give --array-count")
    if not 0 <= task < count:
        raise ConfigurationError(f"array task {task} of {count}: tasks are numbered 0 to {count - 1}")
    return task, count


def _from_environment(environment: Mapping[str, str]) -> tuple[int | None, int | None]:
    for number, first, count in _ARRAYS.values():
        text = environment.get(number, "")
        if text.lstrip("-").isdigit():
            start = environment.get(first, "")
            share = environment.get(count, "")
            begin = int(start) if start.isdigit() else 0
            if number == "SGE_TASK_ID" and environment.get("SGE_TASK_LAST", "").isdigit():
                step = int(environment.get("SGE_TASK_STEPSIZE", "1") or 1)
                return (int(text) - begin) // step, (int(environment["SGE_TASK_LAST"]) - begin) // step + 1
            return int(text) - begin, int(share) if share.isdigit() else None
    return None, None


def share_of(items: Sequence[Item], task: int, count: int) -> list[Item]:
    """Every `count`-th item from the `task`-th: together the tasks take each item once."""
    return list(items[task::count])


def slurm_script(arguments: Sequence[str], tasks: int, resources: Resources, environment: str | None = None) -> str:
    """A commented sbatch script that runs `hdmea` with `arguments` as an array job.

    environment: the Python environment to put on the path; default the one that runs now.
    """
    directory = environment or os.path.dirname(sys.executable)
    memory = (resources.memory_budget * resources.jobs) // (1 << 20) + 512
    command = " ".join(shlex.quote(word) for word in arguments)
    return f"""#!/bin/bash
# One array task takes every {tasks}-th recording of the manifest; finished ones are skipped, so submitting again
# after a failure does only what is left.
#SBATCH --job-name=hdmea-batch
#SBATCH --array=0-{tasks - 1}
#SBATCH --ntasks=1
# Threads of each task: the kernels use as many as Slurm gives.
#SBATCH --cpus-per-task={resources.threads * resources.jobs}
# Arrays of one recording at a time, and 512 MiB for Python and its libraries.
#SBATCH --mem={memory}M
# Raise it for long recordings; what is running is checkpointed when time is up.
#SBATCH --time=04:00:00
# A warning two minutes before the end, straight to the command: it checkpoints and exits with 143.
#SBATCH --signal=TERM@120
#SBATCH --output=hdmea-batch-%A-%a.log

export PATH={shlex.quote(directory)}:"$PATH"
srun hdmea {command}
"""


def run_dask(
    jobs: Sequence[Job],
    stop: threading.Event,
    report: Report,
    finished: Finished,
    *,
    scheduler: str | None = None,
    scheduler_file: str | None = None,
    retries: int = 0,
    max_failures: int | None = None,
) -> list[Outcome]:
    """Run the jobs on a dask.distributed cluster; outcomes in the order of `jobs`.

    scheduler: its address; scheduler_file: the file that it wrote. Workers share the file system with this process. A
    worker that dies is one failed recording, tried again on another worker `retries` times; what waited on that worker
    is asked for again. Raises `ConfigurationError` without dask, `OSError` when the scheduler does not answer.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise ConfigurationError('the dask engine needs: pip install "h5burst[hpc]"') from error
    outcomes: dict[str, Outcome] = {}
    with (
        distributed.Client(address=scheduler, scheduler_file=scheduler_file, set_as_default=False) as client,
        client.as_current(),
    ):
        client.run_on_scheduler(_allow_failures, retries)
        futures = {
            client.submit(run_job, job, pure=False, key=f"hdmea-{i}-{id(jobs)}"): job for i, job in enumerate(jobs)
        }
        attempts = dict.fromkeys((job.dataset_id for job in jobs), 1)
        bystander = dict.fromkeys(attempts, 0)  # how often a recording waited on a worker that died
        queue = distributed.as_completed(list(futures))
        failures = 0
        while queue.count() and not stop.is_set():
            for future in queue.next_batch(block=False) or _next(queue, stop):
                job = futures[future]
                outcome = _outcome(job, future)
                outcome.attempts = attempts[job.dataset_id]
                again_why = ""
                if outcome.status is Status.FAILED and future.status == "finished" and outcome.attempts <= retries:
                    attempts[job.dataset_id] += 1
                    again_why = f"failed ({outcome.reason}); trying again"
                elif _was_bystander(job, future) and bystander[job.dataset_id] < _MAX_COLLATERAL_RETRIES:
                    bystander[job.dataset_id] += 1
                    again_why = "its dask worker died before or after it ran; asking again"
                if again_why:
                    report(job.dataset_id, again_why)
                    again = client.submit(run_job, job, pure=False)
                    futures[again] = job
                    queue.add(again)
                    continue
                outcomes[job.dataset_id] = outcome
                finished(outcome)
                failures += outcome.status is Status.FAILED
            if max_failures is not None and failures > max_failures:
                client.cancel([future for future in futures if not future.done()])
                break
        client.cancel([future for future in futures if not future.done()])
    return [outcomes.get(job.dataset_id) or not_started(job) for job in jobs]


def _next(queue: Any, stop: threading.Event) -> list[Any]:
    """Wait a moment for the next futures."""
    stop.wait(0.1)
    return list(queue.next_batch(block=False))


def _allow_failures(count: int, dask_scheduler: Any = None) -> None:
    """How many workers a recording may kill before it counts as failed."""
    dask_scheduler.allowed_failures = count


def _outcome(job: Job, future: Any) -> Outcome:
    if future.status == "finished":
        outcome: Outcome = future.result()
        return outcome
    reason = "cancelled" if future.status == "cancelled" else _reason(future.exception())
    return Outcome(job.dataset_id, Status.FAILED, reason, str(job.output_path), str(job.log_path))


def _was_bystander(job: Job, future: Any) -> bool:
    """Whether a worker died that had the recording in its queue, or its result, but was not at work on it.

    dask blames every recording that the worker still had to answer for; the one at work left its lock behind.
    """
    return future.status == "error" and _is_killed(future.exception()) and not job.lock_path.exists()


def _is_killed(error: BaseException) -> bool:
    return type(error).__name__ == "KilledWorker"


def _reason(error: BaseException) -> str:
    if _is_killed(error):
        return "the dask worker died: killed, or out of memory"
    return f"{type(error).__name__}: {error}"
