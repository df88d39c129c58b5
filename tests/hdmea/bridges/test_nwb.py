"""NWB files: what pynwb reads is what the session holds, and what load_nwb reads is what pynwb wrote."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from h5burst.console import run as run_command
from hdmea import export_nwb
from hdmea.bridges.nwb_facts import read_facts
from hdmea.cli import app
from hdmea.io import add_section_windows, load_nwb, section_spike_times
from hdmea.pipeline import PipelineSession, create_session
from hdmea.session.validate_layout import check_recording
from hdmea.utils.exceptions import ConfigurationError, DataLoadError, MissingInputError
from support.hdmea_recordings import recording

pynwb = pytest.importorskip("pynwb")
SUBJECT = {"subject_id": "mouse_1", "species": "Mus musculus", "sex": "F", "age": "P70D"}
FACTS = {"start_time": "2024-05-01T10:30:00+02:00", "subject": SUBJECT}
BAD = ("CRITICAL", "BEST_PRACTICE_VIOLATION", "PYNWB_VALIDATION", "ERROR")


def hdmea(*words: object) -> int:
    return run_command(app, [str(word) for word in words])


def findings(path: Path) -> list[Any]:
    """What the NWB Inspector finds that is more than a suggestion."""
    nwbinspector = pytest.importorskip("nwbinspector")
    return [one for one in nwbinspector.inspect_nwbfile(nwbfile_path=str(path)) if one.importance.name in BAD]


@pytest.fixture(scope="module")
def exported(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    facts = {"time_zone": "Europe/Berlin", "subject": SUBJECT}
    return export_nwb(simulated, tmp_path_factory.mktemp("nwb") / "simulated.nwb", facts)


# ---------------------------------------------------------------- what pynwb reads


def test_inspector_and_validator_find_nothing(exported: Path) -> None:
    assert findings(exported) == []
    assert pynwb.validate(path=str(exported)) in ([], ([], 0))


def test_units_are_seconds_places_and_volts(exported: Path, session: PipelineSession) -> None:
    rate = session.metadata["acquisition_rate"]
    with pynwb.NWBHDF5IO(str(exported), "r") as io:
        file = io.read()
        units = file.units
        assert list(units["unit_name"][:]) == list(session.units)
        assert units.resolution == 1 / rate
        for row, unit in enumerate(session.units.values()):
            assert np.array_equal(units.get_unit_spike_times(row), unit["spike_times"] / rate)
            assert (units["row"][row], units["col"][row]) == (unit["row"], unit["col"])
            # the simulator's sensor counts microvolts
            assert np.allclose(units["waveform_mean"][row], unit["waveform"] * 1e-6, rtol=1e-12)
            (electrode,) = units["electrodes"][row].index
            assert file.electrodes["rel_x"][electrode] == units["x_um"][row] == (unit["col"] - 1) * 16.0
            assert file.electrodes["rel_y"][electrode] == units["y_um"][row] == (unit["row"] - 1) * 16.0
            values = unit["features"]["baseline_127"]["data"]
            assert units["baseline_127.mean_rate"][row] == values["mean_rate"]
        assert len(file.electrodes) == 65 * 65
        assert units.waveform_rate == rate


def test_intervals_are_trials_and_presentations_in_order(exported: Path, session: PipelineSession) -> None:
    rate = session.metadata["acquisition_rate"]
    unit = next(iter(session.units.values()))
    with pynwb.NWBHDF5IO(str(exported), "r") as io:
        file = io.read()
        trials = file.trials.to_dataframe()
        shown = file.intervals["stimulus_presentations"].to_dataframe()
    assert trials["start_time"].is_monotonic_increasing
    for name, section in unit["spike_times_sectioned"].items():
        own = trials[trials["stimulus"] == name].sort_values("trial")
        assert np.array_equal(own[["start_time", "stop_time"]], section["trials_start_end"] / rate)
        assert set(own["pre_margin_s"]) == {0.5}
        assert set(own["post_margin_s"]) == {0.25}
        bounds = shown[shown["stimulus"] == name][["start_time", "stop_time"]]
        assert np.array_equal(bounds, session.stimulus["section_time"][name] / rate)


def test_traces_and_averages_are_where_pynwb_finds_them(exported: Path, session: PipelineSession) -> None:
    rate = session.metadata["acquisition_rate"]
    with pynwb.NWBHDF5IO(str(exported), "r") as io:
        file = io.read()
        light = file.stimulus["light_reference_10hz_ch1"]
        assert np.array_equal(light.data[:], session.stimulus["light_reference"]["10hz_ch1"])
        assert (light.rate, light.unit, light.conversion) == (10.0, "volts", 1e-6)
        assert file.stimulus["light_reference_raw_ch2"].rate == rate
        frames = file.stimulus["stimulus_frames"]
        assert np.allclose(frames.timestamps[:] * rate, session.metadata["frame_timestamps"])
        for name in ("eimage_sta", "sta_perfect_dense_noise_15x15_15hz_r42_3min"):
            table = file.processing["ecephys"][name]
            for row, unit in enumerate(session.units.values()):
                assert np.array_equal(table["average"][row], unit["features"][name]["data"], equal_nan=True)
                assert table["unit"].data[row] == row
        said = file.processing["misc"]["provenance"].to_dataframe().set_index("key")["value"]
        assert "section_spike_times" in said["completed_steps"]
        assert said["dataset_id"] == "simulated"
        assert file.subject.species == "Mus musculus"
        start = file.session_start_time
    # the vendor's file says 2024-01-01T00:00:00 without a zone
    assert start.astimezone(timezone.utc) == datetime(2023, 12, 31, 23, tzinfo=timezone.utc)


def test_everything_comes_back_from_an_export(exported: Path, session: PipelineSession, tmp_path: Path) -> None:
    back = load_nwb(exported, output_dir=tmp_path)

    assert check_recording(back.save()) == []
    assert back.dataset_id == session.dataset_id
    assert back.completed_steps == session.completed_steps
    for name in ("acquisition_rate", "recording_duration_s", "sample_interval"):
        assert back.metadata[name] == session.metadata[name]
    for name in ("frame_timestamps", "frame_time"):
        assert np.array_equal(back.metadata[name], session.metadata[name])
    for name, trace in session.stimulus["light_reference"].items():
        assert np.array_equal(back.stimulus["light_reference"][name], trace)
    for name, rows in session.stimulus["section_time"].items():
        assert np.array_equal(back.stimulus["section_time"][name], rows)
        assert back.stimulus["section_time"][name].dtype == np.uint64
    assert list(back.units) == list(session.units)
    for name, unit in session.units.items():
        _same_unit(back.units[name], unit)


def _single_values(meta: dict[str, Any]) -> dict[str, Any]:
    """Values of one element, of any shape."""
    there = {key: value for key, value in meta.items() if not isinstance(value, dict) and np.size(value) == 1}
    return {key: np.asarray(value).ravel()[0].item() for key, value in there.items()}


def _same_unit(found: dict[str, Any], unit: dict[str, Any]) -> None:
    for name in ("spike_times", "waveform", "firing_rate_10hz"):
        assert np.array_equal(found[name], unit[name], equal_nan=True)
        assert found[name].dtype == unit[name].dtype
    for name in ("row", "col", "global_id", "unit_num", "original_name"):
        assert found[name] == unit[name]
        assert type(found[name]) is type(unit[name])
    single = _single_values(unit["unit_meta"])
    assert len(single) >= 4
    assert _single_values(found["unit_meta"]) == single  # tables of peaks and other arrays stay in the recording
    for movie, section in unit["spike_times_sectioned"].items():
        other = found["spike_times_sectioned"][movie]
        for name in ("full_spike_times", "trials_start_end"):
            assert np.array_equal(other[name], section[name])
        for trial, spikes in section["trials_spike_times"].items():
            assert np.array_equal(other["trials_spike_times"][trial], spikes)
        assert (other["pre_samples"], other["post_samples"]) == (section["pre_samples"], section["post_samples"])
    for name, feature in unit["features"].items():
        if isinstance(feature["data"], dict):
            single = {k: v for k, v in feature["data"].items() if np.ndim(v) == 0}
            assert {k: repr(v) for k, v in found["features"].get(name, {"data": {}})["data"].items()} == {
                k: repr(v) for k, v in single.items()
            }
        elif name.startswith(("sta_", "eimage")):
            assert np.array_equal(found["features"][name]["data"], feature["data"], equal_nan=True)
            for key in ("n_spikes", "cutoff_hz"):
                assert found["features"][name]["metadata"].get(key) == feature["metadata"].get(key)


def test_odd_values_come_back_with_their_types_and_gaps(tmp_path: Path) -> None:
    session = recording(tmp_path, units=3)
    units = list(session.units.values())
    units[0]["features"] = {
        "a": {"data": {"i": 7, "b": True, "t": "x/y: ü", "f": float("nan")}, "extra": {"deep": {"n": 3}}},
        "open": {"soma": {"x": 1.5}, "label": "rgc"},
    }
    units[2]["features"] = {"a": {"data": {"i": -1, "f": 2.0}}}
    facts = {**FACTS, "waveform_volts_per_count": 2.5e-7}

    back = load_nwb(export_nwb(session, tmp_path / "a.nwb", facts))

    found = list(back.units.values())
    assert found[0]["features"]["open"] == units[0]["features"]["open"]
    assert found[0]["features"]["a"]["extra"] == {"deep": {"n": 3}}
    assert found[0]["features"]["a"]["data"]["i"] == 7
    assert found[0]["features"]["a"]["data"]["b"] is True
    assert found[0]["features"]["a"]["data"]["t"] == "x/y: ü"
    assert np.isnan(found[0]["features"]["a"]["data"]["f"])
    assert found[1]["features"] == {}
    assert found[2]["features"] == {"a": {"data": {"i": -1, "f": 2.0}}}
    assert type(found[2]["features"]["a"]["data"]["i"]) is int
    for one, other in zip(found, units, strict=True):
        assert np.array_equal(one["waveform"], other["waveform"])


def test_recordings_with_little_in_them_are_written_and_read(tmp_path: Path) -> None:
    bare = create_session("bare", output_dir=tmp_path)
    bare.add_metadata({"acquisition_rate": 10_000.0})
    assert load_nwb(export_nwb(bare, tmp_path / "bare.nwb", FACTS)).unit_count == 0

    silent = create_session("silent", output_dir=tmp_path)
    silent.add_metadata({"acquisition_rate": 10_000.0})
    silent.add_units({f"unit_00{n}": {"spike_times": np.empty(0, np.uint64), "waveform": None} for n in (1, 2)})
    del silent.units["unit_002"]["spike_times"]
    path = export_nwb(silent, tmp_path / "silent.nwb", FACTS)
    assert {name: len(unit["spike_times"]) for name, unit in load_nwb(path).units.items()} == {
        "unit_001": 0,
        "unit_002": 0,
    }
    assert pynwb.validate(path=str(path)) in ([], ([], 0))


def test_waveforms_of_unknown_scale_are_not_called_volts(tmp_path: Path) -> None:
    session = recording(tmp_path, units=2)

    path = export_nwb(session, tmp_path / "a.nwb", FACTS)

    with pynwb.NWBHDF5IO(str(path), "r") as io:
        units = io.read().units
        assert "waveform_mean" not in units.colnames
        assert np.array_equal(units["waveform_mean_counts"][1], session.units["unit_002"]["waveform"])
    assert np.array_equal(load_nwb(path).units["unit_002"]["waveform"], session.units["unit_002"]["waveform"])


def test_an_even_frame_clock_is_a_rate_and_comes_back(tmp_path: Path) -> None:
    session = recording(tmp_path, units=1)  # a frame every ten samples

    path = export_nwb(session, tmp_path / "a.nwb", FACTS)

    assert findings(path) == []
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        assert io.read().stimulus["stimulus_frames"].rate == 100.0
    assert np.array_equal(load_nwb(path).metadata["frame_timestamps"], session.metadata["frame_timestamps"])


def test_real_recordings_come_back_equal(waves: list[Path], tmp_path: Path) -> None:
    for path in waves:
        original = PipelineSession.load(path)
        back = load_nwb(export_nwb(original, tmp_path / "a.nwb", FACTS, overwrite=True))
        assert list(back.units) == list(original.units)
        for name, unit in original.units.items():
            found = back.units[name]
            assert np.array_equal(found["spike_times"], unit["spike_times"])
            assert found["unit_meta"] == unit["unit_meta"]
            assert (found["row"], found["col"], found["global_id"]) == (unit["row"], unit["col"], unit["global_id"])


def test_a_real_recording_in_windows_is_clean_and_comes_back(waves: list[Path], tmp_path: Path) -> None:
    original = PipelineSession.load(min(waves, key=lambda path: path.stat().st_size))
    add_section_windows(length_s=300.0, name="spontaneous", session=original)
    section_spike_times(session=original)

    output = export_nwb(original, tmp_path / "a.nwb", FACTS)

    assert findings(output) == []
    back = load_nwb(output)
    for name, unit in original.units.items():
        section, other = (one["spike_times_sectioned"]["spontaneous"] for one in (unit, back.units[name]))
        assert np.array_equal(section["trials_start_end"], other["trials_start_end"])
        assert np.array_equal(section["full_spike_times"], other["full_spike_times"])
    with pynwb.NWBHDF5IO(str(output), "r") as io:
        file = io.read()
        row = int(np.flatnonzero(file.units["electrodes"].data[:])[0])
        (electrode,) = file.units["electrodes"][row].index
        assert file.electrodes["rel_x"][electrode] == file.units["x_um"][row]
        assert file.electrodes["rel_y"][electrode] == file.units["y_um"][row]
        assert len(file.electrodes) == 64 * 64


# ---------------------------------------------------------------- what is asked for


def test_start_time_and_zone_are_asked_for_by_name(tmp_path: Path, simulated: Path) -> None:
    with pytest.raises(ConfigurationError, match="--start-time"):
        export_nwb(recording(tmp_path), tmp_path / "a.nwb", {"subject": SUBJECT})
    with pytest.raises(ConfigurationError, match="--time-zone"):
        export_nwb(simulated, tmp_path / "a.nwb", {"subject": SUBJECT})
    with pytest.raises(ConfigurationError, match="no time zone is called 'Mars'"):
        export_nwb(simulated, tmp_path / "a.nwb", {"time_zone": "Mars", "subject": SUBJECT})
    with pytest.raises(ConfigurationError, match="not a time in ISO 8601"):
        export_nwb(simulated, tmp_path / "a.nwb", {"start_time": "May 1st", "subject": SUBJECT})
    later = datetime.now(timezone.utc) + timedelta(days=1)
    with pytest.raises(ConfigurationError, match="future"):
        export_nwb(simulated, tmp_path / "a.nwb", {"start_time": later, "subject": SUBJECT})
    assert not list(tmp_path.glob("*.nwb"))


def test_all_that_is_missing_is_one_message_with_a_command(
    tmp_path: Path, simulated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(simulated, "a file.h5")
    assert run_command(app, ["export", "a file.h5", "out.nwb", "--subject", "sex=F"]) == 2
    said = capsys.readouterr().err
    assert "2 things are wrong: the start time" in said
    assert "subject_id, species, age (or date_of_birth) is not known" in said
    command, template = re.search(r"With your own values: hdmea (.*?); or hdmea (.*?), to fill in", said).groups()  # type: ignore[union-attr]
    assert run_command(app, shlex.split(template)) == 0
    assert run_command(app, [*shlex.split(command), "--subject", "sex=F"]) == 0
    assert Path("out.nwb").stat().st_size


def test_a_template_of_facts_is_filled_in_and_used(
    tmp_path: Path, simulated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(app, ["export", str(simulated), "--facts-template", "facts.toml"]) == 0
    with pytest.raises(ConfigurationError, match=r"no time zone.*subject_id, species, sex, age"):
        export_nwb(simulated, tmp_path / "a.nwb", "facts.toml")
    text = Path("facts.toml").read_text(encoding="utf-8")
    assert 'start_time = "2024-01-01T00:00:00"' in text
    filled = {"time_zone": "Europe/Berlin", "subject_id": "m1", "species": "Mus musculus", "sex": "U", "age": "P70D"}
    for name, value in filled.items():
        text = re.sub(rf'^{name} = ""', f'{name} = "{value}"', text, flags=re.M)
    Path("facts.toml").write_text(text, encoding="utf-8")
    assert run_command(app, ["export", str(simulated), "a.nwb", "--facts", "facts.toml"]) == 0
    assert run_command(app, ["export", str(simulated), "--facts-template", "facts.toml"]) == 2
    assert run_command(app, ["export", str(simulated)]) == 2
    assert "NAME.nwb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("2023-11-05T14:02:01.1234567+01:00", "2023-11-05T13:02:01.123456+00:00"),
        ("2023-11-05T14:02:01Z", "2023-11-05T14:02:01+00:00"),
        ("2023-11-05 14:02:01", "2023-11-05T09:02:01+00:00"),
    ],
)
def test_the_vendors_time_counts_with_its_zone_or_the_one_stated(tmp_path: Path, stored: str, expected: str) -> None:
    session = recording(tmp_path, units=1)
    session.metadata["sys_meta"] = {"DateTime": stored}

    path = export_nwb(session, tmp_path / "a.nwb", {"time_zone": "+05:00", "subject": SUBJECT})

    with pynwb.NWBHDF5IO(str(path), "r") as io:
        assert io.read().session_start_time.astimezone(timezone.utc).isoformat() == expected


def test_the_subject_is_asked_for_and_never_invented(tmp_path: Path) -> None:
    session = recording(tmp_path, units=1)
    start = {"start_time": FACTS["start_time"]}
    with pytest.raises(ConfigurationError, match=r"subject_id, species, sex, age .* --without-subject"):
        export_nwb(session, tmp_path / "a.nwb", start)
    for name, value in (("sex", "male"), ("species", "mouse"), ("age", "70 days"), ("subject_id", "a/b")):
        with pytest.raises(ConfigurationError, match=f"{name} must be"):
            export_nwb(session, tmp_path / "a.nwb", {**start, "subject": {**SUBJECT, name: value}})
    with pytest.raises(ConfigurationError, match="colour"):
        export_nwb(session, tmp_path / "a.nwb", {**start, "subject": {**SUBJECT, "colour": "black"}})

    path = export_nwb(session, tmp_path / "a.nwb", {**start, "without_subject": True})

    with pynwb.NWBHDF5IO(str(path), "r") as io:
        file = io.read()
        assert (file.subject, file.lab, file.institution, file.experimenter) == (None, None, None, None)


def test_command_takes_a_toml_and_options(simulated: Path, tmp_path: Path) -> None:
    (tmp_path / "facts.toml").write_text(
        'time_zone = "Europe/Berlin"\nlocation = "retina"\n'
        '[session]\nlab = "Vision"\nexperimenter = ["Doe, Jane"]\nkeywords = ["retina"]\n'
        '[subject]\nsubject_id = "m7"\nspecies = "Mus musculus"\nsex = "M"\nage = "P8W"\n'
    )
    output = tmp_path / "out.nwb"

    assert hdmea("export", simulated, output, "--facts", tmp_path / "facts.toml", "--subject", "sex=U") == 0

    with pynwb.NWBHDF5IO(str(output), "r") as io:
        file = io.read()
        assert (file.lab, tuple(file.experimenter), file.subject.sex, file.subject.age) == (
            "Vision",
            ("Doe, Jane",),
            "U",
            "P8W",
        )
        assert set(file.electrodes["location"][:]) == {"retina"}
    assert hdmea("export", simulated, output, "--facts", tmp_path / "facts.toml") == 2
    (tmp_path / "facts.toml").write_text("[nonsense]\na = 1\n")
    assert hdmea("export", simulated, output, "--facts", tmp_path / "facts.toml", "--overwrite") == 2


def test_errors_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = recording(tmp_path, units=1)
    with pytest.raises(ConfigurationError, match=r"\.nwb"):
        export_nwb(session, tmp_path / "a.h5", FACTS)
    export_nwb(session, tmp_path / "a.nwb", FACTS)
    with pytest.raises(FileExistsError, match="--overwrite"):
        export_nwb(session, tmp_path / "a.nwb", FACTS)
    del session.metadata["acquisition_rate"]
    with pytest.raises(MissingInputError, match="acquisition_rate"):
        export_nwb(session, tmp_path / "b.nwb", FACTS)
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(ImportError, match=r"pip install 'h5burst\[neuro\]'"):
        export_nwb(session, tmp_path / "b.nwb", FACTS)
    assert not (tmp_path / "b.nwb").exists()


# ---------------------------------------------------------------- files of others


def others_file(path: Path, **options: Any) -> None:
    """A file that pynwb writes, with everything that this package does not."""
    file = pynwb.NWBFile("ours", "id", datetime(2020, 1, 1, tzinfo=timezone.utc), **options)
    device = file.create_device("probe")
    group = file.create_electrode_group("g", "d", "V1", device)
    for number in range(4):
        file.add_electrode(location="V1", group=group, rel_x=float(20 * number), rel_y=5.0)
    file.add_unit_column("quality", "sorter's label")
    file.add_unit_column("snr", "signal to noise")
    rng = np.random.default_rng(0)
    for number in range(3):
        file.add_unit(
            spike_times=np.sort(rng.uniform(0, 30, 50 * number)),
            electrodes=[number],
            waveform_mean=np.arange(8.0) * number,
            obs_intervals=[[0.0, 30.0]],
            quality=f"good {number}",
            snr=number + 0.5,
            id=10 + number,
        )
    file.add_trial_column("contrast", "of the grating")
    for number in range(5):
        file.add_trial(start_time=2.0 * number, stop_time=2.0 * number + 1, contrast=0.1 * number)
    file.add_epoch(3.0, 9.0, ["first", "second"])
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)


def test_units_and_intervals_of_anybodys_file(tmp_path: Path) -> None:
    others_file(tmp_path / "other.nwb")

    session = load_nwb(tmp_path / "other.nwb", acquisition_rate=30_000.0)

    assert list(session.units) == ["unit_010", "unit_011", "unit_012"]
    with pynwb.NWBHDF5IO(str(tmp_path / "other.nwb"), "r") as io:
        units = io.read().units
        for row, unit in enumerate(session.units.values()):
            expected = np.rint(np.asarray(units.get_unit_spike_times(row)) * 30_000).astype(np.uint64)
            assert np.array_equal(unit["spike_times"], expected)
    unit = session.units["unit_012"]
    assert unit["unit_meta"] == {"nwb_id": 12, "quality": "good 2", "snr": 2.5, "x_um": 40.0, "y_um": 5.0}
    assert np.array_equal(unit["waveform"], np.arange(8.0) * 2)
    sections = session.stimulus["section_time"]
    assert np.array_equal(sections["trials"], np.array([[60_000 * n, 60_000 * n + 30_000] for n in range(5)]))
    assert np.array_equal(sections["epochs"], [[90_000, 270_000]])
    assert np.allclose(session.metadata["nwb_intervals"]["trials"]["contrast"], 0.1 * np.arange(5))
    section_spike_times(session=session)  # every row is a trial; no config is asked for
    trial = unit["spike_times_sectioned"]["trials"]["trials_spike_times"][1]
    spikes = unit["spike_times"]
    assert np.array_equal(trial, spikes[(spikes >= 60_000) & (spikes < 90_000)])
    loaded = PipelineSession.load(session.save(tmp_path / "s.h5"))
    assert loaded.units["unit_012"]["unit_meta"] == unit["unit_meta"]


def test_rate_of_anybodys_file(tmp_path: Path) -> None:
    others_file(tmp_path / "none.nwb")
    unsure = load_nwb(tmp_path / "none.nwb")
    assert unsure.metadata["acquisition_rate"] == 20_000.0
    assert any("20000 Hz" in text for text in unsure.warnings)

    file = pynwb.NWBFile("d", "i", datetime(2020, 1, 1, tzinfo=timezone.utc))
    file.units = pynwb.misc.Units(name="units", resolution=1 / 24_414.0625)
    file.units.add_unit(spike_times=[-0.5, 0.25, np.nan, 0.5])
    with pynwb.NWBHDF5IO(str(tmp_path / "r.nwb"), "w") as io:
        io.write(file)
    session = load_nwb(tmp_path / "r.nwb")
    assert session.metadata["acquisition_rate"] == 24_414.0625
    assert session.units["unit_000"]["spike_times"].tolist() == [6104, 12_207]
    assert any("2 spike times" in text for text in session.warnings)


def test_rate_of_the_series_and_intervals_without_times(tmp_path: Path) -> None:
    import h5py

    others_file(tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb", "r+") as file:
        for name, kind, rate in (("video", "ImageSeries", 30.0), ("raw", "ElectricalSeries", 25_000.0)):
            series = file.create_group(f"acquisition/{name}")
            series.attrs["neurodata_type"] = kind
            series["starting_time"] = 0.0
            series["starting_time"].attrs["rate"] = rate
        file["intervals/trials/start_time"][1] = np.nan
        file["intervals/trials/start_time"][2] = -1.0
        file["intervals/note"] = 3
    session = load_nwb(tmp_path / "a.nwb")
    assert session.metadata["acquisition_rate"] == 25_000.0
    assert session.stimulus["section_time"]["trials"].tolist() == [[50_000 * n, 50_000 * n + 25_000] for n in (0, 3, 4)]
    assert np.allclose(session.metadata["nwb_intervals"]["trials"]["contrast"], [0, 0.3, 0.4])
    assert any("intervals trials: 2 rows" in text for text in session.warnings)
    with pytest.raises(DataLoadError, match="acquisition_rate must be positive"):
        load_nwb(tmp_path / "a.nwb", acquisition_rate=0)
    with h5py.File(tmp_path / "a.nwb", "r+") as file:
        file.attrs["nwb_version"] = "3.0.0"
    with pytest.raises(DataLoadError, match=r"a\.nwb is a NWB file of version 3\.0\.0"):
        load_nwb(tmp_path / "a.nwb")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[subject", "is not TOML"),
        ("subjekt = 1", "has subjekt; it may have: "),
        ("subject = 3", "subject must be a table, not 3"),
        ("time_zone = 3", "time_zone must be text, not 3"),
        ("start_time = 2024-05-01", "start_time must be a date and time"),
        ("[session]\nname = 'x'", r"\[session\] has no name"),
    ],
)
def test_a_file_of_facts_that_is_not_one_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "facts.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=rf"facts\.toml.*{message}"):
        read_facts(tmp_path / "facts.toml")


def test_what_is_not_nwb_2_is_refused(tmp_path: Path) -> None:
    import h5py

    with pytest.raises(FileNotFoundError):
        load_nwb(tmp_path / "none.nwb")
    (tmp_path / "a.nwb").write_bytes(b"no")
    with pytest.raises(DataLoadError, match=r"a\.nwb"):
        load_nwb(tmp_path / "a.nwb")
    with h5py.File(tmp_path / "b.nwb", "w") as file:
        file["nwb_version"] = "NWB-1.0.6"
    with pytest.raises(DataLoadError, match="version 1"):
        load_nwb(tmp_path / "b.nwb")
    with pytest.raises(DataLoadError, match="nwb_version"):
        load_nwb(recording(tmp_path).save())
    others_file(tmp_path / "c.nwb")
    with h5py.File(tmp_path / "c.nwb", "r+") as file:
        file["units/spike_times_index"][1] = 200
    with pytest.raises(DataLoadError, match="index of spike_times"):
        load_nwb(tmp_path / "c.nwb")


@pytest.mark.parametrize(
    ("dataset", "row", "value", "message"),
    [
        ("processing/misc/unit_columns/keys", 0, "spike_times", "not a single value"),
        ("processing/misc/unit_columns/column", 0, "no such column", "lacks the column"),
        ("processing/misc/unit_columns/missing", 0, "x", r"a\.nwb"),
        ("processing/misc/provenance/value", "acquisition_rate_hz", "0", "rate of 0 Hz"),
        ("processing/misc/provenance/value", "recording_duration_s", "1e300", "not the length"),
        ("processing/misc/provenance/value", "recording_duration_s", "long", r"a\.nwb"),
        ("processing/ecephys/eimage_sta/unit", 0, 77, "names the unit 77"),
    ],
)
def test_an_export_that_somebody_changed_is_refused_with_its_name(
    exported: Path, tmp_path: Path, dataset: str, row: int | str, value: Any, message: str
) -> None:
    import shutil

    import h5py

    shutil.copy(exported, path := tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        if isinstance(row, str):
            row = [key.decode() for key in file["processing/misc/provenance/key"][()]].index(row)
        file[dataset][row] = value
    with pytest.raises(DataLoadError, match=message):
        load_nwb(path)


def test_import_needs_no_pynwb_and_export_stays_within_memory(tmp_path: Path) -> None:
    """A recording of 150 MB of images is exported with a few blocks in memory."""
    session = recording(tmp_path, units=24)
    for number, unit in enumerate(session.units.values()):
        image = np.full((50, 180, 180), number, np.float32)
        unit["features"]["eimage_sta"] = {"data": image, "metadata": {"n_spikes": 3}}
    session.add_stimulus({"light_reference": {"raw_ch1": np.zeros(8_000_000, np.float32)}})
    path = session.save()
    del session
    script = (
        "import resource, sys; from hdmea import export_nwb; import pynwb\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"export_nwb(sys.argv[1], sys.argv[2], {FACTS!r})\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "big.nwb")]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
    assert grown < 90  # MiB
    script = (
        "import sys; sys.modules['pynwb'] = None; from hdmea.io import load_nwb\n"
        "session = load_nwb(sys.argv[1], memory_budget='64MiB'); print(session.memory_resident_gb < 0.07)\n"
        "print(session.units['unit_024']['features']['eimage_sta']['data'].shape)"
    )
    done = subprocess.run([sys.executable, "-c", script, command[-1]], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["True", "(50, 180, 180)"]
