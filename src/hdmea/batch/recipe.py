"""Recipes: the steps that a recording goes through, with their parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hdmea.batch.manifest import Recording
from hdmea.step_table import OPTIONAL, STEPS, loading_step
from hdmea.steps.flow_file import find_flow, read_flow
from hdmea.steps.known_movies import check_movies
from hdmea.steps.step_call import StepCall
from hdmea.utils.choices import there_are
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.hashing import params_hash
from hdmea.utils.problems import Problems

STIMULUS_STEPS = ("load_recording", "add_section_time", "section_spike_times", "compute_sta", "extract_features")
SPIKES_STEPS = ("load_spikes", "add_section_windows", "section_spike_times", "extract_features")
# What the usual steps take where nobody says otherwise. Not every playlist has a noise movie.
STIMULUS_PARAMETERS: dict[str, dict[str, Any]] = {"compute_sta": {OPTIONAL: True}}
SPIKES_PARAMETERS: dict[str, dict[str, Any]] = {
    "add_section_windows": {"length_s": 60.0},
    "extract_features": {"features": ["baseline_127"], "config_overrides": {"movie_name": "window"}},
}
Parameters = Mapping[str, Mapping[str, Any]]


def steps_for(
    recording: Recording, names: Iterable[str] | None = None, parameters: Parameters | None = None
) -> list[StepCall]:
    """The steps of one recording: its own options before the batch's parameters.

    names: default the steps for a stimulus recording, or for spikes sorted elsewhere. Raises `ConfigurationError` for
    an unknown step or parameter, and for one that the batch sets itself.
    """
    chosen = tuple(names) if names is not None else SPIKES_STEPS if recording.spikes else STIMULUS_STEPS
    _check_names([*chosen, *(parameters or {})])
    _check_names(recording.options, f"{recording.dataset_id}: ")
    usual = SPIKES_PARAMETERS if recording.spikes else STIMULUS_PARAMETERS if names is None else {}
    steps, problems = [], Problems()
    for listed in chosen:
        name = loading_step(listed, recording.spikes is not None)
        arguments = dict(usual.get(name, {}))
        for given in (parameters or {}, recording.options):
            arguments |= {**given.get(listed, {}), **given.get(name, {})}
        call = StepCall(name, arguments)
        with problems.noting(recording.dataset_id if {listed, name} & recording.options.keys() else ""):
            call.check()
        call_of = StepCall(name, _own_arguments(name, recording))
        steps.append(call_of.with_arguments(call.with_whole_paths(Path()).arguments))
    problems.raise_any()
    with problems.noting(recording.dataset_id if recording.options else ""):
        check_movies(steps)
    problems.raise_any()
    return steps


def _own_arguments(name: str, recording: Recording) -> dict[str, Any]:
    """Arguments that a step takes from the recording's row."""
    row = STEPS[name]
    fields = {argument: getattr(recording, field) for argument, field in row.from_recording.items()}
    given = {argument: str(value) if isinstance(value, Path) else value for argument, value in fields.items()}
    return given if row.loads else {argument: value for argument, value in given.items() if value is not None}


def _check_names(names: Iterable[str], where: str = "") -> None:
    if unknown := sorted(set(names) - STEPS.keys()):
        raise ConfigurationError(f"{where}unknown steps {', '.join(unknown)}; {there_are(unknown[0], STEPS)}")


def recipe_hash(steps: Iterable[StepCall]) -> str:
    """The hash of steps and parameters by which a finished file is known."""
    return params_hash({"steps": [[step.name, _plain_numbers(dict(step.arguments))] for step in steps]})


def _plain_numbers(value: Any) -> Any:
    """The same with 60.0 as 60: where a number came from must not make another recipe of it."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _plain_numbers(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_numbers(item) for item in value]
    return value


def read_parameters(flow: str | Path) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Step names and parameters of a flow: a file, or the name of a flow that ships (see `hdmea.steps.flow_file`).

    Raises `ConfigurationError` for an unknown flow, another content, and a step that is listed twice: parameters
    belong to a step's name.
    """
    path = find_flow(flow)
    steps = read_flow(path).steps
    names = [step.name for step in steps]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"{path} lists {', '.join(twice)} twice: a session runs each step once")
    return names, {step.name: dict(step.arguments) for step in steps}
