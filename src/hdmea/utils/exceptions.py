"""Every error of its own that hdmea raises. All take a message first; the rest is kept as attributes."""

from __future__ import annotations

from pathlib import Path

PathLike = str | Path | None


class HDMEAError(Exception):
    """Base of every error in this package."""


class ConfigurationError(HDMEAError):
    """Arguments or configuration files that say something impossible, or lack something needed."""


class InvalidValueError(ConfigurationError, ValueError):
    """An argument with a value that it cannot have."""


class DataLoadError(HDMEAError):
    """A data file whose content cannot be read as what it should be.

    Parameters
    ----------
    message
        What is wrong, and with which file.
    file_path
        The file.
    original_error
        What reading it raised.
    """

    def __init__(self, message: str, file_path: PathLike = None, original_error: BaseException | None = None) -> None:
        super().__init__(message)
        self.file_path = file_path
        self.original_error = original_error


class FeatureExtractionError(HDMEAError):
    """A feature that could not be computed for one unit.

    Parameters
    ----------
    message
        What is wrong.
    feature_name
        The feature.
    unit_id
        The unit.
    original_error
        What computing it raised.
    """

    def __init__(
        self,
        message: str,
        feature_name: str | None = None,
        unit_id: str | None = None,
        original_error: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        self.feature_name = feature_name
        self.unit_id = unit_id
        self.original_error = original_error


class MissingInputError(HDMEAError):
    """A step whose input is not there yet; the message names the step to run first.

    Parameters
    ----------
    message
        What is missing, and which step to run first.
    feature_name
        The step or feature that needs it.
    missing_input
        What it needs.
    """

    def __init__(self, message: str, feature_name: str | None = None, missing_input: str | None = None) -> None:
        super().__init__(message)
        self.feature_name = feature_name
        self.missing_input = missing_input


class MissingMovieError(MissingInputError, ValueError):
    """A step whose stimulus movie was not shown in this recording."""


class CacheConflictError(HDMEAError):
    """Stored results that do not belong to what is asked for now."""


class ValidationError(HDMEAError):
    """Data that break a rule of the data model.

    Parameters
    ----------
    message
        What is wrong.
    entity, entity_id, field
        Of what kind, which one, and which of its fields.
    """

    def __init__(
        self, message: str, entity: str | None = None, entity_id: str | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.entity = entity
        self.entity_id = entity_id
        self.field = field


class MismatchError(HDMEAError):
    """Two files that are not of the same recording.

    Parameters
    ----------
    message
        What differs.
    cmcr_path, cmtr_path
        The files.
    reason
        In few words.
    """

    def __init__(
        self, message: str, cmcr_path: PathLike = None, cmtr_path: PathLike = None, reason: str | None = None
    ) -> None:
        super().__init__(message)
        self.cmcr_path = cmcr_path
        self.cmtr_path = cmtr_path
        self.reason = reason


class SessionError(HDMEAError):
    """An operation that a session cannot do in its present state.

    Parameters
    ----------
    message
        What is wrong.
    session_id
        The session's `dataset_id`.
    operation
        What could not be done.
    """

    def __init__(self, message: str, session_id: str | None = None, operation: str | None = None) -> None:
        super().__init__(message)
        self.session_id = session_id
        self.operation = operation


class CheckpointError(HDMEAError, ValueError):
    """A file that cannot be read back as a session.

    Parameters
    ----------
    message
        What is wrong, and with which file.
    checkpoint_path
        The file.
    original_error
        What reading it raised.
    """

    def __init__(
        self, message: str, checkpoint_path: PathLike = None, original_error: BaseException | None = None
    ) -> None:
        super().__init__(message)
        self.checkpoint_path = checkpoint_path
        self.original_error = original_error
