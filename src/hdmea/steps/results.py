"""What the immediate calls return."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class LoadResult:
    """What `load_recording` and `load_spikes` wrote."""

    hdf5_path: Path
    dataset_id: str
    num_units: int
    stage1_completed: bool
    warnings: list[str] = field(default_factory=list)


@dataclass
class LoadWithEImageSTAResult:
    """What `load_recording_with_eimage_sta` wrote, and how long it took."""

    hdf5_path: Path
    dataset_id: str
    num_units: int
    units_with_sta: int
    stage1_completed: bool
    elapsed_seconds: float
    filter_time_seconds: float
    warnings: list[str] = field(default_factory=list)


@dataclass
class ExtractionResult:
    """Names of the features that were extracted, that were there before, and that could not be had."""

    hdf5_path: Path | None
    features_extracted: list[str] = field(default_factory=list)
    features_skipped: list[str] = field(default_factory=list)
    features_failed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class FlowResult:
    """What a flow's load and extraction returned; `success` when nothing that it asked for failed.

    warnings: which optional steps were skipped, and why.
    """

    hdf5_path: Path
    load_result: LoadResult | LoadWithEImageSTAResult
    extraction_result: ExtractionResult | None
    success: bool
    warnings: list[str] = field(default_factory=list)


@dataclass
class StepResult:
    """What a step that works unit by unit did: counts of units, and the IDs of those without a result."""

    hdf5_path: Path | None
    step: str
    units_processed: int = 0
    units_skipped: int = 0
    units_failed: int = 0
    failed_units: list[str] = field(default_factory=list)
    elapsed_seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
