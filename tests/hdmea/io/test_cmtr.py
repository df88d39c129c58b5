"""The reader of spike-sorted recordings: values as the vendor's own reader gives them, tolerance, refusals."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdmea.io import cmtr
from hdmea.simulate import SimulatedRecording, simulate_recording
from hdmea.utils.exceptions import DataLoadError

N_UNITS = 5


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> SimulatedRecording:
    directory = tmp_path_factory.mktemp("cmtr")
    return simulate_recording(directory, n_units=N_UNITS, patch=(9, 8), playlist=["baseline_127"], sensor_duration_s=0)


@pytest.fixture
def copy(recording: SimulatedRecording, tmp_path: Path) -> Path:
    path = tmp_path / "copy.cmtr"
    path.write_bytes(recording.cmtr_path.read_bytes())
    return path


def peaks_of(
    timestamps: list[int], included: list[int], cutouts: list[list[float]] | None = None
) -> np.ndarray[Any, Any]:
    samples = len(cutouts[0]) if cutouts else 0
    fields = [("Timestamp", "i8"), ("PeakAmplitude", "f4"), ("IncludePeak", "i4")]
    table = np.zeros(len(timestamps), fields + [(str(n + 1), "f4") for n in range(samples)])
    table["Timestamp"], table["IncludePeak"] = timestamps, included
    for n in range(samples):
        table[str(n + 1)] = [row[n] for row in cutouts or []]
    return table


def replace(path: Path, name: str, data: Any) -> None:
    with h5py.File(path, "r+") as file:
        del file["Spike Sorter/Unit 1"][name]
        if data is not None:
            file["Spike Sorter/Unit 1"][name] = data


def test_values_are_those_of_the_vendors_reader(recording: SimulatedRecording) -> None:
    mcs = pytest.importorskip("McsPy.McsCMOSMEA")
    file = mcs.McsCMOSMEAData(str(recording.cmtr_path))  # closes itself when it is let go
    sorter = file.Spike_Sorter
    ours = cmtr.CmtrRecording(recording.cmtr_path).units(20000.0)
    assert list(ours) == [f"unit_{unit._unit_entity_unitID:03d}" for unit in sorter.get_units_by_id()]
    for unit, theirs in zip(ours.values(), sorter.get_units_by_id(), strict=True):
        samples = np.round(theirs.get_peaks_timestamps() * 20000.0 / 1e6).astype(np.uint64)
        np.testing.assert_array_equal(unit["spike_times"], samples)
        np.testing.assert_allclose(unit["waveform"], theirs.get_peaks_cutouts().mean(axis=0), rtol=1e-4, atol=1e-4)
        assert unit["global_id"] == theirs._unit_entity_sensorID
        row, column = theirs._unit_entity_coordinates
        assert (unit["row"], unit["col"]) == (row, column)
        for measure in theirs.get_measures():
            assert unit["unit_meta"][measure] == theirs.get_measure(measure)


def test_units_are_the_simulated_ones(recording: SimulatedRecording) -> None:
    units = cmtr.CmtrRecording(recording.cmtr_path).units(recording.sampling_rate)
    truth = recording.truth
    assert list(units) == truth.unit_ids
    for n, unit in enumerate(units.values()):
        assert unit["spike_times"].dtype == np.uint64
        assert unit["waveform"].dtype == np.float32
        np.testing.assert_array_equal(unit["spike_times"], truth.spike_samples[n])
        assert (unit["row"], unit["col"]) == (truth.soma_row[n], truth.soma_col[n])
        assert unit["global_id"] == 65 * (unit["col"] - 1) + unit["row"]
        assert set(unit["unit_meta"]) == {"RoiSize", "Separability", "SNR", "Kurtosis"}


def test_only_included_peaks_count(copy: Path) -> None:
    cutouts = [[1, 2, 3], [9, 9, 9], [3, 4, 8], [7, 7, 7]]
    replace(copy, "Peaks", peaks_of([100, 150, 200, 250], [1, 0, 1, 2], cutouts))
    unit = cmtr.CmtrRecording(copy).units(20000.0)["unit_001"]
    np.testing.assert_array_equal(unit["spike_times"], [2, 4])
    np.testing.assert_array_equal(unit["waveform"], np.array([2, 3, 5.5], np.float32))


def test_cutout_fields_count_in_the_order_of_their_numbers(copy: Path) -> None:
    names = [str(n) for n in (10, 2, 1, 9, 3)]
    table = np.zeros(2, [("Timestamp", "i8"), ("IncludePeak", "u1"), *[(name, "f8") for name in names]])
    table["IncludePeak"] = 1
    for name in names:
        table[name] = [float(name), float(name) + 1]
    replace(copy, "Peaks", table)
    waveform = cmtr.CmtrRecording(copy).units(20000.0)["unit_001"]["waveform"]
    np.testing.assert_array_equal(waveform, np.array([1.5, 2.5, 3.5, 9.5, 10.5], np.float32))


@pytest.mark.parametrize(
    ("peaks", "spikes", "waveform"),
    [
        (peaks_of([], []), [], []),
        (peaks_of([50], [0], [[1, 2]]), [], [np.nan, np.nan]),
        (peaks_of([50], [1], [[1, 2]]), [1], [1, 2]),
        (peaks_of([300, 100, 100, 200], [1, 1, 1, 1]), [2, 2, 4, 6], []),
    ],
    ids=["no peaks", "none included", "one spike", "unsorted with duplicates"],
)
def test_odd_spike_trains(copy: Path, peaks: np.ndarray[Any, Any], spikes: list[int], waveform: list[float]) -> None:
    replace(copy, "Peaks", peaks)
    unit = cmtr.CmtrRecording(copy).units(20000.0)["unit_001"]
    np.testing.assert_array_equal(unit["spike_times"], np.array(spikes, np.uint64))
    assert unit["spike_times"].dtype == np.uint64
    np.testing.assert_array_equal(unit["waveform"], np.array(waveform, np.float32))


def test_peaks_without_flag_are_all_spikes(copy: Path) -> None:
    replace(copy, "Peaks", np.array([(100,), (200,)], [("Timestamp", "i8")]))
    np.testing.assert_array_equal(cmtr.CmtrRecording(copy).units(20000.0)["unit_001"]["spike_times"], [2, 4])


def test_place_without_unit_info_comes_from_the_sorters_table(copy: Path, recording: SimulatedRecording) -> None:
    whole = cmtr.CmtrRecording(recording.cmtr_path).units(20000.0)["unit_001"]
    replace(copy, "Unit Info", None)
    unit = cmtr.CmtrRecording(copy).units(20000.0)["unit_001"]
    for name in ("row", "col", "global_id", "unit_meta"):
        assert unit[name] == whole[name]


def test_place_from_the_sensor_number_alone(copy: Path, recording: SimulatedRecording) -> None:
    with h5py.File(copy, "r+") as file:
        del file["Spike Sorter/Unit 1/Unit Info"], file["Spike Sorter/Units"]
    unit = cmtr.CmtrRecording(copy).units(20000.0)["unit_001"]
    assert (unit["row"], unit["col"]) == (recording.truth.soma_row[0], recording.truth.soma_col[0])
    assert unit["unit_meta"] == {}


def test_unknown_place(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        del file["Spike Sorter/Unit 1/Unit Info"], file["Spike Sorter/Units"]
        del file["Spike Sorter/Unit 1"].attrs["SensorID"], file["Spike Sorter/Unit 1"].attrs["UnitID"]
    unit = cmtr.CmtrRecording(copy).units(20000.0)["unit_001"]
    assert (unit["row"], unit["col"], unit["global_id"]) == (-1, -1, -1)


def test_unit_ids_take_as_many_digits_as_they_need(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file.move("Spike Sorter/Unit 1", "Spike Sorter/Unit 1234")
        info = file["Spike Sorter/Unit 1234/Unit Info"]
        info["UnitID"] = np.array([1234])
    assert list(cmtr.CmtrRecording(copy).units(20000.0)) == [
        "unit_002",
        "unit_003",
        "unit_004",
        "unit_005",
        "unit_1234",
    ]


def test_other_groups_of_the_sorter_are_not_units(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file["Spike Sorter"].create_group("Settings")
        file["Spike Sorter/Broken"] = h5py.SoftLink("/nowhere")
    assert len(cmtr.CmtrRecording(copy).units(20000.0)) == N_UNITS


def test_sorter_without_units(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        del file["Spike Sorter"]
        file.create_group("Spike Sorter")
    assert cmtr.CmtrRecording(copy).units(20000.0) == {}


def test_rate_comes_through_the_link_to_the_raw_file(recording: SimulatedRecording) -> None:
    file = cmtr.CmtrRecording(recording.cmtr_path)
    meta, rate = file.meta, file.acquisition_rate
    assert rate == 20000.0
    assert meta["ID.Type"] == "ProcessedData"


def test_dangling_link_gives_no_rate(copy: Path) -> None:
    file = cmtr.CmtrRecording(copy)
    meta, rate = file.meta, file.acquisition_rate
    assert rate is None
    assert meta["FileVersion"] == 1
    assert len(cmtr.CmtrRecording(copy).units(20000.0)) == N_UNITS


def _edit(change: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return spoil


def _drop(name: str) -> Callable[[Path], None]:
    return _edit(lambda file: file.__delitem__(name))


def _duplicate_number(file: h5py.File) -> None:
    file["Spike Sorter/Unit 2/Unit Info"]["UnitID"] = np.array([1])


def _no_number(file: h5py.File) -> None:
    unit = file["Spike Sorter/Unit 2"]
    del unit["Unit Info"]
    for name in ("UnitID", "SensorID"):
        unit.attrs.pop(name, None)
    file.move("Spike Sorter/Unit 2", "Spike Sorter/Unit odd")


def _negative_number(file: h5py.File) -> None:
    unit = file["Spike Sorter/Unit 2"]
    row = unit["Unit Info"][()]
    row["UnitID"] = -1
    unit["Unit Info"][()] = row


@pytest.mark.parametrize(
    ("spoil", "spikes", "warning"),
    [
        (_drop("Spike Sorter/Unit 1/Peaks"), [], "Unit 1 has no table of peaks with time stamps"),
        (lambda path: replace(path, "Peaks", np.arange(4)), [], "Unit 1 has no table of peaks"),
        (lambda path: replace(path, "Peaks", np.zeros(3, [("Time", "i8")])), [], "Unit 1 has no table of peaks"),
        (
            lambda path: replace(path, "Peaks", peaks_of([-100, 100, 200], [1, 1, 1])),
            [2, 4],
            "Unit 1 has 1 spikes before the recording's start: they are left out",
        ),
    ],
    ids=["no peaks", "no table", "no time", "before zero"],
)
def test_one_odd_unit_costs_no_other(copy: Path, spoil: Any, spikes: list[int], warning: str) -> None:
    whole = cmtr.CmtrRecording(copy).units(20000.0)
    spoil(copy)
    said: list[str] = []
    units = cmtr.CmtrRecording(copy).units(20000.0, said.append)
    assert len(said) == 1
    assert warning in said[0]
    assert units["unit_001"]["spike_times"].tolist() == spikes
    assert units["unit_001"]["spike_times"].dtype == np.uint64
    assert list(units) == list(whole)
    np.testing.assert_array_equal(units["unit_002"]["spike_times"], whole["unit_002"]["spike_times"])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b""), r"it is not an HDF5 file, or its beginning is lost"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600)), r"cannot be read as a \.cmtr file"),
        (
            lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
            r"it is cut short: \d+ bytes are left",
        ),
        (_drop("Spike Sorter"), r"is no \.cmtr file: it has no group /Spike Sorter"),
        (_edit(_duplicate_number), "two units have the number 1"),
        (_edit(_no_number), "unit 'Unit odd' has no number"),
        (_edit(_negative_number), r"Unit 2 has the number -1 \(UnitID\)"),
    ],
    ids=["empty", "garbage", "truncated", "no sorter", "two of one", "no number", "negative number"],
)
def test_what_is_no_such_file_is_refused(copy: Path, spoil: Any, reason: str) -> None:
    spoil(copy)
    with pytest.raises(DataLoadError, match=reason) as caught:
        cmtr.CmtrRecording(copy).units(20000.0)
    assert caught.value.file_path == copy
    assert str(copy) in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cmtr.CmtrRecording(tmp_path / "absent.cmtr").units(20000.0)
    with pytest.raises(FileNotFoundError):
        cmtr.load_cmtr_data(tmp_path / "absent.cmtr")


@given(
    timestamps=st.lists(st.integers(0, 10**12), max_size=30),
    rate=st.sampled_from([20000.0, 25000.0, 30000.0, 1e6 / 3, 12500.0, 500000.0, 44100.0]),
)
def test_samples_are_rounded_exactly(timestamps: list[int], rate: float) -> None:
    expected = [round(Fraction(rate) * stamp / 10**6) for stamp in timestamps]
    samples = cmtr.to_samples(np.array(timestamps, np.int64), rate)
    if Fraction(rate).denominator == 1:
        assert samples.tolist() == expected
    else:
        assert np.abs(samples.astype(np.int64) - np.array(expected, np.int64)).max(initial=0) <= 1
