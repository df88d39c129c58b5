"""Features of units: the registry, the extractor to derive from, the families that ship, and the STA."""

from typing import Any

from hdmea.features import families as families
from hdmea.features.base import FeatureExtractor, StimulusFeature
from hdmea.features.registry import FeatureRegistry
from hdmea.utils.lazy import find_name

_NAMES = {
    "hdmea.steps.sta": ("STAResult", "compute_sta"),
    "hdmea.steps.soma": ("extract_soma_geometry",),
    "hdmea.steps.rf_geometry": ("extract_rf_geometry",),
    "hdmea.steps.ln_model": ("fit_ln_model",),
    "hdmea.steps.align": ("align_electrodes",),
    "hdmea.steps.axons": ("track_axons",),
    "hdmea.steps.section_by_direction": ("DIRECTION_LIST", "DirectionSectionResult", "section_by_direction"),
}

__all__ = [
    "FeatureExtractor",
    "FeatureRegistry",
    "StimulusFeature",
    *(name for names in _NAMES.values() for name in names),
]


def __getattr__(name: str) -> Any:
    return find_name(__name__, name, _NAMES)
