"""The table at the end of a benchmark run, and the comparison with an earlier one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from figures import machine, more, ratio, seconds, targets

_rows: list[dict[str, Any]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("h5burst benchmarks")
    group.addoption("--json", metavar="FILE", help="write all figures to FILE")
    group.addoption("--compare", metavar="FILE", help="show the change against the figures in FILE")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "timeout: of pytest-timeout")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No time limit: it would count a batch of recordings against the first benchmark that uses it.

    Warnings are shown, and are no errors.
    """
    for item in items:
        item.add_marker(pytest.mark.timeout(0))
        item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(autouse=True)
def _collect(request: pytest.FixtureRequest) -> Any:
    """Keep what a benchmark said about itself."""
    yield
    benchmark = request.node.funcargs.get("benchmark")
    if benchmark is not None and benchmark.extra_info:
        _rows.append({"name": request.node.nodeid.split("/")[-1], **benchmark.extra_info})


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not _rows:
        return
    earlier = _earlier(config.getoption("--compare"))
    write = terminalreporter.write_line
    write("")
    header = ["benchmark", "ours", "other side", "its time", "times faster", "spread", "target", "more"]
    lines = [_cells(row, earlier.get(row["name"])) for row in _rows]
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    for line in [header, ["-" * width for width in widths], *lines]:
        write("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
    if target := config.getoption("--json"):
        figures = {"machine": machine(), "rows": _rows}
        Path(target).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        write(f"figures written to {target}")


def _earlier(path: str | None) -> dict[str, dict[str, Any]]:
    if path is None:
        return {}
    return {row["name"]: row for row in json.loads(Path(path).read_text(encoding="utf-8"))["rows"]}


def _cells(row: dict[str, Any], earlier: dict[str, Any] | None) -> list[str]:
    ours = seconds(row.get("ours_s"))
    if earlier and earlier.get("ours_s") and row.get("ours_s"):
        ours += f" ({row['ours_s'] / earlier['ours_s'] - 1:+.0%})"
    return [row["name"], ours, row.get("other", ""), seconds(row.get("other_s")), *ratio(row), targets(row), more(row)]
