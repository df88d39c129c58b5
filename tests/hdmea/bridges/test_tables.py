"""Tables of units: what pandas, pyarrow, polars and csv read is what the sessions hold."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from h5burst.console import run as run_command
from hdmea import feature_frame, trace_frames, write_tables
from hdmea.cli import app
from hdmea.pipeline import PipelineSession
from hdmea.utils.exceptions import ConfigurationError
from support.hdmea_recordings import FIRST_FRAME, FRAME_SAMPLES, RATE_HZ, recording

pq = pytest.importorskip("pyarrow.parquet")


def hdmea(*words: object) -> int:
    return run_command(app, [str(word) for word in words])


def saved(directory: Path, name: str, features: dict[str, Any]) -> Path:
    """A recording of two units of which the first has these features."""
    session = recording(directory, units=2, dataset_id=name)
    session.units["unit_001"]["features"] = features
    return session.save()


# ---------------------------------------------------------------- one row a unit


def test_identifiers_come_first_then_features_by_stimulus_and_name(tmp_path: Path) -> None:
    path = saved(
        tmp_path, "a", {"bar": {"data": {"dsi": 0.25, "tuning": np.arange(3.0)}, "metadata": {"version": "2"}}}
    )

    frame = feature_frame(path)

    assert frame.columns[:6] == ["recording", "unit", "row", "col", "x_um", "y_um"]
    assert frame["recording"].to_list() == ["a", "a"]
    assert frame["unit"].to_list() == ["unit_001", "unit_002"]
    assert frame["bar.dsi"].to_list() == [0.25, None]
    assert not [name for name in frame.columns if "tuning" in name or "version" in name]
    # row n + 1, column 1, electrodes 16 µm apart where the recording does not say otherwise
    assert frame.select("row", "col", "x_um", "y_um").rows() == [(1, 1, 0.0, 0.0), (2, 1, 0.0, 16.0)]


def test_values_are_exact_and_typed(tmp_path: Path) -> None:
    third = 1 / 3
    values = {"f": third, "i": 2**53 + 1, "t": 'grün\n,"', "b": True, "nan": math.nan, "inf": -math.inf, "none": None}

    row = feature_frame(saved(tmp_path, "a", {"x": {"data": values}})).row(0, named=True)

    assert row["x.f"] == third
    assert row["x.i"] == 2**53 + 1
    assert row["x.t"] == values["t"]
    assert row["x.b"] is True
    assert math.isnan(row["x.nan"])
    assert row["x.inf"] == -math.inf
    assert row["x.none"] is None


def test_columns_of_many_files_are_the_union_with_the_type_that_holds_all(tmp_path: Path) -> None:
    files = [
        saved(tmp_path, "a", {"x": {"data": {"one": 1, "mixed": 1, "flag": True}}}),
        saved(tmp_path, "b", {"x": {"data": {"one": 1.5, "mixed": "text", "flag": False}}}),
        saved(tmp_path, "c", {"y": {"data": {"other": 7}}}),
    ]
    write_tables(files, tmp_path / "t.parquet")

    frame = pl.read_parquet(tmp_path / "t.parquet")

    assert len(frame) == 6
    first = frame.filter(pl.col("unit") == "unit_001")
    assert first["x.one"].to_list() == [1.0, 1.5, None]
    assert first["x.mixed"].to_list() == ["1", "text", None]
    assert first["x.flag"].to_list() == [True, False, None]
    assert first["y.other"].to_list() == [None, None, 7]
    assert frame.schema["x.flag"] == pl.Boolean
    assert frame.schema["y.other"] == pl.Int64
    assert frame.equals(feature_frame(files))


def test_parquet_fields_say_unit_and_description(simulated: Path, tmp_path: Path) -> None:
    write_tables([simulated], tmp_path / "t.parquet")

    schema = pq.read_schema(tmp_path / "t.parquet")

    said = {
        name: {k.decode(): v.decode() for k, v in (schema.field(name).metadata or {}).items()} for name in schema.names
    }
    assert said["x_um"]["unit"] == "um"
    assert said["baseline_127.mean_rate"]["unit"] == "spikes/s"
    assert "over all windows" in said["baseline_127.mean_rate"]["description"]
    assert said["baseline_127.median_isi_ms"]["unit"] == "ms"


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".tsv"])
def test_all_formats_hold_the_same_rows(simulated: Path, tmp_path: Path, suffix: str) -> None:
    write_tables([simulated], path := tmp_path / f"t{suffix}")

    if suffix in (".csv", ".tsv"):
        frame = pl.read_csv(path, separator="," if suffix == ".csv" else "\t", infer_schema_length=None)
        with path.open(newline="", encoding="utf-8") as file:
            assert next(csv.reader(file, delimiter="," if suffix == ".csv" else "\t"))[:2] == ["recording", "unit"]
    else:
        frame = pl.read_parquet(path) if suffix == ".parquet" else pl.read_ipc(path)

    expected = feature_frame(simulated)
    assert frame.columns == expected.columns
    assert frame["spike_count"].to_list() == expected["spike_count"].to_list()
    assert frame["baseline_127.cv_isi"].to_list() == expected["baseline_127.cv_isi"].to_list()


def test_pandas_reads_what_the_session_holds(simulated: Path, session: PipelineSession, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_tables([simulated], tmp_path / "t.parquet")

    table = pandas.read_parquet(tmp_path / "t.parquet").set_index("unit")

    assert list(table.index) == list(session.units)
    for name, unit in session.units.items():
        assert table.loc[name, "spike_count"] == len(unit["spike_times"])
        for value in ("mean_rate", "cv2", "contamination_hill"):
            assert table.loc[name, f"baseline_127.{value}"] == unit["features"]["baseline_127"]["data"][value]
        assert table.loc[name, "unit_meta.SNR"] == unit["unit_meta"]["SNR"]


# ---------------------------------------------------------------- one row a value


def test_long_has_a_row_for_each_value_of_the_wide_one(simulated: Path) -> None:
    wide, long = feature_frame(simulated), feature_frame(simulated, long=True)

    for row in wide.iter_rows(named=True):
        own = long.filter(pl.col("unit") == row["unit"])
        found = {
            ".".join(filter(None, (f, n))): (v if t is None else t)
            for f, n, v, t in own.select("feature", "name", "value", "text").iter_rows()
        }
        there = {n: v for n, v in row.items() if v is not None and n not in wide.columns[:6]}
        assert found.keys() == there.keys()
        numbers = {n: v for n, v in there.items() if not isinstance(v, str)}
        assert np.array_equal([found[n] for n in numbers], [float(v) for v in numbers.values()], equal_nan=True)


def test_long_keeps_integers_that_a_float_cannot_hold(tmp_path: Path) -> None:
    long = feature_frame(saved(tmp_path, "a", {"x": {"data": {"big": 2**60 + 1}}}), long=True)

    row = long.filter(pl.col("name") == "big").row(0, named=True)
    assert (row["value"], row["text"], row["type"]) == (None, str(2**60 + 1), "int")


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_long_table_on_disk_is_the_long_frames_of_its_recordings(tmp_path: Path, suffix: str) -> None:
    paths = [
        saved(tmp_path, name, {"x": {"data": {"index": value, "kind": "ON"}}}) for name, value in (("a", 1), ("b", 0.5))
    ]
    output = tmp_path / f"long{suffix}"
    written = write_tables(paths, output, long=True)
    frames = [feature_frame(path, long=True) for path in paths]
    found = pl.read_parquet(output) if suffix == ".parquet" else pl.read_csv(output)
    assert (written.recordings, written.rows, written.columns) == (2, len(found), found.width)
    names = ["recording", "unit", "feature", "name", "value", "text"]
    assert found.select(names).rows() == pl.concat(frames).select(names).rows()


def test_the_table_and_the_traces_are_two_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot both be"):
        write_tables(["missing.h5"], tmp_path / "t.parquet", traces=tmp_path / "x" / ".." / "t.parquet")


# ---------------------------------------------------------------- spikes in frames


def test_traces_count_spikes_in_the_frames_of_each_trial(tmp_path: Path) -> None:
    session = recording(tmp_path, units=1)
    frames = np.asarray(session.metadata["frame_timestamps"]).astype(int)
    trials = np.array([[frames[3], frames[8]], [frames[100], frames[105]]])
    spikes = {0: np.array([frames[3], frames[4] - 1, frames[4], frames[7] + 9]), 1: np.array([frames[105]])}
    session.units["unit_001"]["spike_times_sectioned"] = {
        "m": {"trials_spike_times": spikes, "trials_start_end": trials}
    }
    path = session.save()

    write_tables([path], tmp_path / "t.parquet", traces=tmp_path / "traces.parquet")

    rows = pl.read_parquet(tmp_path / "traces.parquet")
    assert rows["count"].to_list() == [[2, 1, 0, 0, 1], [0, 0, 0, 0, 0]]  # a spike at the end is of the next frame
    assert np.allclose(rows["time_s"].to_list(), np.arange(5) * FRAME_SAMPLES / RATE_HZ)
    assert rows["start_s"].to_list() == [(FIRST_FRAME + 30) / RATE_HZ, (FIRST_FRAME + 1000) / RATE_HZ]
    assert rows["trial"].to_list() == [0, 1]
    assert rows["bins"].to_list() == ["frames", "frames"]


def test_traces_of_the_simulated_recording_hold_every_spike_of_complete_frames(
    session: PipelineSession, simulated: Path
) -> None:
    for frame in trace_frames(simulated):
        for row in frame.iter_rows(named=True):
            section = session.units[row["unit"]]["spike_times_sectioned"][row["stimulus"]]
            start, stop = section["trials_start_end"][row["trial"]]
            spikes = np.asarray(section["trials_spike_times"][row["trial"]])
            assert sum(row["count"]) == int(((spikes >= start) & (spikes < stop)).sum())


# ---------------------------------------------------------------- errors, commands, memory


def test_two_recordings_of_one_name_are_refused(tmp_path: Path) -> None:
    files = [saved(tmp_path / "x", "a", {}), saved(tmp_path / "y", "a", {})]

    with pytest.raises(ConfigurationError, match="both called 'a'"):
        write_tables(files, tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_two_values_of_one_column_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "a", {"x": {"y.z": 1, "y": {"z": 2}}})

    with pytest.raises(ConfigurationError, match=r"'x\.y\.z'"):
        feature_frame(path)
    assert len(feature_frame(path, long=True).filter(pl.col("feature") == "x")) == 2


@pytest.mark.parametrize(("name", "traces"), [("t.xlsx", None), ("t", None), ("t.csv", "traces.csv")])
def test_other_formats_are_refused_before_anything_is_read(tmp_path: Path, name: str, traces: str | None) -> None:
    with pytest.raises(ConfigurationError, match="use one of"):
        write_tables(["missing.h5"], tmp_path / name, traces=traces and tmp_path / traces)


def test_a_table_replaces_no_file_without_being_told_and_never_a_recording(tmp_path: Path) -> None:
    path = saved(tmp_path, "a", {})
    (tmp_path / "t.csv").write_text("mine")

    with pytest.raises(FileExistsError, match="--overwrite"):
        write_tables([path], tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "mine"
    odd = path.rename(tmp_path / "a.csv")
    with pytest.raises(ConfigurationError, match="one of the recordings"):
        write_tables([odd], odd, overwrite=True)


def test_missing_pyarrow_is_said_with_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ImportError, match=r"pip install 'h5burst\[tables\]'"):
        write_tables([saved(tmp_path, "a", {})], tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists()
    write_tables([tmp_path / "a.h5"], tmp_path / "t.csv")


def test_command_prints_the_table_as_csv(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hdmea("table", simulated, "-o", "units.csv") == 0
    capsys.readouterr()
    assert hdmea("table", simulated, "-o", "-") == 0
    assert capsys.readouterr().out == Path("units.csv").read_text(encoding="utf-8")
    assert hdmea("table", simulated, "-o", "-", "--json") == 2
    assert hdmea("table", simulated, "-o", "-", "--traces", "traces.arrow") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["units.csv"]


def test_command_writes_both_tables_and_says_so_in_json(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, traces = tmp_path / "t.parquet", tmp_path / "traces.arrow"

    assert hdmea("table", simulated, "-o", table, "--traces", traces, "--bin-s", 0.5, "--json") == 0

    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == 3
    assert said["columns"] == len(pl.read_parquet(table).columns)
    assert said["traces"]["rows"] == len(pl.read_ipc(traces))
    assert set(pl.read_ipc(traces)["bins"]) == {"even"}


def test_real_recordings_come_back_equal_from_parquet(waves: list[Path], test_data: Path, tmp_path: Path) -> None:
    import h5py

    write_tables(waves, tmp_path / "t.parquet")

    frame = pl.read_parquet(tmp_path / "t.parquet")
    for path in sorted((test_data / "retina_mea").glob("*.h5")):
        own = frame.filter(pl.col("recording") == path.stem)
        with h5py.File(path) as file:
            assert own["spike_count"].to_list() == np.ravel(file["sCount"][()]).astype(int).tolist()
            assert np.array_equal(own.select("x_um", "y_um").to_numpy().T, file["epos"][()])
            assert own["unit_meta.name"].to_list() == [name.decode() for name in np.ravel(file["names"][()])]


def test_hundreds_of_files_stream(tmp_path: Path) -> None:
    """The peak of memory does not grow by what 200 more recordings hold."""
    session = recording(tmp_path, units=20)
    for unit in session.units.values():
        unit["features"]["many"] = {"data": {f"value_{n}": n / 7 for n in range(60)}, "metadata": {}}
        unit["features"]["image"] = {"data": np.zeros((50, 20, 20), np.float32)}
    paths = []
    for number in range(4):
        session.dataset_id = f"rec_{number}"
        paths.append(session.save(tmp_path / f"rec_{number}.h5"))
    script = (
        "import sys, resource; from hdmea.bridges import tables\n"
        "from hdmea.pipeline import PipelineSession\n"
        "files, copies = sys.argv[3:], int(sys.argv[1])\n"
        "def each():\n"
        "    for number in range(copies):\n"
        "        session = PipelineSession.load(files[number % len(files)], lazy=True)\n"
        "        session.dataset_id = f'copy_{number}'\n"
        "        yield session\n"
        "tables._sessions = lambda sources: each()\n"
        "tables.write_tables([], sys.argv[2])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )

    def peak_kib(copies: int) -> int:
        command = [sys.executable, "-c", script, str(copies), str(tmp_path / f"t{copies}.parquet"), *map(str, paths)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    few, many = peak_kib(4), peak_kib(104)

    assert len(pl.read_parquet(tmp_path / "t104.parquet", columns=["unit"])) == 104 * 20
    assert many - few < 40 * 1024  # their images alone would be 160 MB


def test_text_that_a_spreadsheet_would_compute_is_text_in_csv(tmp_path: Path) -> None:
    session = PipelineSession("=1+1", output_dir=tmp_path)
    session.add_units({"unit_001": {"spike_times": np.arange(3, dtype=np.uint64), "unit_meta": {"=cmd": "@SUM(A1)"}}})
    session.add_metadata({"acquisition_rate": 1000.0})
    path = session.save(tmp_path / "a.h5")
    for name, mark in (("t.csv", "'"), ("t.parquet", "")):
        write_tables([path], tmp_path / name)
        read = pl.read_csv if name.endswith("csv") else pl.read_parquet
        cells = [str(cell) for row in read(tmp_path / name).rows() for cell in row]
        assert f"{mark}=1+1" in cells
        assert f"{mark}@SUM(A1)" in cells
    header = (tmp_path / "t.csv").read_text().splitlines()[0].split(",")
    assert not [name for name in header if name.startswith("=")]
