"""Importing this module registers every feature of the package: the families, and each stimulus that ships.

A family is a module and a line here. A stimulus of a known family is a JSON file of `hdmea/configs/stimuli`.
"""

from __future__ import annotations

from hdmea.features.base import StimulusFeature
from hdmea.features.baseline import Baseline
from hdmea.features.chirp import FrequencySteps
from hdmea.features.chromatic import Chromatic
from hdmea.features.dense_noise import DenseNoise
from hdmea.features.frif import Frif as Frif  # registers itself: it belongs to no stimulus
from hdmea.features.moving_bar import MovingBar
from hdmea.features.on_off import OnOff
from hdmea.features.registry import FeatureRegistry
from hdmea.io.stimulus_config import shipped_families

FAMILIES: dict[str, type[StimulusFeature]] = {
    family.family: family for family in (Baseline, FrequencySteps, Chromatic, DenseNoise, MovingBar, OnOff)
}


def _register_all() -> None:
    """Register what has not registered itself."""
    for name, family in FAMILIES.items():
        if not FeatureRegistry.is_registered(name, entry_points=False):
            FeatureRegistry.register(name)(family)
    for movie, name in shipped_families().items():
        if not FeatureRegistry.is_registered(movie, entry_points=False):
            family = FAMILIES[name]
            doc = f"`{family.__name__}` for the stimulus {movie}."
            FeatureRegistry.register(movie)(type(family.__name__, (family,), {"__doc__": doc}))


_register_all()
