"""The table of steps: every row is a function that exists, is exported, and keeps to what all steps have in common."""

from __future__ import annotations

import importlib
import inspect

import pytest

import hdmea.features
import hdmea.io
import hdmea.pipeline
from hdmea.step_table import STEPS, Step, check_order, loading_steps, step_named
from hdmea.utils.exceptions import ConfigurationError

ROWS = list(STEPS.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_names_a_function_that_takes_session_and_force(row: Step) -> None:
    parameters = inspect.signature(row.function).parameters

    assert row.function.__name__ == row.name
    assert {"session", "force"} <= parameters.keys()
    assert row.from_recording.keys() <= parameters.keys()
    assert ("output_dir" if row.loads else "hdf5_path") in parameters
    assert not {"session", "force", "hdf5_path"} & set(row.parameters())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_io_and_pipeline_export_every_step_and_its_results(row: Step) -> None:
    for name in (row.name, *row.exports):
        assert getattr(hdmea.io, name) is getattr(hdmea.pipeline, name)
        assert name in hdmea.io.__all__
        assert getattr(importlib.import_module(row.module), name) is getattr(hdmea.io, name)


def test_every_need_is_made_by_some_step() -> None:
    made = {place for row in ROWS for place in row.makes}

    assert {place for row in ROWS for place in row.needs} <= made


def test_loading_steps_are_those_without_needs() -> None:
    assert set(loading_steps()) == {row.name for row in ROWS if not row.needs}
    assert loading_steps("spikes") == ("load_spikes",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["compute_sta"], "the first step must be one of load_recording"),
        (["load_recording", "load_spikes"], "can only be the first"),
        (["load_recording", "section_spike_times"], "add_section_time or add_section_windows"),
        (["load_recording", "dance"], "no step is called 'dance'"),
    ],
)
def test_order_that_cannot_work_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_order(names)


def test_unknown_step_lists_what_there_is() -> None:
    with pytest.raises(ConfigurationError, match="compute_sta"):
        step_named(3)
