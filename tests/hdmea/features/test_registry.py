"""The registry of features."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hdmea.features import FeatureExtractor, FeatureRegistry

NAMES = {
    "frif",
    "baseline_127",
    "step_up_5s_5i_b0_3x",
    "step_up_5s_5i_b0_30x",
    "step_up_5s_5i_3x",
    "green_blue_3s_3i_3x",
    "green_blue_3s_3i_3x_64_128_255",
    "freq_step_5st_3x",
    "moving_h_bar_s5_d8_3x",
    "perfect_dense_noise_15x15_15hz_r42_3min",
}
FAMILIES = {"baseline", "on_off", "chromatic", "chirp", "moving_bar", "dense_noise"}


class Doubled(FeatureExtractor):
    name: ClassVar[str] = "doubled"
    version: ClassVar[str] = "2.1"
    required_inputs: ClassVar[tuple[str, ...]] = ("spike_times",)
    output_schema: ClassVar[dict[str, str]] = {"value": "number"}
    runtime_class: ClassVar[str] = "slow"
    description: ClassVar[str] = "twice as much"

    def extract(
        self, unit_data: Any, stimulus_data: Any, config: Mapping[str, Any] | None = None, metadata: Any = None
    ) -> dict[str, Any]:
        return {"value": 2}


@pytest.fixture(autouse=True)
def _restored_registry() -> Iterator[None]:
    before, loaded = dict(FeatureRegistry._registry), FeatureRegistry._plugins_loaded
    yield
    FeatureRegistry.clear()
    FeatureRegistry._registry.update(before)
    FeatureRegistry._plugins_loaded = loaded


def test_the_specs_features_and_families_are_registered() -> None:
    assert set(FeatureRegistry.list_all()) == NAMES | FAMILIES
    for name in NAMES:
        assert FeatureRegistry.get(name).name == name


def test_register_and_get() -> None:
    assert FeatureRegistry.register("doubled")(Doubled) is Doubled
    assert FeatureRegistry.is_registered("doubled")
    assert FeatureRegistry.get("doubled") is Doubled


def test_scripts_may_set_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FeatureRegistry, "_registry", {"only": Doubled})
    assert FeatureRegistry.list_all() == ["only"]
    assert FeatureRegistry.get("only") is Doubled
    FeatureRegistry.register("another")(type("Another", (Doubled,), {}))
    assert set(FeatureRegistry._registry) == {"only", "another"}


def test_taken_name_is_refused() -> None:
    with pytest.raises(ValueError, match="'frif' is already registered, by Frif"):
        FeatureRegistry.register("frif")(Doubled)


def test_the_name_is_written_once() -> None:
    class Nameless(Doubled):
        """Says no name of its own."""

    FeatureRegistry.register("named_here")(Nameless)
    assert Nameless.name == "named_here"
    assert Doubled.name == "doubled"


def test_every_stimulus_that_ships_is_a_feature_of_its_family() -> None:
    from hdmea.features.families import FAMILIES as BY_NAME
    from hdmea.io.stimulus_config import shipped_families

    assert set(shipped_families()) == NAMES - {"frif"}
    for movie, family in shipped_families().items():
        assert issubclass(FeatureRegistry.get(movie), BY_NAME[family])


@pytest.mark.parametrize("name", ["", None])
def test_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="text"):
        FeatureRegistry.register(name)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(KeyError, match=r"Unknown feature .nothing.; there are: .*moving_h_bar_s5_d8_3x"):
        FeatureRegistry.get("nothing")


def test_metadata_are_the_classes_attributes() -> None:
    FeatureRegistry.register("doubled")(Doubled)
    assert FeatureRegistry.get_metadata("doubled") == {
        "name": "doubled",
        "version": "2.1",
        "required_inputs": ["spike_times"],
        "output_schema": {"value": "number"},
        "runtime_class": "slow",
        "description": "twice as much",
    }
    everything = FeatureRegistry.get_all_metadata()
    assert set(everything) == NAMES | FAMILIES | {"doubled"}
    assert all(entry["output_schema"] and entry["description"] for entry in everything.values())


def test_clear_forgets_all() -> None:
    FeatureRegistry.clear()
    assert FeatureRegistry.list_all() == []
    assert not FeatureRegistry.is_registered("frif")


def test_extractor_is_abstract() -> None:
    with pytest.raises(TypeError):
        FeatureExtractor()  # type: ignore[abstract]


def test_import_of_the_features_leaves_the_compiler_alone() -> None:
    code = "import sys, hdmea.features; print(sorted({'numba', 'scipy', 'polars'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- other packages


MODULE = """
from hdmea.features import FeatureExtractor, FeatureRegistry


class Offered(FeatureExtractor):
    output_schema = {"count": "spikes"}
    description = "how many spikes there are"

    def extract(self, unit_data, stimulus_data, config=None, metadata=None):
        return {"count": len(unit_data["spike_times"])}


@FeatureRegistry.register("registers_itself")
class Own(Offered):
    pass
"""


def offer(monkeypatch: pytest.MonkeyPatch, directory: Path, *entries: tuple[str, str]) -> None:
    """Another package with entry points."""
    (directory / "offering.py").write_text(MODULE)
    monkeypatch.syspath_prepend(directory)
    monkeypatch.delitem(sys.modules, "offering", raising=False)
    found = [importlib.metadata.EntryPoint(name, value, "hdmea.features") for name, value in entries]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found if group == "hdmea.features" else [])
    FeatureRegistry._plugins_loaded = False


def test_entry_point_may_name_an_extractor_or_a_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offer(monkeypatch, tmp_path, ("offered", "offering:Offered"), ("anything", "offering"))
    assert {"offered", "registers_itself"} < set(FeatureRegistry.list_all())
    assert "anything" not in FeatureRegistry.list_all()
    assert FeatureRegistry.get("offered").name == "offered"


def test_entry_point_that_names_what_registers_itself_is_registered_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(monkeypatch, tmp_path, ("registers_itself", "offering:Own"))
    assert FeatureRegistry.get("registers_itself").name == "registers_itself"


def test_entry_point_that_does_not_load_is_named_and_the_rest_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(monkeypatch, tmp_path, ("broken", "no_such_module:Feature"), ("offered", "offering:Offered"))
    with pytest.warns(RuntimeWarning, match="broken = no_such_module:Feature"):
        assert FeatureRegistry.is_registered("offered")
    with pytest.raises(KeyError, match="broken = no_such_module:Feature cannot be loaded: ModuleNotFoundError"):
        FeatureRegistry.get("broken")
    assert FeatureRegistry.is_registered("frif")
