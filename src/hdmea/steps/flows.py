"""Flows, run on one recording. `hdmea.steps.flow_file` says how their files look."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hdmea.step_table import loading_step, step_named
from hdmea.steps.flow_file import Flow, find_flow, flow_files, read_flow, with_arguments
from hdmea.steps.results import ExtractionResult, FlowResult, LoadResult, LoadWithEImageSTAResult
from hdmea.steps.step_call import StepCall
from hdmea.utils.exceptions import ConfigurationError

logger = logging.getLogger(__name__)


def list_available_flows(config_dir: str | Path | None = None) -> list[str]:
    """The names of the flows in a directory.

    Parameters
    ----------
    config_dir
        Flows in it and in its directory `flows`; default those that ship, and in `HDMEA_CONFIG_DIR`.

    Returns
    -------
    list of str
        Sorted.

    Examples
    --------
    >>> from hdmea.pipeline import list_available_flows
    >>> list_available_flows()
    ['electrical_images', 'full', 'load', 'spontaneous', 'waves']
    """
    return sorted(flow_files(config_dir))


def get_flow_info(name: str | Path, config_dir: str | Path | None = None) -> dict[str, Any]:
    """Description of a flow.

    Parameters
    ----------
    name
        Of a flow, or the path of a `.json` file.
    config_dir
        As of `list_available_flows`.

    Returns
    -------
    dict
        `name`, `description`, `steps` (a list of dicts of `step` and `arguments`).

    Raises
    ------
    ConfigurationError
        No flow has that name (the flows that there are are listed), or the file is not a flow.

    Examples
    --------
    >>> from hdmea.pipeline import get_flow_info
    >>> [step["step"] for step in get_flow_info("load")["steps"]]
    ['load_recording']
    """
    flow = read_flow(find_flow(name, config_dir))
    steps = [{"step": step.name, "arguments": dict(step.arguments)} for step in flow.steps]
    return {"name": flow.name, "description": flow.description, "steps": steps}


def run_flow(
    flow_name: str | Path,
    cmcr_path: str | Path | None = None,
    cmtr_path: str | Path | None = None,
    dataset_id: str | None = None,
    *,
    spikes_path: str | Path | None = None,
    output_dir: str | Path = "artifacts",
    config_dir: str | Path | None = None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    force_load: bool = False,
    force_extract: bool = False,
) -> FlowResult:
    """Run a flow's steps on one recording, immediately.

    Steps that the flow calls optional are skipped where the recording lacks what they need; the result's `warnings`
    say which.

    Parameters
    ----------
    flow_name
        A flow that ships or that is in `config_dir` (or its directory `flows`), or the path of a `.json` file.
    cmcr_path, cmtr_path, spikes_path
        The recording; spikes for a flow that begins with `load_spikes`, or in the place of a recording for one that
        begins with `load_recording`.
    dataset_id, output_dir
        As of the step that loads: the file is `{output_dir}/{dataset_id}.h5`.
    config_dir
        Directory of flows; default those that ship, and in `HDMEA_CONFIG_DIR`.
    parameters
        Step name to arguments that count before the flow's own, such as `{"add_section_time": {"playlist_name": "a"}}`.
    force_load, force_extract
        Do again what loads and sections, or what is computed from that; which is which says `hdmea.step_table`.
        Steps that were done before are otherwise skipped with a warning.

    Returns
    -------
    FlowResult
        What the load and the extraction returned.

    Raises
    ------
    ConfigurationError
        An unknown or malformed flow, or parameters that do not fit.
    Exception
        What the steps raise.

    Examples
    --------
    >>> from hdmea.pipeline import run_flow
    >>> windows = {"length_s": 5.0, "name": "minute"}
    >>> run_flow("waves", "recording.cmcr", "recording.cmtr", parameters={"add_section_windows": windows}).success
    True
    """
    flow = with_arguments(read_flow(find_flow(flow_name, config_dir)), parameters or {})
    first, *others = flow.steps
    loaded = _load(flow, first, (cmcr_path, cmtr_path, spikes_path), dataset_id, output_dir, force_load)
    extraction: ExtractionResult | None = None
    warnings: list[str] = []
    for step in others:
        force = force_load if step.row.redo_with == "load" else force_extract
        result, skipped = _run(step, loaded.hdf5_path, force)
        extraction = result if isinstance(result, ExtractionResult) else extraction
        warnings += [skipped] if skipped else []
    success = loaded.stage1_completed and not (extraction and extraction.features_failed)
    return FlowResult(loaded.hdf5_path, loaded, extraction, success, warnings)


def _load(
    flow: Flow,
    step: StepCall,
    paths: tuple[str | Path | None, str | Path | None, str | Path | None],
    dataset_id: str | None,
    output_dir: str | Path,
    force: bool,
) -> LoadResult | LoadWithEImageSTAResult:
    row = step_named(loading_step(step.name, paths[2] is not None))
    given = dict(zip(("cmcr", "cmtr", "spikes"), paths, strict=True))
    sources = {argument: given[name] for argument, name in row.from_recording.items()}
    if all(path is None for path in sources.values()):
        raise ConfigurationError(f"the flow {flow.name!r} loads by {row.name}: give {' or '.join(sources)}")
    result: LoadResult | LoadWithEImageSTAResult = row.function(
        **sources, dataset_id=dataset_id, output_dir=output_dir, force=force, **step.arguments
    )
    return result


def _run(step: StepCall, hdf5_path: Path, force: bool) -> tuple[Any, str]:
    """Run a step: what it returned, and why it was skipped where the recording lacks what it needs."""
    try:
        return step.run(hdf5_path=hdf5_path, force=force)
    except FileExistsError as error:
        logger.warning("%s: skipped", error)
        return None, ""
