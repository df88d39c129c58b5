"""docs/layout_hdmea.md and docs/layout_scptensor.md name everything that a file holds, with its type and shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from hdmea.geometry import second_order_fields, second_order_record
from hdmea.pipeline import PipelineSession, extract_features, run_batch, run_flow
from scptensor import AggregationLink, Assay, MatrixMetadata, ScpContainer, ScpMatrix
from scptensor.core import AssayExtras, RawValues
from support.full_flow import NOISE, STEP, parameters_of, simulated

DOCS = Path(__file__).parents[1] / "docs"
MARK = re.compile(r"(h5burst|hdmea)\.")  # attributes that other programs may ignore
MEASURES = set(re.findall(r"`([A-Za-z0-9_]+)`", (DOCS / "measures.md").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Row:
    """One name of a page: a pattern of its place, its type and shape."""

    pattern: re.Pattern[str]
    type: str
    shape: str


def rows_of(page: Path) -> list[Row]:
    """All names in the tables below headings that are a place in the file."""
    rows, base = [], None
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            place = re.fullmatch(r"#+ `(/.*?)/?`", line)
            base = place[1] if place else None
        elif base is not None and line.startswith("| `"):
            names, kind, shape, _ = (cell.strip() for cell in line.strip("|").split("|", 3))
            rows += [Row(pattern_of(f"{base}/{name}"), kind, shape) for name in re.findall(r"`([^`]+)`", names)]
            rows.append(Row(pattern_of(f"{base}/"), "group", ""))
    return rows


def pattern_of(place: str) -> re.Pattern[str]:
    """`{name}` stands for any one name (in the middle of one, too), `…` for anything; groups end in "/"."""
    parts = re.split(r"(\{\w+\}|…)", place)
    named = {"…": ".+", "{unit}": r"unit_\d{3,}", "{trial}": r"\d+", "{degrees}": r"\d+"}
    regex = "".join(named.get(part, "[^/@]+" if part.startswith("{") else re.escape(part)) for part in parts)
    return re.compile(regex.replace("//", "/"))


def found_in(file: h5py.File) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Every object and attribute of a file: its place, its type, its shape."""
    yield "/", "group", ()
    yield from _attributes(file, "/")
    found: list[tuple[str, Any]] = []
    file.visititems(lambda name, item: found.append((f"/{name}", item)))
    for place, item in found:
        if isinstance(item, h5py.Group):
            yield f"{place}/", "group", ()
            yield from _attributes(item, f"{place}/")
        else:
            yield place, _type_of(item.dtype), item.shape
            yield from _attributes(item, place)


def _attributes(item: Any, place: str) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    for name in item.attrs:
        if not MARK.match(name):
            stored = h5py.h5a.open(item.id, name.encode())
            yield f"{place}@{name}", _type_of(stored.dtype), stored.shape


def _type_of(dtype: np.dtype[Any]) -> str:
    return "text" if h5py.check_string_dtype(dtype) else dtype.name


def fits(row: Row, place: str, kind: str, shape: tuple[int, ...]) -> bool:
    if not row.pattern.fullmatch(place) or row.type not in (kind, "any"):
        return False
    if not row.shape.startswith("("):  # not stated
        return True
    stated = [size.strip() for size in row.shape.strip("()").split(",") if size.strip()]
    return len(stated) == len(shape) and all(
        not size.isdigit() or int(size) == n for size, n in zip(stated, shape, strict=True)
    )


def undocumented(page: str, path: Path) -> list[str]:
    """What a file holds that no row of the page fits."""
    rows = rows_of(DOCS / page)
    with h5py.File(path) as file:
        return [
            f"{place} {kind} {shape}"
            for place, kind, shape in found_in(file)
            if not any(fits(row, place, kind, shape) for row in rows)
        ]


def unused(page: str, paths: list[Path]) -> set[str]:
    """Rows of a page that nothing in the files fits."""
    found = []
    for path in paths:
        with h5py.File(path) as file:
            found += list(found_in(file))
    return {row.pattern.pattern for row in rows_of(DOCS / page) if not any(fits(row, *one) for one in found)}


