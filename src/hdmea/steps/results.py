"""Results that the immediate calls return."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class LoadResult:
    """Result of `load_recording` and `load_spikes`.

    Attributes
    ----------
    hdf5_path
        The recording's file.
    dataset_id
        The recording's name.
    num_units
        Units in the file.
    stage1_completed
        Whether the load came to its end.
    warnings
        What was logged as a warning on the way.

    Examples
    --------
    >>> from hdmea.pipeline import load_recording
    >>> result = load_recording("recording.cmcr", "recording.cmtr")
    >>> result.hdf5_path.as_posix(), result.num_units, result.warnings
    ('artifacts/recording.h5', 3, [])
    """

    hdf5_path: Path
    dataset_id: str
    num_units: int
    stage1_completed: bool
    warnings: list[str] = field(default_factory=list)


@dataclass
class LoadWithEImageSTAResult:
    """Result of `load_recording_with_eimage_sta`, and how long it took.

    Attributes
    ----------
    hdf5_path
        The recording's file.
    dataset_id
        The recording's name.
    num_units
        Units in the file.
    units_with_sta
        Those of them that have an electrical image.
    stage1_completed
        Whether the load came to its end.
    elapsed_seconds
        Of the whole call.
    filter_time_seconds
        Of filtering and averaging, waiting for the file not counted.
    warnings
        What was logged as a warning on the way.

    Examples
    --------
    >>> from hdmea.pipeline import load_recording_with_eimage_sta
    >>> result = load_recording_with_eimage_sta("recording.cmcr", "recording.cmtr", duration_s=1.0)
    >>> result.num_units, result.units_with_sta
    (3, 3)
    """

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
    """Names of the features that were extracted, that were there before, and that could not be had.

    Attributes
    ----------
    hdf5_path
        The recording's file; None for a session that was never saved.
    features_extracted
        Features that at least one unit got.
    features_skipped
        Features that every unit had already.
    features_failed
        Features that no unit can have; a warning says why.
    warnings
        What was logged as a warning on the way.

    Examples
    --------
    >>> from hdmea.pipeline import extract_features
    >>> extract_features("recording.h5", ["frif", "no_such_feature"]).features_failed
    ['no_such_feature']
    """

    hdf5_path: Path | None
    features_extracted: list[str] = field(default_factory=list)
    features_skipped: list[str] = field(default_factory=list)
    features_failed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class FlowResult:
    """Results of a flow's load and extraction, and whether all that it asked for was done.

    Attributes
    ----------
    hdf5_path
        The recording's file.
    load_result
        Of the step that loaded the recording.
    extraction_result
        Of the last `extract_features`; None for a flow without one.
    success
        The load came to its end and no feature failed.
    warnings
        Which optional steps were skipped, and why.

    Examples
    --------
    >>> from hdmea.pipeline import run_flow
    >>> result = run_flow("load", "recording.cmcr", "recording.cmtr")
    >>> result.success, result.load_result.num_units, result.extraction_result
    (True, 3, None)
    """

    hdf5_path: Path
    load_result: LoadResult | LoadWithEImageSTAResult
    extraction_result: ExtractionResult | None
    success: bool
    warnings: list[str] = field(default_factory=list)


@dataclass
class StepResult:
    """Result of a step that works unit by unit: counts of units, and the IDs of those without a result.

    Attributes
    ----------
    hdf5_path
        The recording's file; None for a session that was never saved.
    step
        The step's name.
    units_processed
        Units that got a result.
    units_skipped
        Units that had one already.
    units_failed, failed_units
        How many units failed, and their IDs; `warnings` say why.
    elapsed_seconds
        Of the step.
    warnings
        What was logged as a warning on the way.

    Examples
    --------
    >>> from hdmea.features import extract_soma_geometry
    >>> result = extract_soma_geometry("loaded.h5")
    >>> result.step, result.units_processed, result.failed_units
    ('extract_soma_geometry', 12, [])
    """

    hdf5_path: Path | None
    step: str
    units_processed: int = 0
    units_skipped: int = 0
    units_failed: int = 0
    failed_units: list[str] = field(default_factory=list)
    elapsed_seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
