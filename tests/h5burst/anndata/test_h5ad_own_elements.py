"""Elements of a user's own: registered in one place, written, read, replaced, and named where they are not known."""

from __future__ import annotations

from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

anndata = pytest.importorskip("anndata")

from h5burst import Array, CorruptFileError, Group  # noqa: E402
from h5burst.anndata import (  # noqa: E402
    Element,
    elements,
    read_h5ad,
    read_h5mu,
    register,
    update,
    write_h5ad,
    write_h5mu,
)

pytestmark = pytest.mark.filterwarnings("ignore")


class Spectrum:
    """Not an array, and not a mapping."""

    def __init__(self, peaks: Any, about: dict[str, Any]) -> None:
        self.peaks, self.about = peaks, about


class Ratio(Element):
    name, version, types = "test.ratio", "1", (Fraction,)

    def encode(self, value: Any, where: str, encoder: Any) -> Array:
        return Array(np.array([value.numerator, value.denominator]))

    def decode(self, node: Any, where: str, decoder: Any) -> Fraction:
        return Fraction(*map(int, node.data))


class SpectrumElement(Element):
    name, version, types = "test.spectrum", "2.0", (Spectrum,)

    def encode(self, value: Any, where: str, encoder: Any) -> Group:
        parts = {name: encoder.encode(getattr(value, name), f"{where}/{name}") for name in ("peaks", "about")}
        return Group(parts, {"unit": "m/z"})

    def decode(self, node: Any, where: str, decoder: Any) -> Spectrum:
        assert node.attrs["unit"] == "m/z"
        return Spectrum(*(decoder.decode(node[name], f"{where}/{name}") for name in ("peaks", "about")))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(elements, "_writers", list(elements._writers))
    monkeypatch.setattr(elements, "_readers", dict(elements._readers))


@pytest.fixture
def own(registry: None) -> None:
    register(Ratio)
    register(SpectrumElement)


def an_object() -> Any:
    spectrum = Spectrum(np.arange(6.0).reshape(3, 2), {"gear": Fraction(-3, 7), "text": "ü"})
    return anndata.AnnData(np.eye(3), uns={"spectrum": spectrum, "below": {"ratio": Fraction(1, 3)}})


def check(found: Any) -> None:
    assert found.uns["below"]["ratio"] == Fraction(1, 3)
    spectrum = found.uns["spectrum"]
    assert np.array_equal(spectrum.peaks, np.arange(6.0).reshape(3, 2))
    assert spectrum.about == {"gear": Fraction(-3, 7), "text": "ü"}


@pytest.mark.usefixtures("own")
def test_own_elements_come_back(tmp_path: Path) -> None:
    write_h5ad(an_object(), tmp_path / "own.h5ad", compression="gzip")
    check(read_h5ad(tmp_path / "own.h5ad"))
    with h5py.File(tmp_path / "own.h5ad") as file:
        assert dict(file["uns/spectrum"].attrs) == {
            "encoding-type": "test.spectrum",
            "encoding-version": "2.0",
            "unit": "m/z",
        }
        assert file["uns/spectrum/peaks"].attrs["encoding-type"] == "array"
        assert file["uns/spectrum/about/gear"].attrs["encoding-type"] == "test.ratio"
        assert file["uns/below/ratio"][:].tolist() == [1, 3]


@pytest.mark.usefixtures("own")
def test_own_elements_are_replaced_in_place_and_within_modalities(tmp_path: Path) -> None:
    mudata = pytest.importorskip("mudata")
    adata = an_object()
    write_h5ad(adata, tmp_path / "own.h5ad")
    adata.uns["below"]["ratio"] = Fraction(5, 4)
    update(tmp_path / "own.h5ad", adata, "uns/below/ratio")
    assert read_h5ad(tmp_path / "own.h5ad").uns["below"]["ratio"] == Fraction(5, 4)
    write_h5mu(mudata.MuData({"a": an_object()}), tmp_path / "own.h5mu")
    check(read_h5mu(tmp_path / "own.h5mu").mod["a"])


def test_without_the_package_whose_it_is_the_element_is_named(
    own: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_h5ad(an_object(), tmp_path / "own.h5ad")
    monkeypatch.delitem(elements._readers, Ratio.encoding())
    with pytest.raises(ValueError, match=r"uns/below/ratio has the encoding 'test.ratio' of version '1'.*the package"):
        read_h5ad(tmp_path / "own.h5ad")


@pytest.mark.usefixtures("own")
def test_damage_of_an_own_element_is_named(tmp_path: Path) -> None:
    write_h5ad(an_object(), tmp_path / "own.h5ad")
    with h5py.File(tmp_path / "own.h5ad", "r+") as file:
        del file["uns/spectrum/peaks"]
    with pytest.raises(CorruptFileError, match=r"/uns/spectrum: it is not what its encoding 'test.spectrum' says"):
        read_h5ad(tmp_path / "own.h5ad")


@pytest.mark.usefixtures("registry")
def test_the_last_that_takes_a_value_stores_it(tmp_path: Path) -> None:
    """An ordered dict is a mapping as well, of which there is a kind."""

    @register
    class Ordered(Element):
        name, version, types = "test.ordered", "1", (OrderedDict,)

        def encode(self, value: Any, where: str, encoder: Any) -> Group:
            return Group(
                {"names": encoder.encode(list(value), where), "values": encoder.encode([*value.values()], where)}
            )

        def decode(self, node: Any, where: str, decoder: Any) -> Any:
            names, values = (decoder.decode(node[part], where) for part in ("names", "values"))
            return OrderedDict(zip(names, values, strict=True))

    made = anndata.AnnData(np.eye(2))
    made.uns["order"] = OrderedDict(b=2, a=1)
    write_h5ad(made, tmp_path / "order.h5ad")
    found = read_h5ad(tmp_path / "order.h5ad").uns["order"]
    assert isinstance(found, OrderedDict)
    assert list(found.items()) == [("b", 2), ("a", 1)]


@pytest.mark.usefixtures("registry")
def test_what_cannot_be_registered() -> None:
    class Other(Element):
        name, version = "array", "0.2.0"

        def decode(self, node: Any, where: str, decoder: Any) -> None:
            return None

    class Nameless(Ratio):
        name = ""

    before = elements.readable()
    with pytest.raises(ValueError, match=r"'array' of version '0\.2\.0' is that of DenseArray"):
        register(Other)
    with pytest.raises(ValueError, match="Nameless has no name"):
        register(Nameless)
    with pytest.raises(TypeError, match="derived from Element"):
        register(Ratio())  # type: ignore[type-var]
    assert elements.readable() == before


@pytest.mark.usefixtures("registry")
def test_a_class_that_is_defined_once_more_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """As where a cell of a notebook is run again."""
    for scale in (1, 2):

        @register
        class Scaled(Element):
            name, version, types = "test.scaled", "1", (Fraction,)
            by = scale

            def encode(self, value: Any, where: str, encoder: Any) -> Array:
                return Array(np.array(float(value) * self.by))

            def decode(self, node: Any, where: str, decoder: Any) -> float:
                return float(node.data)

    write_h5ad(anndata.AnnData(np.eye(2), uns={"x": Fraction(1, 2)}), tmp_path / "again.h5ad")
    assert read_h5ad(tmp_path / "again.h5ad").uns["x"] == 1.0
    assert len([kind for kind in elements._writers if type(kind).__name__ == "Scaled"]) == 1
