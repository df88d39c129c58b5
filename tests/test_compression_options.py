"""One request for a compression has one answer, whichever of the packages' functions it is given to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest

import h5burst
from hdmea.pipeline import create_session
from scptensor import Assay, ScpContainer, ScpMatrix, save_hdf5

NOISE = np.random.default_rng(0).integers(0, 50, (400, 100)).astype(np.float64)
Save = Callable[..., str]  # writes `NOISE` into a file; gives the path of the dataset in it


def save_dict(path: Path, compression: Any, **level: Any) -> str:
    h5burst.save(path, {"values": NOISE}, compression=compression, **level)
    return "values"


def repacked(path: Path, compression: Any, **level: Any) -> str:
    source = path.with_suffix(".plain.h5")
    h5burst.save(source, {"values": NOISE}, overwrite=True)
    h5burst.repack(source, path, compression=compression, **level)
    return "values"


def saved_anndata(path: Path, compression: Any, **level: Any) -> str:
    anndata = pytest.importorskip("anndata")
    from h5burst.anndata import write_h5ad

    write_h5ad(anndata.AnnData(NOISE), path, compression=compression, **level)
    return "X"


def saved_session(path: Path, compression: Any, **level: Any) -> str:
    session = create_session("recording", output_dir=path.parent)
    session.stimulus["values"] = NOISE
    session.save(path, compression=compression, **_as_domain(level))
    return "stimulus/values"


def saved_container(path: Path, compression: Any, **level: Any) -> str:
    obs = pl.DataFrame({"_index": [f"s{number}" for number in range(len(NOISE))]})
    var = pl.DataFrame({"_index": [f"p{number}" for number in range(NOISE.shape[1])]})
    assay = Assay(var, {"X": ScpMatrix(NOISE)})
    save_hdf5(ScpContainer(obs, {"proteins": assay}), path, compression=compression, **_as_domain(level))
    return "assays/proteins/layers/X/X"


def _as_domain(level: dict[str, Any]) -> dict[str, Any]:
    return {} if not level else {"compression_level": level["compression_opts"]}


STRICT = [save_dict, repacked, saved_anndata]
LENIENT = [saved_session, saved_container]  # a valid level that says nothing is ignored there

DEFLATE, LZF, ZSTD = 1, 32000, 32015


@pytest.mark.parametrize("save", [*STRICT, *LENIENT])
@pytest.mark.parametrize(
    ("compression", "level", "codec"),
    [
        (None, None, None),
        (False, None, None),
        ("gzip", 7, (DEFLATE, 7)),
        ("gzip", np.int64(7), (DEFLATE, 7)),
        ("gzip", (7,), (DEFLATE, 7)),
        (True, None, (DEFLATE, 4)),
        (np.True_, None, (DEFLATE, 4)),
        (6, None, (DEFLATE, 6)),
        (np.uint8(6), None, (DEFLATE, 6)),
        ("lzf", None, (LZF, None)),
        ("zstd", 5, (ZSTD, 5)),
        (ZSTD, 5, (ZSTD, 5)),
    ],
)
def test_what_all_store_alike(
    save: Save, compression: Any, level: Any, codec: tuple[int, int | None] | None, tmp_path: Path
) -> None:
    options = {} if level is None else {"compression_opts": level}
    dataset = save(tmp_path / "file.h5", compression, **options)
    with h5py.File(tmp_path / "file.h5") as file:
        creation = file[dataset].id.get_create_plist()
        filters = [creation.get_filter(number) for number in range(creation.get_nfilters())]
    stored = [(number, values[0]) for number, _, values, _ in filters if number in (DEFLATE, LZF, ZSTD)]
    assert [number for number, _ in stored] == ([] if codec is None else [codec[0]])
    if codec is not None and codec[1] is not None:
        assert stored[0][1] == codec[1]


@pytest.mark.parametrize("save", [*STRICT, *LENIENT])
@pytest.mark.parametrize(
    ("compression", "level", "message"),
    [
        ("rar", None, "compression must be one of"),
        ("", None, "compression must be one of"),
        (99, None, "compression must be one of"),
        (-1, None, "compression must be one of"),
        (4.0, None, "compression must be one of"),
        *(("gzip", level, "level of gzip must be a whole number") for level in (99, -1, True, 4.0, "4", (1, 2))),
        *(("lzf", level, "level must be a whole number") for level in (99, -1, True)),
        *((None, level, "level must be a whole number") for level in (99, -1, "4")),
        (4, 99, "level of gzip must be a whole number"),
    ],
)
def test_what_all_refuse_alike(save: Save, compression: Any, level: Any, message: str, tmp_path: Path) -> None:
    options = {} if level is None else {"compression_opts": level}
    with pytest.raises(ValueError, match=message):
        save(tmp_path / "file.h5", compression, **options)
    assert not (tmp_path / "file.h5").exists()


@pytest.mark.parametrize(("compression", "level"), [("lzf", 9), (None, 9), (False, 0), (4, 5)])
def test_a_level_that_says_nothing(compression: Any, level: int, tmp_path: Path) -> None:
    for save in STRICT:
        with pytest.raises(ValueError, match="leave the"):
            save(tmp_path / "file.h5", compression, compression_opts=level)
        assert not (tmp_path / "file.h5").exists()
    for number, save in enumerate(LENIENT):
        save(tmp_path / f"{number}.h5", compression, compression_opts=level)
