"""Options, backed objects, earlier and foreign forms of the file, damage."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

anndata = pytest.importorskip("anndata")
from anndata.tests.helpers import assert_equal  # noqa: E402

from h5burst import CorruptFileError, UnsupportedValueError  # noqa: E402
from h5burst.anndata import elements, encodings, read_h5ad, write_h5ad  # noqa: E402
from support.anndata_releases import NO_BACKED_SPARSE  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning", "ignore::FutureWarning")
DENSE = np.random.default_rng(0).poisson(0.5, (400, 60)).astype(np.float32)


def an_object(kind: Any = sp.csr_matrix) -> Any:
    obs = pd.DataFrame({"n": np.arange(400)}, index=[f"c{n}" for n in range(400)])
    adata = anndata.AnnData(kind(DENSE), obs=obs, obsm={"p": DENSE[:, :3]})
    adata.raw = adata.copy()
    return adata


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.h5ad"


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("compression", "options", "filters"),
    [
        (None, None, []),
        ("gzip", None, [(1, 4)]),
        ("gzip", 7, [(1, 7)]),
        ("gzip", np.int64(7), [(1, 7)]),
        (3, None, [(1, 3)]),
        ("lzf", None, [(32000, None)]),
        ("zstd", (5,), [(32015, 5)]),
        (32015, None, [(32015, None)]),
    ],
)
def test_compression_as_h5py_says_it(compression: Any, options: Any, filters: Any, path: Path) -> None:
    write_h5ad(an_object(np.asarray), path, compression=compression, compression_opts=options)
    with h5py.File(path) as file:
        steps = file["X"].id.get_create_plist()
        found = [steps.get_filter(n) for n in range(steps.get_nfilters())]
    packed = [(code, values) for code, _, values, _ in found if code in (1, 32000, 32015)]
    assert [code for code, _ in packed] == [code for code, _ in filters]
    assert all(level is None or values[0] == level for (_, values), (_, level) in zip(packed, filters, strict=True))
    assert_equal(read_h5ad(path), an_object(np.asarray), exact=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "rar"}, "compression must be one of"),
        ({"compression": 777}, "got 777"),
        ({"compression": "gzip", "compression_opts": 11}, "level"),
        ({"compression": "gzip", "compression_opts": (1, 2)}, "must be a whole number"),
        ({"compression": "gzip", "compression_opts": "high"}, "must be a whole number"),
        ({"compression": "lzf", "compression_opts": 4}, "lzf has no levels"),
        ({"compression": 4, "compression_opts": 5}, "is a level of gzip already"),
        ({"compression_opts": 4}, "without a codec it does nothing"),
        ({"as_dense": ["layers/a"]}, "as_dense takes"),
    ],
)
def test_wrong_options_are_errors_before_anything_is_written(options: Any, message: str, path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write_h5ad(an_object(), path, **options)
    assert not path.exists()


def test_sparse_as_dense_and_back(path: Path) -> None:
    for kind in (sp.csr_matrix, sp.csc_matrix):
        adata = an_object(kind)
        write_h5ad(adata, path, as_dense=["X", "raw.X"], compression="gzip")
        dense = anndata.read_h5ad(path)
        assert isinstance(dense.X, np.ndarray)
        assert np.array_equal(dense.X, DENSE)
        assert np.array_equal(dense.raw.X, DENSE)
        expected = anndata.read_h5ad(path, as_sparse=["X", "raw/X"], as_sparse_fmt=kind)
        for rows in (7, 6000):
            found = read_h5ad(path, as_sparse=["X", "raw/X"], as_sparse_fmt=kind, chunk_size=rows)
            assert found.X.format == expected.X.format
            assert_equal(found, expected, exact=True)


def test_what_there_is_to_make_sparse(path: Path) -> None:
    """What the file does not have is passed over, as by anndata; what is sparse stays so; a matrix may be empty."""
    write_h5ad(anndata.AnnData(obs=pd.DataFrame(index=["a"])), path)
    assert read_h5ad(path, as_sparse=["X", "raw/X"]).X is None
    write_h5ad(an_object(sp.csc_matrix), path)
    assert read_h5ad(path, as_sparse=["X"]).X.format == "csc"
    write_h5ad(anndata.AnnData(np.zeros((0, 3))), path)
    assert_equal(read_h5ad(path, as_sparse="X"), anndata.read_h5ad(path, as_sparse=["X"]), exact=True)
    with pytest.raises(ValueError, match="as_sparse_fmt must be"):
        read_h5ad(path, as_sparse="X", as_sparse_fmt=sp.coo_matrix)


def test_an_object_without_raw_has_none_to_make_dense(path: Path) -> None:
    with pytest.raises(ValueError, match="no raw"):
        write_h5ad(anndata.AnnData(sp.csr_matrix(DENSE)), path, as_dense="raw/X")


def test_an_existing_file_is_replaced_unless_said_otherwise(path: Path) -> None:
    write_h5ad(an_object(), path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        write_h5ad(an_object()[:3].copy(), path, overwrite=False)
    assert path.read_bytes() == before
    write_h5ad(an_object()[:3].copy(), path)
    assert read_h5ad(path).n_obs == 3
    assert list(path.parent.iterdir()) == [path]


# ---------------------------------------------------------------- backed


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_backed_objects_read_and_are_written_from_their_file(kind: Any, path: Path, tmp_path: Path) -> None:
    write_h5ad(an_object(kind), path)
    backed = read_h5ad(path, backed="r")
    assert backed.isbacked
    assert_equal(backed.to_memory(), anndata.read_h5ad(path, backed="r").to_memory(), exact=True)
    write_h5ad(backed, tmp_path / "copy.h5ad", compression="gzip")
    assert_equal(read_h5ad(tmp_path / "copy.h5ad"), an_object(kind), exact=True)
    write_h5ad(backed, tmp_path / "dense.h5ad", as_dense=["X", "raw/X"])
    dense = anndata.read_h5ad(tmp_path / "dense.h5ad")
    assert np.array_equal(dense.X, DENSE)
    assert np.array_equal(dense.raw.X, DENSE)
    if NO_BACKED_SPARSE and sp.issparse(kind(DENSE)):
        backed.file.close()
        return
    view = backed[5:9]
    write_h5ad(view, tmp_path / "view.h5ad")
    assert np.array_equal(sp.csr_matrix(read_h5ad(tmp_path / "view.h5ad").X).toarray(), DENSE[5:9])
    backed.file.close()


def test_backed_objects_without_x_and_with_a_damaged_one(path: Path, tmp_path: Path) -> None:
    write_h5ad(anndata.AnnData(obs=pd.DataFrame(index=["a", "b"])), path)
    backed = read_h5ad(path, backed="r")
    write_h5ad(backed, tmp_path / "copy.h5ad")
    backed.file.close()
    assert (read_h5ad(tmp_path / "copy.h5ad").X, read_h5ad(tmp_path / "copy.h5ad").n_obs) == (None, 2)
    changed(path, lambda file: file.__delitem__("X/indices"))
    backed = read_h5ad(path, backed="r")
    with pytest.raises(CorruptFileError, match="/X: its dataset 'indices' is missing"):
        write_h5ad(backed, tmp_path / "copy.h5ad")
    backed.file.close()


def test_a_backed_object_over_its_own_file(path: Path) -> None:
    write_h5ad(an_object(np.asarray), path)
    backed = read_h5ad(path, backed="r+")
    backed.X[2] = 9
    backed.obs["new"] = 1.5
    write_h5ad(backed, path, compression="gzip")
    found = read_h5ad(path)
    assert (found.X[2] == 9).all()
    assert (found.obs["new"] == 1.5).all()
    assert np.array_equal(found.X[3:], DENSE[3:])
    assert np.array_equal(backed.X[3], DENSE[3])  # the object goes on with the new file
    backed.file.close()


# ---------------------------------------------------------------- earlier and foreign forms


def an_old_file(path: Path) -> None:
    """As anndata 0.6 wrote it: tables as compounds, categories in uns, raw as elements with a dot."""
    with h5py.File(path, "w") as file:
        matrix = sp.random(4, 3, 0.5, "csr", random_state=2)
        group = file.create_group("X")
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", matrix.shape
        for part in ("data", "indices", "indptr"):
            group[part] = getattr(matrix, part)
        rows = [(b"a", 1, 0), (b"b", 2, 1), (b"c", 3, 1), (b"d", 4, -1)]
        file["obs"] = np.array(rows, dtype=[("index", "S2"), ("n", "i4"), ("cat", "i1")])
        file["var"] = np.array([(b"x", 1.5), (b"y", 2), (b"z", 3)], dtype=[("index", "S2"), ("m", "f8")])
        file["obsm"] = np.array([([1, 2.0],)] * 4, dtype=[("X_pca", "f8", (2,))])
        file["uns/cat_categories"] = np.array([b"u", b"v"])
        file["uns/one"] = np.array([b"text"])
        file["uns/number"] = 3
        file["raw.X"] = np.eye(4)[:, :3]
        file["raw.var"] = np.array([(b"x",), (b"y",), (b"z",)], dtype=[("index", "S2")])


def test_files_of_the_first_versions(path: Path) -> None:
    an_old_file(path)
    found = read_h5ad(path)
    assert_equal(found, anndata.read_h5ad(path), exact=True)
    assert found.obs["cat"].tolist()[:3] == ["u", "v", "v"]
    assert found.raw.X.tolist() == np.eye(4)[:, :3].tolist()
    sparse = read_h5ad(path, as_sparse="raw/X")
    assert sparse.raw.X.format == "csr"
    assert np.array_equal(sparse.raw.X.toarray(), found.raw.X)


def test_a_backed_file_of_the_first_versions_is_written_whole(path: Path, tmp_path: Path) -> None:
    an_old_file(path)
    backed = read_h5ad(path, backed="r")
    write_h5ad(backed, tmp_path / "new.h5ad")
    backed.file.close()
    new, old = anndata.read_h5ad(tmp_path / "new.h5ad"), anndata.read_h5ad(path)
    assert np.array_equal(new.raw.X, old.raw.X)  # stored as raw.X
    assert np.array_equal(new.X.toarray(), old.X.toarray())
    with h5py.File(path, "r+") as file:
        file["X"].attrs["h5sparse_format"] = "coo"
    backed = read_h5ad(path, backed="r")
    with pytest.raises(UnsupportedValueError, match="a sparse matrix of the format 'coo'"):
        write_h5ad(backed, tmp_path / "other.h5ad")
    backed.file.close()


def without_raw(file: Any) -> None:
    for name in ("raw.X", "raw.var"):
        del file[name]


OTHER_CATEGORIES = {"n_categories": [b"u"], "nothing_categories": [b"u"], "m_categories": [b"u"]}


@pytest.mark.parametrize(
    "change",
    [
        without_raw,
        lambda file: file.__delitem__("raw.X"),
        lambda file: file.__delitem__("obsm"),
        lambda file: file["uns"].update({name: np.array(value) for name, value in OTHER_CATEGORIES.items()}),
    ],
    ids=["no raw", "a raw without X", "no obsm", "categories that are no column's"],
)
def test_first_versions_as_anndata_reads_them(change: Any, path: Path) -> None:
    an_old_file(path)
    with h5py.File(path, "r+") as file:
        change(file)
    found, expected = read_h5ad(path), anndata.read_h5ad(path)
    assert_equal(found, expected, exact=True)
    assert (found.raw is None) == (expected.raw is None)


def test_old_names_of_raw_beside_tables_as_groups(path: Path) -> None:
    def rename(file: Any) -> None:
        for name in ("X", "var", "varm"):
            file.move(f"raw/{name}", f"raw.{name}")
        del file["raw"]

    changed(path, rename)
    assert_equal(read_h5ad(path), anndata.read_h5ad(path), exact=True)
    assert np.array_equal(read_h5ad(path).raw.X.toarray(), DENSE)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("obs", [1, 2], "/obs: its dataset holds int64, not records"),
        ("raw.var", 3, "/raw.var: its dataset holds int64, not records"),
        ("uns", 3, "/uns: it is int64, not a group of elements"),
        ("obsm", 3, "/obsm: it is int64, not a group of elements"),
        ("raw/X", [[3.0]], "both the earlier and the present form of raw"),
    ],
)
def test_first_versions_with_something_else_in_them(name: str, value: Any, message: str, path: Path) -> None:
    an_old_file(path)
    with h5py.File(path, "r+") as file:
        file.pop(name, None)
        file[name] = value
    with pytest.raises((CorruptFileError, ValueError), match=rf"file\.h5ad: .*{message}"):
        read_h5ad(path)


def test_text_of_fixed_length_as_other_languages_write_it(path: Path) -> None:
    """R's packages write text, attributes included, of fixed length, some attributes as arrays of one element."""
    with (
        anndata.settings.override(allow_write_nullable_strings=False) if hasattr(anndata, "settings") else nullcontext()
    ):
        write_h5ad(an_object(np.asarray), path)
    with h5py.File(path, "r+") as file:
        for name in ("obs/_index", "var/_index"):
            texts = np.array([item.encode() for item in file[name].asstr()[:]])
            attrs = dict(file[name].attrs)
            del file[name]
            file[name] = texts
            for key, value in attrs.items():
                file[name].attrs[key] = np.array([value.encode()])
        file.attrs["encoding-type"] = np.bytes_("anndata")
    assert_equal(read_h5ad(path), an_object(np.asarray))


