"""Interrupted edits, as files of the first version tell them.

Steps are transactions now and leave no such mark: a file is what it was before the step, or has all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from h5burst import Group, load_texts, unfinished_attributes

STEPS_IN_PROGRESS = "steps_in_progress"  # attribute of /pipeline: JSON list of steps that began to write


def steps_in_progress(root: h5py.Group | Group) -> list[str]:
    """The steps that began to write into a file and did not end."""
    return _marked(root["pipeline"].attrs) if "pipeline" in root else []


def _marked(attrs: Mapping[str, Any]) -> list[str]:
    mark = attrs.get(STEPS_IN_PROGRESS, "[]")
    try:
        return load_texts(mark)
    except ValueError:
        return [f"{mark!s:.80}"]  # not a list: what it says, at least


def interrupted_steps(path: Path) -> list[str]:
    """The same of a file that is marked as still being written; none where that cannot be read."""
    try:
        return _marked(unfinished_attributes(path, ("pipeline",)))
    except (OSError, KeyError):
        return []
