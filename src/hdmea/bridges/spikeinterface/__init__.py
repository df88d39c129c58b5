"""Recordings to and from SpikeInterface (Buccino et al. 2020, eLife 9:e61834).

Importing this package needs spikeinterface; `hdmea.spikeinterface` is the path by which scripts import it.
"""

from hdmea.bridges.extras import required

required("spikeinterface.core", "hdmea.spikeinterface")
required("probeinterface", "hdmea.spikeinterface")

from hdmea.bridges.spikeinterface.analyzer import session_from_analyzer as session_from_analyzer  # noqa: E402
from hdmea.bridges.spikeinterface.mcs_recording import McsH5Recording as McsH5Recording  # noqa: E402
from hdmea.bridges.spikeinterface.recording import CmcrRecording as CmcrRecording  # noqa: E402
from hdmea.bridges.spikeinterface.sorting import SessionSorting as SessionSorting  # noqa: E402

__all__ = ["CmcrRecording", "McsH5Recording", "SessionSorting", "session_from_analyzer"]