def test_what_is_not_a_part_of_an_object_is_told(path: Path) -> None:
    write_h5ad(an_object(), path)
    with h5py.File(path, "r+") as file:
        file["extra"] = 1
    with pytest.warns(UserWarning, match="extra at its top is not a part"):
        read_h5ad(path)


# ---------------------------------------------------------------- what is not right


def changed(path: Path, change: Any) -> None:
    write_h5ad(an_object(), path)
    with h5py.File(path, "r+") as file:
        change(file)


def put(file: Any, name: str, value: Any, encoding: str, version: str) -> None:
    del file[name]
    file[name] = value
    file[name].attrs.update({"encoding-type": encoding, "encoding-version": version})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.__delitem__("X/indices"), "/X: .*'csr_matrix' says: there is no 'indices'"),
        (lambda file: file["X/indices"].__setitem__(0, 60), "/X: .*says: .*ind"),
        (lambda file: file["X/indices"].__setitem__(0, -1), "/X: .*says: .*ind"),
        (lambda file: file["X/indptr"].__setitem__(3, 10**6), "/X: .*says: "),
        (lambda file: file["X"].attrs.__setitem__("shape", [400]), "/X: .*shape"),
        (lambda file: file["obs"].attrs.__delitem__("_index"), "/obs: .*there is no '_index'"),
        (lambda file: file.__delitem__("obs/n"), "/obs: .*there is no 'n'"),
        (lambda file: file["obs/n"].attrs.__setitem__("encoding-type", "string-array"), "/obs/n: .*not text"),
        (lambda file: file["obs"].attrs.__setitem__("encoding-type", "array"), "/obs: .*not a dataset"),
        (lambda file: put(file, "obs/n", h5py.Empty("f4"), "array", "0.2.0"), "/obs/n: .*dataspace is null"),
        (lambda file: put(file, "obs/n", [1], "rec-array", "0.2.0"), "/obs/n: .*not records"),
        (lambda file: put(file, "obs/n", [1], "dict", "0.1.0"), "/obs/n: .*not a group"),
        (lambda file: put(file, "raw", 3, "numeric-scalar", "0.2.0"), "/raw: .*not a group"),
        (lambda file: put(file, "X", np.eye(3), "array", "0.2.0"), "as many rows as"),
        (lambda file: put(file, "uns", 3, "numeric-scalar", "0.2.0"), r"/uns: it is int\d*, not a group of elements"),
    ],
)
def test_elements_that_are_not_what_they_say_are_named(change: Any, message: str, path: Path) -> None:
    changed(path, change)
    with pytest.raises(CorruptFileError, match=message):
        read_h5ad(path)


