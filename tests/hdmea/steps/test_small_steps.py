"""Annotations, copies of sections, analog sections, the bar's timing and the vendor's metadata: rules and edges."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest

from hdmea.features import align_electrodes, extract_soma_geometry, fit_ln_model, section_by_direction
from hdmea.io import add_section_time_analog, annotate, copy_section, section_spike_times
from hdmea.io.cmcr import add_sys_meta_info
from hdmea.io.cmtr import add_cmtr_unit_info
from hdmea.io.stimulus_config import SectionKwargs, StimulusConfig
from hdmea.kernels.passages import bar_passages
from hdmea.pipeline import PipelineSession, create_session, load_recording
from hdmea.simulate import SimulatedRecording
from hdmea.steps.bar_timing import slots, timing_of_movie, timing_of_table
from hdmea.utils.exceptions import ConfigurationError, DataLoadError, MissingInputError
from support.hdmea_recordings import recording, write_config

# ---------------------------------------------------------------- annotate


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    frame = pl.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_row_of_a_recording_becomes_metadata(tmp_path: Path, suffix: str) -> None:
    rows = [{"recording": "rec_2", "age": 1, "note": "x"}, {"recording": "rec", "age": 61, "note": None}]
    session = recording(tmp_path)

    annotate(write_table(tmp_path / f"t{suffix}", rows), session=session)

    assert session.metadata["gsheet_row"] == {"recording": "rec", "age": 61, "note": None}
    assert "annotate" in session.completed_steps


@pytest.mark.parametrize(
    ("name", "found"), [("2024.05.07-rec", False), ("2024.05.07", True), ("2024.05.07-01-x", True)]
)
def test_unique_prefix_is_enough(tmp_path: Path, name: str, found: bool) -> None:
    session = recording(tmp_path, dataset_id="2024.05.07-01")
    path = session.save()

    result = annotate(write_table(tmp_path / "t.csv", [{"file": name, "age": 3}]), path)

    assert result is found
    assert ("gsheet_row" in PipelineSession.load(path).metadata) is found


def test_two_rows_that_fit_are_an_error_that_names_them(tmp_path: Path) -> None:
    session = recording(tmp_path, dataset_id="2024.05.07-01")
    table = write_table(tmp_path / "t.csv", [{"file": "2024.05.07", "age": 3}, {"file": "2024.05", "age": 4}])
    with pytest.raises(ConfigurationError, match=r"2024\.05\.07, 2024\.05"):
        annotate(table, session=session)
    twice = write_table(tmp_path / "u.csv", [{"file": "2024.05.07-01", "age": 3}] * 2)
    with pytest.raises(ConfigurationError, match=r"u\.csv: 2 rows are about 2024\.05\.07-01"):
        annotate(twice, session=session)
    units = write_table(tmp_path / "v.csv", [{"file": "2024.05.07-01", "unit": "unit_001", "kind": "a"}] * 2)
    with pytest.raises(ConfigurationError, match=r"v\.csv: two rows are about unit_001 of 2024\.05\.07-01"):
        annotate(units, session=session)


def test_rows_of_units_become_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    session = recording(tmp_path)
    for number, unit in enumerate(session.units.values()):
        unit["unit_num"], unit["original_name"] = number + 5, f"Unit {number + 5}"
    rows = [
        {"recording": "rec", "unit": "unit_001", "axon_type": "rgc"},
        {"recording": "rec", "unit": "6", "axon_type": "ac"},
        {"recording": "rec", "unit": "Unit 7", "axon_type": None},
        {"recording": "rec", "unit": "unit_099", "axon_type": "rgc"},
        {"recording": "other", "unit": "unit_002", "axon_type": "no"},
    ]
    session.units["unit_001"]["auto_label"] = {"axon_type": "by hand", "mine": 1}
    table = write_table(tmp_path / "t.csv", rows)

    with caplog.at_level(logging.WARNING, "hdmea"):
        annotate(table, session=session)
    labels = [unit.get("auto_label") for unit in session.units.values()]
    assert labels == [{"axon_type": "by hand", "mine": 1}, {"axon_type": "ac"}, {"axon_type": None}]
    assert "unit_099" in caplog.text

    annotate(table, session=session, force=True)
    assert session.units["unit_001"]["auto_label"] == {"axon_type": "rgc", "mine": 1}


def test_table_without_a_column_of_names_and_no_table_at_all(tmp_path: Path) -> None:
    session = recording(tmp_path)
    with pytest.raises(ConfigurationError, match="recording_column"):
        annotate(write_table(tmp_path / "t.csv", [{"strain": "a"}]), session=session)
    with pytest.raises(ConfigurationError, match="'animal'"):
        annotate(write_table(tmp_path / "t.csv", [{"file": "a"}]), recording_column="animal", session=session)
    with pytest.raises(FileNotFoundError):
        annotate(tmp_path / "none.csv", session=session)
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(DataLoadError, match="bad"):
        annotate(tmp_path / "bad.parquet", session=session)
    assert annotate(None, session=session) is session
    assert "annotate" not in session.completed_steps


# ---------------------------------------------------------------- copy_section


@pytest.fixture
def cut(tmp_path: Path) -> PipelineSession:
    session = recording(tmp_path)
    session.add_stimulus({"section_time": {"old_3x": session.metadata["frame_timestamps"][[0, 900]][None]}})
    write_config(tmp_path, "old_3x", start_frame=0, trial_length_frame=100, repeat=4)
    section_spike_times(session=session, config_dir=tmp_path)
    return session


def test_copy_has_the_chosen_trials_renumbered(cut: PipelineSession) -> None:
    copy_section(source="old_3x", target="new_2x", trials=[3, 1], session=cut)

    for unit in cut.units.values():
        old, new = (unit["spike_times_sectioned"][name] for name in ("old_3x", "new_2x"))
        assert list(new["trials_spike_times"]) == [0, 1]
        np.testing.assert_array_equal(new["trials_spike_times"][0], old["trials_spike_times"][3])
        np.testing.assert_array_equal(new["trials_start_end"], old["trials_start_end"][[3, 1]])
        expected = np.union1d(old["trials_spike_times"][3], old["trials_spike_times"][1])
        np.testing.assert_array_equal(new["full_spike_times"], expected)
        assert new["pre_samples"] == old["pre_samples"]


def test_copy_in_a_file_is_skipped_when_it_is_there(cut: PipelineSession) -> None:
    path = cut.save()
    first: Any = copy_section(path, source="old_3x", target="new")
    again: Any = copy_section(path, source="old_3x", target="new", trials=[0])
    forced: Any = copy_section(path, source="old_3x", target="new", trials=[0], force=True)

    assert (first.units_processed, again.units_processed, again.units_skipped) == (3, 0, 3)
    assert forced.units_processed == 3
    with h5py.File(path) as file:
        assert file["units/unit_002/spike_times_sectioned/new"].attrs["n_trials"] == 1


def test_copy_of_what_is_not_there_is_refused(cut: PipelineSession) -> None:
    for kwargs, error, reason in (
        ({"source": "none", "target": "new"}, MissingInputError, "none"),
        ({"source": "old_3x", "target": "old_3x"}, ConfigurationError, "source and target are both 'old_3x'"),
        ({"source": "old_3x", "target": "new", "trials": [0, 9]}, ConfigurationError, "9"),
        ({"source": "old_3x", "target": "new", "trials": [1, 1]}, ConfigurationError, "1, 1"),
    ):
        with pytest.raises(error, match=reason):
            copy_section(session=cut, **kwargs)
    assert "new" not in cut.units["unit_001"]["spike_times_sectioned"]


# ---------------------------------------------------------------- analog sections


def lit(tmp_path: Path, onsets: list[int], *, ramp: int = 1, noise: float = 0.0) -> PipelineSession:
    """20 s at 1 kHz: light of 500 counts for 1 s from each onset on, which it reaches within `ramp` samples."""
    session = recording(tmp_path)
    light = np.full(20_000, 100.0) + np.random.default_rng(0).normal(0, noise, 20_000)
    for onset in onsets:
        light[onset : onset + 1000] += 500
        light[onset : onset + ramp] -= 500 * (1 - np.arange(1, ramp + 1) / ramp)
    session.stimulus["light_reference"]["raw_ch1"] = light.astype(np.float32)
    return session


@pytest.mark.parametrize("threshold", [400, "auto"])
def test_sections_begin_at_the_first_lit_sample(tmp_path: Path, threshold: Any) -> None:
    session = lit(tmp_path, [3000, 9000, 15_500], noise=3.0)

    add_section_time_analog(threshold_value=threshold, plot_duration=2.0, session=session)

    expected = np.array([[3000, 5000], [9000, 11_000], [15_500, 17_500]], np.uint64)
    np.testing.assert_array_equal(session.stimulus["section_time"]["iprgc_test"], expected)
    assert session.stimulus["section_time"]["iprgc_test"].dtype == np.uint64
    template = session.stimulus["light_template"]["iprgc_test"]
    assert template.shape == (2000,)
    assert template[:1000].mean() == pytest.approx(600, abs=2)
    section_spike_times(session=session)  # cut row by row, without a config
    assert len(session.units["unit_001"]["spike_times_sectioned"]["iprgc_test"]["trials_spike_times"]) == 3


def test_onsets_that_follow_closely_count_once_and_late_sections_are_cut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = lit(tmp_path, [3000, 4500, 19_000])

    with caplog.at_level(logging.WARNING, "hdmea"):
        add_section_time_analog(threshold_value=400, plot_duration=4.0, session=session)
    assert session.stimulus["section_time"]["iprgc_test"].tolist() == [[3000, 7000], [19_000, 20_000]]
    assert "trace's end" in caplog.text

    add_section_time_analog(threshold_value=400, plot_duration=4.0, min_distance_s=1.5, force=True, session=session)
    assert session.stimulus["section_time"]["iprgc_test"][:, 0].tolist() == [3000, 4500, 19_000]
    add_section_time_analog(threshold_value=400, movie_name="two", repeat=2, min_distance_s=0, session=session)
    assert len(session.stimulus["section_time"]["two"]) == 2


@pytest.mark.parametrize("threshold", [400, "auto"])
def test_no_onset_is_a_warning_and_false(tmp_path: Path, threshold: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = lit(tmp_path, [], noise=2.0).save()

    with caplog.at_level(logging.WARNING, "hdmea"):
        assert add_section_time_analog(path, threshold) is False

    assert "never rises" in caplog.text
    assert "section_time" not in PipelineSession.load(path).stimulus


def test_only_light_after_the_last_frame_counts_where_that_is_asked(tmp_path: Path) -> None:
    session = lit(tmp_path, [3000, 15_000])
    session.metadata["frame_timestamps"] = np.arange(0, 10_000, 10, dtype=np.uint64)

    add_section_time_analog(threshold_value="auto", plot_duration=1.0, after_last_frame=True, session=session)

    assert session.stimulus["section_time"]["iprgc_test"][:, 0].tolist() == [15_000]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"threshold_value": -1},
        {"threshold_value": "half"},
        {"plot_duration": 0},
        {"repeat": 0},
        {"min_distance_s": -0.5},
    ],
)
def test_numbers_that_mean_nothing_are_refused(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(kwargs))):
        add_section_time_analog(session=lit(tmp_path, [3000]), **kwargs)


@pytest.mark.parametrize("kwargs", [{"threshold_value": None}, {"plot_duration": 0}, {"plot_duration": -3.0}])
def test_scripts_catch_impossible_numbers_as_value_errors(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    from hdmea.io.section_time import add_section_time_analog as by_its_other_path

    with pytest.raises(ValueError, match=next(iter(kwargs))):
        by_its_other_path(session=lit(tmp_path, [3000]), **kwargs)


def test_analog_sections_that_are_there_are_made_again_with_force_only(tmp_path: Path) -> None:
    path = lit(tmp_path, [3000]).save()
    assert add_section_time_analog(path, 400, plot_duration=1.0) is True
    with pytest.raises(FileExistsError, match=r"iprgc_test.*force=True"):
        add_section_time_analog(path, 400, plot_duration=2.0)
    assert add_section_time_analog(path, 400, plot_duration=2.0, force=True) is True
    assert PipelineSession.load(path).stimulus["section_time"]["iprgc_test"].tolist() == [[3000, 5000]]


def test_fewer_onsets_than_asked_for_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hdmea"):
        session = add_section_time_analog(threshold_value=400, repeat=3, session=lit(tmp_path, [3000]))
    assert "onsets found: 1, asked for: 3" in caplog.text
    assert len(session.stimulus["section_time"]["iprgc_test"]) == 1


def test_light_that_is_not_there_or_never_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    session = recording(tmp_path)
    session.stimulus["light_reference"] = {"raw_ch1": np.full(20_000, 7.0, np.float32)}
    with caplog.at_level(logging.WARNING, "hdmea"):
        add_section_time_analog(threshold_value="auto", session=session)
    assert "never rises" in caplog.text
    del session.stimulus["light_reference"]
    with pytest.raises(MissingInputError, match="needs stimulus/light_reference/raw_ch1: run load_recording first"):
        add_section_time_analog(session=session)


# ---------------------------------------------------------------- the bar


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int16])
def test_passages_are_the_largest_rise_and_the_fall_after_it(dtype: Any) -> None:
    movie = np.zeros((20, 3, 4), dtype)
    movie[4:7, 0, 1] = 200
    movie[9:12, 0, 1] = 90  # a smaller rise
    movie[0:3, 1, 1] = 50  # lit from the first frame on: it rises nowhere
    movie[12:, 2, 3] = 255

    on, off = bar_passages(movie, [(0, 10), (10, 20)])

    expected_on, expected_off = np.full((2, 3, 4), -1), np.full((2, 3, 4), -1)
    expected_on[0, 0, 1], expected_off[0, 0, 1] = 4, 7
    expected_on[1, 2, 3], expected_off[1, 2, 3] = 12, 20
    np.testing.assert_array_equal(on, expected_on)
    np.testing.assert_array_equal(off, expected_off)


def test_passages_of_frames_outside_the_movie_are_refused() -> None:
    with pytest.raises(ValueError, match="10 frames"):
        bar_passages(np.zeros((10, 2, 2), np.uint8), [(5, 11)])
    with pytest.raises(ValueError, match="frames, height, width"):
        bar_passages(np.zeros((10, 2), np.uint8), [])


def test_slots_follow_the_config() -> None:
    parameters = {"directions_deg": [0, 90], "direction_frames": 30, "lead_frames": 7}
    config = StimulusConfig("bar", SectionKwargs(60, 100, 2), "moving_bar", parameters)

    assert slots(config) == [(67, 97), (97, 127), (167, 197), (197, 227)]


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_table_gives_the_frames_of_its_pixels(tmp_path: Path, suffix: str) -> None:
    columns = {"row": [2, 5], "col": [3, 4]} | {f"on_{n}": [n, n + 100] for n in range(24)}
    columns |= {f"off_{n}": [n + 9, n + 109] for n in range(24)}
    path = tmp_path / f"t{suffix}"
    if suffix == ".npz":
        np.savez(path, **{name: np.array(column) for name, column in columns.items()})
    else:
        write_table(path, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])

    timing = timing_of_table(path, 8, (10, 10))

    found = timing.at(5.2, 3.9)
    assert found is not None
    np.testing.assert_array_equal(found[0], 100 + np.arange(24).reshape(3, 8))
    np.testing.assert_array_equal(found[1], 109 + np.arange(24).reshape(3, 8))
    nothing = timing.at(0, 0)
    assert nothing is not None
    assert (nothing[0] == -1).all()
    assert timing.at(10, 0) is None


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("lost.csv", None, FileNotFoundError, r"no such file: .*lost\.csv"),
        ("t.csv", "row,col\n1,2\n", DataLoadError, "0 columns on_… are not a whole number of repetitions"),
        ("t.csv", "row,col,on_0\n1,2,3\n", DataLoadError, "1 columns on_… are not a whole number of repetitions"),
        ("t.csv", "row,on_0,on_1,off_0,off_1\n1,2,3,4,5\n", DataLoadError, "lacks the column 'col'"),
        ("t.csv", "row,col,on_0,on_1,off_0\n1,2,3,4,5\n", DataLoadError, "lacks the column 'off_1'"),
        ("t.parquet", "text", DataLoadError, "cannot be read as a table of the bar's timing"),
        ("t.npz", "text", DataLoadError, "cannot be read as a table of the bar's timing"),
    ],
)
def test_what_is_not_a_table_of_timing_says_why(
    tmp_path: Path, name: str, content: str | None, error: type[Exception], message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(error, match=message):
        timing_of_table(tmp_path / name, 2, (10, 10))


def test_what_is_not_the_bar_movie_says_why(tmp_path: Path) -> None:
    parameters = {"directions_deg": [0, 90], "direction_frames": 30}
    config = StimulusConfig("bar", SectionKwargs(0, 60, 1), "moving_bar", parameters)
    path = tmp_path / "bar.npy"
    with pytest.raises(FileNotFoundError, match=r"Stimulus file not found: .*bar\.npy, the frames of the bar movie"):
        timing_of_movie(path, config)
    np.save(path, np.zeros((40, 3, 3), np.uint8))
    with pytest.raises(DataLoadError, match="cannot be read as the bar movie: 40 frames hold 1 of 2 directions"):
        timing_of_movie(path, config)
    lacking = StimulusConfig("bar", SectionKwargs(0, 60, 1), "moving_bar", {"directions_deg": [0, 90]})
    with pytest.raises(ConfigurationError, match="the config of bar lacks the parameter 'direction_frames'"):
        slots(lacking)


def test_pickle_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "t.pkl"
    path.write_bytes(b"cos\nsystem\n(S'touch /nowhere'\ntR.")
    with pytest.raises(ConfigurationError, match=r"np\.savez"):
        timing_of_table(path, 8, (10, 10))


def test_direction_sections_without_their_input_name_the_step(cut: PipelineSession) -> None:
    with pytest.raises(MissingInputError, match="was not shown; shown were: old_3x"):
        section_by_direction(session=cut)
    with pytest.raises(ConfigurationError, match="padding"):
        section_by_direction(session=cut, padding_frames=-1)
    with pytest.raises(ConfigurationError, match="unit_9"):
        section_by_direction(session=cut, movie_name="old_3x", unit_ids=["unit_9"])


# ---------------------------------------------------------------- the vendor's files


def test_unit_metadata_are_all_that_the_vendor_says(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    session = create_session("x", small_recording.cmcr_path, small_recording.cmtr_path, output_dir=tmp_path)
    load_recording(session=session)
    before = dict(session.units["unit_001"]["unit_meta"])

    add_cmtr_unit_info(session)
    add_sys_meta_info(session)

    meta = session.units["unit_001"]["unit_meta"]
    assert {name: meta[name] for name in before} == before
    with h5py.File(small_recording.cmtr_path) as file:
        unit = file["Spike Sorter/Unit 1"]
        info, peaks = unit["Unit Info"][0], unit["Peaks"][()]
        for name in info.dtype.names:
            assert meta[name.lower()].shape == (1,)
            np.testing.assert_array_equal(meta[name.lower()][0], info[name])
        np.testing.assert_array_equal(meta["peaks_data"]["timestamp"], peaks["Timestamp"])
        np.testing.assert_array_equal(meta["peak_amplitudes"], peaks["PeakAmplitude"][peaks["IncludePeak"] == 1])
        assert meta["attr_unitid"].tolist() == [1]
        assert session.metadata["cmtr_meta"]["ProgramName"] == file.attrs["ProgramName"].decode().rstrip()
    path = session.save()
    with h5py.File(path) as file:
        assert file["units/unit_001/unit_meta/attr_unitid"].shape == (1,)
    again: Any = add_cmtr_unit_info(hdf5_path=path)
    assert (again.units_processed, again.units_skipped) == (0, 3)
    assert add_sys_meta_info(hdf5_path=path) is True


def test_units_that_the_vendor_does_not_have_are_failed(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    session = recording(tmp_path, units=4)
    path = session.save()
    result: Any = add_cmtr_unit_info(hdf5_path=path, cmtr_path=small_recording.cmtr_path)
    assert (result.units_processed, result.failed_units) == (3, ["unit_004"])
    assert result.warnings == ["add_cmtr_unit_info: the .cmtr file does not have unit_004"]
    empty = create_session("empty", small_recording.cmcr_path, small_recording.cmtr_path, output_dir=tmp_path)
    with pytest.raises(MissingInputError, match="needs units: run load_recording first"):
        add_cmtr_unit_info(empty)


def test_steps_of_geometry_without_their_input_name_the_step(tmp_path: Path) -> None:
    session = recording(tmp_path)
    image = "the feature eimage_sta of some unit: run load_recording_with_eimage_sta first"
    with pytest.raises(MissingInputError, match=f"extract_soma_geometry needs {image}"):
        extract_soma_geometry(session=session)
    session.add_feature("unit_001", "eimage_sta", np.zeros((60, 5, 5), np.float32))
    with pytest.raises(MissingInputError, match="needs eimage_sta/geometry: run extract_soma_geometry first"):
        align_electrodes(session=session, movie_name="noise")
    session.add_feature("unit_001", "sta_noise", np.zeros((60, 5, 5), np.float32))
    with pytest.raises(MissingInputError, match="needs the receptive fields of noise: run extract_rf_geometry first"):
        fit_ln_model(session=session, movie_name="noise")


def test_vendor_metadata_without_the_files_say_what_is_needed(tmp_path: Path) -> None:
    session = recording(tmp_path)
    with pytest.raises(ConfigurationError, match="cmtr_path"):
        add_cmtr_unit_info(session)
    with pytest.raises(ConfigurationError, match="cmcr_path"):
        add_sys_meta_info(session)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_a_movie_is_read_part_by_part(tmp_path: Path) -> None:
    """A quarter of a gigabyte in parts of 9 MB: pages of a mapped file would all count."""
    movie = np.lib.format.open_memmap(tmp_path / "bar.npy", "w+", np.uint8, (2800, 300, 300))
    movie[:] = 1
    movie[50:60, 100:200, 100:200] = 255
    movie.flush()
    script = """
import re, sys
from pathlib import Path
import numpy as np
from hdmea.io.stimulus_config import SectionKwargs, StimulusConfig
from hdmea.steps.bar_timing import timing_of_movie

path = Path(sys.argv[1])

parameters = {"directions_deg": [0] * 28, "direction_frames": 100}
config = StimulusConfig("bar", SectionKwargs(0, 2800, 1), "moving_bar", parameters)
timing = timing_of_movie(path, config)
assert (timing.on[0, 0, 150, 150], timing.off[0, 0, 150, 150]) == (50, 60)
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "bar.npy")], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) < 150_000  # KiB, of which imports are half
