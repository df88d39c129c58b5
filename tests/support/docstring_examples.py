"""The files that examples in docstrings name: recordings as the vendor, a session and all steps leave them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl

from hdmea.features import (
    align_electrodes,
    compute_sta,
    extract_rf_geometry,
    extract_soma_geometry,
    fit_ln_model,
    section_by_direction,
    track_axons,
)
from hdmea.pipeline import (
    add_section_time,
    create_session,
    extract_features,
    find_waves,
    load_spikes,
    measure_bursts,
    measure_synchrony,
    section_spike_times,
)
from hdmea.simulate import simulate_recording
from scpstore import AggregationLink, Assay, ScpContainer, ScpMatrix
from support.hdmea_laboratory import load_by_hand, write_laboratory
from support.simulated_waves import grid, write_wave_file


def make_example_files(directory: Path) -> None:
    """A recording as `recording.cmcr` and `.cmtr`; another one as `loaded.h5` and `recording.h5`, before and after its
    steps, with `stimuli/`; waves as `waves.h5`; a container as `cells.h5`."""
    make_container(directory / "cells.h5")
    made = simulate_recording(
        directory / "vendor",
        name="recording",
        n_units=3,
        patch=(6, 6),
        playlist=["baseline_127"],
        sensor_duration_s=1.0,
        sampling_rate=10_000.0,
    )
    for path in (made.cmcr_path, made.cmtr_path):
        path.rename(directory / path.name)
    shutil.rmtree(directory / "vendor")
    stimuli = directory / "stimuli"
    stimuli.mkdir()
    laboratory = write_laboratory(stimuli)
    session = create_session("recording", output_dir=directory)
    load_by_hand(session, laboratory)
    session.save(directory / "loaded.h5")
    add_section_time(**laboratory.playlist, session=session)
    section_spike_times(config_dir=stimuli, session=session)
    compute_sta(stimuli_dir=stimuli, session=session)
    extract_soma_geometry(session=session)
    extract_rf_geometry(stimuli_dir=stimuli, session=session)
    fit_ln_model(stimuli_dir=stimuli, session=session)
    track_axons(filter_by_cell_type=False, session=session)
    align_electrodes(stimuli_dir=stimuli, session=session)
    section_by_direction(config_dir=stimuli, stimuli_dir=stimuli, session=session)
    extract_features(features=["frif"], session=session)
    session.save(directory / "recording.h5")
    make_waves(directory / "waves.h5")


def make_waves(path: Path) -> None:
    """16 units that two waves pass, at 10 and 40 s, all steps done."""
    places = grid(4, 4, 200.0)
    trains = [np.concatenate([at + x / 150 + np.arange(12) * 0.1 for at in (10, 40)]) for x, _ in places]
    source = write_wave_file(path.parent / "waves_source.h5", trains, places, 60.0)
    session = load_spikes(source, session=create_session("waves", output_dir=path.parent))
    for step in (measure_bursts, measure_synchrony, find_waves):
        step(session=session)
    session.save(path)
    source.unlink()


def make_container(path: Path) -> None:
    """Three cells, an assay of two proteins (one value missing), and one of the four peptides they come from."""
    obs = pl.DataFrame({"_index": ["A", "B", "C"], "group": ["treated", "control", "treated"]})
    values, codes = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 6.0]]), np.array([[0, 0], [0, 2], [0, 0]], np.int8)
    peptides = ScpMatrix(np.arange(12.0).reshape(3, 4))
    assays = {
        "proteins": Assay(pl.DataFrame({"_index": ["P1", "P2"]}), {"X": ScpMatrix(values, codes)}),
        "peptides": Assay(pl.DataFrame({"_index": ["a", "b", "c", "d"]}), {"X": peptides}),
    }
    linkage = pl.DataFrame({"source_id": ["a", "b", "c", "d"], "target_id": ["P1", "P1", "P2", "P2"]})
    ScpContainer(obs, assays, [AggregationLink("peptides", "proteins", linkage)]).save(path)


def bring(directory: Path, text: str, target: Path) -> None:
    """The files that a text names, in `target`: copies, as an example may change them."""
    for path in directory.iterdir():
        if path.name in text:
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target / path.name)
