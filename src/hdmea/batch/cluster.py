"""Array jobs of a cluster: this task's share of the recordings, and the Slurm script."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TypeVar

from hdmea.batch.resources import Resources
from hdmea.utils.exceptions import ConfigurationError

Item = TypeVar("Item")

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

    Given numbers come before those of the scheduler's environment, which knows this submission alone: where only some
    tasks were submitted again, their rows cannot be told from it. Raises `ConfigurationError` for numbers that do not
    fit, a task without a count, and a submission that cannot be of all tasks.
    """
    environment = os.environ if environment is None else environment
    if task is None:
        task, stated_count = _from_environment(environment)
        if task is not None:
            _check_whole(environment)
        count = stated_count if count is None else count
    if task is None:
        if count is not None:
            raise ConfigurationError("--array-count goes with --array-task, or inside an array job")
        return None
    if count is None:
        raise ConfigurationError("how many tasks share the batch? give --array-count")
    if not 0 <= task < count:
        raise ConfigurationError(f"array task {task} of {count}: tasks are numbered 0 to {count - 1}")
    return task, count


def _check_whole(environment: Mapping[str, str]) -> None:
    """Raise `ConfigurationError` for an array of which some tasks are missing: it begins with 0 or 1, without gaps."""
    for scheduler, (number, first, count) in _ARRAYS.items():
        last = {"Slurm": "SLURM_ARRAY_TASK_MAX", "Grid Engine": "SGE_TASK_LAST"}.get(scheduler, "")
        texts = [environment.get(name, "") for name in (number, first, last)]
        if not all(text.isdigit() for text in texts):
            continue
        begin, end = int(texts[1]), int(texts[2])
        tasks = environment.get(count, "")
        has_gaps = tasks.isdigit() and end - begin + 1 != int(tasks)
        if begin > 1 or has_gaps:
            numbers = f"{scheduler} numbers {begin} to {end}{f', {tasks} of them' if has_gaps else ''}"
            raise ConfigurationError(
                f"these are only some of the tasks of an array ({numbers}), so their recordings cannot be told: give "
                "--array-task and --array-count, as the script of --print-slurm does"
            )


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
    share = f'--array-task "$SLURM_ARRAY_TASK_ID" --array-count {tasks}'
    return f"""#!/bin/bash
# One array task takes every {tasks}-th recording of the manifest; finished ones are skipped, so submitting again
# after a failure does only what is left; sbatch --array=3,7 submits tasks 3 and 7 alone.
#SBATCH --job-name=hdmea-batch
# Sites allow so many tasks an array: scontrol show config | grep MaxArraySize; --slurm-tasks makes fewer.
#SBATCH --array=0-{tasks - 1}
#SBATCH --ntasks=1
# Threads of each task, of --threads, else 4: the kernels use as many as Slurm gives.
#SBATCH --cpus-per-task={resources.threads * resources.jobs}
# Arrays of one recording at a time, of --memory-budget, else 8 GiB; and 512 MiB for Python and its libraries.
#SBATCH --mem={memory}M
# Raise it for long recordings; what is running is checkpointed when time is up.
#SBATCH --time=04:00:00
# A warning two minutes before the end, straight to the command: it checkpoints and exits with 143.
#SBATCH --signal=TERM@120
#SBATCH --output=hdmea-batch-%A-%a.log

cd {shlex.quote(os.getcwd())} || exit 2
export PATH={shlex.quote(directory)}:"$PATH"
srun hdmea {command} {share}
"""
