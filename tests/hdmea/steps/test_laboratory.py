"""A laboratory's script: thirteen steps on a session, each skipped when done; crashed at each step and resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hdmea.features import (
    align_electrodes,
    compute_sta,
    compute_stc,
    extract_rf_geometry,
    extract_soma_geometry,
    fit_ln_model,
    section_by_direction,
    track_axons,
)
from hdmea.features.ap_tracking import compute_ap_tracking
from hdmea.io import add_section_time_analog, annotate, section_spike_times
from hdmea.pipeline import PipelineSession, add_section_time, create_session, extract_features
from hdmea.session.validate_layout import check_recording
from support.hdmea_laboratory import (
    BAR,
    BAR_SIDE,
    HEAD,
    LIGHT_STEPS,
    NOISE,
    PITCH_UM,
    SLOT,
    Laboratory,
    load_by_hand,
    write_laboratory,
)
from support.hdmea_trees import assert_same_files

Script = list[tuple[str, Callable[..., Any]]]
MIN_UNITS = 12


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    return write_laboratory(tmp_path_factory.mktemp("laboratory"))


@pytest.fixture(autouse=True)
def directories(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(laboratory.directory))
    monkeypatch.setenv("HDMEA_STIMULI_DIR", str(laboratory.directory))


def script(laboratory: Laboratory) -> Script:
    """The steps in their order, as functions of `session` (or `hdf5_path`) alone."""
    steps: Script = [
        ("add_section_time", lambda **at: add_section_time(**laboratory.playlist, **at)),
        (
            "add_section_time_analog",
            lambda **at: add_section_time_analog(
                threshold_value="auto", plot_duration=1.0, after_last_frame=True, **at
            ),
        ),
        ("section_spike_times", lambda **at: section_spike_times(**at)),
        ("compute_sta", lambda **at: compute_sta(**at)),
        ("extract_soma_geometry", lambda **at: extract_soma_geometry(**at)),
        ("extract_rf_geometry", lambda **at: extract_rf_geometry(**at)),
        ("compute_stc", lambda **at: compute_stc(**at)),
        ("fit_ln_model", lambda **at: fit_ln_model(**at)),
        ("annotate", lambda **at: annotate(laboratory.table, **at)),
        ("track_axons", lambda **at: track_axons(filter_by_cell_type=False, **at)),
        ("align_electrodes", lambda **at: align_electrodes(**at)),
        ("section_by_direction", lambda **at: section_by_direction(**at)),
        ("extract_features", lambda **at: extract_features(features=["frif"], **at)),
    ]
    return steps


def by_hand(session: PipelineSession) -> None:
    """What a script adds between steps: nested dicts with keys of text, scalars of numpy, None and NaN, everywhere."""
    session.metadata["experiment"] = {"day": np.int64(3), "notes": None, "loss": np.nan, "deep": {"er": {"x": "y"}}}
    session.stimulus["projector"] = {"gamma": np.float32(2.2), "name": "Größe", "lut": np.arange(4.0)}
    unit = session.units["unit_001"]
    unit["features"]["eimage_sta"]["judged"] = {"by": "hand", "good": np.bool_(False), "score": None}
    unit["features"]["my_measure"] = {"a": {"0": np.arange(3), "1": np.nan}, "label": "ON", "n": np.uint8(7)}
    section = {"0": np.array([5, 8]), "1": np.array([12])}
    unit["spike_times_sectioned"] = {
        **unit.get("spike_times_sectioned", {}),
        "mine": {
            "full_spike_times": np.array([5, 8, 12]),
            "trials_spike_times": section,
            "trials_start_end": np.array([[0, 10], [10, 20]]),
        },
    }


def loaded(directory: Path, laboratory: Laboratory) -> PipelineSession:
    session = create_session("lab", output_dir=directory)
    load_by_hand(session, laboratory)
    by_hand(session)
    return session


@pytest.fixture(scope="module")
def finished(laboratory: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a script that nothing interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HDMEA_CONFIG_DIR", str(laboratory.directory))
        patch.setenv("HDMEA_STIMULI_DIR", str(laboratory.directory))
        session = loaded(tmp_path_factory.mktemp("finished"), laboratory)
        for name, step in script(laboratory):
            if name not in session.completed_steps:
                session = step(session=session)
        return session.save()


def test_script_that_crashes_at_each_step_and_resumes_ends_with_the_same_file(
    laboratory: Laboratory, finished: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.h5"
    loaded(tmp_path, laboratory).checkpoint(checkpoint, checkpoint_name="loaded")

    for name, step in script(laboratory):
        step(session=PipelineSession.load(checkpoint))  # the machine goes down before the checkpoint
        session = PipelineSession.load(checkpoint)
        assert name not in session.completed_steps
        session = step(session=session)
        assert name in session.completed_steps
        session.checkpoint(checkpoint, checkpoint_name=name)

    resumed = PipelineSession.load(checkpoint)
    assert {name for name, _ in script(laboratory)} < resumed.completed_steps
    assert_same_files(resumed.save(tmp_path / "resumed.h5"), finished)


def test_immediate_steps_give_the_same_file(laboratory: Laboratory, finished: Path, tmp_path: Path) -> None:
    path = loaded(tmp_path, laboratory).save()

    for _, step in script(laboratory):
        step(hdf5_path=path)

    assert_same_files(path, finished)


def test_steps_that_are_done_are_skipped_and_change_nothing(laboratory: Laboratory, finished: Path) -> None:
    session = PipelineSession.load(finished)

    for name, step in script(laboratory):
        assert step(session=session) is session, name

    assert session.is_saved


def test_steps_with_force_are_done_again(laboratory: Laboratory, finished: Path) -> None:
    session = PipelineSession.load(finished)

    for name, step in script(laboratory)[3:]:
        session = step(session=session, force=True)
        assert session.is_deferred, name
        session.save_state = type(session.save_state).SAVED


def test_final_file_holds_everything_at_the_documented_places(laboratory: Laboratory, finished: Path) -> None:
    with h5py.File(finished, "r") as file:
        assert file["metadata/experiment/day"].shape == ()
        assert file["metadata/experiment/deep/er/x"].asstr()[()] == "y"
        assert np.isnan(file["metadata/experiment/loss"][()])
        assert file["metadata/experiment/notes"].shape is None
        assert file["stimulus/projector/name"].asstr()[()] == "Größe"
        assert h5py.check_string_dtype(file["stimulus/projector/name"].dtype).length is None
        assert file["stimulus/frame_times/default"].dtype == np.uint64
        assert file["stimulus"].get("frame_time", getlink=True).path == "frame_times"
        assert file["stimulus/frame_time/default"] == file["stimulus/frame_times/default"]
        np.testing.assert_array_equal(file["stimulus/section_time/iprgc_test"][:, 0], LIGHT_STEPS)
        unit = file["units/unit_001"]
        assert unit.attrs["unit_num"] == 1
        assert unit["auto_label/axon_type"].asstr()[()] == "rgc"
        assert unit["unit_meta/snr"].shape == ()
        assert sorted(unit["spike_times_sectioned/mine/trials_spike_times"]) == ["0", "1"]
        features = unit["features"]
        assert features["eimage_sta/data"].attrs["pre_samples"] == 10
        assert features["eimage_sta/judged/by"].asstr()[()] == "hand"
        assert np.isnan(features["my_measure/a/1"][()])
        sta = features[f"sta_{NOISE}"]
        assert sta["data"].shape == (60, 15, 15)
        assert sta["data"].dtype == np.float32
        assert sta["data"].attrs["n_spikes"] > 0
        for name in ("center_row", "size_x", "area", "peak_frame", "gaussian_fit/sigma_x", "DoG/sigma_exc"):
            assert sta[f"sta_geometry/{name}"].shape == (), name
        assert sta["sta_geometry/lnl/bits_per_spike"][()] > 0
        assert sta["sta_geometry/lnl/rate_vs_g"].ndim == 1
        for name in ("refined_soma/x", "axon_initial_segment/t", "ap_pathway/direction_angle", "ap_pathway/r_value"):
            assert features[f"ap_tracking/{name}"].shape == (), name
        assert features["ap_tracking/post_processed_data/axon_centroids"].shape[1] == 4
        assert "FRIF" in features["frif"]
        directions = unit[f"spike_times_sectioned/{BAR}/direction_section"]
        assert set(directions) == {"_attrs", *map(str, range(0, 360, 45))}
        assert directions["135/section_bounds"].shape == (3, 2)
        assert directions["135/trials/2"].dtype == np.int64
        assert directions["_attrs/padding_frames"][()] == 10


def test_loaded_again_direction_sections_are_numbered_by_int(finished: Path) -> None:
    section = PipelineSession.load(finished).units["unit_001"]["spike_times_sectioned"][BAR]["direction_section"]

    assert set(section) == {"_attrs", *range(0, 360, 45)}
    assert set(section[90]["trials"]) == {0, 1, 2}
    assert section["_attrs"]["direction_list"].tolist() == list(range(0, 360, 45))


# ---------------------------------------------------------------- against what the recording was made of


def test_geometry_finds_what_the_recording_was_made_of(laboratory: Laboratory, finished: Path) -> None:
    session = PipelineSession.load(finished)

    for cell, unit in zip(laboratory.cells, session.units.values(), strict=True):
        soma = unit["features"]["eimage_sta"]["geometry"]
        assert np.hypot(soma["center_col"] - cell.soma[0], soma["center_row"] - cell.soma[1]) < 0.15
        assert soma["center_col_um"] == pytest.approx(soma["center_col"] * PITCH_UM)
        field = unit["features"][f"sta_{NOISE}"]["sta_geometry"]
        assert np.hypot(field["center_col"] - cell.field[0], field["center_row"] - cell.field[1]) < 0.5
        assert field["polarity"] == 1
        # one frame is 10 ms here: times follow the recording's clock, not 60 Hz
        assert field["peak_lag_ms"] == pytest.approx(10 * field["peak_lag_frames"])


def test_somata_are_mapped_into_the_stimulus(laboratory: Laboratory, finished: Path) -> None:
    session = PipelineSession.load(finished)
    alignment = session.metadata["electrode_alignment"]

    assert alignment["valid"]
    assert alignment["bar_pixels_per_noise_pixel"] == BAR_SIDE / 15
    assert set(alignment["unit_ids"]) == set(session.units)
    for cell, unit in zip(laboratory.cells, session.units.values(), strict=True):
        soma = unit["features"]["eimage_sta"]["geometry"]
        expected = 5 * np.array(cell.field) + 2  # pixel centres: 75 pixels over 15
        found = [soma["center_corrected_col"], soma["center_corrected_row"]]
        assert np.hypot(*(found - expected)) < 1.5
        assert 0 < soma["center_corrected_se"] < 1.5


def test_axons_lead_to_the_head(laboratory: Laboratory, finished: Path) -> None:
    session = PipelineSession.load(finished)
    seen = 0
    for cell, unit in zip(laboratory.cells, session.units.values(), strict=True):
        axon = unit["features"]["ap_tracking"]
        if axon["ap_pathway"]["axon_seen"]:
            seen += 1
            angle = np.degrees(np.arctan2(HEAD[1] - cell.soma[1], HEAD[0] - cell.soma[0]))
            apart = (axon["ap_pathway"]["direction_angle"] - angle + 180) % 360 - 180
            assert abs(apart) < 15
            assert axon["ap_pathway"]["velocity_m_s"] == pytest.approx(0.5, rel=0.25)

    tracking = session.metadata["ap_tracking"]
    head = tracking["all_ap_intersection"]
    names = ("dvnt_dv", "dvnt_nt", "dvnt_lr", "DV_position", "NT_position", "LR_position")
    assert all(isinstance(tracking[name], float) and np.isnan(tracking[name]) for name in names)
    for unit in session.units.values():
        polar, soma = (unit["features"]["ap_tracking"][name] for name in ("soma_polar_coordinates", "refined_soma"))
        dx, dy = soma["x"] - head["x"], soma["y"] - head["y"]
        np.testing.assert_allclose(polar["radius"], np.hypot(dx, dy))
        np.testing.assert_allclose(polar["theta_deg"], np.degrees(np.arctan2(dy, dx)) % 360)
        assert np.isnan(polar["angle_correction_applied"])
        assert (polar["original_x"], polar["original_y"]) == (soma["y"], soma["x"]) or np.isnan(soma["x"])
    np.testing.assert_allclose(head["mse"], head["rmse"] ** 2)
    assert seen >= 8
    assert head["n"] == seen
    if head["status"] == "position":
        assert np.hypot(head["x"] - HEAD[0], head["y"] - HEAD[1]) < 10


def test_spikes_lie_in_the_frames_in_which_the_bar_passes(laboratory: Laboratory, finished: Path) -> None:
    session = PipelineSession.load(finished)
    frames = session.metadata["frame_timestamps"].astype(np.int64)
    start = session.stimulus["section_time"][BAR][0, 0]
    first = int(np.searchsorted(frames, start, side="right")) - 1 + 60

    for cell, unit in zip(laboratory.cells, session.units.values(), strict=True):
        section = unit["spike_times_sectioned"][BAR]["direction_section"]
        x, y = 5 * cell.field[0] + 2 - 37, 5 * cell.field[1] + 2 - 37
        for angle in range(0, 360, 45):
            along = x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle))
            bounds = section[angle]["section_bounds"]
            for repetition in range(3):
                middle = (repetition * 8 + angle // 45) * SLOT + SLOT / 2 + along / 5
                assert abs(bounds[repetition].mean() - middle) < 1.5
                lo, hi = bounds[repetition]
                shown = np.searchsorted(frames, unit["spike_times"].astype(np.int64), side="right") - 1 - first
                np.testing.assert_array_equal(
                    section[angle]["trials"][repetition], shown[(shown >= lo) & (shown <= hi)]
                )


def test_linear_nonlinear_models_say_more_than_the_mean_rate(finished: Path) -> None:
    session = PipelineSession.load(finished)
    models = [unit["features"][f"sta_{NOISE}"]["sta_geometry"]["lnl"] for unit in session.units.values()]

    bits = np.array([model["bits_per_spike"] for model in models])
    assert (bits > 0.1).mean() > 0.8
    assert all(
        model["log_likelihood"] > model["null_log_likelihood"] for model in models if model["bits_per_spike"] > 0
    )


def test_axons_of_one_cell_type_without_a_network(
    laboratory: Laboratory, finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = PipelineSession.load(finished)
    for unit in session.units.values():
        del unit["features"]["ap_tracking"]

    compute_ap_tracking(model_path="net.pt", session=session, batch_size=4)

    tracked = [unit_id for unit_id, unit in session.units.items() if "ap_tracking" in unit["features"]]
    assert tracked == ["unit_001", "unit_002"]  # the ones that the table calls rgc
    assert "model_path, batch_size" in caplog.text
    compute_ap_tracking(session=session, filter_by_cell_type=False, max_units=4)
    assert sum("ap_tracking" in unit["features"] for unit in session.units.values()) == 4


def test_direction_sections_of_a_copy_leave_the_file_as_it_was(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = finished.read_bytes()
    copy, table = tmp_path / "new" / "copy.h5", tmp_path / "timing.pkl"
    table.write_bytes(b"a pickle")
    with h5py.File(finished) as file:
        moved = file["units/unit_001/spike_times"].shape

    result: Any = section_by_direction(finished, on_off_dict_path=table, output_path=copy, force=True)

    assert finished.read_bytes() == before
    assert (result.hdf5_path, result.units_failed) == (copy, 0)
    assert "timing.pkl is a pickle, which is code, and is not opened: the movie's own timing is used" in caplog.text
    with h5py.File(copy) as file:
        assert file["units/unit_001/spike_times"].shape == moved
        assert "direction_section" in file[f"units/unit_001/spike_times_sectioned/{BAR}"]
    with pytest.raises(FileNotFoundError, match=r"no such file: .*lost\.h5"):
        section_by_direction(tmp_path / "lost.h5", output_path=copy)


def test_units_without_a_place_in_the_stimulus_are_failed(finished: Path, tmp_path: Path) -> None:
    session = PipelineSession.load(finished)
    for feature in session.units["unit_001"]["features"].values():
        for part in ("sta_geometry", "geometry"):
            if part in feature:
                del feature[part]
    session = section_by_direction(session=session, force=True)
    assert any(text.endswith("or outside the movie, for unit_001") for text in session.warnings)


def test_an_alignment_that_is_not_valid_is_a_warning(finished: Path) -> None:
    session = PipelineSession.load(finished)
    for unit_id in list(session.units)[2:]:
        del session.units[unit_id]["features"][f"sta_{NOISE}"]["sta_geometry"]
    session = align_electrodes(session=session, force=True)
    assert not session.metadata["electrode_alignment"]["valid"]
    assert any("the chip cannot be aligned with the stimulus: " in text for text in session.warnings)
    soma = session.units["unit_001"]["features"]["eimage_sta"]["geometry"]
    assert np.isnan(soma["center_corrected_row"])


def test_finished_file_keeps_to_the_layout(finished: Path) -> None:
    assert check_recording(finished) == []