def test_unknown_encodings_and_other_files(path: Path) -> None:
    changed(path, lambda file: file["obs/n"].attrs.__setitem__("encoding-version", "9.0"))
    with pytest.raises(ValueError, match=r"/obs/n has the encoding 'array' of version '9\.0'"):
        read_h5ad(path)
    changed(path, lambda file: file.attrs.__setitem__("encoding-type", "MuData"))
    with pytest.raises(ValueError, match=r"not an AnnData file, but one of the encoding 'MuData'"):
        read_h5ad(path)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="neither obs nor var"):
        read_h5ad(path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(OSError, match=r"file\.h5ad"):
        read_h5ad(path)
    with pytest.raises(FileNotFoundError):
        read_h5ad(path.parent / "missing.h5ad")
    with pytest.raises(ValueError, match="backed must be"):
        read_h5ad(path, backed="w")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "where", ["X", "obs", "uns", "obsm", "layers", "raw/X", "raw/varm", "layers/x", "obsm/x", "obs/x"]
)
@pytest.mark.parametrize("made", ["group", "number", "text", "array"])
def test_elements_of_another_kind_are_damage_that_is_named(where: str, made: str, path: Path) -> None:
    """Whatever stands in the place of an element: an error of the file's, or it is read; never one of Python's."""
    values = {"number": 3, "text": "x", "array": [1, 2]}
    marks = [encoding for encoding in elements.readable() if encoding.name]
    refused = 0
    adata = anndata.AnnData(np.eye(2), layers={"x": np.eye(2)}, obsm={"x": np.eye(2)})
    adata.obs["x"], adata.raw = [1, 2], adata.copy()
    write_h5ad(adata, path)
    for name, version in marks:
        with h5py.File(path, "r+") as file:
            del file[where]
            node = file.create_group(where) if made == "group" else file.create_dataset(where, data=values[made])
            node.attrs["encoding-type"], node.attrs["encoding-version"] = name, version
        try:
            read_h5ad(path)
        except (CorruptFileError, ValueError):
            refused += 1
    assert refused > len(marks) // 2


