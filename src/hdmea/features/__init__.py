"""Features of units: the registry, the extractor to derive from, families; and every public name of the pipeline."""

from typing import Any

from h5burst import find_export
from hdmea.features import families as families
from hdmea.features.base import FeatureExtractor, StimulusFeature
from hdmea.features.registry import FeatureRegistry
from hdmea.public import PUBLIC_NAMES

__all__ = ["FeatureExtractor", "FeatureRegistry", "StimulusFeature", *PUBLIC_NAMES]


def __getattr__(name: str) -> Any:
    return find_export(__name__, name, PUBLIC_NAMES)
