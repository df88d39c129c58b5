"""CHANGELOG.md has the form of Keep a Changelog: one line a change, what breaks something first."""

from __future__ import annotations

import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_headings_are_kinds_of_changes() -> None:
    kinds = re.findall(r"^### (.+)$", TEXT, re.MULTILINE)
    assert set(kinds) <= KINDS
    assert kinds


def test_a_change_is_one_line() -> None:
    changes = TEXT.partition("\n## ")[2].splitlines()
    assert [line for line in changes if len(line) > 120] == []
    assert [line for line in changes if line.startswith("  ")] == []


def test_what_breaks_something_comes_first_in_its_list() -> None:
    for part in re.split(r"^#{2,4} .*$", TEXT, flags=re.MULTILINE):
        breaks = [line.startswith("- **Breaking") for line in part.splitlines() if line.startswith("- ")]
        assert breaks == sorted(breaks, reverse=True)
