"""Nothing of others is overwritten unasked, nothing is cast away, threads may add, sessions may travel."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

from hdmea.io import add_section_windows
from hdmea.pipeline import PipelineSession
from hdmea.utils.exceptions import CheckpointError, ValidationError
from support.hdmea_recordings import recording


def test_a_file_that_others_changed_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = recording(tmp_path).save()
    mine, theirs = PipelineSession.load(path), PipelineSession.load(path)
    theirs.add_metadata({"theirs": 1})
    theirs.save()
    mine.add_metadata({"mine": 1})

    with pytest.raises(FileExistsError, match=r"changed by others.*Load it again"):
        mine.save()

    assert "theirs" in PipelineSession.load(path).metadata
    mine.save(overwrite=True)
    assert "mine" in PipelineSession.load(path).metadata


def test_a_file_that_another_recording_was_saved_to_is_not_replaced(tmp_path: Path) -> None:
    mine = recording(tmp_path)
    path = mine.save()
    other = PipelineSession("another", output_dir=tmp_path)
    other.add_units({})
    other.save(path, overwrite=True)
    mine.add_metadata({"mine": 1})
    with pytest.raises(FileExistsError, match="changed by others"):
        mine.save()
    assert PipelineSession.load(path).dataset_id == "another"


def test_an_immediate_step_on_a_stale_session_drops_nothing(tmp_path: Path) -> None:
    path = recording(tmp_path).save()
    mine, theirs = PipelineSession.load(path), PipelineSession.load(path)
    theirs.add_metadata({"theirs": 1})
    theirs.save()
    before = path.read_bytes()

    with pytest.raises(OSError, match=r"changed by others.*load it again"):
        add_section_windows(mine, length_s=5.0)

    assert path.read_bytes() == before


# ---------------------------------------------------------------- casts


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("spike_times", np.array([0.25, 1.5]), "fractions"),
        ("spike_times", np.array([1e30]), "does not fit"),
        ("spike_times", np.ma.masked_array([1, 2], mask=[0, 1]), "masked"),
        ("waveform", np.array([1e300]), "range"),
    ],
)
def test_a_cast_that_loses_more_than_precision_is_refused(
    tmp_path: Path, field: str, value: np.ndarray, said: str
) -> None:
    session = PipelineSession("rec", output_dir=tmp_path)
    session.add_units({"unit_001": {"spike_times": np.array([1], np.uint64), "row": 0, "col": 0, field: value}})
    with pytest.raises(ValidationError, match=rf"unit_001/{field}.*{said}"):
        session.save()


def test_casts_without_loss_are_done(tmp_path: Path) -> None:
    session = PipelineSession("rec", output_dir=tmp_path)
    unit = {"spike_times": np.array([1.0, 2.0**40]), "waveform": np.array([0.1, np.nan, np.inf]), "row": 0, "col": 0}
    session.add_units({"unit_001": unit})
    found = PipelineSession.load(session.save()).units["unit_001"]
    assert found["spike_times"].tolist() == [1, 2**40]
    assert np.array_equal(found["waveform"], unit["waveform"].astype(np.float32), equal_nan=True)


# ---------------------------------------------------------------- threads and processes


def test_threads_may_add_while_a_session_is_saved(tmp_path: Path) -> None:
    session = PipelineSession("rec", output_dir=tmp_path)
    stop, failed = threading.Event(), []

    def add() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                session.add_units({f"unit_{number % 500:03d}": {"row": 0, "col": 0, f"f{number}": number}})
                session.add_metadata({f"m{number % 1000}": number})
            except RuntimeError as error:
                failed.append(error)

    adder = threading.Thread(target=add)
    adder.start()
    try:
        for number in range(10):
            session.save(tmp_path / f"{number}.h5")
    finally:
        stop.set()
        adder.join()
    assert not failed


def test_a_session_travels_to_another_process_by_pickle(tmp_path: Path) -> None:
    session = recording(tmp_path)
    found = pickle.loads(pickle.dumps(session))  # noqa: S301 - our own bytes
    assert found.dataset_id == session.dataset_id
    assert found.units.keys() == session.units.keys()
    found.add_metadata({"mine": 1})
    assert "mine" in PipelineSession.load(found.save(tmp_path / "b.h5")).metadata


# ---------------------------------------------------------------- libhdf5 stays out


def test_loading_opens_nothing_with_libhdf5_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    path = recording(tmp_path).save()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("libhdf5 was used")

    monkeypatch.setattr(h5py, "File", refuse)
    monkeypatch.setattr(h5py.h5f, "open", refuse)
    assert PipelineSession.load(path).unit_count > 0
    assert PipelineSession.load(path, lazy=True).unit_count > 0


def test_loading_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.h5"):
        PipelineSession.load(tmp_path / "no.h5")
    (tmp_path / "text.h5").write_text("no HDF5 at all")
    with pytest.raises(CheckpointError, match=r"text\.h5"):
        PipelineSession.load(tmp_path / "text.h5")
