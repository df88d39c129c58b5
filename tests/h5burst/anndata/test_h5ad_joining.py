"""Files joined and cut on disk are what anndata makes of the objects in memory."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from h5burst import CorruptFileError
from h5burst.anndata import assembling, concat, read_h5ad, subset, write_h5ad

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
KINDS = ("csr", "csc", "dense", "ints")


def values(rng: np.random.Generator, kind: str, rows: int, columns: int) -> Any:
    dense = np.where(rng.random((rows, columns)) < 0.4, np.round(rng.normal(5, 2, (rows, columns)), 2), 0)
    if kind == "ints":
        return dense.astype(np.int64)
    dense = dense.astype(np.float32)
    return dense if kind == "dense" else getattr(sp, f"{kind}_matrix")(dense)


def an_object(seed: int, kind: str, layer: str | None, rows: int, genes: list[str], raw: bool) -> anndata.AnnData:
    rng = np.random.default_rng(seed)
    made = anndata.AnnData(
        values(rng, kind, rows, len(genes)),
        pd.DataFrame(
            {"n": rng.integers(0, 9, rows), "kind": pd.Categorical(rng.choice(["a", "b", f"c{seed % 3}"], rows))},
            index=[f"cell{seed}_{n}" for n in range(rows)],
        ),
        pd.DataFrame({"length": np.arange(len(genes)) + 0.5}, index=genes),
    )
    made.obsm["X_pca"] = rng.normal(size=(rows, 3))
    made.varm["loadings"] = rng.normal(size=(len(genes), 2))
    made.obsp["graph"] = sp.random(rows, rows, 0.3, "csr", random_state=seed)
    made.uns["of"] = {"seed": seed, "same": [1, 2]}
    if layer is not None:
        made.layers[layer] = values(rng, kind, rows, len(genes))
    if raw:
        made.raw = made.copy()
    return made


def plain(matrix: Any) -> np.ndarray[Any, Any]:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def assert_same(ours: anndata.AnnData, theirs: anndata.AnnData) -> None:
    pd.testing.assert_frame_equal(ours.obs, theirs.obs)
    pd.testing.assert_frame_equal(ours.var, theirs.var)
    assert (ours.X is None) == (theirs.X is None)
    layers = [name for name in ours.layers if name is not None]  # None: X, from anndata 0.13 on
    assert set(layers) == {name for name in theirs.layers if name is not None}
    for one, other in ((ours.X, theirs.X), *((ours.layers[name], theirs.layers[name]) for name in layers)):
        if one is not None:
            assert sp.issparse(one) == sp.issparse(other)
            np.testing.assert_array_equal(plain(one), plain(other))
    for part in ("obsm", "varm", "obsp", "varp"):
        assert set(getattr(ours, part)) == set(getattr(theirs, part))
        for name in getattr(ours, part):
            np.testing.assert_array_equal(plain(getattr(ours, part)[name]), plain(getattr(theirs, part)[name]))
    assert str(dict(ours.uns)) == str(dict(theirs.uns))
    assert (ours.raw is None) == (theirs.raw is None)
    if ours.raw is not None:
        np.testing.assert_array_equal(plain(ours.raw.X), plain(theirs.raw.X))
        pd.testing.assert_frame_equal(ours.raw.var, theirs.raw.var)


GENES = [f"g{n}" for n in range(8)]
ONE = st.tuples(
    st.sampled_from(KINDS),
    st.sampled_from([None, "counts", "other"]),
    st.integers(1, 6),
    st.lists(st.sampled_from(GENES), min_size=1, unique=True),
    st.booleans(),
)
OPTIONS = st.fixed_dictionaries(
    {
        "join": st.sampled_from(["inner", "outer"]),
        "merge": st.sampled_from([None, "same", "unique", "first", "only"]),
        "uns_merge": st.sampled_from([None, "same", "first"]),
        "label": st.sampled_from([None, "batch"]),
        "index_unique": st.sampled_from([None, "-"]),
        "pairwise": st.booleans(),
    }
)


@given(st.lists(ONE, min_size=1, max_size=4), OPTIONS, st.sampled_from(["", "keys", "mapping"]), st.booleans())
@settings(max_examples=25, deadline=None)
def test_concat_is_that_of_anndata(
    tmp_path_factory: Any, parts: Any, options: Any, named: str, theirs_wrote: bool
) -> None:
    directory = tmp_path_factory.mktemp("concat")
    objects, paths = [], []
    for seed, part in enumerate(parts):
        made = an_object(seed, *part)
        paths.append(directory / f"{seed}.h5ad")
        made.write_h5ad(paths[-1]) if theirs_wrote else write_h5ad(made, paths[-1])
        objects.append(anndata.read_h5ad(paths[-1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = [f"file{number}" for number in range(len(paths))]
        keys = {"keys": names} if named == "keys" else {}
        of_names = dict(zip(names, objects, strict=True)) if named == "mapping" else objects
        expected = anndata.concat(of_names, **options, **keys)
    files = dict(zip(names, paths, strict=True)) if named == "mapping" else paths
    concat(files, directory / "out.h5ad", **options, **keys)
    expected.strings_to_categoricals()
    assert_same(read_h5ad(directory / "out.h5ad"), expected)
    assert_same(anndata.read_h5ad(directory / "out.h5ad"), expected)


def test_text_of_some_files_becomes_categories(tmp_path: Path) -> None:
    """As anndata writes what it joined: text that is missing in places has no other form in a file."""
    objects = [an_object(seed, "csr", None, 3, GENES[seed : seed + 4], raw=False) for seed in range(2)]
    objects[0].obs["barcode"] = ["AA", "AC", "CA"]
    objects[1].var["symbol"] = list("stuv")
    for made in objects:
        made.raw = made.copy()
    paths = [tmp_path / f"{number}.h5ad" for number in range(2)]
    for made, path in zip(objects, paths, strict=True):
        made.write_h5ad(path)
        assert anndata.read_h5ad(path).obs.get("barcode", pd.Series(["text"])).dtype != "category"
    anndata.concat(objects, join="outer", merge="first").write_h5ad(tmp_path / "theirs.h5ad")
    concat(paths, tmp_path / "ours.h5ad", join="outer", merge="first")
    theirs = anndata.read_h5ad(tmp_path / "theirs.h5ad")
    assert theirs.obs["barcode"].isna().sum() == theirs.var["symbol"].isna().sum() + 2 == 3
    assert_same(read_h5ad(tmp_path / "ours.h5ad"), theirs)
    subset(paths[0], [0, 0, 1], None, tmp_path / "part.h5ad")
    objects[0][[0, 0, 1]].copy().write_h5ad(tmp_path / "theirs.h5ad")
    assert_same(read_h5ad(tmp_path / "part.h5ad"), anndata.read_h5ad(tmp_path / "theirs.h5ad"))


@given(ONE, st.data())
@settings(max_examples=30, deadline=None)
def test_a_subset_is_that_of_anndata(tmp_path_factory: Any, part: Any, data: Any) -> None:
    directory = tmp_path_factory.mktemp("subset")
    made = an_object(0, *part)
    write_h5ad(made, directory / "in.h5ad")

    def chosen(names: Any) -> Any:
        count = len(names)
        ways = [st.none(), st.lists(st.booleans(), min_size=count, max_size=count).map(np.array)]
        if count:
            places = st.lists(st.integers(-count, count - 1), unique_by=lambda n: n % count)
            ways += [places, st.lists(st.sampled_from(names.to_list()), unique=True)]
        return data.draw(st.one_of(*ways, st.builds(slice, st.integers(0, 4), st.integers(0, 9))))

    rows, columns = chosen(made.obs_names), chosen(made.var_names)
    subset(directory / "in.h5ad", rows, columns, directory / "out.h5ad", compression="gzip")

    def index(one: Any) -> Any:
        if one is None:
            return slice(None)
        return np.asarray(one, int) if isinstance(one, list) and (not one or isinstance(one[0], int)) else one

    picked = anndata.read_h5ad(directory / "in.h5ad")
    picked = picked[index(rows) if np.size(rows) or isinstance(rows, slice) else np.zeros(0, int)]
    picked = picked[:, index(columns) if np.size(columns) or isinstance(columns, slice) else np.zeros(0, int)].copy()
    found = read_h5ad(directory / "out.h5ad")
    pd.testing.assert_index_equal(found.obs_names, picked.obs_names)
    pd.testing.assert_index_equal(found.var_names, picked.var_names)
    np.testing.assert_array_equal(plain(found.X), plain(picked.X))
    for name in picked.layers:
        if name is not None:
            np.testing.assert_array_equal(plain(found.layers[name]), plain(picked.layers[name]))
    assert sp.issparse(found.X) == sp.issparse(picked.X)
    assert found.X.dtype == picked.X.dtype
    if picked.raw is not None:
        np.testing.assert_array_equal(plain(found.raw.X), plain(picked.raw.X))


def test_large_files_are_joined_and_cut_a_block_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_BLOCK_ENTRIES", 1 << 16), ("_GATHERED_BYTES", 1 << 20), ("_BLOCK_BYTES", 1 << 18)):
        monkeypatch.setattr(assembling, name, size)
    genes = [f"g{n}" for n in range(600)]
    for number in range(2):
        counts = sp.random(12_000, 600, 0.3, "csr", np.float32, np.random.default_rng(number))
        names = [f"{number}_{n}" for n in range(12_000)]
        shuffled = genes if number == 0 else list(np.random.default_rng(3).permutation([*genes[50:], "other"]))
        made = anndata.AnnData(counts[:, : len(shuffled)], pd.DataFrame(index=names), pd.DataFrame(index=shuffled))
        made.write_h5ad(tmp_path / f"{number}.h5ad", compression="gzip")
    paths = [tmp_path / "0.h5ad", tmp_path / "1.h5ad"]
    whole = sum(anndata.read_h5ad(path).X.data.nbytes * 2 for path in paths)
    tracemalloc.start()
    for join in ("inner", "outer"):
        concat(paths, tmp_path / f"{join}.h5ad", join=join)
    rows = np.random.default_rng(0).permutation(24_000)[:20_000]
    subset(tmp_path / "outer.h5ad", rows, genes[::2], tmp_path / "part.h5ad")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < whole, f"{peak} of {whole} bytes"  # in memory it takes several times as many
    expected = anndata.concat([anndata.read_h5ad(path) for path in paths], join="outer")
    found = read_h5ad(tmp_path / "outer.h5ad")
    assert found.X.dtype == np.float32
    assert (found.X != expected.X).nnz == 0
    part = read_h5ad(tmp_path / "part.h5ad")
    assert (part.X != expected[rows, genes[::2]].X).nnz == 0


def test_what_cannot_be_joined_is_refused(tmp_path: Path) -> None:
    first, second, bare = (tmp_path / f"{name}.h5ad" for name in ("first", "second", "bare"))
    write_h5ad(an_object(0, "csr", None, 3, GENES[:3], False), first)
    write_h5ad(an_object(1, "csr", None, 3, GENES[1:5], False), second)
    made = an_object(2, "csr", None, 3, GENES[:3], False)
    made.X = None
    write_h5ad(made, bare)
    out = tmp_path / "out.h5ad"
    with pytest.raises(ValueError, match="fill_value=1 would make a sparse matrix dense"):
        concat([first, second], out, join="outer", fill_value=1)
    with pytest.raises(ValueError, match=r"bare\.h5ad has no X, and others have one"):
        concat([first, bare], out)
    with pytest.raises(FileExistsError, match=r"first\.h5ad"):
        concat([second], first)
    with pytest.raises(ValueError, match="at least one file"):
        concat([], out)
    with pytest.raises(TypeError, match="no axis"):
        concat([first], out, axis=1)
    with pytest.raises(TypeError, match="keys are those of the mapping"):
        concat({"a": first}, out, keys=["b"])
    with pytest.raises(KeyError, match="there is no 'unknown'"):
        subset(first, ["unknown"], None, out)
    with pytest.raises(IndexError, match="out of bounds for 3 columns"):
        subset(first, None, [3], out)
    with pytest.raises(IndexError, match="does not fit 3 rows"):
        subset(first, np.ones(4, bool), None, out)
    assert not out.exists()
    concat([first, first], first, overwrite=True, index_unique="-")
    assert read_h5ad(first).n_obs == 6


@pytest.mark.parametrize("number", [-1, 7])
def test_a_column_that_there_is_not_is_damage(tmp_path: Path, number: int) -> None:
    import h5py

    path = tmp_path / "in.h5ad"
    write_h5ad(an_object(0, "csr", None, 5, GENES[:4], False), path)
    with h5py.File(path, "r+") as file:
        file["X/indices"][0] = number
    with pytest.raises(CorruptFileError, match="columns that there are not"):
        subset(path, None, [2, 0], tmp_path / "out.h5ad")
    assert not (tmp_path / "out.h5ad").exists()


@pytest.mark.parametrize("room", [0, 500, 1 << 20])
@pytest.mark.parametrize("width", [40, 70_000])
@pytest.mark.parametrize("chosen", [False, True])
def test_columns_that_are_dropped_are_looked_through_once(
    monkeypatch: pytest.MonkeyPatch, room: int, width: int, chosen: bool
) -> None:
    """Beyond `room` they are decoded again; the result is that of scipy's own indexing."""
    monkeypatch.setattr(assembling, "_REMEMBERED_ENTRIES", room)
    monkeypatch.setattr(assembling, "_BLOCK_ENTRIES", 64)
    rng = np.random.default_rng(width)
    columns = np.sort(rng.permutation(width)[: width // 2])
    rng.shuffle(columns)
    matrices, pieces, wanted = [], [], []
    for _ in range(2):
        matrix = sp.random(30, width, 400 / (30 * width), "csr", np.float32, rng)
        rows = rng.permutation(30)[:20] if chosen else None
        matrices.append(matrix)
        pieces.append(assembling.Piece(matrix, 20 if chosen else 30, rows, columns))
        part = matrix if rows is None else matrix[rows]
        wanted.append(part.toarray()[:, columns])
    made = assembling.CsrPieces(pieces, len(columns))
    for piece in made.pieces[: 2 if room > 500 else 1 if room else 0]:
        piece.indices = np.empty(0, piece.indices.dtype)  # not needed any more
    data, indices = (made.entries(name) for name in ("data", "indices"))
    entries = data.shape[0]
    steps = [(start, min(start + 37, entries)) for start in range(0, entries, 37)]
    arrays = [np.concatenate([each.read(*step) for step in steps]) for each in (data, indices)]
    found = sp.csr_matrix((*arrays, made.indptr), (len(made.indptr) - 1, len(columns)))
    np.testing.assert_array_equal(found.toarray(), np.concatenate(wanted))