# ---------------------------------------------------------------- recordings


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A recording that went through the flow `full`, a checkpoint of it, and a batch's of spikes sorted elsewhere."""
    directory = tmp_path_factory.mktemp("layout")
    movies = (NOISE, STEP, "baseline_127", "freq_step_5st_3x", "green_blue_3s_3i_3x")
    made = simulated(directory / "made", *movies, light_steps=2)
    table = directory / "table.csv"
    table.write_text("dataset_id,animal,age\nfull,mouse 7,61\n", encoding="utf-8")
    parameters = parameters_of(made) | {"annotate": {"table": str(table)}}
    parameters["add_section_time"]["playlist_name"] = made.playlist_name
    full = run_flow("full", made.cmcr_path, made.cmtr_path, "full", output_dir=directory, parameters=parameters)
    checkpoint = PipelineSession.load(full.hdf5_path).checkpoint(directory / "checkpoint.h5", checkpoint_name="all")
    return [Path(full.hdf5_path), checkpoint, waves(directory)]


def waves(directory: Path) -> Path:
    with h5py.File(directory / "spikes.h5", "w") as file:
        bursts = np.repeat(np.arange(5, 90, 10), 13) + np.tile(np.arange(13) * 0.03, 9)
        file["spikes"] = np.concatenate([bursts[:80], bursts + 0.1])
        file["sCount"] = [80, 117]
        file["names"] = [b"a", b"b"]
        file["epos"] = [[42.0, 84.0], [42.0, 42.0]]
        file["array"] = [b"APS_64x64_42um"]
        file["summary/duration"] = [90.0]
    manifest = directory / "manifest.csv"
    manifest.write_text("spikes\nspikes.h5\n", encoding="utf-8")
    done = run_batch(manifest, directory / "batch", flow="waves", parameters={"add_section_windows": {"length_s": 30}})
    return Path(done.outcomes[0].output_path)


@pytest.mark.parametrize("number", range(3), ids=["full", "checkpoint", "waves"])
def test_a_recording_holds_nothing_that_the_page_does_not_name(recordings: list[Path], number: int) -> None:
    assert undocumented("layout_hdmea.md", recordings[number]) == []


def test_single_values_of_features_are_measures(recordings: list[Path]) -> None:
    with h5py.File(recordings[0]) as file:
        features = file["units/unit_001/features"]
        values = {name for movie in (NOISE, STEP, "baseline_127", "freq_step_5st_3x") for name in features[movie].attrs}
    assert len(values) > 40
    own = {"version", "params_hash", "extracted_at"}
    assert {name for name in values - own if not MARK.match(name)} - MEASURES == set()


def test_the_page_names_nothing_else(recordings: list[Path]) -> None:
    """What the recordings above do not hold is named here, with the reason."""
    left = unused("layout_hdmea.md", recordings)
    of_the_bar = {row for row in left if "direction_section" in row}  # its movie is 1.2 GB long
    of_others = {row for row in left if re.search(r"auto_label|steps_in_progress|electrode_pitch_um", row)}
    of_no_flow = {row for row in left if "/stc" in row}  # of an optional step
    assert left - of_the_bar - of_others - of_no_flow == set()


def test_sections_by_direction_are_as_the_page_says(recordings: list[Path], tmp_path: Path) -> None:
    session = PipelineSession.load(recordings[0])
    section = session.units["unit_001"]["spike_times_sectioned"][STEP]
    section["direction_section"] = {
        45: {"trials": {0: np.arange(3)}, "section_bounds": np.zeros((1, 2), np.int64)},
        "_attrs": {"direction_list": np.array([45, 90]), "n_directions": 2, "cell_center_row": 1.5},
    }
    session.units["unit_001"]["auto_label"] = {"axon_type": "rgc"}
    seen = second_order_fields(np.arange(400.0)[:, None, None] % 7 * np.ones((1, 3, 3)), [np.arange(9)])[0]
    session.units["unit_001"]["features"][f"sta_{NOISE}"] = {"stc": second_order_record(seen)}
    assert undocumented("layout_hdmea.md", session.save(tmp_path / "bar.h5")) == []


