"""Directories of Kilosort and phy: spikes, clusters with their labels, templates and where the channels are.

`params.py` is read as literals and never run; `.npy` files are read without pickled objects.
"""

from __future__ import annotations

import ast
import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.io.cmtr import UNKNOWN_ELECTRODE
from hdmea.utils.exceptions import ConfigurationError, DataLoadError

SPIKE_TIMES, CLUSTERS, TEMPLATES_OF_SPIKES = "spike_times.npy", "spike_clusters.npy", "spike_templates.npy"
SPARSE_CHANNELS = ("template_ind.npy", "templates_ind.npy")  # of each template, where it has only some of the channels
TEMPLATES, POSITIONS, PARAMETERS = "templates.npy", "channel_positions.npy", "params.py"
CLUSTER_ID = "cluster_id"
_DIGITS = 18  # of the number of a cluster: what int64 holds
RATE = "sample_rate"
LONGEST_PARAMETERS = 1 << 16  # bytes of params.py; real ones have some hundred
_READ_ERRORS = (OSError, ValueError, TypeError, EOFError, SyntaxError)

Ints = npt.NDArray[np.int64]


@dataclass
class SortedUnits:
    """Units of a sorter: their data by ID, the rate in Hz, the length in seconds, and what the source says besides.

    frame_timestamps: samples at which a movie's frames begin; pitch_um: distance of neighbouring electrodes; None for
    what the source does not say.
    """

    units: dict[str, dict[str, Any]]
    acquisition_rate: float
    duration_s: float
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    frame_timestamps: npt.NDArray[np.uint64] | None = None
    pitch_um: float | None = None


def is_kilosort(path: Path) -> bool:
    """True where a path is a directory with spikes and clusters as Kilosort and phy write them."""
    return path.is_dir() and (path / SPIKE_TIMES).is_file()


