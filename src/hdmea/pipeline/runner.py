"""The path by which scripts import the loads and `extract_features`: the same functions as elsewhere."""

from hdmea.session.frame_times import get_frame_timestamps as get_frame_timestamps
from hdmea.steps.extract import extract_features as extract_features
from hdmea.steps.load_recording import load_recording as load_recording
from hdmea.steps.load_spikes import load_spikes as load_spikes
from hdmea.steps.load_with_images import load_recording_with_eimage_sta as load_recording_with_eimage_sta
from hdmea.steps.results import ExtractionResult as ExtractionResult
from hdmea.steps.results import LoadResult as LoadResult
from hdmea.steps.results import LoadWithEImageSTAResult as LoadWithEImageSTAResult
