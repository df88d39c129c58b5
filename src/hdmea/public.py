"""The public names and the modules that define them: what `hdmea.io`, `hdmea.pipeline` and `hdmea.features` export.

Their stubs say the same to type checkers; `python tests/support/public_stubs.py` writes them from this and the table of
steps.
"""

from __future__ import annotations

from hdmea.step_table import exported_names

_NAMES: dict[str, tuple[str, ...]] = {
    "hdmea.session.session": ("PipelineSession", "SaveState", "create_session"),
    "hdmea.session.loader": ("load_hdf5_to_session", "load_session_from_hdf5"),
    "hdmea.steps.results": ("StepResult",),
    "hdmea.steps.flows": ("FlowResult", "get_flow_info", "list_available_flows", "run_flow"),
    "hdmea.io.mcs_h5": ("McsChoice", "read_mcs"),
    "hdmea.batch.run": ("BatchResult", "run_batch"),
    "hdmea.bridges.nwb_read": ("load_nwb",),
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
PUBLIC_NAMES = {**{name: module for module, names in _NAMES.items() for name in names}, **exported_names()}
