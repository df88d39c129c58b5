"""Features of units: the registry, the extractor to derive from, families; and every public name of the pipeline."""

from typing import Any

from h5burst import find_export
from hdmea.features import families as families
from hdmea.features.base import FeatureExtractor as FeatureExtractor
from hdmea.features.base import StimulusFeature as StimulusFeature
from hdmea.features.registry import FeatureRegistry as FeatureRegistry
from hdmea.public import PUBLIC_NAMES

__all__ = sorted({"FeatureExtractor", "FeatureRegistry", "StimulusFeature"}.union(PUBLIC_NAMES))


def __getattr__(name: str) -> Any:
    return find_export(__name__, name, PUBLIC_NAMES)
