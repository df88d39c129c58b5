"""Which steps a recording goes through, and with which parameters."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdmea.batch.manifest import Recording
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.hashing import params_hash

# Where each step's function lives; imported when a recording runs.
STEPS = {
    "load_recording": "hdmea.pipeline",
    "load_recording_with_eimage_sta": "hdmea.pipeline",
    "load_spikes": "hdmea.pipeline",
    "add_section_time": "hdmea.pipeline",
    "add_section_windows": "hdmea.io",
    "section_spike_times": "hdmea.io",
    "compute_sta": "hdmea.features",
    "extract_features": "hdmea.pipeline",
}
STIMULUS_STEPS = ("load_recording", "add_section_time", "section_spike_times", "compute_sta", "extract_features")
SPIKES_STEPS = ("load_spikes", "add_section_windows", "section_spike_times", "extract_features")
# What the usual steps for spikes sorted elsewhere take where nobody says otherwise.
SPIKES_PARAMETERS: dict[str, dict[str, Any]] = {
    "add_section_windows": {"length_s": 60.0},
    "extract_features": {"features": ["baseline_127"], "config_overrides": {"movie_name": "window"}},
}
# The batch itself decides on these.
RESERVED = frozenset({"session", "hdf5_path", "output_dir", "dataset_id", "cmcr_path", "cmtr_path", "path", "force"})

Parameters = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Step:
    """One step and its keyword arguments."""

    name: str
    arguments: Mapping[str, Any]

    def run(self, session: Any) -> Any:
        function: Callable[..., Any] = getattr(importlib.import_module(STEPS[self.name]), self.name)
        return function(**self.arguments, session=session)


def steps_for(
    recording: Recording, names: Iterable[str] | None = None, parameters: Parameters | None = None
) -> list[Step]:
    """The steps of one recording: its own options before the batch's parameters.

    names: default the steps for a stimulus recording, or for spikes sorted elsewhere. Raises `ConfigurationError` for
    an unknown step or parameter, and for one that the batch sets itself.
    """
    chosen = tuple(names) if names is not None else SPIKES_STEPS if recording.spikes else STIMULUS_STEPS
    _check_names([*chosen, *(parameters or {}), *recording.options], recording.dataset_id)
    usual = SPIKES_PARAMETERS if recording.spikes else {}
    steps = []
    for name in chosen:
        arguments = {**usual.get(name, {}), **(parameters or {}).get(name, {}), **recording.options.get(name, {})}
        _check_arguments(name, arguments, recording.dataset_id)
        steps.append(Step(name, {**_own_arguments(name, recording), **arguments}))
    return steps


def _own_arguments(name: str, recording: Recording) -> dict[str, Any]:
    """What a step takes from the recording's row."""
    if name in ("load_recording", "load_recording_with_eimage_sta"):
        return {"cmcr_path": _text(recording.cmcr), "cmtr_path": _text(recording.cmtr)}
    if name == "load_spikes":
        return {"path": _text(recording.spikes)}
    if name == "add_section_time" and recording.playlist is not None:
        return {"playlist_name": recording.playlist}
    return {}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _check_names(names: Iterable[str], dataset_id: str) -> None:
    if unknown := sorted(set(names) - STEPS.keys()):
        raise ConfigurationError(f"{dataset_id}: unknown steps {', '.join(unknown)}; there are {', '.join(STEPS)}")


def _check_arguments(name: str, arguments: Mapping[str, Any], dataset_id: str) -> None:
    function = getattr(importlib.import_module(STEPS[name]), name)
    known = set(inspect.signature(function).parameters) - RESERVED
    if unknown := sorted(set(arguments) - known):
        raise ConfigurationError(
            f"{dataset_id}: {name} takes no {', '.join(unknown)} here; it takes {', '.join(sorted(known))}"
        )


def recipe_hash(steps: Iterable[Step]) -> str:
    """The hash of steps and parameters by which a finished file is known."""
    return params_hash({"steps": [[step.name, dict(step.arguments)] for step in steps]})


def read_parameters(path: str | Path) -> tuple[list[str] | None, dict[str, dict[str, Any]]]:
    """Step names (None: the usual ones) and parameters from a flow file, as `hdmea.steps.flows` describes it.

    An element of `steps` may also be a bare name. Arguments whose names end in `_path` or `_dir` and that are relative
    start at the file. Raises `ConfigurationError` for another content.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path}: not JSON: {error}") from error
    steps = content.get("steps") if isinstance(content, dict) else None
    if not isinstance(steps, list) or not steps:
        raise ConfigurationError(f"{path} is no flow: it needs a list of steps")
    parameters: dict[str, dict[str, Any]] = {}
    for item in steps:
        own = item if isinstance(item, dict) else {"step": item}
        arguments = own.get("arguments", {})
        if not isinstance(own.get("step"), str) or not isinstance(arguments, dict):
            raise ConfigurationError(f"{path}: a step has a name and a dict of arguments, not {item}")
        parameters[own["step"]] = {name: _beside(path, name, value) for name, value in arguments.items()}
    return list(parameters), parameters


def _beside(flow: Path, name: str, value: Any) -> Any:
    return str(flow.parent / value) if name.endswith(("_path", "_dir")) and isinstance(value, str) else value
