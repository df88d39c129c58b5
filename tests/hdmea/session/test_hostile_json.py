"""JSON in a file's attributes is not trusted: whatever is in it ends in the contract's error, eagerly and lazily."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import pytest

from hdmea.batch.figures import stored_figures
from hdmea.io import add_section_windows
from hdmea.pipeline import PipelineSession
from hdmea.session.validate_layout import check_recording
from hdmea.utils.exceptions import CheckpointError

DEEP = "[" * 100_000
UNIT = "units/unit_001"
PLACES = {
    "source files": ("/", "source_files"),
    "names of metadata": (f"{UNIT}/features/values", "hdmea.metadata_names"),
    "further keys": (f"{UNIT}/features/values", "hdmea.further_keys"),
    "types": (f"{UNIT}/features/values", "h5burst.types"),
}
TEXTS = {
    "nested too deep": DEEP,
    "of another kind": "17",
    "a list of lists": "[[1], {}]",
    "not JSON": "{'a': 1}",
    "a number of a million digits": "[" + "9" * 1_000_000 + "]",
    "not text": 5,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("json")
    session = PipelineSession("p01", output_dir=directory)
    values = {"data": {"peak": 3.5, "on": True}, "metadata": {"movie": "bar", "trials": (1, 2)}, "beside": [1, "a"]}
    session.add_units({"unit_001": {"spike_times": [1, 5], "features": {"values": values}}})
    session.add_metadata({"acquisition_rate": 20_000.0})
    session.source_files["cmcr_path"] = Path("a.cmcr")
    return session.save()


def changed(saved: Path, path: Path, place: str, attribute: str, text: Any) -> Path:
    path.write_bytes(saved.read_bytes())
    with h5py.File(path, "r+") as file:
        file[place].attrs[attribute] = text
    return path


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("lazy", [False, True])
def test_untrusted_json_ends_in_the_contracts_error(
    place: str, text: str, lazy: bool, saved: Path, tmp_path: Path
) -> None:
    path = changed(saved, tmp_path / "a.h5", *PLACES[place], TEXTS[text])
    with pytest.raises(CheckpointError, match=r"a\.h5 cannot be read as a session: .*JSON") as caught:
        PipelineSession.load(path, lazy=lazy).units["unit_001"]["features"]["values"]
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", TEXTS)
def test_an_immediate_step_says_before_its_work_what_would_hinder_its_writing(
    text: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = changed(saved, tmp_path / "a.h5", "/", "features_extracted", TEXTS[text])
    before = path.read_bytes()
    monkeypatch.setattr("hdmea.session.file.session_from_tree", _not_reached)
    with pytest.raises(CheckpointError, match=r"a\.h5 .* features_extracted: .*JSON"):
        add_section_windows(path, length_s=5.0)
    assert path.read_bytes() == before
    assert "features_extracted is not a JSON list" in str(check_recording(path)[0])


def _not_reached(*_: Any, **__: Any) -> Any:
    raise AssertionError("the step began")


@pytest.mark.parametrize("text", TEXTS)
def test_untrusted_figures_are_none(text: str) -> None:
    assert stored_figures({"figures": TEXTS[text]}) == {}
    assert stored_figures({"figures": json.dumps({"units": 3})}) == {"units": 3}


def test_a_deep_list_of_unfinished_steps_does_not_hinder_the_next(saved: Path, tmp_path: Path) -> None:
    path = changed(saved, tmp_path / "a.h5", "pipeline", "steps_in_progress", DEEP)
    add_section_windows(path, length_s=5e-5)
    assert "add_section_windows" in PipelineSession.load(path).completed_steps
