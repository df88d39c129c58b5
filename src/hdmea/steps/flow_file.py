"""The one grammar of flow files: named sequences of steps in JSON.

{"description": "…",
 "steps": ["load_recording",
           {"step": "add_section_time", "arguments": {"playlist_name": "a", "playlist_file_path": "playlist.csv"}}]}

A step without arguments may be its bare name. `description`, `name`, `version`, `comment` and keys that begin with "_"
are for people. Instead of `steps` a file may have an object `stages`, step name to arguments, run in the order of the
file:

{"stages": {"load_recording": {}, "extract_features": {"features": ["frif"], "enabled": true}}}

A stage may also be `true` or null (no arguments) or `false` (left out), may name its step (`"step": "load_recording"`),
and may hold its arguments in an object of their own (`arguments` or `params`). Arguments whose names end in `_path` or
`_dir` and that are relative start at the JSON file. The argument `optional` of any step but the first, when true, skips
the step with a warning in a recording that lacks what it needs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from h5burst import load_json
from hdmea.io.stimulus_config import CONFIG_DIR_VARIABLE
from hdmea.step_table import check_order, step_named
from hdmea.steps.step_call import StepCall
from hdmea.utils.choices import there_are
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.problems import Problems

SHIPPED_FLOW_DIR = Path(__file__).resolve().parent / "flow_files"
OTHER_NAMES = {"spontaneous": "waves"}  # of flows that ship


@dataclass(frozen=True)
class Flow:
    """A flow as its file has it: its name (the file's stem), a line that describes it, and its steps in order."""

    name: str
    description: str
    steps: tuple[StepCall, ...]


def flow_files(config_dir: str | Path | None = None) -> dict[str, Path]:
    """The flows there are, name to file: those in `config_dir` and in its directory `flows`.

    Without `config_dir` those that ship, and those in the directory that HDMEA_CONFIG_DIR names, which come first. A
    name that is in a directory and in its `flows` is that of the file in the directory itself. A JSON file that is not
    a flow (a stimulus config, say) is not listed.
    """
    if config_dir is not None:
        return _flows_in(Path(config_dir))
    shipped = {path.stem: path for path in SHIPPED_FLOW_DIR.glob("*.json")}
    shipped |= {other: shipped[name] for other, name in OTHER_NAMES.items()}
    directory = os.environ.get(CONFIG_DIR_VARIABLE)
    return dict(sorted((shipped | (_flows_in(Path(directory)) if directory else {})).items()))


def _flows_in(directory: Path) -> dict[str, Path]:
    paths = [*(directory / "flows").glob("*.json"), *(path for path in directory.glob("*.json") if _may_be_flow(path))]
    return dict(sorted((path.stem, path) for path in paths))


def find_flow(name: str | Path, config_dir: str | Path | None = None) -> Path:
    """The file of a flow: a path to one, or a name in `config_dir`, else in HDMEA_CONFIG_DIR, else of those that ship.

    Raises `ConfigurationError` that lists the flows there are.
    """
    path, name = Path(name), str(name)
    if path.suffix == ".json" or path.parent != Path():
        if not path.is_file():
            raise ConfigurationError(f"no flow file {path}; {there_are(path.stem, flow_files())}")
        return path
    flows = flow_files(config_dir)
    if name not in flows and config_dir is not None:
        flows = flow_files() | flows
    if name not in flows:
        where = os.environ.get(CONFIG_DIR_VARIABLE, SHIPPED_FLOW_DIR) if config_dir is None else config_dir
        raise ConfigurationError(f"no flow {name!r} in {where}; {there_are(name, flows)}")
    return flows[name]


def read_flow(path: Path) -> Flow:
    """The flow in a file, its steps and arguments checked. Raises `ConfigurationError` that names file and step."""
    content = _json_object(path)
    steps = tuple(item.with_whole_paths(path.parent) for item in _items(content, path))
    if not steps:
        raise ConfigurationError(f"{path} is not a flow: it has no steps")
    try:
        check_order([step.name for step in steps])
        for step in steps:
            step.check_names()
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return Flow(path.stem, str(content.get("description") or ""), steps)


def with_arguments(flow: Flow, parameters: Mapping[str, Mapping[str, Any]]) -> Flow:
    """The flow with arguments, by step, that replace its own; those of steps that it does not have are left out.

    Raises `ConfigurationError` for an unknown step, and for arguments that do not fit, the flow's own included.
    """
    for name in parameters:
        step_named(name)
    steps = tuple(step.with_arguments(parameters.get(step.name, {})) for step in flow.steps)
    problems = Problems()
    for step in steps:
        with problems.noting():
            step.check()
    problems.raise_any()
    return replace(flow, steps=steps)


def _json_object(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = load_json(text)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as a flow: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} is not a flow: it must hold a JSON object")
    try:
        json.loads(text, object_pairs_hook=_once_each)
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return content


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, in which nothing is there twice."""
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(map(repr, twice))} is there twice")
    return dict(pairs)


def _may_be_flow(path: Path) -> bool:
    """True where a JSON file is a flow, or cannot be read, which is said when it is used; stimulus configs are not."""
    try:
        content = load_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return True
    return not isinstance(content, dict) or "section_kwargs" not in content


_KEYS = ("steps", "stages", "description", "name", "version", "comment")  # of a flow file; the last ones say nothing


def _items(content: Mapping[str, Any], path: Path) -> Iterator[StepCall]:
    if unknown := sorted(key for key in content.keys() - set(_KEYS) if not key.startswith("_")):
        raise ConfigurationError(
            f"{path} has keys that a flow does not have: {', '.join(unknown)}; it has {', '.join(_KEYS)}"
        )
    if "steps" in content and "stages" in content:
        raise ConfigurationError(f"{path} has both `steps` and `stages`: one of them says what is run")
    steps, stages = content.get("steps"), content.get("stages")
    if isinstance(steps, list):
        for number, item in enumerate(steps, start=1):
            yield _listed(item, f"{path}: step {number}")
    elif isinstance(stages, dict):
        for name, stage in stages.items():
            if (step := _stage(name, stage, f"{path}: stage {name!r}")) is not None:
                yield step
    else:
        raise ConfigurationError(f"{path} is not a flow: it needs a list `steps` or an object `stages`")


def _listed(item: Any, where: str) -> StepCall:
    entry = {"step": item} if isinstance(item, str) else item
    if not isinstance(entry, dict) or not isinstance(entry.get("step"), str):
        raise ConfigurationError(f"{where} must be a step's name, or an object with `step` and `arguments`")
    if unknown := sorted(entry.keys() - {"step", "arguments"}):
        raise ConfigurationError(f"{where} has keys that do not fit: {', '.join(unknown)}")
    return StepCall(entry["step"], _object(entry.get("arguments"), where))


def _stage(name: str, stage: Any, where: str) -> StepCall | None:
    if stage is False:
        return None
    entry = {} if stage is True else dict(_object(stage, where))
    if not entry.pop("enabled", True):
        return None
    step = entry.pop("step", name)
    nested = {**_object(entry.pop("params", None), where), **_object(entry.pop("arguments", None), where)}
    return StepCall(step, {**entry, **nested})


def _object(value: Any, where: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise ConfigurationError(f"{where}: arguments must be a JSON object, not {value!r}")
    return value or {}
