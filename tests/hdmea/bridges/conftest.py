"""Recordings that the bridges' tests share; none of them changes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdmea.features import compute_sta
from hdmea.io import add_section_time, section_spike_times
from hdmea.pipeline import (
    PipelineSession,
    create_session,
    extract_features,
    load_recording_with_eimage_sta,
    load_spikes,
)
from hdmea.simulate import SimulatedRecording


@pytest.fixture(scope="session")
def simulated(small_recording: SimulatedRecording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a simulated recording after the usual steps: images, sections, STA, features."""
    made = small_recording
    session = create_session("simulated", output_dir=tmp_path_factory.mktemp("bridges"))
    load_recording_with_eimage_sta(made.cmcr_path, made.cmtr_path, session=session)
    add_section_time(
        playlist_name=made.playlist_name,
        playlist_file_path=made.playlist_path,
        movie_length_file_path=made.movie_length_path,
        session=session,
    )
    section_spike_times(config_dir=made.config_dir, pad_margin=(0.5, 0.25), session=session)
    compute_sta(cover_range=(-20, 0), stimuli_dir=made.stimuli_dir, session=session)
    extract_features(session=session)
    return session.save()


@pytest.fixture(scope="session")
def waves(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of the ten real recordings of retinal waves, loaded."""
    directory = tmp_path_factory.mktemp("waves")
    found = sorted((test_data / "retina_mea").glob("*.h5"))
    assert len(found) == 10
    return [load_spikes(path, output_dir=directory).hdf5_path for path in found]


@pytest.fixture
def session(simulated: Path) -> PipelineSession:
    return PipelineSession.load(simulated)
