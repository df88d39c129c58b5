"""The files that examples in docstrings name: recordings as the vendor, a session and all steps leave them."""

from __future__ import annotations

import shutil
from pathlib import Path

from hdmea.features import (
    align_electrodes,
    compute_sta,
    extract_rf_geometry,
    extract_soma_geometry,
    fit_ln_model,
    section_by_direction,
    track_axons,
)
from hdmea.pipeline import add_section_time, create_session, extract_features, section_spike_times
from hdmea.simulate import simulate_recording
from support.hdmea_laboratory import load_by_hand, write_laboratory


def make_example_files(directory: Path) -> None:
    """`recording.cmcr` and `.cmtr`, `loaded.h5` (no step done), `recording.h5` (most steps done), and `stimuli/`."""
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


def bring(directory: Path, text: str, target: Path) -> None:
    """The files that a text names, in `target`: copies, as an example may change them."""
    for path in directory.iterdir():
        if path.name in text:
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target / path.name)
