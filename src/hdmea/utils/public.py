"""The public names and the modules they live in: what `hdmea.io` and `hdmea.pipeline` both export."""

from __future__ import annotations

PUBLIC_NAMES: dict[str, tuple[str, ...]] = {
    "hdmea.session.session": ("PipelineSession", "SaveState", "create_session"),
    "hdmea.steps.results": ("ExtractionResult", "FlowResult", "LoadResult", "LoadWithEImageSTAResult"),
    "hdmea.steps.runner": ("extract_features", "load_recording", "load_recording_with_eimage_sta", "load_spikes"),
    "hdmea.steps.flows": ("get_flow_info", "list_available_flows", "run_flow"),
    "hdmea.batch.run": ("BatchResult", "run_batch"),
    "hdmea.steps.section_time": (
        "add_section_time",
        "add_section_windows",
        "convert_frame_to_sample_index",
        "convert_sample_index_to_frame",
    ),
    "hdmea.steps.sectioning": ("SectionResult", "section_spike_times"),
    "hdmea.steps.sta": ("STAResult", "compute_sta"),
    "hdmea.session.hdf5_store": (
        "create_recording_hdf5",
        "get_stage1_status",
        "list_features",
        "list_units",
        "mark_stage1_complete",
        "open_recording_hdf5",
        "write_feature_to_unit",
        "write_metadata",
        "write_source_files",
        "write_stimulus",
        "write_units",
    ),
}
