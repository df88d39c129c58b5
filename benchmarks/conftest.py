"""The table at the end of a benchmark run, and the comparison with an earlier one."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

_rows: list[dict[str, Any]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("h5burst benchmarks")
    group.addoption("--json", metavar="FILE", help="write all figures to FILE")
    group.addoption("--compare", metavar="FILE", help="show the change against the figures in FILE")


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
        machine = {"machine": platform.machine(), "system": platform.platform(), "python": platform.python_version()}
        Path(target).write_text(json.dumps({"machine": machine, "rows": _rows}, indent=2) + "\n", encoding="utf-8")
        write(f"figures written to {target}")


def _earlier(path: str | None) -> dict[str, dict[str, Any]]:
    if path is None:
        return {}
    return {row["name"]: row for row in json.loads(Path(path).read_text(encoding="utf-8"))["rows"]}


_KNOWN = ("name", "other", "ours_s", "other_s", "ratio", "ratio_min", "ratio_max", "target_ratio", "target_s")


def _cells(row: dict[str, Any], earlier: dict[str, Any] | None) -> list[str]:
    ours = _seconds(row.get("ours_s"))
    if earlier and earlier.get("ours_s") and row.get("ours_s"):
        ours += f" ({row['ours_s'] / earlier['ours_s'] - 1:+.0%})"
    ratio = f"{row['ratio']:.1f}" if "ratio" in row else ""
    spread = f"{row['ratio_min']:.1f}-{row['ratio_max']:.1f}" if "ratio_min" in row else ""
    more = ", ".join(f"{name} {_figure(value)}" for name, value in row.items() if name not in _KNOWN)
    return [row["name"], ours, row.get("other", ""), _seconds(row.get("other_s")), ratio, spread, _target(row), more]


def _target(row: dict[str, Any]) -> str:
    verdicts = []
    if "target_ratio" in row:
        verdicts.append((f">= {row['target_ratio']:g}x", row["ratio"] >= row["target_ratio"]))
    if "target_s" in row:
        verdicts.append((f"<= {_seconds(row['target_s'])}", row["ours_s"] <= row["target_s"]))
    return "; ".join(f"{text}: {'reached' if reached else 'MISSED'}" for text, reached in verdicts)


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} us"


def _figure(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
