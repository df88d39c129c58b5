"""`section_spike_times`, rule by rule."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdmea.io import SectionResult, section_spike_times
from hdmea.pipeline import PipelineSession
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from support.hdmea_recordings import FIRST_FRAME, FRAME_SAMPLES, recording, write_config

CONFIG = {"start_frame": 5, "trial_length_frame": 40, "repeat": 3}


def at(frame: int) -> int:
    return FIRST_FRAME + FRAME_SAMPLES * frame


@pytest.fixture
def session(tmp_path: Path) -> PipelineSession:
    """A recording with one presentation of `m` from frame 100 and two of `n`."""
    made = recording(tmp_path / "out")
    sections = {"m": [[at(100), at(400)]], "n": [[at(500) + 3, at(800)], [at(900), at(1200)]]}
    made.add_stimulus({"section_time": {movie: np.array(rows, np.uint64) for movie, rows in sections.items()}})
    write_config(tmp_path / "configs", "m", **CONFIG)
    write_config(tmp_path / "configs", "n", start_frame=0, trial_length_frame=50, repeat=2, group_count=2, group_gap=7)
    return made


def cut(session: PipelineSession, tmp_path: Path, **arguments: Any) -> PipelineSession:
    result = section_spike_times(config_dir=tmp_path / "configs", session=session, **arguments)
    assert isinstance(result, PipelineSession)
    return result


def section(session: PipelineSession, movie: str, unit: str = "unit_001") -> dict[str, Any]:
    found: dict[str, Any] = session.units[unit]["spike_times_sectioned"][movie]
    return found


# ---------------------------------------------------------------- where trials are


def test_trials_start_60_frames_after_the_section_whatever_the_margins(
    session: PipelineSession, tmp_path: Path
) -> None:
    cut(session, tmp_path)

    starts = [100 + 60 + 5 + n * 40 for n in range(3)]
    expected = [[at(start), at(start + 40)] for start in starts]
    np.testing.assert_array_equal(section(session, "m")["trials_start_end"], expected)
    assert section(session, "m")["trials_start_end"].dtype == np.int64


def test_groups_are_a_gap_apart_and_presentations_follow_each_other(session: PipelineSession, tmp_path: Path) -> None:
    cut(session, tmp_path)

    starts = [first + 60 + n * 50 + (n // 2) * 7 for first in (500, 900) for n in range(4)]
    expected = [[at(start), at(start + 50)] for start in starts]
    np.testing.assert_array_equal(section(session, "n")["trials_start_end"], expected)
    assert list(section(session, "n")["trials_spike_times"]) == list(range(8))


def test_trials_are_clipped_to_the_last_frame(tmp_path: Path) -> None:
    short = recording(tmp_path, frames=200)
    short.add_stimulus({"section_time": {"m": np.array([[at(100), at(199)]], np.uint64)}})
    write_config(tmp_path / "configs", "m", **CONFIG)

    cut(short, tmp_path)

    np.testing.assert_array_equal(section(short, "m")["trials_start_end"], [[at(165), at(199)]])
    assert any("ends 34 frames after the start of trial 0, which takes 40" in text for text in short.warnings)
    assert any("2 of 3 trials (1, 2;" in text for text in short.warnings)


@pytest.mark.parametrize("immediate", [False, True])
def test_trials_beyond_their_section_are_left_out_with_numbers(
    session: PipelineSession, tmp_path: Path, immediate: bool
) -> None:
    # As a laboratory's movie of three trials with a config of nine: the others lie in the stimuli after it.
    write_config(tmp_path / "configs", "m", start_frame=5, trial_length_frame=75, repeat=3, group_count=3)
    write_config(tmp_path / "configs", "n", start_frame=0, trial_length_frame=100, repeat=3)

    if immediate:
        path = session.save(tmp_path / "saved.h5")
        result = section_spike_times(path, config_dir=tmp_path / "configs")
        assert isinstance(result, SectionResult)
        session, warned = PipelineSession.load(path), result.warnings
    else:
        warned = cut(session, tmp_path).warnings

    starts = [100 + 60 + 5 + n * 75 for n in range(3)]
    first = section(session, "m")
    np.testing.assert_array_equal(first["trials_start_end"], [[at(start), at(start + 75)] for start in starts])
    assert sorted(first["trials_spike_times"]) == [0, 1, 2]
    spikes = session.units["unit_001"]["spike_times"].astype(np.int64)
    assert first["full_spike_times"].max() < at(starts[-1] + 75) <= at(400) < spikes.max()
    starts = [begin + 60 + n * 100 for begin in (500, 900) for n in range(2)]  # the third of each ends too late
    np.testing.assert_array_equal(
        section(session, "n")["trials_start_end"], [[at(start), at(start + 100)] for start in starts]
    )
    (said,) = [text for text in warned if " m: " in text]
    rate = session.metadata["acquisition_rate"]
    for number in ("6 of 9 trials (3, 4, 5, 6, 7, 8;", f"{at(400) / rate:.2f} s", f"{at(165 + 9 * 75) / rate:.2f} s"):
        assert number in said
    assert any(" n: 2 of 6 trials (2, 5;" in text for text in warned)


# ---------------------------------------------------------------- which spikes a trial holds


@pytest.mark.parametrize("margin", [(0.0, 0.0), (0.1, 0.25)])
def test_trial_holds_the_spikes_from_start_minus_pre_to_end_plus_post(
    session: PipelineSession, tmp_path: Path, margin: tuple[float, float]
) -> None:
    cut(session, tmp_path, pad_margin=margin)

    before, after = (round(1000 * seconds) for seconds in margin)
    for unit_id, unit in session.units.items():
        spikes = unit["spike_times"].astype(np.int64)
        found = section(session, "m", unit_id)
        masks = [(spikes >= a - before) & (spikes < b + after) for a, b in found["trials_start_end"]]
        for trial, mask in enumerate(masks):
            np.testing.assert_array_equal(found["trials_spike_times"][trial], spikes[mask])
            assert found["trials_spike_times"][trial].dtype == np.int64
        np.testing.assert_array_equal(found["full_spike_times"], np.unique(spikes[np.any(masks, axis=0)]))
        assert found["full_spike_times"].dtype == np.int64


def test_trial_does_not_start_below_zero(tmp_path: Path) -> None:
    made = recording(tmp_path)
    made.add_stimulus({"section_time": {"m": np.array([[at(0), at(300)]], np.uint64)}})
    write_config(tmp_path / "configs", "m", start_frame=0, trial_length_frame=10, repeat=1)
    made.units["unit_001"]["spike_times"] = np.array([0, 3, at(60), at(300)], np.uint64)

    cut(made, tmp_path, pad_margin=(100.0, 0.0))

    np.testing.assert_array_equal(section(made, "m")["trials_spike_times"][0], [0, 3, at(60)])


@pytest.mark.parametrize(
    ("spikes", "trial", "full"),
    [
        ([], [], []),
        ([at(170)], [at(170)], [at(170)]),
        ([at(190), at(170), at(180)], [at(190), at(170), at(180)], [at(170), at(180), at(190)]),
        ([at(170), at(170), at(180)], [at(170), at(170), at(180)], [at(170), at(180)]),
    ],
    ids=["none", "one", "unsorted", "duplicate"],
)
def test_odd_spike_trains_are_cut_all_the_same(
    session: PipelineSession, tmp_path: Path, spikes: list[int], trial: list[int], full: list[int]
) -> None:
    session.units["unit_001"]["spike_times"] = np.array(spikes, np.uint64)

    cut(session, tmp_path)

    np.testing.assert_array_equal(section(session, "m")["trials_spike_times"][0], trial)
    np.testing.assert_array_equal(section(session, "m")["full_spike_times"], full)
    assert session.units["unit_001"]["spike_times"].tolist() == spikes


@settings(max_examples=25)
@given(
    spikes=st.lists(st.integers(0, 20_000), max_size=60),
    rows=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 20_000)), min_size=1, max_size=6),
    margin=st.tuples(st.integers(0, 300), st.integers(0, 300)),
)
def test_any_windows_are_cut_as_boolean_masks_cut_them(
    spikes: list[int], rows: list[tuple[int, int]], margin: tuple[int, int]
) -> None:
    made = PipelineSession(dataset_id="rec")
    made.add_units({"unit_001": {"spike_times": np.array(spikes, np.uint64)}})
    made.add_metadata({"acquisition_rate": 1000.0, "section_windows": {"w": {}}})
    made.add_stimulus({"section_time": {"w": np.array(rows, np.uint64)}})

    section_spike_times(pad_margin=(margin[0] / 1000, margin[1] / 1000), session=made)

    train = np.array(spikes, np.int64)
    masks = [(train >= max(a - margin[0], 0)) & (train < b + margin[1]) for a, b in rows]
    found = section(made, "w")
    for trial, mask in enumerate(masks):
        np.testing.assert_array_equal(found["trials_spike_times"][trial], train[mask])
    np.testing.assert_array_equal(found["full_spike_times"], np.unique(train[np.any(masks, axis=0)]))


def test_a_trial_can_be_changed_without_touching_anything_else(session: PipelineSession, tmp_path: Path) -> None:
    cut(session, tmp_path, pad_margin=(1.0, 1.0))
    found = section(session, "m")
    others = (session.units["unit_001"]["spike_times"], found["trials_spike_times"][1], found["full_spike_times"])
    before = [values.copy() for values in others]

    found["trials_spike_times"][0] -= 10

    for values, copy in zip(others, before, strict=True):
        np.testing.assert_array_equal(values, copy)


# ---------------------------------------------------------------- in the file, and the result


def test_file_holds_the_layout(session: PipelineSession, tmp_path: Path) -> None:
    path = session.save()

    result = section_spike_times(path, movie_names=["m"], pad_margin=(0.1, 0.2), config_dir=tmp_path / "configs")

    assert isinstance(result, SectionResult)
    assert result.success
    assert (result.units_processed, result.movies_processed, result.trial_repeats) == (3, 1, 3)
    assert (result.pad_margin, result.pre_samples, result.post_samples, result.warnings) == ((0.1, 0.2), 100, 200, [])
    with h5py.File(path, "r") as file:
        group = file["units/unit_001/spike_times_sectioned/m"]
        assert group["full_spike_times"].dtype == np.int64
        assert list(group["trials_spike_times"]) == ["0", "1", "2"]
        assert group["trials_spike_times/0"].dtype == np.int64
        assert group["trials_start_end"].shape == (3, 2)
        assert group.attrs["n_trials"] == 3
        assert group.attrs["trial_repeats"] == 3
        np.testing.assert_array_equal(group.attrs["pad_margin"], [0.1, 0.2])
        assert (group.attrs["pre_samples"], group.attrs["post_samples"]) == (100, 200)
        assert group.attrs["created_at"].endswith("+00:00")
        assert "n" not in file["units/unit_001/spike_times_sectioned"]


def test_all_movies_are_cut_by_default(session: PipelineSession, tmp_path: Path) -> None:
    cut(session, tmp_path)

    assert set(session.units["unit_003"]["spike_times_sectioned"]) == {"m", "n"}
    assert "section_spike_times" in session.completed_steps


def test_no_units_is_a_result_of_none(tmp_path: Path) -> None:
    made = recording(tmp_path, units=0)
    made.add_stimulus({"section_time": {"m": np.array([[at(0), at(300)]], np.uint64)}})
    write_config(tmp_path / "configs", "m", **CONFIG)

    result = section_spike_times(made.save(), config_dir=tmp_path / "configs")

    assert isinstance(result, SectionResult)
    assert result.units_processed == 0


# ---------------------------------------------------------------- configs


def test_one_value_error_lists_every_missing_and_invalid_config(session: PipelineSession, tmp_path: Path) -> None:
    names = ("gone", "odd", "zero", "text")
    session.add_stimulus({"section_time": {name: np.array([[0, 9]], np.uint64) for name in names}})
    write_config(tmp_path / "configs", "odd", start_frame=-1, trial_length_frame=10, repeat=1)
    write_config(tmp_path / "configs", "zero", start_frame=0, trial_length_frame=0, repeat=0)
    write_config(tmp_path / "configs", "text", start_frame="0", trial_length_frame=5)

    with pytest.raises(ValueError, match="gone") as caught:
        cut(session, tmp_path)

    assert all(name in str(caught.value) for name in names)
    assert "m.json" not in str(caught.value)
    assert "spike_times_sectioned" not in session.units["unit_001"]


def test_config_dir_defaults_to_the_environment_then_to_the_package(
    session: PipelineSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path / "configs"))
    section_spike_times(session=session)
    assert len(section(session, "m")["trials_spike_times"]) == 3

    monkeypatch.delenv("HDMEA_CONFIG_DIR")
    session.stimulus["section_time"] = {"baseline_127": np.array([[at(100), at(400)]], np.uint64)}
    section_spike_times(session=session)
    np.testing.assert_array_equal(section(session, "baseline_127")["trials_start_end"], [[at(160), at(340)]])


# ---------------------------------------------------------------- again, and what is missing


def test_sectioning_again_is_file_exists_on_a_file_and_a_warning_with_a_session(
    session: PipelineSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut(session, tmp_path)
    path = session.save()
    before = path.read_bytes()
    kept = section(session, "m")

    with pytest.raises(FileExistsError):
        section_spike_times(path, config_dir=tmp_path / "configs")
    with caplog.at_level(logging.WARNING, "hdmea"):
        cut(session, tmp_path, pad_margin=(1.0, 1.0))

    assert caplog.records
    assert section(session, "m") is kept
    assert session.is_saved
    assert path.read_bytes() == before


def test_force_sections_again(session: PipelineSession, tmp_path: Path) -> None:
    cut(session, tmp_path)
    path = session.save()

    cut(session, tmp_path, pad_margin=(0.5, 0.5), force=True)
    section_spike_times(path, config_dir=tmp_path / "configs", pad_margin=(0.5, 0.5), force=True)

    for made in (session, PipelineSession.load(path)):
        assert section(made, "m")["pre_samples"] == 500


@pytest.mark.parametrize("missing", ["section_time", "frame_timestamps", "acquisition_rate"])
def test_missing_input_names_the_step_to_run_in_both_modes(
    session: PipelineSession, tmp_path: Path, missing: str
) -> None:
    holder = session.stimulus if missing == "section_time" else session.metadata
    del holder[missing]
    path = session.save()
    step = "add_section_time" if missing == "section_time" else "load_recording"

    with pytest.raises(MissingInputError, match=step):
        cut(session, tmp_path)
    with pytest.raises(MissingInputError, match=step):
        section_spike_times(path, config_dir=tmp_path / "configs")


def test_movie_without_a_section_names_the_step_to_run(session: PipelineSession, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"other.*add_section_time"):
        cut(session, tmp_path, movie_names=["m", "other"])


def test_session_without_a_recording_names_the_step_to_run() -> None:
    with pytest.raises(MissingInputError, match="load_recording"):
        section_spike_times(session=PipelineSession(dataset_id="empty"))


def test_step_counts_as_done_when_its_data_are_there_whoever_put_them(tmp_path: Path) -> None:
    made = PipelineSession(dataset_id="rec")
    made.add_units({"unit_001": {"spike_times": np.array([at(165)], np.uint64)}})
    made.add_metadata({"acquisition_rate": 1000.0, "frame_timestamps": np.array([at(n) for n in range(400)])})
    made.add_stimulus({"section_time": {"m": [[at(100), at(300)]]}})
    write_config(tmp_path / "configs", "m", **CONFIG)

    cut(made, tmp_path)

    np.testing.assert_array_equal(section(made, "m")["full_spike_times"], [at(165)])


def test_unit_without_spike_times_is_left_out_with_a_warning(
    session: PipelineSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    del session.units["unit_002"]["spike_times"]

    with caplog.at_level(logging.WARNING, "hdmea"):
        cut(session, tmp_path)

    assert "unit_002" in caplog.text
    assert "spike_times_sectioned" not in session.units["unit_002"]


def test_trial_repeats_is_deprecated_and_has_no_effect(session: PipelineSession, tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="trial_repeats"):
        cut(session, tmp_path, trial_repeats=7)
    assert len(section(session, "m")["trials_spike_times"]) == 3

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cut(session, tmp_path, trial_repeats=3, force=True)


@pytest.mark.parametrize("margin", [(-0.1, 0.0), (0.0,), (float("nan"), 0.0), (float("inf"), 0.0)])
def test_impossible_margin_is_a_configuration_error(
    session: PipelineSession, tmp_path: Path, margin: tuple[float, ...]
) -> None:
    with pytest.raises(ConfigurationError, match="pad_margin"):
        cut(session, tmp_path, pad_margin=margin)
