"""Shares of an array job, resources, and the Slurm script."""

from __future__ import annotations

import os
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdmea.batch.cluster import array_share, share_of, slurm_script
from hdmea.batch.resources import Resources, plan_resources
from hdmea.utils.exceptions import ConfigurationError


@given(st.lists(st.integers()), st.integers(1, 20))
def test_the_shares_of_all_tasks_are_the_whole(items: list[int], count: int) -> None:
    shares = [share_of(items, task, count) for task in range(count)]
    assert sorted(item for share in shares for item in share) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, None),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "4"}, (2, 4)),
        ({"SGE_TASK_ID": "5", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "9", "SGE_TASK_STEPSIZE": "2"}, (2, 5)),
        ({"SGE_TASK_ID": "undefined"}, None),
    ],
)
def test_the_share_comes_from_the_scheduler(environment: dict[str, str], share: tuple[int, int] | None) -> None:
    assert array_share(None, None, environment) == share


def of_slurm(task: int, first: int, last: int, count: int) -> dict[str, str]:
    values = {"ID": task, "MIN": first, "MAX": last, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    "environment",
    [
        of_slurm(3, first=3, last=7, count=2),
        of_slurm(0, first=0, last=6, count=4),
        of_slurm(5, first=5, last=5, count=1),
        {"SGE_TASK_ID": "4", "SGE_TASK_FIRST": "4", "SGE_TASK_LAST": "4", "SGE_TASK_STEPSIZE": "1"},
    ],
    ids=["3,7", "0-6:2", "5", "Grid Engine, 4"],
)
def test_some_tasks_of_an_array_submitted_again_do_no_other_rows(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="only some of the tasks"):
        array_share(None, None, environment)
    number = int(environment.get("SLURM_ARRAY_TASK_ID") or environment["SGE_TASK_ID"])
    assert array_share(number, 8, environment) == (number, 8)


def test_pbs_gives_a_number_and_the_caller_the_count() -> None:
    assert array_share(None, 4, {"PBS_ARRAY_INDEX": "3"}) == (3, 4)
    with pytest.raises(ConfigurationError, match="--array-count"):
        array_share(None, None, {"PBS_ARRAY_INDEX": "3"})


def test_given_numbers_come_before_the_environment() -> None:
    assert array_share(1, 2, {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "9"}) == (1, 2)


@pytest.mark.parametrize(("task", "count"), [(2, 2), (-1, 2), (0, None), (None, 3)])
def test_numbers_that_do_not_fit_are_refused(task: int | None, count: int | None) -> None:
    with pytest.raises(ConfigurationError):
        array_share(task, count, {})


def test_resources_fit_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("H5BURST_NUM_THREADS", "8")
    monkeypatch.setenv("H5BURST_MEMORY_BUDGET", "4GiB")
    assert plan_resources(100) == Resources(8, 1, 512 << 20)
    assert plan_resources(2) == Resources(2, 4, 2 << 30)
    assert plan_resources(100, threads=4) == Resources(2, 4, 2 << 30)
    assert plan_resources(100, budget="2GiB") == Resources(2, 4, 2 << 30)
    assert plan_resources(100, jobs=3, threads=5, budget=1 << 30) == Resources(3, 5, 1 << 30)
    monkeypatch.setenv("H5BURST_MEMORY_BUDGET", "100MiB")
    assert plan_resources(100).jobs == 1


def test_the_slurm_script_asks_for_what_was_worked_out() -> None:
    script = slurm_script(["batch", "my list.csv", "-o", "out"], 5, Resources(1, 4, 2 << 30), "/opt/env/bin")
    assert "#SBATCH --array=0-4\n" in script
    assert "#SBATCH --cpus-per-task=4\n" in script
    assert "#SBATCH --mem=2560M\n" in script
    own = '--array-task "$SLURM_ARRAY_TASK_ID" --array-count 5'
    assert f"srun hdmea batch 'my list.csv' -o out {own}\n" in script
    assert f"\ncd {shlex.quote(os.getcwd())} ||" in script
