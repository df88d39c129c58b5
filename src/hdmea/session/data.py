"""What a session consists of, for modules that store or hold it and need not know the class."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class SessionData(Protocol):
    """The fields of a session that its file holds. `PipelineSession` and `StoredSession` both have them."""

    dataset_id: str
    units: dict[str, dict[str, Any]]
    metadata: dict[str, Any]
    stimulus: dict[str, Any]
    source_files: dict[str, Path | None]
    completed_steps: set[str]
    warnings: list[str]
    created_at: str | None
    saved_at: str | None
    params_hash: str | None
    stage1_timestamp: str | None
    checkpoint_name: str | None
    is_checkpoint_file: bool
    extra_nodes: dict[str, Any]
    unloaded_features: dict[str, dict[str, Any]]
    layout_version: int


@dataclass
class StoredSession:
    """A session as a file holds it, bound to nothing; the fields are those of `PipelineSession`."""

    dataset_id: str
    units: dict[str, dict[str, Any]]
    metadata: dict[str, Any]
    stimulus: dict[str, Any]
    source_files: dict[str, Path | None] = field(default_factory=dict)
    completed_steps: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    created_at: str | None = None
    saved_at: str | None = None
    params_hash: str | None = None
    stage1_timestamp: str | None = None
    checkpoint_name: str | None = None
    is_checkpoint_file: bool = False
    extra_nodes: dict[str, Any] = field(default_factory=dict)
    unloaded_features: dict[str, dict[str, Any]] = field(default_factory=dict)
    layout_version: int = 1
