"""Scripts of a laboratory: lines that hide this package, names that are missing, names that mean something else."""

from __future__ import annotations

import ast
import re
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
width = unit["features/sta_noise/sta_geometry/gaussian_fit"]
index = f"features/{movie}/dsi"
"""
CONTAINERS = {"geometry", "sta_geometry", "ap_pathway", "on_off"}  # groups and families whose fields are in the rows
MODULES = """
import hdmea
import hdmea.io.cmtr
import hdmea.io.section_time as times
from hdmea.io import cmtr, cmcr as raw

hdmea.io.section_time.DEFAULT_PLAYLIST_PATH = "playlist.csv"
hdmea.io.cmtr.load_cmtr_data(path)
cmtr.load_cmtr_data(path)
times.add_section_time(path)
times.no_such_step(path)
raw.load_cmcr_data(path).light_reference
other.load_cmtr_data(path)
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
        *((15, "changed"), (16, "changed")),
    ]
    assert "no_such_step" in others[4].message
    assert "microseconds" in others[6].message
    assert "1.48" in others[7].message


def test_names_are_found_where_they_are_read_of_a_module(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(MODULES)
    found = check_scripts(tmp_path)
    assert kinds(found) == [(8, "changed"), (9, "changed"), (11, "missing"), (12, "changed")]
    assert "hdmea.io.section_time.no_such_step" in found[2].message


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        check_scripts(tmp_path / "gone")


def test_every_changed_name_is_in_the_page_for_laboratories() -> None:
    page = (Path(__file__).parents[2] / "docs" / "migrate.md").read_text(encoding="utf-8")
    page += (Path(__file__).parents[2] / "docs" / "measures.md").read_text(encoding="utf-8")
    assert [name for name in (*CHANGED, *NETWORK) if name not in page] == []


def test_every_name_that_the_pages_say_has_changed_is_found_in_scripts() -> None:
    docs = Path(__file__).parents[2] / "docs"
    migrate, measures = ((docs / name).read_text(encoding="utf-8") for name in ("migrate.md", "measures.md"))
    tables = migrate.partition("**Geometry.**")[2].partition("**Axons.**")[0]
    tables += measures.partition("## Comparing with numbers of version 1")[2].partition("## Features of your own")[0]
    rows = [row.split("|")[1:4] for row in tables.splitlines() if row.startswith("| `")]
    told = [
        quoted
        for first, before, _ in rows
        if not before.strip().startswith("new")
        for quoted in re.findall(r"`([\w/]+)`", first)
    ]
    names = {one.rpartition("/")[2] for one in told} - CONTAINERS
    assert len(names) >= 38
    assert sorted(names - set(CHANGED)) == []


def test_our_own_sources_are_fine() -> None:
    source = Path(__file__).parents[2] / "src" / "hdmea" / "pipeline"
    assert [one for one in check_scripts(source) if one.kind != "changed"] == []
    assert ast.parse(SCRIPT)
