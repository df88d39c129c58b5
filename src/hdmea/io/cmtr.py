"""Reader of spike-sorted CMOS-MEA5000 recordings, `.cmtr`: units, their spikes, waveforms and quality measures."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from h5burst import Array, Group, find_export
from hdmea.io import mcs_format
from hdmea.utils.exceptions import DataLoadError

KIND = ".cmtr"
SORTER = "Spike Sorter"
_AHEAD_BYTES = 32 << 20  # of small tables, of which a unit has several
UNKNOWN_ELECTRODE = -1
_ELECTRODE_FIELDS = ("UnitID", "SensorID", "Row", "Column")
_UNIT_NAME = re.compile(r"Unit \d+")
_UNIT_ARRAYS = (
    *(("RoiSTAs", "roi_stas"), ("Source", "source")),
    *(("Unmixing", "unmixing"), ("Unmixing", "unmixing_matrix")),  # by either name
)
_EXACT = 1 << 62  # products of integers below this cannot overflow int64

logger = logging.getLogger(__name__)


class CmtrRecording:
    """A `.cmtr` file, whose large tables read themselves.

    Raises `FileNotFoundError`, and `DataLoadError` for what is no `.cmtr` file.

    Attributes
    ----------
    meta : dict
        The root's attributes, as Python values.
    acquisition_rate : float or None
        Hz, where its link to the raw file leads to one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        tree = mcs_format.open_file(self.path, KIND, _AHEAD_BYTES)
        with mcs_format.reading(self.path, KIND):
            sorter = mcs_format.find_group(tree, SORTER, "SpikeSorter")
            if sorter is None:
                raise DataLoadError(f"{path} is no {KIND} file: it has no group /{SORTER}", self.path)
            acquisition = tree.children.get(mcs_format.ACQUISITION)
            facts = mcs_format.stream_facts(acquisition) if isinstance(acquisition, Group) else {}
            self._sorter = sorter
            self.acquisition_rate = mcs_format.stream_rate_hz(facts)
            self.meta = mcs_format.attributes(tree)

    def units(self, acquisition_rate: float, warn: Callable[[str], None] = logger.warning) -> dict[str, dict[str, Any]]:
        """Every unit of a spike-sorted recording, in the order of their numbers.

        Parameters
        ----------
        acquisition_rate
            Hz, to turn microseconds into samples.
        warn
            Is told of what is missing: a unit without a table of peaks has no spikes, and spikes before the recording's
            start are left out.

        Returns
        -------
        dict
            "unit_001" -> `spike_times` (uint64 samples, sorted, duplicates kept), `waveform` (float32, the mean cut-out
            over the included peaks in the file's unit; NaN where there is no such peak, empty where there are no
            cut-outs), `row`, `col`, `global_id` (int, from 1; -1 where the file does not tell), `unit_meta` (dict: the
            quality measures of `Unit Info`), `unit_num` (the vendor's number) and `original_name` (its group's name).

        Raises
        ------
        DataLoadError
            Spikes cannot be read, or a unit's number is negative or that of another.
        """
        path = self.path
        with mcs_format.reading(path, KIND):
            units: dict[int, dict[str, Any]] = {}
            for number, name, group, info in _unit_groups(self._sorter, path):
                if number in units:
                    raise DataLoadError(f"{path}: two units have the number {number}", path)
                if number < 0:
                    problem = f"{name} has the number {number} (UnitID): a unit's is not negative"
                    raise DataLoadError(f"{path}: {problem}", path)
                units[number] = (
                    {"unit_num": number, "original_name": name}
                    | _electrode(info)
                    | _spikes(group, acquisition_rate, f"{path}: {name}", warn)
                )
            return {f"unit_{number:03d}": units[number] for number in sorted(units)}

    def unit_tables(self) -> dict[str, dict[str, Any]]:
        """All that the file says of each unit, by unit ID, as `unit_meta` keeps it.

        Fields of the unit table by their names in small letters and attributes as `attr_{name}`, each an array of one
        element; `peaks_data` (dict of the peak table's columns but the cut-outs), `peak_amplitudes` (of included
        peaks), and where they are there `roi_stas`, `source` and `unmixing` (as `unmixing_matrix` as well). Raises as
        `units`.
        """
        with mcs_format.reading(self.path, KIND):
            return {
                f"unit_{number:03d}": _unit_table(group, info)
                for number, _, group, info in _unit_groups(self._sorter, self.path)
            }


