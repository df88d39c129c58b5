"""The content of a session, for modules that store or hold it and need not know what a session does."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hdmea.session.layout import LAYOUT_VERSION
from hdmea.utils.clock import utc_now


class SaveState(Enum):
    """State of the file at `hdf5_path` beside what the session holds.

    Attributes
    ----------
    DEFERRED
        The session has changes to save.
    SAVED
        The file holds what the session holds.

    Examples
    --------
    >>> from hdmea.pipeline import create_session
    >>> create_session("day1").save_state
    <SaveState.DEFERRED: 'deferred'>
    """

    DEFERRED = "deferred"
    SAVED = "saved"


@dataclass(eq=False)
class SessionContent:
    """A session as a file holds it, and where that file is; `PipelineSession` says what the fields mean."""

    dataset_id: str
    save_state: SaveState = SaveState.DEFERRED
    hdf5_path: Path | None = None
    output_dir: Path = Path("artifacts")
    units: dict[str, dict[str, Any]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    stimulus: dict[str, Any] = field(default_factory=dict)
    source_files: dict[str, Path | None] = field(default_factory=dict)
    completed_steps: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    created_at: str | None = field(default_factory=utc_now)
    saved_at: str | None = None
    # Round-tripped file fields: kept, so that saving again loses nothing.
    params_hash: str | None = field(default=None, kw_only=True, repr=False)
    stage1_timestamp: str | None = field(default=None, kw_only=True, repr=False)
    checkpoint_name: str | None = field(default=None, init=False, repr=False)
    is_checkpoint_file: bool = field(default=False, init=False, repr=False)
    extra_nodes: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    unloaded_features: dict[str, dict[str, Any]] = field(default_factory=dict, init=False, repr=False)
    layout_version: int = field(default=LAYOUT_VERSION, init=False, repr=False)
