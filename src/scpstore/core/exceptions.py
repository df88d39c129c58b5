"""Errors about containers. Everything that `scpstore` raises on purpose derives from `ScpTensorError`."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "AssayNotFoundError",
    "ColumnNotFoundError",
    "DimensionError",
    "LayerNotFoundError",
    "MaskCodeError",
    "MissingDependencyError",
    "ScpTensorError",
    "ScpValueError",
    "StructureError",
    "ValidationError",
    "VisualizationError",
]


class ScpTensorError(Exception):
    """Base of all errors of this package."""


class StructureError(ScpTensorError, ValueError):
    """Parts that do not fit together, such as two assays of one name."""


class ValidationError(ScpTensorError, ValueError):
    """A value that a field cannot take.

    Parameters
    ----------
    message
        What is wrong.
    field
        The field.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ScpValueError(ScpTensorError, ValueError):
    """An argument that a function cannot work with.

    Parameters
    ----------
    message
        What is wrong.
    parameter, value
        The argument's name and value.
    """

    def __init__(self, message: str, parameter: str | None = None, value: object = None) -> None:
        super().__init__(message)
        self.parameter = parameter
        self.value = value


class VisualizationError(ScpTensorError):
    """A plot that cannot be made of what was given."""


class MissingDependencyError(ScpTensorError, ImportError):
    """An optional package that is not installed.

    Parameters
    ----------
    dependency
        The package.
    message
        How to get it; default `pip install {dependency}`.
    """

    def __init__(self, dependency: str, message: str | None = None) -> None:
        super().__init__(message or f"the package {dependency} is needed for this: pip install {dependency}")
        self.dependency = dependency


class DimensionError(ScpTensorError, ValueError):
    """Arrays whose shapes do not match.

    Parameters
    ----------
    message
        What does not match.
    expected_shape, actual_shape
        What it should be, and what it is.
    """

    def __init__(
        self,
        message: str,
        expected_shape: tuple[int, ...] | None = None,
        actual_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(message)
        self.expected_shape = expected_shape
        self.actual_shape = actual_shape


class MaskCodeError(ScpTensorError, ValueError):
    """A mask holds a number that is not a `MaskCode`.

    Parameters
    ----------
    message
        What is wrong.
    invalid_code
        The number.
    """

    def __init__(self, message: str, invalid_code: float | None = None) -> None:
        super().__init__(message)
        self.invalid_code = invalid_code


class _NotFoundError(ScpTensorError, KeyError):
    """A name that is not there; the message lists those that are."""

    def __str__(self) -> str:  # KeyError would put the message in quotes
        return str(self.args[0])


def _among(names: Iterable[str]) -> str:
    listed = ", ".join(repr(name) for name in names)
    return f"available: {listed}" if listed else "there is none"


class AssayNotFoundError(_NotFoundError):
    """The container has no assay of that name; the message lists those that are there.

    Parameters
    ----------
    assay_name
        That was asked for.
    available, available_assays
        Names that there are; the second counts where both are given, and is kept.
    """

    def __init__(
        self, assay_name: str, available: Iterable[str] = (), *, available_assays: Iterable[str] | None = None
    ) -> None:
        names = list(available if available_assays is None else available_assays)
        super().__init__(f"Assay '{assay_name}' not found ({_among(names)})")
        self.assay_name = assay_name
        self.available_assays = names


class LayerNotFoundError(_NotFoundError):
    """The assay has no layer of that name; the message lists those that are there.

    Parameters
    ----------
    layer_name, assay_name
        That were asked for.
    available, available_layers
        Names that there are; the second counts where both are given, and is kept.
    """

    def __init__(
        self,
        layer_name: str,
        assay_name: str | None = None,
        available: Iterable[str] = (),
        *,
        available_layers: Iterable[str] | None = None,
    ) -> None:
        names = list(available if available_layers is None else available_layers)
        in_assay = f" in assay '{assay_name}'" if assay_name is not None else ""
        super().__init__(f"Layer '{layer_name}' not found{in_assay} ({_among(names)})")
        self.layer_name = layer_name
        self.assay_name = assay_name
        self.available_layers = names


class ColumnNotFoundError(_NotFoundError, ValueError):
    """A frame has no column of that name; the message lists those that are there.

    Parameters
    ----------
    column
        That was asked for.
    frame
        What the frame is, in words.
    available
        Columns that there are.
    """

    def __init__(self, column: str, frame: str, available: Iterable[str] = ()) -> None:
        super().__init__(f"Column '{column}' not found in {frame} ({_among(available)})")
        self.column = column