def test_something_else_in_a_file_is_found(recordings: list[Path], tmp_path: Path) -> None:
    session = PipelineSession.load(recordings[2])
    session.units["unit_001"]["quality"] = 1.0
    session.units["unit_001"]["unit_meta"]["x_um"] = np.zeros((2, 2))
    extract_features(features=["frif"], session=session)
    assert undocumented("layout_hdmea.md", session.save(tmp_path / "more.h5")) == [
        "/units/unit_001/quality float64 ()",
    ]


# ---------------------------------------------------------------- containers


def container() -> ScpContainer:
    """A container that has something of everything."""
    values = np.array([[1.0, 2.0], [3.0, np.nan], [0.0, 1.0]])
    codes = np.array([[0, 1], [0, 2], [0, 0]], np.int8)
    columns: dict[str, Any] = {
        "_index": ["a", "b", "c"],
        "count": pl.Series([1, None, 3], dtype=pl.Int16),
        "day": [date(2020, 1, 1)] * 3,
        "kind/of": ["1", None, ""],
        "long": [[{f"field{n}": n for n in range(5000)}]] * 3,
    }
    metadata = MatrixMetadata(
        confidence_scores=np.ones((3, 2)), detection_limits=sp.csr_matrix(np.eye(3, 2)), creation_info={"a": (1, 2)}
    )
    coo = sp.coo_array((np.ones(3), (np.array([2, 0, 1]), np.array([1, 1, 0]))), shape=(3, 2))
    layers = {
        "raw": ScpMatrix(values, codes, metadata),
        "columns": ScpMatrix(sp.csc_matrix(np.nan_to_num(values)), sp.csr_matrix(codes)),
        "entries": ScpMatrix(coo),
        "blocks": ScpMatrix(sp.bsr_matrix(np.nan_to_num(values), blocksize=(3, 1))),
    }
    proteins = Assay(pl.DataFrame({"_index": ["P1", "P2"], "gene": ["A", None]}), layers)
    peptides = Assay(pl.DataFrame({"_index": ["p1"]}), {"raw": ScpMatrix(np.ones((3, 1)))})
    linkage = pl.DataFrame({"source_id": ["p1"], "target_id": ["P1"], "weight": [1]})
    made = ScpContainer(
        pl.DataFrame(columns),
        {"proteins": proteins, "peptides": peptides},
        links=[AggregationLink("peptides", "proteins", linkage)],
    )
    made.log_operation("log2", {"base": 2, "shape": (1, 2)}, description="")
    made.extras.obsm["X_pca"] = np.ones((3, 2))
    made.extras.obsp["connectivities"] = sp.csr_matrix(np.eye(3))
    made.extras.uns["settings"] = {"n": 1, "names": pl.DataFrame({"x": [1]})}
    made.extras.assays["proteins"] = AssayExtras(
        {"loadings": np.ones((2, 2))}, {"covariance": np.eye(2)}, RawValues(np.ones((3, 2)), proteins.var)
    )
    return made


def test_a_container_holds_nothing_that_the_page_does_not_name(tmp_path: Path) -> None:
    container().save(tmp_path / "cells.h5")
    assert undocumented("layout_scptensor.md", tmp_path / "cells.h5") == []


def test_the_page_of_containers_names_what_is_there(tmp_path: Path) -> None:
    container().save(tmp_path / "cells.h5")
    variants = r"origin|/M|@M_|height|raw/(\(|X_|@|varm)|metadata/(imputation|outlier|detection)_\w+$|var/dtypes"
    rest = variants + r"|polars_dtype|nulls|units|provenance/history/\w+$"
    left = unused("layout_scptensor.md", [tmp_path / "cells.h5"])
    assert {row for row in left if not re.search(rest, row)} == set()
