"""What scripts of the earlier package call on containers, and what of the first round changed since."""

from __future__ import annotations

from pathlib import Path

import first_round
import numpy as np
import polars as pl
import pytest

from scpstore import Assay, ScpContainer, ScpMatrix, ScpTensorError, load_hdf5
from scpstore.core import exceptions as errors

DATA = Path(__file__).parents[1] / "data" / "scpstore"


def a_container() -> ScpContainer:
    return first_round.sparse()


def test_what_there_is() -> None:
    container = a_container()
    assert container.list_assays() == ["proteins", "peptides"]
    assert container.list_layers("proteins") == ["coo", "csr", "csc", "lil", "dok", "dia", "bsr"]
    assert container.assay_shape("proteins") == (3, 3)
    assert container.assay_shape("peptides") == (3, 2)
    assert container.assays["proteins"].layers["csr"].shape == (3, 3)
    summary = container.summary()
    assert "3 samples, 2 assays, 5 features" in summary
    assert "link peptides -> proteins: 2 pairs" in summary
    html = container._repr_html_()
    assert "<td>peptides</td><td>2</td><td>X</td>" in html


def test_names_are_escaped_in_html() -> None:
    container = ScpContainer(pl.DataFrame({"_index": ["s"]}), {"<b>": Assay(pl.DataFrame({"_index": ["p"]}))})
    assert "<td>&lt;b&gt;</td>" in container._repr_html_()


@pytest.mark.parametrize("call", ["list_layers", "assay_shape"])
def test_an_unknown_assay_is_named(call: str) -> None:
    with pytest.raises(errors.AssayNotFoundError, match="'genes' not found") as caught:
        getattr(a_container(), call)("genes")
    assert caught.value.available_assays == ["proteins", "peptides"]


def test_errors_take_the_names_of_what_there_is() -> None:
    assay = errors.AssayNotFoundError("a", available_assays=["b", "c"])
    assert str(assay) == "Assay 'a' not found (available: 'b', 'c')"
    layer = errors.LayerNotFoundError("a", "p", available_layers=["b"])
    assert (layer.available_layers, layer.assay_name) == (["b"], "p")
    assert "'b'" in str(layer)


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (errors.ScpValueError("wrong", "k", 0), ValueError),
        (errors.VisualizationError("no data"), ScpTensorError),
        (errors.MissingDependencyError("umap"), ImportError),
    ],
)
def test_further_errors(error: Exception, base: type[Exception]) -> None:
    assert isinstance(error, base)
    assert isinstance(error, ScpTensorError)


def test_the_constructors_validate_unless_told_otherwise() -> None:
    twice = pl.DataFrame({"_index": ["p", "p"]})
    with pytest.raises(ValueError, match="not unique"):
        Assay(twice)
    assay = Assay(twice, validate_on_init=False)
    with pytest.raises(ValueError, match="not unique"):
        assay.validate()
    obs = pl.DataFrame({"_index": ["s"]})
    with pytest.raises(ValueError, match="not unique"):
        ScpContainer(obs, {"a": assay})
    container = ScpContainer(obs, {"a": assay}, validate_on_init=False)
    with pytest.raises(ValueError, match="not unique"):
        container.validate()
    wrong = {"a": Assay(pl.DataFrame({"_index": ["p"]}), {"X": ScpMatrix(np.ones((2, 1)))})}
    with pytest.raises(ValueError, match="layer 'X' has 2 samples"):
        ScpContainer(obs, wrong).validate()


@pytest.mark.parametrize("missing", ["feature", "assay"])
def test_links_that_dangle_are_refused(missing: str) -> None:
    link = first_round.DANGLING
    link = link if missing == "feature" else type(link)("proteins", "genes", link.linkage)
    with pytest.raises(ValueError, match="target_id not in 'proteins'" if missing == "feature" else "no assay 'genes'"):
        first_round.linked(link)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_file_of_the_first_round_with_a_link_that_dangles_loads_without_it(lazy: bool) -> None:
    with pytest.warns(UserWarning, match="links/0 is left out: Link proteins -> proteins: target_id not in 'proteins'"):
        loaded = load_hdf5(DATA / "first_round_dangling.h5", lazy=lazy)
    assert loaded == first_round.linked(None)
