"""The recordings that the benchmarks work on, the session they make, and the pipeline run in three ways."""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from naive import pipeline as naive

from h5burst.model.tree import Array, Group
from hdmea.features import compute_sta
from hdmea.io import add_section_time, add_section_windows, section_spike_times
from hdmea.pipeline import PipelineSession, create_session, extract_features, load_recording, load_spikes
from hdmea.session import file as session_file
from hdmea.simulate import FULL_PLAYLIST, simulate_recording

UNITS, DURATION_S = 300, 1200.0
NOISE, GREY = FULL_PLAYLIST[:2]
FEATURES = ["frif", GREY]
WINDOW_S = 60.0
DATA_VARIABLE = "H5BURST_TEST_DATA"

logging.getLogger("hdmea").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Recording:
    """A recording on disk. path: the directory of a simulated one, the spike file of a real one."""

    path: Path
    is_real: bool = False

    @property
    def name(self) -> str:
        return self.path.stem

    def file(self, suffix: str) -> Path:
        return self.path / f"{self.name}.{suffix}"


@lru_cache
def directory() -> Path:
    """Where recordings and results of this run are; removed when the process ends."""
    made = Path(tempfile.mkdtemp(prefix="h5burst_benchmarks_"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@lru_cache
def simulated(seed: int, units: int = UNITS, duration_s: float = DURATION_S) -> Recording:
    """300 units, 20 minutes, 7 stimuli, two light channels at 20 kHz, no sensor data."""
    path = directory() / f"simulated_{units}_{round(duration_s)}_{seed}"
    simulate_recording(
        path,
        name=path.stem,
        n_units=units,
        duration_s=duration_s,
        playlist=FULL_PLAYLIST,
        cutout_samples=8,
        sensor_duration_s=0,
        seed=seed,
    )
    return Recording(path)


def real() -> list[Recording]:
    """The retinal-wave recordings of the test data; none where the data are not there."""
    data = os.environ.get(DATA_VARIABLE)
    return [] if data is None else [Recording(path, True) for path in sorted(Path(data, "retina_mea").glob("*.h5"))]


# ---------------------------------------------------------------- the pipeline


def loaded(recording: Recording, output: Path) -> PipelineSession:
    """A session with the recording loaded."""
    session = create_session(recording.name, output_dir=output)
    if recording.is_real:
        load_spikes(recording.path, session=session)
    else:
        load_recording(recording.file("cmcr"), recording.file("cmtr"), session=session)
    return session


def after_loading(recording: Recording, target: Path | None = None, session: PipelineSession | None = None) -> None:
    """Sections, STA and features: on the file `target`, or in `session`."""
    if recording.is_real:
        add_section_windows(target, length_s=WINDOW_S, session=session)
        section_spike_times(target, session=session)
        extract_features(target, ["baseline"], config_overrides={"movie_name": "window"}, session=session)
        return
    playlist, lengths = recording.path / "playlist.csv", recording.path / "movie_length.csv"
    add_section_time(
        target,
        playlist_name="simulated",
        playlist_file_path=playlist,
        movie_length_file_path=lengths,
        session=session,
    )
    section_spike_times(target, config_dir=recording.path / "configs", session=session)
    compute_sta(target, stimuli_dir=recording.path / "stimuli", session=session)
    extract_features(target, FEATURES, session=session)


def deferred(recording: Recording, output: Path) -> Path:
    """All steps in a session, one save."""
    session = loaded(recording, output)
    after_loading(recording, session=session)
    return session.save()


def immediate(recording: Recording, output: Path) -> Path:
    """Each step on the file."""
    if recording.is_real:
        path = load_spikes(recording.path, output_dir=output).hdf5_path
    else:
        path = load_recording(recording.file("cmcr"), recording.file("cmtr"), output_dir=output).hdf5_path
    after_loading(recording, path)
    return path


def naively(recording: Recording, output: Path) -> Path:
    """The obvious numpy and h5py way: everything in memory, one `create_dataset` for each array."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{recording.name}.h5"
    if recording.is_real:
        values = naive.load_spikes(recording.path)
        naive.add_windows(values, WINDOW_S)
        naive.section_spikes(values, None)
        naive.extract_baseline(values, "window", "baseline")
    else:
        values = naive.load_recording(recording.file("cmcr"), recording.file("cmtr"))
        naive.add_section_time(values, list(FULL_PLAYLIST), recording.path / "movie_length.csv")
        naive.section_spikes(values, recording.path / "configs")
        naive.compute_sta(values, NOISE, recording.path / "stimuli")
        naive.extract_frif(values)
        naive.extract_baseline(values, GREY, GREY)
    naive.save(values, path)
    return path


# ---------------------------------------------------------------- one session, and the same arrays


def with_sections(recording: Recording) -> PipelineSession:
    """A loaded and sectioned recording with its STAs, without the light traces."""
    result = loaded(recording, directory() / "session")
    playlist, lengths = recording.path / "playlist.csv", recording.path / "movie_length.csv"
    add_section_time(
        playlist_name="simulated", playlist_file_path=playlist, movie_length_file_path=lengths, session=result
    )
    section_spike_times(config_dir=recording.path / "configs", session=result)
    compute_sta(stimuli_dir=recording.path / "stimuli", session=result)
    del result.stimulus["light_reference"], result.stimulus["light_template"]
    return result


@lru_cache
def session_tree() -> Group:
    """The tree of such a session: some 21 000 small arrays."""
    return session_file.session_tree(with_sections(simulated(0)), "2000-01-01T00:00:00+00:00", {})


@lru_cache
def cut_tree(elements: int = 64) -> Group:
    """The same objects with at most so many elements an array: what remains is the cost of objects, not of bytes."""

    def cut(group: Group) -> Group:
        children = {
            name: cut(node) if isinstance(node, Group) else shorter(node) for name, node in group.children.items()
        }
        return Group(children, dict(group.attrs))

    def shorter(node: Array) -> Array:
        data = node.data
        return Array(data[:elements].copy() if getattr(data, "ndim", 0) == 1 else data, dict(node.attrs), node.storage)

    return cut(session_tree())


@lru_cache
def saved(recording: Recording) -> Path:
    """The file of a recording's whole pipeline."""
    return deferred(recording, directory() / "saved")


# Attributes that tell when or by what something was made.
_OF_THE_RUN = re.compile(
    r"_at$|_timestamp$|^updated|^source_files$|params_hash|^version$|metadata_names|pipeline_version"
)


def assert_same(path: Path, other: Path, *, all_of_path: bool = True) -> int:
    """Every array, and every attribute but those of the run, of `other` is in `path`, equal; returns the arrays.

    all_of_path: nor has `path` more. Floating-point attributes may differ in the last digits.
    """
    with h5py.File(path) as ours, h5py.File(other) as theirs:
        here, there = _datasets(ours), _datasets(theirs)
        assert set(there) <= set(here), sorted(set(there) - set(here))[:5]
        assert not all_of_path or set(here) == set(there), sorted(set(here) - set(there))[:5]
        for name in there:
            got, expected = np.asarray(ours[name][()]), np.asarray(theirs[name][()])
            same = got.dtype == expected.dtype and np.array_equal(got, expected, equal_nan=got.dtype.kind == "f")
            assert same, f"{name} differs"
        theirs.visititems(lambda name, node: _assert_same_attributes(ours[name], node, name))
    return len(there)


def _datasets(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
    return names


def _assert_same_attributes(got: Any, expected: Any, name: str) -> None:
    for key, value in expected.attrs.items():
        if not _OF_THE_RUN.search(key):
            here = got.attrs[key]
            close = np.asarray(value).dtype.kind == "f" and np.allclose(here, value, rtol=1e-9, equal_nan=True)
            assert close or np.array_equal(here, value), f"{name}@{key}: {here!r} is not {value!r}"