def read_kilosort(path: Path, acquisition_rate: float | None = None) -> SortedUnits:
    """The clusters of a Kilosort or phy directory as units.

    Parameters
    ----------
    path
        A directory with `spike_times.npy` (samples) and `spike_clusters.npy` (else `spike_templates.npy`); where they
        are there also `cluster_*.tsv` (or `.csv`), `templates.npy` (templates, samples, channels; of some channels only
        where `template_ind.npy` names those) and `channel_positions.npy` (channels, 2) in µm.
    acquisition_rate
        Hz; default `sample_rate` of `params.py`.

    Returns
    -------
    SortedUnits
        "unit_007" for cluster 7 -> `spike_times` (uint64 samples, sorted), `waveform` (float32: the cluster's most
        frequent template at the channel where it is largest), `row`, `col`, `global_id` (-1: not known), `unit_num`,
        `original_name`, `unit_meta` (the columns of the tables of clusters; `x_um`, `y_um` of that channel), and
        `features["template"]`: `data` (samples, channels) float32 in the sorter's unit, `positions_um`.

    Raises
    ------
    FileNotFoundError
        There is no such directory.
    DataLoadError
        A file in it is missing or does not hold what it should.
    ConfigurationError
        The rate is neither stated nor in `params.py`, or is not a rate.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"no such directory: {path}")
    parameters = read_parameters(path / PARAMETERS) if (path / PARAMETERS).is_file() else {}
    rate, warnings = _rate(path, parameters, acquisition_rate)
    times = _samples(path)
    clusters = _integers(path / (CLUSTERS if (path / CLUSTERS).is_file() else TEMPLATES_OF_SPIKES), len(times))
    labels = _labels(path)
    shapes = _Templates(path, len(times))
    order = np.lexsort((times, clusters))
    numbers, first = np.unique(clusters[order], return_index=True)
    bounds = [*first.tolist(), len(order)]
    units = {}
    for index, number in enumerate(numbers.tolist()):
        members = order[bounds[index] : bounds[index + 1]]
        units[f"unit_{number:03d}"] = {
            "spike_times": times[members].astype(np.uint64),
            "row": UNKNOWN_ELECTRODE,
            "col": UNKNOWN_ELECTRODE,
            "global_id": UNKNOWN_ELECTRODE,
            "unit_num": number,
            "original_name": str(number),
            **shapes.of(members, labels.get(number, {})),
        }
    last = float(times.max()) / rate if len(times) else 0.0
    facts = {name: value for name, value in parameters.items() if isinstance(value, (str, int, float, bool))}
    return SortedUnits(units, rate, last + 1.0, facts, warnings + shapes.warnings)


# ---------------------------------------------------------------- parameters


def read_parameters(path: Path) -> dict[str, Any]:
    """The names that a `params.py` assigns a literal to. Nothing of it is run; other statements are passed over.

    Raises
    ------
    DataLoadError
        The file is too long, or is not Python.
    """
    try:
        if path.stat().st_size > LONGEST_PARAMETERS:
            raise DataLoadError(f"{path} has {path.stat().st_size} bytes: it is not a params.py of a sorter", path)
        body = ast.parse(path.read_text(encoding="utf-8")).body
    except (*_READ_ERRORS, RecursionError, MemoryError) as error:
        raise DataLoadError(f"{path} cannot be read: {error}", path, error) from error
    literals = {}
    for line in body:
        if isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name):
            try:
                literals[line.targets[0].id] = ast.literal_eval(line.value)
            except (ValueError, TypeError, RecursionError, MemoryError):
                continue  # an expression: it would have to be run
    return literals


def _rate(path: Path, parameters: dict[str, Any], given: float | None) -> tuple[float, list[str]]:
    stored = parameters.get(RATE)
    if given is None and stored is None:
        raise ConfigurationError(f"{path / PARAMETERS} does not give {RATE} as a number: give acquisition_rate, in Hz")
    rate = stored if given is None else given
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < float("inf"):
        raise ConfigurationError(f"{RATE} of {path} must be a positive number of Hz, not {rate!r}")
    if given is not None and isinstance(stored, (int, float)) and stored != given:
        return float(rate), [f"{path / PARAMETERS} says {stored:g} Hz; taken are the {given:g} Hz that were given"]
    return float(rate), []


# ---------------------------------------------------------------- arrays


def _load(path: Path) -> np.ndarray[Any, Any]:
    """An array that is read as it is used. Raises `DataLoadError` for what is not one of plain numbers."""
    if not path.is_file():
        raise DataLoadError(f"{path.parent} lacks {path.name}", path)
    try:
        array: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except _READ_ERRORS as error:
        raise DataLoadError(f"{path} cannot be read as an array: {error}", path, error) from error
    if array.dtype.kind not in "iuf":
        raise DataLoadError(f"{path} holds {array.dtype}, not numbers", path)
    return array


def _integers(path: Path, count: int | None = None) -> Ints:
    """A list of whole numbers from 0 on (n,); of (n, 1) as well."""
    array = _load(path)
    flat = np.ravel(array)
    if array.ndim > 2 or (array.ndim == 2 and 1 not in array.shape):
        raise DataLoadError(f"{path} has shape {array.shape}, not ({'n' if count is None else count},)", path)
    if count is not None and len(flat) != count:
        raise DataLoadError(f"{path} has {len(flat)} values for {count} spikes", path)
    if flat.dtype.kind == "f" and not (np.isfinite(flat).all() and np.array_equal(flat, np.floor(flat))):
        raise DataLoadError(f"{path} holds fractions or NaN, not whole numbers", path)
    if len(flat) and (flat.min() < 0 or float(flat.max()) >= 2.0**63):
        raise DataLoadError(f"{path} holds {flat.min()} to {flat.max()}, not numbers from 0 to 2^63", path)
    return flat.astype(np.int64)


def _samples(path: Path) -> Ints:
    return _integers(path / SPIKE_TIMES)


class _Templates:
    """Templates and positions of a directory; what is missing gives empty waveforms and no places.

    warnings: why templates that are there are not used.
    """

    def __init__(self, path: Path, spikes: int) -> None:
        self.warnings: list[str] = []
        self._positions = np.asarray(_load(path / POSITIONS), np.float64) if (path / POSITIONS).is_file() else None
        if self._positions is not None and (self._positions.ndim != 2 or self._positions.shape[1] < 2):
            raise DataLoadError(f"{path / POSITIONS} has shape {self._positions.shape}, not (channels, 2)", path)
        self._templates: Any = None
        self._channels: Any = None
        if (path / TEMPLATES).is_file():
            self._templates, self._channels = self._read_templates(path)
        has_both = self._templates is not None and (path / TEMPLATES_OF_SPIKES).is_file()
        self._of_spikes = _integers(path / TEMPLATES_OF_SPIKES, spikes) if has_both else None

    def _read_templates(self, path: Path) -> tuple[Any, Any]:
        """Templates, and the channels of each that has only some (-1, or beyond the last one: none).

        Spikes are loaded without templates, and with a warning, where nothing says of which channels those are.
        """
        templates = _load(path / TEMPLATES)
        if templates.ndim != 3:
            raise DataLoadError(f"{path / TEMPLATES} has shape {templates.shape}, not three axes", path)
        count = templates.shape[2] if self._positions is None else len(self._positions)
        sparse = next((path / name for name in SPARSE_CHANNELS if (path / name).is_file()), None)
        if sparse is not None:
            channels = _load(sparse)
            if channels.shape == (len(templates), templates.shape[2]):
                return templates, channels
            self.warnings.append(
                f"{sparse} has shape {channels.shape}, the templates {templates.shape}: none is loaded"
            )
        elif templates.shape[2] == count:
            return templates, None
        else:
            self.warnings.append(
                f"{path}: templates of {templates.shape[2]} channels, positions of {count}, and no template_ind.npy: "
                "spikes are loaded without templates"
            )
        return None, None

    def of(self, spikes: Ints, labels: dict[str, Any]) -> dict[str, Any]:
        """Waveform, labels with the place, and the template of a cluster with these spikes."""
        template = self._most_frequent(spikes)
        if template is None:
            return {"waveform": np.empty(0, np.float32), "unit_meta": dict(labels), "features": {}}
        peak = int(np.argmax(np.ptp(template, axis=0)))
        position: dict[str, Any] = {}
        feature: dict[str, Any] = {"data": template, "metadata": {"unit": "of the sorter"}}
        if self._positions is not None:
            position = {"x_um": float(self._positions[peak, 0]), "y_um": float(self._positions[peak, 1])}
            feature["positions_um"] = self._positions[:, :2].copy()
        waveform = np.ascontiguousarray(template[:, peak])
        return {"waveform": waveform, "unit_meta": {**labels, **position}, "features": {"template": feature}}

    def _most_frequent(self, spikes: Ints) -> npt.NDArray[np.float32] | None:
        if self._templates is None or self._of_spikes is None or not len(spikes):
            return None
        numbers, counts = np.unique(self._of_spikes[spikes], return_counts=True)
        number = int(numbers[counts.argmax()])
        if number >= len(self._templates) or not self._templates.shape[2]:
            return None
        template = np.array(self._templates[number], np.float32)
        if self._channels is None:
            return template
        channels = np.asarray(self._channels[number])
        count = int(channels.max(initial=-1)) + 1 if self._positions is None else len(self._positions)
        whole = np.zeros((len(template), count), np.float32)  # a sorter leaves out where it sees nothing
        has_channel = (channels >= 0) & (channels < count)
        whole[:, channels[has_channel].astype(np.int64)] = template[:, has_channel]
        return whole if count else None


# ---------------------------------------------------------------- tables of clusters


def _labels(path: Path) -> dict[int, dict[str, Any]]:
    """Labels of each cluster from the tables `cluster_*.tsv` (and `.csv`), by its number."""
    labels: dict[int, dict[str, Any]] = {}
    for file in sorted([*path.glob("cluster_*.tsv"), *path.glob("cluster_*.csv")]):
        try:
            with file.open(newline="", encoding="utf-8-sig") as stream:
                text = stream.readline()
                stream.seek(0)
                rows = list(csv.DictReader(stream, delimiter="\t" if "\t" in text else ","))
        except (*_READ_ERRORS, csv.Error) as error:
            raise DataLoadError(f"{file} cannot be read as a table: {error}", file, error) from error
        for row in rows:
            number = row.pop(CLUSTER_ID, None) or row.pop("id", None)
            if number is None or not number.strip().isdecimal() or len(number) > _DIGITS:
                raise DataLoadError(f"{file} has a row without a {CLUSTER_ID}: {number!r}", file)
            values = {str(name): _value(text) for name, text in row.items() if name and isinstance(text, str) and text}
            labels.setdefault(int(number), {}).update(values)
    return labels


def _value(text: str) -> Any:
    """A cell: a whole number, a number, else the text."""
    for kind in () if "_" in text else (int, float):  # Python takes 1_000 for a number, tables do not
        try:
            return kind(text)
        except ValueError:
            continue
    return text
