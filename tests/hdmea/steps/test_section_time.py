"""When movies played: `add_section_time`, `add_section_windows`, frames and samples."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdmea.io import (
    add_section_time,
    add_section_windows,
    convert_frame_to_sample_index,
    convert_sample_index_to_frame,
    section_spike_times,
)
from hdmea.pipeline import PipelineSession
from hdmea.pipeline import add_section_time as from_pipeline
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from support.hdmea_recordings import FIRST_FRAME, FRAME_SAMPLES, recording, write_playlist

LENGTHS = {"a.mov": 100, "b": 50}


def sample(frame: int, frames: int = 2000) -> int:
    return FIRST_FRAME + FRAME_SAMPLES * min(max(frame, 0), frames - 1)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return write_playlist(tmp_path / "lists", {"one": ["a.x.avi", "b.avi"], "two": ["a", "b", "a"]}, LENGTHS)


# ---------------------------------------------------------------- frames and samples


def test_frame_to_sample_is_clipped() -> None:
    timestamps = np.array([10, 20, 40], np.uint64)

    assert convert_frame_to_sample_index(1, timestamps) == 20
    assert convert_frame_to_sample_index(-5, timestamps) == 10
    assert convert_frame_to_sample_index(99, timestamps) == 40
    np.testing.assert_array_equal(convert_frame_to_sample_index([0, 2], timestamps), [10, 40])


def test_sample_to_frame_is_the_last_frame_at_or_before_clipped() -> None:
    timestamps = np.array([10, 20, 40], np.uint64)

    assert [convert_sample_index_to_frame(s, timestamps) for s in (0, 10, 19, 20, 39, 40, 999)] == [0, 0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(convert_sample_index_to_frame(np.array([19, 20], np.uint64), timestamps), [0, 1])


# ---------------------------------------------------------------- add_section_time


def test_movies_play_in_order_with_pads_and_margins(tmp_path: Path, files: dict[str, Path]) -> None:
    session = recording(tmp_path)

    returned = add_section_time(playlist_name="one", **files, session=session)

    assert returned is session
    sections = session.stimulus["section_time"]
    # a: count 0; b: count 2·180 + 100 + 1
    np.testing.assert_array_equal(sections["a"], [[sample(180 - 60), sample(180 + 120 + 101)]])
    np.testing.assert_array_equal(sections["b"], [[sample(461 + 120), sample(461 + 300 + 51)]])
    assert sections["a"].dtype == np.uint64
    assert session.metadata["section_time_playlist"] == "one"
    assert session.metadata["section_time_repeats"] == 1
    assert "add_section_time" in session.completed_steps


def test_pads_and_margins_are_taken_from_the_call(tmp_path: Path, files: dict[str, Path]) -> None:
    session = recording(tmp_path)

    add_section_time(
        playlist_name="one",
        **files,
        pad_frame=20,
        pre_margin_frame_num=5,
        post_margin_frame_num=3,
        session=session,
    )

    np.testing.assert_array_equal(session.stimulus["section_time"]["a"], [[sample(15), sample(20 + 3 + 101)]])
    np.testing.assert_array_equal(session.stimulus["section_time"]["b"], [[sample(156), sample(141 + 20 + 3 + 51)]])


def test_every_presentation_is_a_row_in_order(tmp_path: Path, files: dict[str, Path]) -> None:
    session = recording(tmp_path)

    add_section_time(playlist_name="two", **files, repeats=2, pad_frame=0, session=session)

    counts = [0, 101 + 51, 253, 253 + 152]
    expected = [[sample(count - 60), sample(count + 120 + 101)] for count in counts]
    np.testing.assert_array_equal(session.stimulus["section_time"]["a"], expected)
    assert session.stimulus["section_time"]["b"].shape == (2, 2)
    assert session.metadata["section_time_repeats"] == 2


def test_frames_are_clipped_to_the_recording(tmp_path: Path, files: dict[str, Path]) -> None:
    session = recording(tmp_path, frames=300)

    add_section_time(playlist_name="one", **files, session=session)

    np.testing.assert_array_equal(session.stimulus["section_time"]["a"], [[sample(120, 300), sample(299, 300)]])


def test_light_template_is_the_mean_of_the_presentations(tmp_path: Path, files: dict[str, Path]) -> None:
    session = recording(tmp_path)
    add_section_time(playlist_name="two", **files, session=session)

    template = session.stimulus["light_template"]["a"]

    rows = session.stimulus["section_time"]["a"].astype(int)
    length = int(np.diff(rows).min())
    light = session.stimulus["light_reference"]["raw_ch1"]
    expected = np.mean([light[start : start + length] for start, _ in rows], axis=0)
    assert template.dtype == np.float32
    np.testing.assert_allclose(template, expected, rtol=1e-6)


def test_movie_without_a_length_is_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = write_playlist(tmp_path / "lists", {"p": ["a", "unknown", "b"]}, LENGTHS)
    session = recording(tmp_path)

    with caplog.at_level(logging.WARNING, "hdmea"):
        add_section_time(playlist_name="p", **files, session=session)

    assert "unknown" in caplog.text
    assert set(session.stimulus["section_time"]) == {"a", "b"}
    np.testing.assert_array_equal(session.stimulus["section_time"]["b"][0, 0], sample(461 + 120))


def test_file_gets_true_and_false_where_no_movie_is_known(tmp_path: Path, files: dict[str, Path]) -> None:
    path = recording(tmp_path).save()
    nothing = write_playlist(tmp_path / "other", {"one": ["x"]}, LENGTHS)

    assert add_section_time(path, "one", **nothing) is False
    assert from_pipeline(path, "one", **files) is True
    assert set(PipelineSession.load(path).stimulus["section_time"]) == {"a", "b"}


def test_existing_sections_are_file_exists_on_a_file_and_a_warning_with_a_session(
    tmp_path: Path, files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    session = recording(tmp_path)
    add_section_time(playlist_name="one", **files, session=session)
    path = session.save()
    before = path.read_bytes()

    with pytest.raises(FileExistsError):
        add_section_time(path, "two", **files)
    with caplog.at_level(logging.WARNING, "hdmea"):
        assert add_section_time(playlist_name="two", **files, session=session) is session

    assert caplog.records
    assert session.is_saved
    assert session.metadata["section_time_playlist"] == "one"
    assert path.read_bytes() == before


def test_force_replaces_the_sections(tmp_path: Path, files: dict[str, Path]) -> None:
    session = recording(tmp_path)
    add_section_time(playlist_name="one", **files, session=session)
    path = session.save()

    add_section_time(path, "two", **files, force=True)
    add_section_time(playlist_name="two", **files, force=True, session=session)

    for result in (session, PipelineSession.load(path)):
        assert result.stimulus["section_time"]["a"].shape == (2, 2)
        assert result.metadata["section_time_playlist"] == "two"


@pytest.mark.parametrize("name", ["nope", None])
def test_unknown_playlist_is_a_configuration_error_that_lists_what_there_is(
    tmp_path: Path, files: dict[str, Path], name: str | None
) -> None:
    with pytest.raises(ConfigurationError, match=r"one.*two"):
        add_section_time(playlist_name=name, **files, session=recording(tmp_path))


@pytest.mark.parametrize("which", ["playlist_file_path", "movie_length_file_path"])
def test_missing_csv_is_a_configuration_error_that_lists_what_there_is(
    tmp_path: Path, files: dict[str, Path], which: str
) -> None:
    arguments: dict[str, Any] = {**files, which: files[which].with_name("no.csv")}

    with pytest.raises(ConfigurationError, match=r"no\.csv.*movie_length\.csv, playlist\.csv"):
        add_section_time(playlist_name="one", **arguments, session=recording(tmp_path))


@pytest.mark.parametrize(
    "literal",
    [
        "__import__('os').system('touch pwned')",
        "[__import__('os').getcwd()]",
        "[x for x in ('a',)]",
        "['a'",
        "'a'",
        "{'a': 1}",
        "[1, 2]",
        "open('pwned','w')",
        "",
    ],
)
def test_playlist_that_is_no_list_literal_is_a_configuration_error(
    tmp_path: Path, literal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = write_playlist(tmp_path / "lists", {"bad": literal}, LENGTHS)

    with pytest.raises(ConfigurationError, match="bad"):
        add_section_time(playlist_name="bad", **files, session=recording(tmp_path))

    assert not (tmp_path / "pwned").exists()


def test_only_the_requested_row_is_parsed(tmp_path: Path) -> None:
    files = write_playlist(tmp_path / "lists", {"broken": "[1,", "good": ["a"]}, LENGTHS)
    session = recording(tmp_path)

    add_section_time(playlist_name="good", **files, session=session)

    assert list(session.stimulus["section_time"]) == ["a"]


@pytest.mark.parametrize(
    ("playlist", "length"),
    [("x,y\n1,2\n", None), (None, "movie_name,movie_length\na,many\n"), (None, "movie_name,movie_length\na,-3\n")],
)
def test_malformed_csv_is_a_configuration_error(
    tmp_path: Path, files: dict[str, Path], playlist: str | None, length: str | None
) -> None:
    for text, which in ((playlist, "playlist_file_path"), (length, "movie_length_file_path")):
        if text is not None:
            files[which].write_text(text)

    with pytest.raises(ConfigurationError):
        add_section_time(playlist_name="one", **files, session=recording(tmp_path))


def test_section_time_without_frame_timestamps_names_the_step_to_run(tmp_path: Path, files: dict[str, Path]) -> None:
    session = recording(tmp_path)
    del session.metadata["frame_timestamps"]
    path = session.save()

    with pytest.raises(MissingInputError, match="load_recording"):
        add_section_time(playlist_name="one", **files, session=session)
    with pytest.raises(MissingInputError, match="load_recording"):
        add_section_time(path, "one", **files)


def test_csv_files_default_to_the_config_directory(
    tmp_path: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(files["playlist_file_path"].parent))
    session = recording(tmp_path)

    add_section_time(playlist_name="one", session=session)

    assert set(session.stimulus["section_time"]) == {"a", "b"}


# ---------------------------------------------------------------- add_section_windows


def test_windows_are_regular_and_lie_within_the_recording(tmp_path: Path) -> None:
    session = recording(tmp_path, frames=1000)  # 10 007 samples, 10.007 s
    session.metadata["recording_duration_s"] = 10.007

    assert add_section_windows(length_s=3.0, step_s=2.0, session=session) is session
    add_section_windows(length_s=2.5, name="q", session=session)

    sections = session.stimulus["section_time"]
    np.testing.assert_array_equal(sections["window"], [[0, 3000], [2000, 5000], [4000, 7000], [6000, 9000]])
    np.testing.assert_array_equal(sections["q"], [[0, 2500], [2500, 5000], [5000, 7500], [7500, 10000]])
    assert sections["q"].dtype == np.uint64
    assert session.metadata["section_windows"] == {
        "window": {"length_s": 3.0, "step_s": 2.0},
        "q": {"length_s": 2.5, "step_s": 2.5},
    }


def test_each_window_is_a_trial_without_a_config(tmp_path: Path) -> None:
    session = recording(tmp_path)
    add_section_windows(length_s=4.0, name="w/1", session=session)

    section_spike_times(config_dir=tmp_path, session=session)

    section = session.units["unit_001"]["spike_times_sectioned"]["w/1"]
    np.testing.assert_array_equal(section["trials_start_end"], session.stimulus["section_time"]["w/1"].astype(np.int64))
    spikes = session.units["unit_001"]["spike_times"].astype(np.int64)
    np.testing.assert_array_equal(section["trials_spike_times"][1], spikes[(spikes >= 4000) & (spikes < 8000)])


def test_windows_and_a_playlist_stand_beside_each_other(tmp_path: Path, files: dict[str, Path]) -> None:
    session = recording(tmp_path)
    add_section_windows(length_s=1.0, session=session)
    add_section_time(playlist_name="one", **files, session=session)

    assert set(session.stimulus["section_time"]) == {"window", "a", "b"}


def test_existing_windows_are_file_exists_on_a_file_and_a_warning_with_a_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = recording(tmp_path).save()
    assert add_section_windows(path, length_s=2.0) is True
    session = PipelineSession.load(path)

    with pytest.raises(FileExistsError):
        add_section_windows(path, length_s=1.0)
    with caplog.at_level(logging.WARNING, "hdmea"):
        add_section_windows(length_s=1.0, session=session)
    assert caplog.records
    assert len(session.stimulus["section_time"]["window"]) == 10
    add_section_windows(length_s=1.0, force=True, session=session)
    assert len(session.stimulus["section_time"]["window"]) == 20


@pytest.mark.parametrize("arguments", [{"length_s": 0}, {"length_s": 1, "step_s": -1}, {"length_s": 1e6}])
def test_impossible_windows_are_a_configuration_error(tmp_path: Path, arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        add_section_windows(**arguments, session=recording(tmp_path))


def test_windows_without_a_recording_name_the_step_to_run(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="load_recording"):
        add_section_windows(length_s=1.0, session=PipelineSession(dataset_id="empty"))
