"""Scripts of a laboratory: lines that hide this package, names that are missing, names that mean something else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from hdmea.script_check import CHANGED, NETWORK, ScriptProblem, check_scripts

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent / "project" / "src"))
sys.path.append("elsewhere")
sys.path = ["project/src"] + sys.path
sys.path[:0] = ["project/src"]
import hdmea.io.section_time
import hdmea.io.gone
from hdmea.pipeline import load_recording, no_such_step
from hdmea.features.ap_tracking.model_inference import load_cnn_model
from hdmea.io.cmtr import load_cmtr_data
from hdmea.features import ap_tracking
import numpy as np
width = unit["features/sta_noise/sta_geometry/gaussian_fit/sigma_x"]
"""


def kinds(findings: list[ScriptProblem]) -> list[tuple[int, str]]:
    return [(finding.line, finding.kind) for finding in findings]


def test_each_line_that_matters_is_found_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "script.py").write_text(SCRIPT)
    (tmp_path / "fine.py").write_text("from hdmea.pipeline import load_recording\n")
    (tmp_path / "broken.py").write_text("def (:\n")

    findings = check_scripts(tmp_path)

    broken, *others = findings
    assert (Path(broken.path).name, broken.kind) == ("broken.py", "unreadable")
    assert {Path(one.path).name for one in others} == {"script.py"}
    assert kinds(others) == [
        *((4, "path"), (6, "path"), (7, "path"), (9, "missing"), (10, "missing"), (11, "changed"), (12, "changed")),
        (15, "changed"),
    ]
    assert "no_such_step" in others[4].what
    assert "microseconds" in others[6].what
    assert "1.48" in others[7].what


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        check_scripts(tmp_path / "gone")


def test_every_changed_name_is_in_the_page_for_laboratories() -> None:
    page = (Path(__file__).parents[2] / "docs" / "migrate.md").read_text(encoding="utf-8")
    page += (Path(__file__).parents[2] / "docs" / "measures.md").read_text(encoding="utf-8")
    assert [name for name in (*CHANGED, *NETWORK) if name not in page] == []


def test_our_own_sources_are_fine() -> None:
    source = Path(__file__).parents[2] / "src" / "hdmea" / "pipeline"
    assert [one for one in check_scripts(source) if one.kind != "changed"] == []
    assert ast.parse(SCRIPT)
