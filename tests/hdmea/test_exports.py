"""The names that scripts import, and what importing costs."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

SESSIONS = ("PipelineSession", "SaveState", "create_session")
PIPELINE = (
    "load_recording",
    "load_recording_with_eimage_sta",
    "extract_features",
    "add_section_time",
    "run_flow",
    "list_available_flows",
    "get_flow_info",
    "section_spike_times",
    "load_spikes",
    "add_section_windows",
    "compute_sta",
)
RESULTS = ("LoadResult", "LoadWithEImageSTAResult", "ExtractionResult", "FlowResult", "SectionResult", "STAResult")
STORE = (
    "create_recording_hdf5",
    "open_recording_hdf5",
    "write_units",
    "write_stimulus",
    "write_metadata",
    "write_feature_to_unit",
    "mark_stage1_complete",
    "get_stage1_status",
    "list_units",
    "list_features",
    "write_source_files",
)
FRAMES = ("convert_frame_to_sample_index", "convert_sample_index_to_frame")
BY_MODULE = {
    "hdmea.pipeline.session": SESSIONS,
    "hdmea.pipeline.runner": ("load_recording", "load_recording_with_eimage_sta", "extract_features"),
    "hdmea.pipeline.flows": ("run_flow", "list_available_flows", "get_flow_info"),
    "hdmea.io.hdf5_store": STORE,
    "hdmea.io.section_time": ("add_section_time", "add_section_windows", *FRAMES),
    "hdmea.io.spike_sectioning": ("section_spike_times", "SectionResult"),
    "hdmea.features.sta": ("compute_sta", "STAResult"),
    "hdmea.utils.exceptions": ("HDMEAError", "MissingInputError"),
}
SLOW = ("numba", "polars", "scipy", "matplotlib", "typer", "rich", "dask", "distributed", "h5py", "numpy")


@pytest.mark.parametrize("package", ["hdmea.io", "hdmea.pipeline"])
@pytest.mark.parametrize("name", [*SESSIONS, *PIPELINE, *RESULTS, *STORE, *FRAMES])
def test_io_and_pipeline_export_every_name(package: str, name: str) -> None:
    module = importlib.import_module(package)

    assert getattr(module, name).__name__ == name
    assert name in module.__all__


@pytest.mark.parametrize("name", ["compute_sta", "FeatureRegistry", "FeatureExtractor"])
def test_features_exports_its_names(name: str) -> None:
    assert getattr(importlib.import_module("hdmea.features"), name).__name__ == name


@pytest.mark.parametrize("module", BY_MODULE)
def test_names_are_importable_from_the_modules_of_the_contract(module: str) -> None:
    for name in BY_MODULE[module]:
        assert getattr(importlib.import_module(module), name).__name__ == name


@pytest.mark.parametrize("package", ["hdmea", "hdmea.io", "hdmea.pipeline", "hdmea.features"])
def test_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = importlib.import_module(package).no_such_name


def loaded_by(statement: str) -> set[str]:
    """Which of the slow packages a statement imports, in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {SLOW!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_of_hdmea_loads_nothing_slow() -> None:
    assert loaded_by("import hdmea") == set()
    assert loaded_by("import hdmea.pipeline, hdmea.io") == set()


def test_deferred_steps_load_only_what_they_need() -> None:
    assert loaded_by("from hdmea.pipeline import create_session; create_session('x')") <= {"numpy", "h5py"}


def test_a_batch_begins_without_what_its_features_need() -> None:
    assert loaded_by("import hdmea.cli, hdmea.batch.run, hdmea.batch.job") <= {"typer", "rich", "numpy", "h5py"}


def test_a_batch_begins_without_geometry() -> None:
    code = "import sys, hdmea.cli, hdmea.batch.run, hdmea.batch.job; print('hdmea.geometry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_submodules_are_attributes_of_the_package() -> None:
    assert loaded_by("import hdmea; hdmea.pipeline.create_session('x')") <= {"numpy", "h5py"}
