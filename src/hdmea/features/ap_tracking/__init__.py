"""The paths by which scripts import the tracking of axons; `compute_ap_tracking` is all that does the work.

Functions of a neural network, which this package does not have, are there to be imported, and raise when called.
"""

from typing import Any

from h5burst import find_export

_STEP, _SHAPES, _RETINA = "hdmea.steps.axons", "hdmea.features.ap_tracking.pathway_analysis", "hdmea.geometry.retina"
_NAMES = {
    **dict.fromkeys(("compute_ap_tracking", "compute_ap_tracking_batch", "track_axons", "AP_TRACKING"), _STEP),
    **dict.fromkeys(("RefinedSoma", "AxonInitialSegment", "APPathway", "APIntersection"), _SHAPES),
    **dict.fromkeys(("DVNTPosition", "SomaPolarCoordinates", "parse_dvnt_from_center_xy"), _RETINA),
}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    return find_export(__name__, name, _NAMES)
