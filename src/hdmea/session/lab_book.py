"""Log of the work on a recording's file: a line a step, in the file's history, or in an attribute where it has none.

Who gets the file can read it: there are no names of users or machines in it, and of paths only the last part.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np

import h5burst
from h5burst import Group, Transaction, load_texts
from hdmea import __version__
from hdmea.utils.clock import utc_now

ATTRIBUTE = "lab_book"  # of /pipeline: a JSON list of texts, each a time and what was done
_MAX_BYTES = 32_000  # of the attribute: an object header holds no more than twice as much
_MAX_TEXT, _MAX_ITEMS = 60, 6  # of one value
_MAX_MESSAGE = 2000  # characters


class Entry(NamedTuple):
    """number: of the commit, None where the attribute tells of it; time: as people write it; text: what was done."""

    number: int | None
    time: str
    text: str


def line_of(step: str, parameters: Mapping[str, Any], seconds: float) -> str:
    """Line of a step: its name, the parameters that were given, version and duration."""
    given = ", ".join(f"{name}={short(value)}" for name, value in parameters.items())
    if len(given) > _MAX_MESSAGE:
        given = given[:_MAX_MESSAGE] + "…"
    return f"{step}{' ' if given else ''}{given} (hdmea {__version__}, {seconds:.3g} s)"


def short(value: Any) -> str:
    """A parameter in a few words."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PurePath):
        return repr(value.name)
    if isinstance(value, str):
        return repr(_without_directories(value)[:_MAX_TEXT])
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return f"{{{_items([f'{short(key)}: {short(one)}' for key, one in value.items()])}}}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"[{_items([short(one) for one in value])}]"
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"{type(value).__name__} {tuple(shape)}"


def _without_directories(text: str) -> str:
    is_path = os.path.isabs(text) or PureWindowsPath(text).is_absolute()
    return PureWindowsPath(text).name if is_path else text


def _items(texts: Sequence[str]) -> str:
    more = [f"… {len(texts)} in all"] if len(texts) > _MAX_ITEMS else []
    return ", ".join([*texts[:_MAX_ITEMS], *more])


def note(tx: Transaction, before: Group, line: str) -> None:
    """Let an edit of a recording say what it is: to the file's history, or in an attribute where it will have none."""
    tx.message = line
    if tx.way == "copy":
        lines = [f"{utc_now()} {line}", *reversed(_noted(before))]
        sizes = np.cumsum([len(json.dumps(one)) for one in lines])
        kept = lines[: max(1, int(np.searchsorted(sizes, _MAX_BYTES)))]
        tx.set_attributes(("pipeline",), {ATTRIBUTE: json.dumps(kept[::-1])})


def _noted(tree: Group) -> list[str]:
    pipeline = tree.children.get("pipeline")
    try:
        return load_texts(pipeline.attrs.get(ATTRIBUTE, "[]")) if isinstance(pipeline, Group) else []
    except ValueError:
        return []  # what is no list of texts tells nothing


def noted(path: Path) -> list[str]:
    """Entries of a file's attribute, the newest first."""
    return _noted(h5burst.read_tree(path, lazy=True))[::-1]


def entries(path: Path) -> list[Entry]:
    """All that is known of what was done to a file, the newest first."""
    commits = [
        Entry(commit.number, f"{commit.time:%Y-%m-%d %H:%M:%S} UTC", _text(commit)) for commit in h5burst.log(path)
    ]
    return commits + [Entry(None, *one.partition(" ")[::2]) for one in noted(path)]


def _text(commit: h5burst.Commit) -> str:
    said = commit.message or ("an edit without a message" if commit.way else "as it was saved")
    back = "" if commit.restored_from is None else f" (state {commit.restored_from} again)"
    return said + back + (f" [{commit.note}]" if commit.note else "")
