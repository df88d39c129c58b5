"""Features of units: the registry, the extractor to derive from, the families that ship, and the STA."""

from typing import Any

from hdmea.features import families as families
from hdmea.features.base import FeatureExtractor, StimulusFeature
from hdmea.features.registry import FeatureRegistry
from hdmea.utils.lazy import find_name

_NAMES = {"hdmea.steps.sta": ("STAResult", "compute_sta")}

__all__ = ["FeatureExtractor", "FeatureRegistry", "STAResult", "StimulusFeature", "compute_sta"]


def __getattr__(name: str) -> Any:
    return find_name(__name__, name, _NAMES)