def test_a_fault_of_the_program_is_not_called_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_h5ad(an_object(), path)
    monkeypatch.delattr("h5burst.anndata.arrays.np.asarray")
    with pytest.raises(AttributeError, match="asarray"):
        read_h5ad(path)


def test_x_as_the_layer_none(path: Path) -> None:
    """As anndata 0.13 keeps it: X is stored once, and the layers have text for names."""

    class Layers(dict):  # type: ignore[type-arg]
        pass

    adata = an_object(np.asarray)
    adata.layers["twice"] = 2 * DENSE
    parts = Layers({None: adata.X, "twice": adata.layers["twice"]})
    holder = type("Holder", (), {"layers": parts, "uns": {None: 1}})()
    assert list(encodings.members_of(holder, "layers")) == ["twice"]
    assert list(encodings.members_of(holder, "uns")) == [None]  # refused by its name, as ever
    write_h5ad(adata, path)
    with h5py.File(path) as file:
        assert list(file["layers"]) == ["twice"]
        assert np.array_equal(file["X"][:], DENSE)
    assert_equal(read_h5ad(path), anndata.read_h5ad(path), exact=True)


def test_a_file_of_mudata_is_told_apart(path: Path) -> None:
    write_h5ad(an_object(), path)
    with h5py.File(path, "r+") as file:
        file.attrs["encoding-type"] = "MuData"
    with pytest.raises(ValueError, match="of the encoding 'MuData': read_h5mu"):
        read_h5ad(path)