def _unit_table(group: Group, info: dict[str, Any]) -> dict[str, Any]:
    table: dict[str, Any] = {name.lower(): _one_element(value) for name, value in info.items()}
    attributes = {name: value for name, value in mcs_format.attributes(group).items() if not name.startswith("ID.")}
    table |= {f"attr_{name.lower()}": _one_element(value) for name, value in attributes.items()}
    peaks = mcs_format.read_table(group, "Peaks")
    names = [] if peaks is None else [name for name in peaks.dtype.names or () if not name.isdecimal()]
    table["peaks_data"] = {} if peaks is None else {name.lower(): np.ascontiguousarray(peaks[name]) for name in names}
    if peaks is not None and "PeakAmplitude" in names:
        included = peaks["IncludePeak"] == 1 if "IncludePeak" in names else slice(None)
        table["peak_amplitudes"] = np.ascontiguousarray(peaks["PeakAmplitude"][included])
    for name, key in _UNIT_ARRAYS:
        child = group.children.get(name)
        data = child.data if isinstance(child, Array) else None
        if data is not None and data.dtype.names is None:
            table[key] = np.asarray(data)
    return table


def _one_element(value: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(value)
    return np.atleast_1d(array if array.dtype.kind != "U" else array.astype(object))


def load_cmtr_data(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Load a spike-sorted file: `file_path`, `metadata`, `acquisition_rate` (Hz) and `units`.

    `spike_times` of the units are **microseconds**, uint64, as the file's `Peaks["Timestamp"]`, whether it tells a rate
    or not; `load_recording` gives samples. acquisition_rate is None where the file does not tell.
    Raises as `CmtrRecording`.
    """
    file = CmtrRecording(path)
    units = file.units(mcs_format.MICROSECONDS)
    return {
        "file_path": file.path,
        "metadata": file.meta,
        "acquisition_rate": file.acquisition_rate,
        "units": units,
    }


def to_samples(timestamps_us: npt.NDArray[np.int64], rate_hz: float) -> npt.NDArray[np.uint64]:
    """round(timestamps · rate / 10⁶), half to even, in integers wherever the rate is a ratio of small ones."""
    ratio = Fraction(rate_hz) / mcs_format.MICROSECONDS
    largest = int(timestamps_us.max(initial=1))
    if largest * ratio.numerator >= _EXACT or ratio.denominator * 2 >= _EXACT:
        return np.asarray(np.rint(timestamps_us * (rate_hz / mcs_format.MICROSECONDS)), np.uint64)
    scaled = timestamps_us * ratio.numerator
    samples = scaled // ratio.denominator
    rest = scaled - samples * ratio.denominator  # several times as fast as numpy's divmod
    samples += (2 * rest + (samples & 1)) > ratio.denominator
    return np.asarray(samples, np.uint64)


def _unit_groups(sorter: Group, path: Path) -> Iterator[tuple[int, str, Group, dict[str, Any]]]:
    """Each unit's number, name, group and what is known of it: its own `Unit Info`, else its attributes and `Units`."""
    overview: dict[Any, dict[str, Any]] | None = None
    for name, group in mcs_format.groups_in(sorter).items():
        if not _is_unit(name, group):
            continue
        rows = mcs_format.meta_rows(group, "Unit Info")
        info = rows[0] if rows else {}
        if not {"UnitID", "SensorID"} <= info.keys():
            if overview is None:
                overview = {row.get("UnitID"): row for row in mcs_format.meta_rows(sorter, "Units")}
            info = _completed(info, name, group, overview, path)
        yield int(info["UnitID"]), name, group, info


def _completed(
    info: dict[str, Any], name: str, group: Group, overview: dict[Any, dict[str, Any]], path: Path
) -> dict[str, Any]:
    attributes = mcs_format.attributes(group)
    info = {field: attributes[field] for field in ("UnitID", "SensorID") if field in attributes} | info
    if "UnitID" not in info:
        digits = re.search(r"\d+", name)
        if digits is None:
            raise DataLoadError(f"{path}: unit {name!r} has no number", path)
        info["UnitID"] = int(digits.group())
    return overview.get(info["UnitID"], {}) | info


def _is_unit(name: str, group: Group) -> bool:
    return _UNIT_NAME.fullmatch(name) is not None or mcs_format.plain(group.attrs.get("ID.Type")) == "SingleUnit"


def _row_and_column(sensor_id: int) -> tuple[int, int]:
    """Row and column, from 1, of a sensor's number on the chip: it counts column by column."""
    column, row = divmod(sensor_id - 1, mcs_format.CHIP_SIDE)
    return row + 1, column + 1


def _electrode(info: dict[str, Any]) -> dict[str, Any]:
    """Place of a unit, and its quality measures."""
    sensor = int(info.get("SensorID", UNKNOWN_ELECTRODE))
    row, column = _row_and_column(sensor) if sensor > 0 else (UNKNOWN_ELECTRODE, UNKNOWN_ELECTRODE)
    return {
        "row": int(info.get("Row", row)),
        "col": int(info.get("Column", column)),
        "global_id": sensor,
        "unit_meta": {name: value for name, value in info.items() if name not in _ELECTRODE_FIELDS},
    }


def _spikes(group: Group, rate_hz: float, where: str, warn: Callable[[str], None]) -> dict[str, Any]:
    """Spike samples and mean waveform of one unit's included peaks; `where` names the unit in warnings."""
    table = mcs_format.read_table(group, "Peaks")
    names = () if table is None else table.dtype.names or ()
    if table is None or "Timestamp" not in names:
        warn(f"{where} has no table of peaks with time stamps: it is taken for a unit without spikes")
        return {"spike_times": np.empty(0, np.uint64), "waveform": np.empty(0, np.float32)}
    included = table["IncludePeak"] == 1 if "IncludePeak" in names else np.ones(len(table), bool)
    if early := int(np.count_nonzero(included & (table["Timestamp"] < 0))):
        warn(f"{where} has {early} spikes before the recording's start: they are left out")
        included &= table["Timestamp"] >= 0
    spikes = to_samples(table["Timestamp"][included].astype(np.int64), rate_hz)
    if np.any(spikes[1:] < spikes[:-1]):
        spikes.sort()
    return {"spike_times": spikes, "waveform": _mean_cutout(table, included)}


def _mean_cutout(table: np.ndarray[Any, Any], included: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Mean over the included rows of the fields named 1, 2, …: (samples,) float32."""
    names = sorted((name for name in table.dtype.names or () if name.isdecimal()), key=int)
    if not names or not included.any():
        return np.full(len(names), np.nan, np.float32)
    cutouts = _side_by_side(table, names)
    rows = cutouts if included.all() else cutouts[included]
    return np.asarray(rows.mean(axis=0, dtype=np.float64), np.float32)


def _side_by_side(table: np.ndarray[Any, Any], names: list[str]) -> np.ndarray[Any, Any]:
    """Fields of a compound table as one array (rows, fields): a view where they are evenly spaced, else a copy."""
    offsets = np.array([table.dtype.fields[name][1] for name in names])
    kinds = {table.dtype.fields[name][0] for name in names}
    steps = set(np.diff(offsets).tolist())
    if len(kinds) > 1 or len(steps) > 1:
        return np.stack([table[name] for name in names], axis=1)
    first = table[names[0]]
    step = steps.pop() if steps else first.dtype.itemsize
    view: np.ndarray[Any, Any] = np.ndarray(
        (len(table), len(names)), first.dtype, table, int(offsets[0]), (table.strides[0], step)
    )
    return view


def __getattr__(name: str) -> Any:
    return find_export(__name__, name, {"add_cmtr_unit_info": "hdmea.steps.vendor_metadata"})
