"""Flows: named sequences of pipeline steps in JSON files, run on one recording.

{"description": "…",
 "steps": [{"step": "load_recording", "arguments": {}},
           {"step": "add_section_time", "arguments": {"playlist_name": "a", "playlist_file_path": "playlist.csv"}},
           {"step": "extract_features", "arguments": {"features": ["frif"]}}]}

The first step loads. Arguments whose names end in `_path` or `_dir` and that are relative start at the JSON file.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdmea.steps.results import ExtractionResult, FlowResult, LoadResult, LoadWithEImageSTAResult
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.public import PUBLIC_NAMES

logger = logging.getLogger(__name__)

SHIPPED_FLOW_DIR = Path(__file__).resolve().parent / "flow_files"
LOAD_STEPS = ("load_recording", "load_recording_with_eimage_sta")
_SET_BY_THE_FLOW = ("hdf5_path", "cmcr_path", "cmtr_path", "dataset_id", "output_dir", "force", "session")
OTHER_STEPS = ("add_section_time", "add_section_windows", "section_spike_times", "compute_sta", "extract_features")


@dataclass(frozen=True)
class FlowStep:
    """One step of a flow: the function's name and its keyword arguments."""

    step: str
    arguments: Mapping[str, Any]


def list_available_flows(config_dir: str | Path | None = None) -> list[str]:
    """The names of the flows that ship with the package, or of those in a folder."""
    return sorted(path.stem for path in _folder(config_dir).glob("*.json"))


def get_flow_info(name: str, config_dir: str | Path | None = None) -> dict[str, Any]:
    """A flow as its file has it: `name`, `description`, `steps`.

    Raises `ConfigurationError` that lists the flows there are for another name, and for a file that is no flow.
    """
    path = _folder(config_dir) / f"{name}.json"
    known = list_available_flows(config_dir)
    if name not in known:
        raise ConfigurationError(f"no flow {name!r} in {path.parent}; there are: {', '.join(known) or 'none'}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as a flow: {error}") from error
    _check(content, path)
    return {"name": name, "description": content.get("description", ""), "steps": content["steps"]}


def _folder(config_dir: str | Path | None) -> Path:
    return SHIPPED_FLOW_DIR if config_dir is None else Path(config_dir)


def _check(content: Any, path: Path) -> None:
    steps = content.get("steps") if isinstance(content, dict) else None
    if not isinstance(steps, list) or not steps:
        raise ConfigurationError(f"{path} is no flow: it needs a list of steps")
    for index, step in enumerate(steps):
        if not isinstance(step, dict) or not isinstance(step.get("arguments", {}), dict):
            raise ConfigurationError(f"{path}: step {index + 1} must have a name and a dict of arguments")
        allowed = OTHER_STEPS if index else LOAD_STEPS
        if step.get("step") not in allowed:
            raise ConfigurationError(f"{path}: step {index + 1} must be one of {', '.join(allowed)}, not {step}")


def run_flow(
    flow_name: str,
    cmcr_path: str | Path | None = None,
    cmtr_path: str | Path | None = None,
    dataset_id: str | None = None,
    *,
    output_dir: str | Path = "artifacts",
    config_dir: str | Path | None = None,
    force_load: bool = False,
    force_extract: bool = False,
) -> FlowResult:
    """Run a flow's steps on one recording, immediately.

    config_dir: folder of flow files, default those that ship with the package. force_load: load and section anew;
    force_extract: compute anew what is computed from sections. Steps that were done before are skipped with a warning.

    Raises `ConfigurationError` for an unknown or malformed flow, and what the steps raise.
    """
    info = get_flow_info(flow_name, config_dir)
    first, *others = [_bound(step, _folder(config_dir)) for step in info["steps"]]
    load: Callable[..., LoadResult | LoadWithEImageSTAResult] = _function(first.step)
    loaded = load(cmcr_path, cmtr_path, dataset_id, output_dir=output_dir, force=force_load, **first.arguments)
    extraction: ExtractionResult | None = None
    for step in others:
        force = force_load if step.step.startswith(("add_", "section_")) else force_extract
        result = _run(step, loaded.hdf5_path, force)
        extraction = result if isinstance(result, ExtractionResult) else extraction
    success = loaded.stage1_completed and not (extraction and extraction.features_failed)
    return FlowResult(loaded.hdf5_path, loaded, extraction, success)


def _bound(step: Mapping[str, Any], folder: Path) -> FlowStep:
    arguments = dict(step.get("arguments", {}))
    for name, value in arguments.items():
        if name.endswith(("_path", "_dir")) and isinstance(value, str):
            arguments[name] = folder / value
    known = inspect.signature(_function(step["step"])).parameters
    if unknown := [name for name in arguments if name not in known or name in _SET_BY_THE_FLOW]:
        raise ConfigurationError(f"the flow's step {step['step']} has arguments that do not fit: {', '.join(unknown)}")
    return FlowStep(step["step"], arguments)


def _function(name: str) -> Callable[..., Any]:
    module = next(module for module, names in PUBLIC_NAMES.items() if name in names)
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _run(step: FlowStep, hdf5_path: Path, force: bool) -> Any:
    try:
        return _function(step.step)(hdf5_path, force=force, **step.arguments)
    except FileExistsError as error:
        logger.warning("%s: skipped", error)
        return None
