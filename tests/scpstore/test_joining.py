"""Containers joined: in memory, and from files to a file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from scpstore import AggregationLink, Assay, MaskCode, ScpContainer, ScpMatrix, concat, load_hdf5
from scpstore.core.exceptions import ValidationError

FEATURES = [f"P{n}" for n in range(7)]
BATCH = st.tuples(
    st.integers(0, 4), st.lists(st.sampled_from(FEATURES), unique=True), st.booleans(), st.sampled_from(["X", "Y"])
)


def a_batch(number: int, rows: int, features: list[str], masked: bool, layer: str, *, sparse: bool) -> ScpContainer:
    rng = np.random.default_rng(number)
    X = rng.normal(size=(rows, len(features)))
    M = rng.integers(0, 6, X.shape).astype(np.int8) if masked else None
    if sparse:
        X = sp.csr_matrix(np.where(X > 0, X, 0))
        M = None if M is None else sp.csr_matrix(M)
    var = pl.DataFrame({"_index": pl.Series(features, dtype=pl.String), f"of{number}": np.arange(len(features))})
    obs = pl.DataFrame({"_index": pl.Series([f"{number}_{n}" for n in range(rows)], dtype=pl.String)})
    made = ScpContainer(obs, {"proteins": Assay(var, {layer: ScpMatrix(X, M)})})
    made.log_operation(f"made {number}", {})
    return made


def plain(values: Any) -> np.ndarray[Any, Any]:
    return values.toarray() if sp.issparse(values) else np.asarray(values)


@given(st.lists(BATCH, min_size=1, max_size=4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_value_is_where_its_names_say(tmp_path_factory: Any, batches: Any, sparse: bool) -> None:
    parts = [a_batch(number, *batch, sparse=sparse) for number, batch in enumerate(batches)]
    joined = concat(parts)
    directory = tmp_path_factory.mktemp("joined")
    for number, part in enumerate(parts):
        part.save(directory / f"{number}.h5")
    from_files = concat([directory / f"{number}.h5" for number in range(len(parts))])
    from_files.save(directory / "all.h5")
    assay, loaded = joined.assays["proteins"], load_hdf5(directory / "all.h5").assays["proteins"]
    assert joined.sample_ids.to_list() == [name for part in parts for name in part.sample_ids.to_list()]
    assert assay.feature_ids.to_list() == list(dict.fromkeys(f for batch in batches for f in batch[1]))
    assert [step.action for step in joined.history] == [f"made {n}" for n in range(len(parts))] + ["concat"]
    for layer, matrix in assay.layers.items():
        X, M = plain(matrix.X), None if matrix.M is None else plain(matrix.M)
        for row, name in enumerate(joined.sample_ids.to_list()):
            part = parts[int(name.split("_")[0])].assays["proteins"]
            for column, feature in enumerate(assay.feature_ids.to_list()):
                if layer in part.layers and feature in part.feature_ids.to_list():
                    place = (int(name.split("_")[1]), part.feature_ids.to_list().index(feature))
                    assert X[row, column] == plain(part.layers[layer].X)[place]
                    code = 0 if part.layers[layer].M is None else plain(part.layers[layer].M)[place]
                    assert (0 if M is None else M[row, column]) == code
                elif sparse:
                    assert X[row, column] == 0
                else:
                    assert np.isnan(X[row, column])
                    assert M is not None
                    assert M[row, column] == MaskCode.LOD
        np.testing.assert_array_equal(plain(loaded.layers[layer].X), X)
        assert sp.issparse(loaded.layers[layer].X) == sparse
        if M is not None:
            np.testing.assert_array_equal(plain(loaded.layers[layer].M), M)


def test_tables_links_and_labels() -> None:
    def a_container(name: str, gene: str) -> ScpContainer:
        proteins = Assay(
            pl.DataFrame({"_index": ["P1"], "gene": [gene], "only": [name]}), {"X": ScpMatrix(np.ones((1, 1)))}
        )
        peptides = Assay(pl.DataFrame({"_index": [f"pep{name}", "same"]}), {"X": ScpMatrix(np.ones((1, 2)))})
        pairs = pl.DataFrame({"source_id": [f"pep{name}", "same"], "target_id": ["P1", "P1"]})
        kind = pl.Series([name], dtype=pl.Enum([name, "z"]))
        obs = pl.DataFrame({"_index": ["cell"], "kind": kind, f"of{name}": [1.5]})
        return ScpContainer(
            obs, {"proteins": proteins, "peptides": peptides}, [AggregationLink("peptides", "proteins", pairs)]
        )

    first, second = a_container("a", "G"), a_container("b", "G")
    with pytest.raises(ValidationError, match=r"\['cell'\]: index_unique"):
        concat([first, second])
    with pytest.warns(UserWarning, match="assay 'proteins': features differ in only"):
        made = concat({"a": first, "b": second}, label="day", index_unique="-")
    assert made.sample_ids.to_list() == ["cell-a", "cell-b"]
    assert made.obs["day"].to_list() == ["a", "b"]
    assert made.obs["ofa"].to_list() == [1.5, None]
    assert made.obs.schema["kind"] == pl.Enum(["a", "z", "b"])
    assert made.assays["proteins"].var.rows() == [("P1", "G", "a")]
    assert made.assays["peptides"].feature_ids.to_list() == ["pepa", "same", "pepb"]
    assert made.links[0].linkage.height == 3
    made.validate()


def test_what_does_not_fit_is_refused() -> None:
    dense = a_batch(0, 2, FEATURES[:2], False, "X", sparse=False)
    sparse = a_batch(1, 2, FEATURES[:2], False, "X", sparse=True)
    for wrong, message in (([], "0 containers"), ([dense, sparse], "dense in one"), ([dense, 3], "got int")):
        with pytest.raises(ValidationError, match=message):
            concat(wrong)
    with pytest.raises(ValidationError, match="one different key"):
        concat([dense, sparse], keys=["a", "a"])


def test_files_are_joined_a_block_at_a_time(tmp_path: Path) -> None:
    for number in range(3):
        features = [f"P{n}" for n in range(number, 800 + number)]
        a_batch(number, 4000, features, True, "X", sparse=False).save(tmp_path / f"{number}.h5", compression=None)
    tracemalloc.start()
    concat([tmp_path / f"{number}.h5" for number in range(3)]).save(tmp_path / "all.h5", compression=None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 45e6  # of 77 MB of values and 10 MB of masks
    found = load_hdf5(tmp_path / "all.h5", lazy=True).assays["proteins"].layers["X"]
    assert found.shape == (12_000, 802)
    second = load_hdf5(tmp_path / "1.h5").assays["proteins"].layers["X"]
    np.testing.assert_array_equal(found.X[4000:8000][:, 1:801], second.X)
