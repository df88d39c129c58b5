"""The registry of features."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
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
    before = dict(FeatureRegistry._classes)
    yield
    FeatureRegistry._classes.clear()
    FeatureRegistry._classes.update(before)


def test_the_specs_features_and_families_are_registered() -> None:
    assert set(FeatureRegistry.list_all()) == NAMES | FAMILIES
    for name in NAMES:
        assert FeatureRegistry.get(name).name == name


def test_register_and_get() -> None:
    assert FeatureRegistry.register("doubled")(Doubled) is Doubled
    assert FeatureRegistry.is_registered("doubled")
    assert FeatureRegistry.get("doubled") is Doubled


def test_taken_name_is_refused() -> None:
    with pytest.raises(ValueError, match="frif"):
        FeatureRegistry.register("frif")(Doubled)


@pytest.mark.parametrize("name", ["", None])
def test_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="text"):
        FeatureRegistry.register(name)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(KeyError, match="moving_h_bar_s5_d8_3x"):
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
