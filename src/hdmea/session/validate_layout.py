"""Check that a file keeps to the layout of a session."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from h5burst import Array, CorruptFileError, Group, Node, Note, Problem, load_texts, read_tree, verify
from hdmea.session.file import session_from_tree
from hdmea.session.interrupted import STEPS_IN_PROGRESS
from hdmea.session.layout import (
    GROUPS,
    OWN_NAME,
    ROOT_ATTRIBUTES,
    SECTION_DTYPES,
    STIMULUS_DTYPES,
    UNIT_ATTRIBUTES,
    UNIT_DTYPES,
    UNIT_ID,
    VERSION_ATTRIBUTE,
    reading_session,
)
from hdmea.utils.exceptions import CheckpointError

SESSION_INFO = ("completed_steps", "warnings")


def check_recording(path: str | Path, *, deep: bool = False) -> list[Problem]:
    """Everything that is wrong with a recording's file: what cannot be read, and what is not as the layout has it.

    Of a file of an earlier layout that is read rightly, what this layout has otherwise are notes and not problems.
    Raises `FileNotFoundError`.
    """
    problems = verify(path, deep=deep)
    try:
        tree = read_tree(path, lazy=True)
        problems_found = list(_check(tree))
        if not problems and _is_read_as_earlier_layout(tree, Path(path)):
            return problems_found
        return problems + [Problem(one.path, one.message) for one in problems_found]
    except CorruptFileError as error:
        return problems or [Problem("/", error.message)]


def _is_read_as_earlier_layout(tree: Group, path: Path) -> bool:
    if not isinstance(tree.children.get("units"), Group) or VERSION_ATTRIBUTE in tree.attrs:
        return False
    try:
        with reading_session(path):
            session_from_tree(tree, path)
    except CheckpointError:
        return False
    return True


def _other_kind(tree: Group) -> str | None:
    """Kind of a file that holds nothing of a recording; None for one that may be a recording."""
    if "dataset_id" in tree.attrs or "units" in tree.children:
        return None
    if "scptensor_version" in tree.attrs:
        return "a container of scptensor: see `scptensor info`"
    if {"obs", "var"} <= tree.children.keys():
        return "an AnnData file (.h5ad)"
    if "nwb_version" in tree.attrs:
        return "an NWB file"
    return "another HDF5 file: see `h5burst info`"


def _check(tree: Group) -> Iterator[Problem]:
    """Note what is not as the layout has it; as notes, what earlier layouts may have otherwise."""
    if kind := _other_kind(tree):
        yield Problem("/", f"this is not a recording of hdmea, but {kind}")
        return
    for name in ROOT_ATTRIBUTES:
        if name not in tree.attrs:
            yield Note("/", f"lacks the attribute {name}")
    yield from _check_features_list(tree)
    for name in GROUPS:
        if not isinstance(tree.children.get(name), Group):
            yield Note("/", f"lacks the group {name}")
    pipeline = tree.children.get("pipeline")
    if isinstance(pipeline, Group) and (steps := pipeline.attrs.get(STEPS_IN_PROGRESS)):
        yield Problem("/pipeline", f"was interrupted while {steps} wrote to the file: redo that step with force=True")
    if isinstance(pipeline, Group):
        info = _members(pipeline, "session_info")
        yield from (Note("/pipeline/session_info", f"lacks {name}") for name in SESSION_INFO if name not in info)
    units = tree.children.get("units")
    for unit_id, unit in units.children.items() if isinstance(units, Group) else ():
        yield from _check_unit(f"/units/{unit_id}", unit_id, unit)
    stimulus = tree.children.get("stimulus")
    if isinstance(stimulus, Group):
        yield from _check_stimulus(stimulus)


def _check_features_list(tree: Group) -> Iterator[Problem]:
    text = tree.attrs.get("features_extracted", "[]")
    try:
        names = load_texts(text)
    except ValueError:
        yield Problem("/", f"features_extracted is not a JSON list of texts: {str(text)[:80]!r}")
        return
    units = [unit for unit in _members(tree, "units").values() if isinstance(unit, Group)]
    stored = {name for unit in units for name in _members(unit, "features")}
    if missing := sorted(stored - set(names)):
        yield Note("/", f"features_extracted lacks {', '.join(missing)}")


def _members(group: Group, name: str) -> Mapping[str, Node]:
    """Members of a group below `group`; nothing where there is none."""
    child = group.children.get(name)
    return child.children if isinstance(child, Group) else {}


def _check_unit(where: str, unit_id: str, unit: Any) -> Iterator[Problem]:
    if not UNIT_ID.fullmatch(unit_id):
        yield Note(where, "is not named unit_ and at least three digits")
    if not isinstance(unit, Group):
        yield Problem(where, "is not a group")
        return
    for name in UNIT_ATTRIBUTES:
        if name not in unit.attrs:
            yield Note(where, f"lacks the attribute {name}")
    for name, dtype in UNIT_DTYPES.items():
        if name in unit.children:
            yield from _check_array(f"{where}/{name}", unit.children[name], np.dtype(dtype).name)
    spikes = unit.children.get("spike_times")
    if spikes is None:
        yield Problem(where, "lacks spike_times")
    elif isinstance(spikes, Array) and spikes.data is not None:
        count = math.prod(spikes.data.shape)
        if unit.attrs.get("spike_count") != count:
            yield Problem(where, f"spike_count is {unit.attrs.get('spike_count')}, but there are {count}")
        if spikes.attrs.get("unit") != "sample_index":
            yield Note(f"{where}/spike_times", "lacks the attribute unit = sample_index")
    sections = unit.children.get("spike_times_sectioned")
    for movie, section in sections.children.items() if isinstance(sections, Group) else ():
        yield from _check_section(f"{where}/spike_times_sectioned/{movie}", section)


def _check_section(where: str, section: Any) -> Iterator[Problem]:
    trials = section.children.get("trials_spike_times") if isinstance(section, Group) else None
    if not isinstance(trials, Group):
        yield Problem(where, "lacks the group trials_spike_times")
        return
    for name, dtype in SECTION_DTYPES.items():
        if name in section.children:
            yield from _check_array(f"{where}/{name}", section.children[name], np.dtype(dtype).name)
        else:
            yield Note(where, f"lacks {name}")
    if (stored := section.attrs.get("n_trials")) is None:
        yield Note(where, "lacks the attribute n_trials")
    elif stored != len(trials.children):
        yield Problem(where, f"n_trials is {stored}, but there are {len(trials.children)}")
    if set(trials.children) != {str(number) for number in range(len(trials.children))}:
        yield Note(f"{where}/trials_spike_times", "trials are not numbered from 0 on")
    for name, trial in trials.children.items():
        yield from _check_array(f"{where}/trials_spike_times/{name}", trial, "int64")


def _check_stimulus(stimulus: Group) -> Iterator[Problem]:
    for kind, dtype in STIMULUS_DTYPES.items():
        group = stimulus.children.get(kind)
        if group is None or OWN_NAME in group.attrs:
            continue
        if not isinstance(group, Group):
            yield Problem(f"/stimulus/{kind}", "is not a group")
            continue
        for name, node in group.children.items():
            yield from _check_array(f"/stimulus/{kind}/{name}", node, np.dtype(dtype).name)
            data = getattr(node, "data", None)
            if kind == "section_time" and data is not None and (len(data.shape) != 2 or data.shape[1] != 2):
                yield Problem(f"/stimulus/{kind}/{name}", f"has shape {data.shape}, not (n, 2)")


def _check_array(where: str, node: Any, dtype: str) -> Iterator[Problem]:
    data = node.data if isinstance(node, Array) else None
    if data is None:
        yield Problem(where, "is not an array")
    elif str(data.dtype) != dtype:
        yield Note(where, f"is {data.dtype}, not {dtype}")
