"""The one rule for libhdf5: to read a file of anyone, this process does not open it; docs/security.md says the rest."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
import hdmea
from h5burst import Array, Group, Storage
from h5burst.cli import app
from h5burst.read.libhdf5_worker import libhdf5
from hdmea.io import add_section_windows, load_nwb, load_recording, load_spikes
from hdmea.io.cmcr import load_cmcr_data
from hdmea.io.cmtr import CmtrRecording, load_cmtr_data
from hdmea.pipeline import PipelineSession
from hdmea.pipeline.runner import get_frame_timestamps
from hdmea.session.validate_layout import check_recording
from hdmea.simulate import simulate_recording
from scpstore import load_hdf5
from scpstore.io import IOFormatError

SOURCES = Path(__file__).parents[1] / "src"
# Where the code may open a file through h5py, and why.
OPENS = {
    "h5burst/benching.py": "the other side of a measurement, on files made for it",
    "h5burst/read/files.py": "open_file hands the user an h5py.File",
    "h5burst/read/libhdf5_worker/libhdf5.py": "runs in the child",
    "h5burst/write/copied_edit.py": "the user edits this very file",
    "h5burst/write/whole_file.py": "a new file",
    "h5burst/write/via_libhdf5.py": "a new file",
    "h5burst/codecs/plugin.py": "a new file in memory",
    "hdmea/bridges/nwb.py": "a new file",
    "hdmea/simulate/mcs_files.py": "a new file",
    "hdmea/simulate/mcs_h5.py": "a new file",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("trust")
    made = simulate_recording(directory, n_units=3, patch=(5, 5), playlist=["baseline_127"], sensor_duration_s=0.2)
    waves = directory / "waves.h5"
    with h5py.File(waves, "w") as file:
        file["spikes"], file["sCount"], file["array"] = [0.5, 1.0, 2.0], [1, 2], "APS_64x64_42um"
        file["names"], file["summary/duration"] = np.array([b"a", b"b"]), 3.0
    old = directory / "old.h5"
    with h5py.File(old, "w", libver="earliest") as file:
        file.create_dataset("groups/data", data=np.arange(5000.0), chunks=(100,), compression="gzip")
        file["groups"].attrs["note"] = "é"
    recording = load_recording(made.cmcr_path, made.cmtr_path, "p01", output_dir=directory).hdf5_path
    found = {"cmcr": made.cmcr_path, "cmtr": made.cmtr_path, "waves": waves, "old": old, "recording": recording}
    if importlib.util.find_spec("pynwb"):
        facts = {"start_time": "2024-05-01T10:30:00+02:00", "without_subject": True}
        found["nwb"] = hdmea.export_nwb(recording, directory / "p01.nwb", facts)
    return found


def blocks(path: Path) -> Any:
    with h5burst.open(path) as file:
        return [block for _, block in h5burst.read_ahead(file["groups/data"], 70)]


READS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a tree": ("old", h5burst.read_tree),
    "a lazy tree": ("old", lambda path: h5burst.read_tree(path, lazy=True)["groups/data"].data[3:5]),
    "blocks": ("old", blocks),
    "verify": ("old", h5burst.verify),
    "info": ("old", lambda path: app(["info", str(path)], standalone_mode=False)),
    "verify --deep": ("old", lambda path: h5burst.verify(path, deep=True)),
    "a raw recording": ("cmcr", load_cmcr_data),
    "sorted spikes": ("cmtr", load_cmtr_data),
    "tables of units": ("cmtr", lambda path: CmtrRecording(path).unit_tables()),
    "spikes of others": ("waves", lambda path: load_spikes(path, "w01", session=PipelineSession("w01"))),
    "a session": ("recording", PipelineSession.load),
    "a lazy session": ("recording", lambda path: dict(PipelineSession.load(path, lazy=True).units["unit_001"])),
    "its check": ("recording", check_recording),
    "frame times": ("recording", get_frame_timestamps),
    "a step in place": ("recording", lambda path: add_section_windows(path, length_s=0.05, force=True)),
    "an edit": ("recording", lambda path: edited(path)),
    "compact": ("recording", h5burst.compact),
    "NWB": ("nwb", lambda path: dict(load_nwb(path).units)),
    "a recording for SpikeInterface": ("cmcr", lambda path: traces(path)),
    "a container": ("old", lambda path: not_a_container(path)),
}


def traces(path: Path) -> Any:
    return pytest.importorskip("hdmea.spikeinterface").CmcrRecording(path).get_traces(0, 5, 9)


def not_a_container(path: Path) -> None:
    with pytest.raises(IOFormatError, match="Missing required group"):
        load_hdf5(path)


def edited(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.set_attributes((), {"note": 1})


@pytest.mark.parametrize("case", READS)
def test_reading_opens_no_file_with_libhdf5_here(
    case: str, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, read = READS[case]
    if name not in files:
        pytest.skip(f"writing {name} needs a package that is not installed")

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("libhdf5 opened the file in this process")

    monkeypatch.setattr(h5py.h5f, "open", refuse)
    monkeypatch.setattr(h5py.h5f, "is_hdf5", refuse)
    monkeypatch.setattr("h5py._hl.files.h5f.open", refuse)
    monkeypatch.setattr(libhdf5, "open_file", refuse)
    read(files[name])


def test_files_are_opened_through_h5py_only_where_it_is_said() -> None:
    found = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if re.search(
            r"(?m)^(?! *(?:>>>|\.\.\.) ).*(?:h5py\.File\([^)]|h5f\.(open|create)\(|h5py\.is_hdf5\()",
            path.read_text(encoding="utf-8"),
        )
    }
    assert found == set(OPENS)


def test_a_file_that_others_write_is_refused_without_libhdf5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(path, Group({"a": Array(np.arange(9000.0), storage=Storage("gzip"))}))
    with h5py.File(path, "r+", libver="latest") as file:  # ours: libhdf5 knows what is not on disk yet
        file["new"] = 1
        assert "new" in h5burst.read_tree(path).children
    data = bytearray(path.read_bytes())
    data[11] |= 1  # the mark of an open writer
    data[44:48] = _checksum(bytes(data[:44]))
    path.write_bytes(data)
    monkeypatch.setattr(libhdf5, "open_file", lambda *_: pytest.fail("libhdf5 opened the file in this process"))
    for lazy in (False, True):
        with pytest.raises(h5burst.UnfinishedFileError, match=r"a\.h5"):
            h5burst.read_tree(path, lazy=lazy)


def _checksum(data: bytes) -> bytes:
    from h5burst._ext.h5parse import lookup3

    return int(lookup3(data)).to_bytes(4, "little")
