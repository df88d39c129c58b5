"""The structures hold what they promise and refuse what does not fit."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

import scpstore.core.exceptions as errors
from scpstore.core import equality
from scpstore.core.structures import (
    AggregationLink,
    Assay,
    MaskCode,
    MatrixMetadata,
    ProvenanceLog,
    ScpContainer,
    ScpMatrix,
)
from support.sources import Rows

FORMATS = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")


def ids(prefix: str, count: int) -> pl.DataFrame:
    return pl.DataFrame({"_index": [f"{prefix}{number}" for number in range(count)]})


def a_container() -> ScpContainer:
    X = np.arange(12.0).reshape(3, 4)
    M = np.zeros((3, 4), np.int8)
    proteins = Assay(
        ids("p", 4).with_columns(mass=pl.Series([1.0, 2.0, 3.0, 4.0])),
        {"X": ScpMatrix(X, M, MatrixMetadata(detection_limits=np.arange(4.0), confidence_scores=X))},
    )
    peptides = Assay(ids("q", 2), {"raw": ScpMatrix(sp.csr_matrix(np.eye(3, 2)))})
    linkage = pl.DataFrame({"source_id": ["q0", "q1"], "target_id": ["p0", "p3"]})
    obs = ids("s", 3).with_columns(batch=pl.Series(["a", "b", "a"]))
    return ScpContainer(
        obs, {"proteins": proteins, "peptides": peptides}, [AggregationLink("peptides", "proteins", linkage)]
    )


def test_mask_codes_have_their_numbers() -> None:
    names = ["VALID", "MBR", "LOD", "FILTERED", "OUTLIER", "IMPUTED", "UNCERTAIN"]
    assert [(code.name, code.value) for code in MaskCode] == list(zip(names, range(7), strict=True))


# ---------------------------------------------------------------- matrices


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_float_values_keep_their_dtype_and_are_not_copied(dtype: str) -> None:
    X = np.zeros((2, 3), dtype)
    assert ScpMatrix(X).X is X


@pytest.mark.parametrize("dtype", ["i1", "i8", "u2", "?", "O"])
def test_other_dtypes_become_float64(dtype: str) -> None:
    assert ScpMatrix(np.ones((2, 3), dtype)).X.dtype == np.float64


@pytest.mark.parametrize("fmt", FORMATS)
def test_sparse_values_of_any_format(fmt: str) -> None:
    X = sp.eye(3, 4, format=fmt, dtype=np.int64)
    matrix = ScpMatrix(X, sp.eye(3, 4, format=fmt, dtype=np.int8))
    assert matrix.X.format == matrix.M.format == fmt
    assert matrix.X.dtype == np.float64
    assert matrix.M.dtype == np.int8


@pytest.mark.parametrize("M", [np.full((2, 3), 7), np.full((2, 3), -1), np.full((2, 3), 0.5), np.full((2, 3), np.nan)])
def test_invalid_codes(M: Any) -> None:
    for codes in (M, sp.csr_matrix(M), sp.lil_matrix(M)):
        with pytest.raises(ValueError, match="not a mask code") as caught:
            ScpMatrix(np.zeros((2, 3)), codes)
        assert isinstance(caught.value, errors.MaskCodeError)
    assert errors.MaskCodeError("x", invalid_code=7).invalid_code == 7


def test_codes_of_other_dtypes_become_int8() -> None:
    assert ScpMatrix(np.zeros((2, 3)), np.full((2, 3), 6.0)).M.dtype == np.int8
    assert ScpMatrix(np.zeros((2, 3)), [[0, 1, 2], [3, 4, MaskCode.IMPUTED]]).M.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_shapes_must_match() -> None:
    with pytest.raises(ValueError, match=r"X is \(2, 3\), M is \(3, 2\)") as caught:
        ScpMatrix(np.zeros((2, 3)), np.zeros((3, 2)))
    assert isinstance(caught.value, errors.DimensionError)
    assert caught.value.expected_shape == (2, 3)
    assert caught.value.actual_shape == (3, 2)
    with pytest.raises(ValueError, match="2 dimensions"):
        ScpMatrix(np.zeros(3))


def test_sources_must_have_the_dtype_that_is_kept() -> None:
    X = Rows(np.ones((2, 3)))
    assert ScpMatrix(X, Rows(np.ones((2, 3), np.int8))).X is X
    with pytest.raises(TypeError, match="X is read block by block and must be of a float dtype, got int32"):
        ScpMatrix(Rows(np.ones((2, 3), np.int32)))
    with pytest.raises(TypeError, match="M is read block by block and must be int8, got float64"):
        ScpMatrix(X, Rows(np.ones((2, 3))))


def test_text_is_no_mask() -> None:
    with pytest.raises(errors.MaskCodeError, match="M must hold mask codes, got dtype <U1"):
        ScpMatrix(np.ones((2, 3)), np.full((2, 3), "a"))


def test_a_copy_of_metadata_shares_nothing() -> None:
    metadata = MatrixMetadata(creation_info={"by": ["us"]})
    made = metadata.copy()
    made.creation_info["by"].append("them")
    assert metadata.creation_info == {"by": ["us"]}


def test_extras_that_are_sources_are_cut_with_the_samples() -> None:
    container = a_container()
    pca, distances = np.arange(6.0).reshape(3, 2), np.arange(9.0).reshape(3, 3)
    container.extras.obsm["pca"], container.extras.obsp["distances"] = Rows(pca), Rows(distances)
    some = container.filter_samples(["s2", "s0"]).extras
    np.testing.assert_array_equal(some.obsm["pca"], pca[[2, 0]])
    np.testing.assert_array_equal(some.obsp["distances"], distances[[2, 0]][:, [2, 0]])


def test_get_m_makes_a_mask_of_the_kind_of_x() -> None:
    M = np.ones((2, 3), np.int8)
    assert ScpMatrix(np.zeros((2, 3)), M).get_m() is M
    made = ScpMatrix(np.zeros((2, 3))).get_m()
    assert made.dtype == np.int8
    assert not made.any()
    sparse = ScpMatrix(sp.csr_matrix((2, 3))).get_m()
    assert sp.issparse(sparse)
    assert sparse.nnz == 0
    assert sparse.dtype == np.int8


def test_a_copy_shares_nothing() -> None:
    matrix = ScpMatrix(np.zeros((2, 3)), np.zeros((2, 3), np.int8), MatrixMetadata(creation_info={"a": [1]}))
    made = matrix.copy()
    assert made == matrix
    made.X[0, 0], made.M[0, 0] = 1.0, 1
    made.metadata.creation_info["a"].append(2)
    assert matrix.X[0, 0] == 0
    assert matrix.M[0, 0] == 0
    assert matrix.metadata.creation_info == {"a": [1]}


# ---------------------------------------------------------------- assays


def test_ids_must_be_there_and_unique() -> None:
    with pytest.raises(ValueError, match=r"not unique: \['p'\]"):
        Assay(pl.DataFrame({"_index": ["p", "p"]}))
    with pytest.raises(ValueError, match="Column 'id' not found in var"):
        Assay(ids("p", 2), feature_id_col="id")
    with pytest.raises(ValueError, match="not unique"):
        ScpContainer(pl.DataFrame({"_index": ["s", "s"]}))
    with pytest.raises(ValueError, match="Column '_index' not found in obs"):
        ScpContainer(pl.DataFrame({"id": ["s"]}))


def test_widths_and_heights_must_match() -> None:
    with pytest.raises(ValueError, match="Layer 'raw' has 3 features, its assay has 2"):
        Assay(ids("p", 2), {"raw": ScpMatrix(np.zeros((4, 3)))})
    assay = Assay(ids("p", 2), {"raw": ScpMatrix(np.zeros((4, 2)))})
    with pytest.raises(ValueError, match="Assay 'a', layer 'raw' has 4 samples, the container has 3"):
        ScpContainer(ids("s", 3), {"a": assay})
    with pytest.raises(ValueError, match="has 5 features"):
        assay.add_layer("more", ScpMatrix(np.zeros((4, 5))))


def test_assay_properties() -> None:
    assay = a_container().assays["proteins"]
    assert repr(assay).startswith("<Assay n_features=")
    assert assay.n_features == 4
    assert assay.feature_ids.to_list() == ["p0", "p1", "p2", "p3"]
    assert assay.X is assay.layers["X"].X
    assert Assay(ids("p", 1)).X is None


@pytest.mark.parametrize("chosen", [[2, 0], np.array([2, 0]), [-2, -4]])
def test_subset_takes_features_in_order(chosen: Any) -> None:
    assay = a_container().assays["proteins"]
    made = assay.subset(chosen)
    assert made.feature_ids.to_list() == ["p2", "p0"]
    assert made.X.tolist() == assay.X[:, [2, 0]].tolist()
    assert made.layers["X"].metadata.detection_limits.tolist() == [2.0, 0.0]
    assert made.layers["X"].metadata.confidence_scores.tolist() == made.X.tolist()


def test_subset_by_mask_slice_and_nothing() -> None:
    assay = a_container().assays["proteins"]
    assert assay.subset(np.array([True, False, False, True])).feature_ids.to_list() == ["p0", "p3"]
    assert assay.subset(slice(1, None, 2)).feature_ids.to_list() == ["p1", "p3"]
    assert assay.subset([]).X.shape == (3, 0)
    with pytest.raises(ValueError, match=r"must be in \[0, 4\)"):
        assay.subset([4])
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        assay.subset([True])
    with pytest.raises(ValueError, match="whole numbers"):
        assay.subset([0.5])


def test_subset_may_share_what_stays_whole() -> None:
    assay = a_container().assays["proteins"]
    assert assay.subset(range(4), copy_data=False).X is assay.X
    assert not np.shares_memory(assay.subset(range(4)).X, assay.X)


@pytest.mark.parametrize("fmt", FORMATS)
def test_subset_keeps_sparse_formats(fmt: str) -> None:
    X = sp.random(3, 4, 0.5, format=fmt, random_state=0)
    made = Assay(ids("p", 4), {"X": ScpMatrix(X)}).subset([3, 1])
    assert made.X.format == fmt
    np.testing.assert_array_equal(made.X.toarray(), X.toarray()[:, [3, 1]])


# ---------------------------------------------------------------- containers


def test_container_properties() -> None:
    container = a_container()
    assert container.n_samples == 3
    assert container.n_features == 6
    assert container.shape == (3, 6)
    assert container.sample_ids.to_list() == ["s0", "s1", "s2"]
    assert "proteins (4: ['X'])" in repr(container)


def test_add_assay_returns_the_container_and_refuses_a_taken_name() -> None:
    container = a_container()
    assert container.add_assay("new", Assay(ids("x", 1))) is container
    with pytest.raises(errors.StructureError, match="Assay 'new' already exists"):
        container.add_assay("new", Assay(ids("x", 1)))


def test_log_operation() -> None:
    container = a_container()
    container.log_operation("normalise", {"method": "median"}, "why", "1.2")
    step = container.history[-1]
    assert (step.action, step.params, step.description, step.software_version) == (
        "normalise", {"method": "median"}, "why", "1.2",
    )  # fmt: skip
    assert step.timestamp.startswith("20")
    assert ProvenanceLog("t", "a", {}) == ProvenanceLog("t", "a", {}, None, None)


def test_deep_copies_share_nothing_and_shallow_ones_share_arrays() -> None:
    container = a_container()
    for deep in (container.copy(), container.deepcopy(), copy.deepcopy(container)):
        assert deep == container
        assert not np.shares_memory(deep.assays["proteins"].X, container.assays["proteins"].X)
    for shallow in (container.shallow_copy(), container.copy(deep=False)):
        assert shallow == container
        assert shallow.assays["proteins"].X is container.assays["proteins"].X
        shallow.assays["proteins"].add_layer("new", ScpMatrix(np.zeros((3, 4))))
        shallow.log_operation("x", {})
        del shallow.assays["peptides"]
    assert list(container.assays) == ["proteins", "peptides"]
    assert list(container.assays["proteins"].layers) == ["X"]
    assert container.history == []


CHOICES: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((["s2", "s0"],), {}),
    ((), {"sample_ids": pl.Series(["s2", "s0"])}),
    (([2, 0],), {}),
    ((), {"sample_indices": np.array([2, 0])}),
]


@pytest.mark.parametrize(("args", "kwargs"), CHOICES)
def test_filter_samples_in_order(args: Any, kwargs: Any) -> None:
    container = a_container()
    made = container.filter_samples(*args, **kwargs)
    assert made.sample_ids.to_list() == ["s2", "s0"]
    assert made.assays["proteins"].X.tolist() == container.assays["proteins"].X[[2, 0]].tolist()
    assert made.assays["peptides"].layers["raw"].X.toarray().tolist() == [[0, 0], [1, 0]]
    assert made.history[-1].action == "filter_samples"
    assert container.n_samples == 3
    assert container.history == []


@pytest.mark.parametrize("mask", [[True, False, True], np.array([True, False, True]), pl.col("batch") == "a"])
def test_filter_samples_by_mask_or_expression(mask: Any) -> None:
    container = a_container()
    name = "polars_expression" if isinstance(mask, pl.Expr) else "boolean_mask"
    for made in (container.filter_samples(mask), container.filter_samples(**{name: mask})):
        assert made.sample_ids.to_list() == ["s0", "s2"]


@pytest.mark.parametrize("chosen", [["p3", "p0"], [3, 0]])
def test_filter_features_and_their_links(chosen: Any) -> None:
    container = a_container()
    made = container.filter_features("proteins", chosen)
    assert made.assays["proteins"].feature_ids.to_list() == ["p3", "p0"]
    made.validate_links()
    assert made.links[0].linkage.rows() == [("q0", "p0"), ("q1", "p3")]
    fewer = container.filter_features("proteins", polars_expression=pl.col("mass") < 3)
    assert fewer.links[0].linkage.rows() == [("q0", "p0")]
    assert fewer.assays["peptides"] == container.assays["peptides"]
    assert container.links[0].linkage.height == 2


def test_filters_may_share_what_does_not_change() -> None:
    container = a_container()
    made = container.filter_features("proteins", ["p0"], copy=False)
    assert made.assays["peptides"] is container.assays["peptides"]


def test_filters_refuse_what_they_do_not_find() -> None:
    container = a_container()
    with pytest.raises(ValueError, match=r"sample IDs not found: \['nobody'\]"):
        container.filter_samples(["s0", "nobody"])
    with pytest.raises(errors.AssayNotFoundError, match=r"Assay 'none' not found .*'proteins', 'peptides'"):
        container.filter_features("none", [0])
    with pytest.raises(ValueError, match="exactly one way"):
        container.filter_samples()
    with pytest.raises(ValueError, match="exactly one way"):
        container.filter_samples(["s0"], sample_indices=[0])
    with pytest.raises(ValueError, match="polars_expression must be boolean"):
        container.filter_samples(pl.col("batch"))
    with pytest.raises(ValueError, match="boolean_mask must be boolean"):
        container.filter_samples(boolean_mask=[0, 1, 2])


@pytest.mark.parametrize("chosen", ["s1", slice(1, 2), [1], [False, True, False]])
def test_samples_may_be_given_by_position_in_the_place_of_ids(chosen: Any) -> None:
    assert a_container().filter_samples(chosen).sample_ids.to_list() == ["s1"]


def test_null_in_an_expression_is_left_out() -> None:
    container = ScpContainer(ids("s", 2).with_columns(age=pl.Series([None, 3])))
    assert container.filter_samples(pl.col("age") > 1).sample_ids.to_list() == ["s1"]


def test_validate_links() -> None:
    container = a_container()
    container.validate_links()
    container.links.append(AggregationLink("peptides", "none", container.links[0].linkage))
    with pytest.raises(errors.AssayNotFoundError):
        container.validate_links()
    linkage = pl.DataFrame({"source_id": ["q0"], "target_id": ["unknown"]})
    container.links[-1] = AggregationLink("peptides", "proteins", linkage)
    with pytest.raises(ValueError, match=r"target_id not in 'proteins': \['unknown'\]"):
        container.validate_links()


def test_a_linkage_needs_its_columns() -> None:
    with pytest.raises(ValueError, match="Column 'target_id' not found in the linkage"):
        AggregationLink("a", "b", pl.DataFrame({"source_id": ["x"]}))


def test_ids_without_a_value_or_that_look_the_same_are_told() -> None:
    with pytest.warns(UserWarning, match="the ID in row 1 of obs is null"):
        ScpContainer(pl.DataFrame({"_index": ["a", None, "b"]}))
    with pytest.warns(UserWarning, match="IDs of var look the same"):
        Assay(pl.DataFrame({"_index": ["\u00e9", "x", "e\u0301"]}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Assay(pl.DataFrame({"_index": ["\u00e9", "\u00e8", "\U0001f600"]}))


# ---------------------------------------------------------------- errors and equality


def test_errors_are_of_one_family() -> None:
    for error in (
        errors.StructureError("x"),
        errors.ValidationError("x", field="f"),
        errors.DimensionError("x", expected_shape=(1, 2), actual_shape=(2, 1)),
        errors.MaskCodeError("x", invalid_code=9),
        errors.AssayNotFoundError("a"),
        errors.LayerNotFoundError("l", "a"),
    ):
        assert isinstance(error, errors.ScpTensorError)
    assert errors.ValidationError("x", field="f").field == "f"
    assert str(errors.LayerNotFoundError("l", "a", ["m"])) == "Layer 'l' not found in assay 'a' (available: 'm')"


def _changes() -> dict[str, Any]:
    def assay(container: ScpContainer) -> Assay:
        return container.assays["proteins"]

    def set_x(container: ScpContainer, value: float) -> None:
        assay(container).X[0, 0] = value

    return {
        "a value": lambda c: set_x(c, 5.0),
        "the sign of zero": lambda c: set_x(c, -0.0),
        "a mask": lambda c: assay(c).layers["X"].M.__setitem__((0, 0), 1),
        "a dtype": lambda c: setattr(assay(c).layers["X"], "X", assay(c).X.astype("f4")),
        "a format": lambda c: setattr(
            c.assays["peptides"].layers["raw"], "X", c.assays["peptides"].layers["raw"].X.tocsc()
        ),
        "a name": lambda c: setattr(c, "obs", c.obs.rename({"batch": "b"})),
        "the order of columns": lambda c: setattr(c, "obs", c.obs.select("batch", "_index")),
        "the dtype of a column": lambda c: setattr(c, "obs", c.obs.cast({"batch": pl.Categorical})),
        "a null": lambda c: setattr(c, "obs", c.obs.with_columns(batch=pl.Series(["a", None, "a"]))),
        "a link": lambda c: c.links.clear(),
        "the history": lambda c: c.log_operation("x", {}),
        "metadata": lambda c: setattr(assay(c).layers["X"].metadata, "creation_info", {}),
        "the order of assays": lambda c: setattr(c, "assays", dict(reversed(c.assays.items()))),
        "an ID column": lambda c: setattr(c, "sample_id_col", "batch"),
        "a layer": lambda c: assay(c).add_layer("new", assay(c).layers["X"]),
    }


@pytest.mark.parametrize("change", _changes())
def test_containers_that_differ_are_not_equal(change: str) -> None:
    container = a_container()
    assert container == a_container()
    _changes()[change](container)
    assert container != a_container()


def _empty_structs() -> pl.DataFrame:
    return pl.DataFrame({"a": pl.Series([{}], dtype=pl.Struct([]))})


@pytest.mark.parametrize(
    ("a", "b", "difference"),
    [
        (sp.csr_matrix((2, 3)), sp.csr_matrix((3, 3)), "x: csr_matrix float64 (2, 3) != csr_matrix float64 (3, 3)"),
        (sp.csr_matrix(np.eye(2)), sp.csr_matrix(2 * np.eye(2)), "x.data[0]: np.float64(1.0) != np.float64(2.0)"),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [1]}), "x: columns ['a'] != ['b']"),
        (pl.DataFrame({"a": [[1]]}), pl.DataFrame({"a": [[1, 2]]}), "x['a']: lists of different lengths"),
        (_empty_structs(), _empty_structs(), None),
    ],
)
def test_a_difference_says_where(a: Any, b: Any, difference: str | None) -> None:
    assert equality.difference(a, b, "x") == difference


def test_identical_or_an_error_that_says_where() -> None:
    container = a_container()
    equality.assert_identical(container, a_container())
    container.assays["proteins"].layers["X"].X[0, 0] = -1
    with pytest.raises(AssertionError, match=r"\.assays\['proteins'\]\.layers\['X'\]\.X\[0, 0\]: "):
        equality.assert_identical(container, a_container())


def test_params_are_compared_exactly() -> None:
    def step(value: Any) -> ScpContainer:
        return ScpContainer(ids("s", 1), history=[ProvenanceLog("t", "a", {"v": value})])

    different = [
        1,
        1.0,
        True,
        "1",
        (1,),
        [1],
        {1},
        np.int64(1),
        np.float64(1),
        np.array([1]),
        float("nan"),
        None,
        0.0,
        -0.0,
    ]
    for i, a in enumerate(different):
        for j, b in enumerate(different):
            assert (step(a) == step(b)) is (i == j), (a, b)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_a_boolean_mask_is_asked_what_it_means(kind: Any) -> None:
    X = np.array([[1.0, 3.0]])
    with pytest.raises(
        errors.MaskCodeError, match="M is boolean, and True would be read as 1, MBR: say which code True means"
    ):
        ScpMatrix(X, kind(X > 2))
