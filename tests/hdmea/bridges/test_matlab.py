"""Files for MATLAB: hdf5storage and h5py read them, and no type, filter or name is left that h5read does not take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from h5burst.console import run as run_command
from hdmea.bridges.matlab import export_matlab, matlab_problems
from hdmea.cli import app
from hdmea.pipeline import PipelineSession
from hdmea.utils.exceptions import CheckpointError
from support.hdmea_recordings import recording

# Of MathWorks' page on "HDF5 Data Type Mapping to MATLAB Types"; enumerations come as text, which is not what is meant.
CLASSES = {h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.COMPOUND}
WITHOUT_PLUGIN = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


def not_for_matlab(path: Path) -> list[str]:
    """By h5py's low level: every dataset that h5read does not give as it is."""
    wrong = []

    def look(name: str, node: Any) -> None:
        if not name.isascii():
            wrong.append(f"{name}: name")
        if not isinstance(node, h5py.Dataset):
            return
        kind = node.id.get_type()
        if kind.get_class() not in CLASSES or (kind.get_class() == h5py.h5t.FLOAT and kind.get_size() not in (4, 8)):
            wrong.append(f"{name}: {kind.dtype}")
        if node.id.get_space().get_simple_extent_type() == h5py.h5s.NULL:
            wrong.append(f"{name}: null")
        properties = node.id.get_create_plist()
        used = {properties.get_filter(index)[0] for index in range(properties.get_nfilters())}
        wrong.extend(f"{name}: filter {code}" for code in used - WITHOUT_PLUGIN)

    with h5py.File(path) as file:
        file.visititems(look)
    return wrong


def odd(tmp_path: Path) -> PipelineSession:
    """A session with everything that MATLAB does not take."""
    session = recording(tmp_path, units=2)
    session.units["unit_001"]["features"] = {
        "größe": {"data": {"mask": np.array([True, False]), "half": np.arange(3, dtype=np.float16), "text": "ü"}},
        "open": {"flag": True, "none": None, "wide": np.arange(4, dtype=np.longdouble) / 3},
    }
    session.metadata["table"] = np.array([(1, True)], [("a", "<i4"), ("b", "?")])
    session.metadata["big"] = np.arange(300_000) % 2 == 0
    return session


def test_export_holds_only_what_h5read_takes(tmp_path: Path) -> None:
    path = export_matlab(odd(tmp_path), tmp_path / "a.mat.h5")

    assert not_for_matlab(path) == []
    assert matlab_problems(path) == []
    with h5py.File(path) as file:
        feature = file["units/unit_001/features"]
        (name,) = [key for key in feature if key.startswith("gr")]
        assert name == "gr%C3%B6%C3%9Fe"
        assert feature[name].attrs["hdmea.name"] == "größe"
        assert feature[name]["mask"][()].tolist() == [1, 0]
        assert feature[name]["half"].dtype == np.float32
        assert feature[name].attrs["text"] == "ü"
        assert np.allclose(feature["open/wide"][()], np.arange(4) / 3)
        assert feature["open/none"].shape == (0,)
        assert file["metadata/table"]["b"].tolist() == [1]
        assert file["metadata/big"][:3].tolist() == [1, 0, 1]


def test_our_own_files_say_what_keeps_matlab_from_reading(tmp_path: Path) -> None:
    session = odd(tmp_path)
    plain = {str(problem) for problem in matlab_problems(session.save(tmp_path / "plain.h5"))}

    assert any("mask" in text and "bool" in text for text in plain)
    assert any("half" in text and "float16" in text for text in plain)
    assert any("größe" in text and "ASCII" in text for text in plain)
    packed = {str(one) for one in matlab_problems(session.save(tmp_path / "zstd.h5", compression="zstd"))}
    assert any("zstd" in text and "plugin" in text for text in packed)


def test_a_usual_recording_opens_as_it_is_saved(simulated: Path, tmp_path: Path) -> None:
    """Stored plain or with gzip: no plugin is needed, and hdf5storage, which reads as MATLAB does, gives the spikes."""
    hdf5storage = pytest.importorskip("hdf5storage")
    session = PipelineSession.load(simulated)
    packed = session.save(tmp_path / "gzip.h5", compression="gzip")
    for path in (simulated, packed):
        assert [one for one in matlab_problems(path) if "plugin" in str(one)] == []
        for name, unit in session.units.items():
            found = hdf5storage.read(path=f"/units/{name}/spike_times", filename=str(path))
            assert np.array_equal(np.ravel(found), unit["spike_times"])
    exported = export_matlab(simulated, tmp_path / "a.mat.h5")
    assert not_for_matlab(exported) == []
    for name, unit in session.units.items():
        image = hdf5storage.read(path=f"/units/{name}/features/eimage_sta/data", filename=str(exported))
        assert np.array_equal(image, unit["features"]["eimage_sta"]["data"])
        with h5py.File(exported) as file:
            stored = file[f"units/{name}/features/baseline_127"].attrs["cv2"]
        assert stored == unit["features"]["baseline_127"]["data"]["cv2"]
    text = hdf5storage.read(path="/metadata/dataset_id", filename=str(exported))
    assert np.asarray(text).astype("S").item().decode() == "simulated"


def test_command_and_errors(simulated: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mat.h5"

    assert run_command(app, ["export", str(simulated), str(output)]) == 0
    assert matlab_problems(output) == []
    assert run_command(app, ["export", str(simulated), str(output)]) == 2
    assert run_command(app, ["export", str(simulated), str(tmp_path / "out.xyz")]) == 2
    with pytest.raises(FileExistsError, match="--overwrite"):
        export_matlab(simulated, output)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = 1
    with pytest.raises(CheckpointError):
        export_matlab(tmp_path / "other.h5", tmp_path / "b.mat.h5")
    assert not (tmp_path / "b.mat.h5").exists()
