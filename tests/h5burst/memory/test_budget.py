"""How a memory budget is read, and what is used where nobody set one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from h5burst.memory import budget
from h5burst.runtime import cgroups


@pytest.mark.parametrize(
    ("amount", "size"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("4GiB", 4 << 30),
        ("4 gib", 4 << 30),
        ("4G", 4 << 30),
        ("500 MB", 500_000_000),
        ("1.5KiB", 1536),
        ("2e3", 2000),
        ("1TB", 10**12),
        ("10b", 10),
    ],
)
def test_amounts_are_bytes_or_text_with_units(amount: int | str, size: int) -> None:
    assert budget.parse_bytes(amount) == size


@pytest.mark.parametrize("amount", ["", "GiB", "4 XB", "-3", "0", "four", "1..5G", 0, -1])
def test_other_amounts_are_value_errors(amount: int | str) -> None:
    with pytest.raises(ValueError, match=r"memory"):
        budget.parse_bytes(amount)


@pytest.mark.parametrize("amount", [1.5, True, None, b"1"])
def test_other_types_are_type_errors(amount: object) -> None:
    with pytest.raises(TypeError):
        budget.parse_bytes(amount)  # type: ignore[arg-type]


def test_a_wish_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("H5BURST_MEMORY_BUDGET", "1GiB")
    assert budget.memory_budget() == 1 << 30
    assert budget.memory_budget("2GiB") == 2 << 30


def test_a_bad_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("H5BURST_MEMORY_BUDGET", "lots")
    with pytest.raises(ValueError, match="H5BURST_MEMORY_BUDGET"):
        budget.memory_budget()


def test_without_a_wish_four_fifths_of_what_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("H5BURST_MEMORY_BUDGET", raising=False)
    monkeypatch.setattr(budget, "process_limit", lambda: 1000)
    assert budget.memory_budget() == 800


def test_slurm_limits_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "64")
    assert budget.process_limit() == 64 << 20
    monkeypatch.delenv("SLURM_MEM_PER_NODE")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "16")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "3")
    assert budget.process_limit() == 48 << 20


@pytest.mark.parametrize(
    ("groups", "limit_file"),
    [("0::/job/step", "memory.max"), ("4:memory:/job/step\n0::/", "memory/memory.limit_in_bytes")],
)
def test_the_least_limit_of_all_control_groups_counts(
    monkeypatch: pytest.MonkeyPatch, groups: str, limit_file: str
) -> None:
    root, _, name = limit_file.rpartition("/")
    base = f"/sys/fs/cgroup/{root}".rstrip("/")
    files = {
        "/proc/self/cgroup": groups,
        f"{base}/job/step/{name}": "max" if name == "memory.max" else str(2**63 - 4096),
        f"{base}/job/{name}": str(5 << 20),
        f"{base}/{name}": str(9 << 20),
        "/proc/meminfo": "MemTotal: 100000 kB\nMemAvailable: 90000 kB",
    }
    monkeypatch.setattr(cgroups, "lines", lambda path: files.get(str(path), "").split("\n"))
    monkeypatch.delenv("SLURM_MEM_PER_NODE", raising=False)
    monkeypatch.delenv("SLURM_MEM_PER_CPU", raising=False)
    assert budget.process_limit() == 5 << 20


def test_sizes_for_people() -> None:
    assert budget.format_bytes(1536) == "1.5 KiB"
    assert budget.format_bytes(5) == "5 B"
    assert budget.format_bytes(3 << 40) == "3.0 TiB"


@pytest.mark.skipif(sys.platform != "linux", reason="limits of processes, and what is mapped, as Linux tells them")
@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_the_limits_of_the_process_are_respected(kind: str) -> None:
    code = (
        f"import resource; resource.setrlimit(resource.{kind}, (1 << 31, 1 << 31))\n"
        "from h5burst import memory_budget; print(memory_budget())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "H5BURST_MEMORY_BUDGET"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert 1 << 25 < int(done.stdout) < 0.8 * (1 << 31)
