"""One layer of an assay: values, their quality mask, and metadata of the matrix."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from h5burst import is_source, parallel_map
from scpstore.core.equality import Comparable
from scpstore.core.exceptions import DimensionError, MaskCodeError, ValidationError
from scpstore.core.sources import Matrix, take

_CHECK_BYTES = 1 << 20  # a mask is checked in pieces of this size


class MaskCode(IntEnum):
    """Why a value is what it is.

    Attributes
    ----------
    VALID
        0: measured.
    MBR
        1: match between runs.
    LOD
        2: below the limit of detection.
    FILTERED
        3: filtered out.
    OUTLIER
        4: an outlier.
    IMPUTED
        5: imputed.
    UNCERTAIN
        6: uncertain.

    Examples
    --------
    >>> from scptensor import MaskCode
    >>> MaskCode(2).name, int(MaskCode.IMPUTED)
    ('LOD', 5)
    """

    VALID = 0
    MBR = 1  # match between runs
    LOD = 2  # below the limit of detection
    FILTERED = 3
    OUTLIER = 4
    IMPUTED = 5
    UNCERTAIN = 6


@dataclass(eq=False)
class MatrixMetadata(Comparable):
    """Knowledge about a matrix besides its values.

    Parameters
    ----------
    confidence_scores, detection_limits, imputation_quality, outlier_scores
        Arrays or sparse matrices of any shape; those of the matrix's shape are cut with it.
    creation_info
        About its making.

    Examples
    --------
    >>> import numpy as np
    >>> from scptensor import MatrixMetadata, ScpMatrix
    >>> known = MatrixMetadata(detection_limits=np.array([0.5, 0.7]), creation_info={"software": "DIA-NN"})
    >>> ScpMatrix(np.ones((3, 2)), metadata=known).metadata.creation_info
    {'software': 'DIA-NN'}
    """

    compared: ClassVar[tuple[str, ...]] = (
        "confidence_scores", "detection_limits", "imputation_quality", "outlier_scores", "creation_info",
    )  # fmt: skip

    confidence_scores: Matrix | None = None
    detection_limits: Matrix | None = None
    imputation_quality: Matrix | None = None
    outlier_scores: Matrix | None = None
    creation_info: dict[str, Any] | None = None

    def copy(self) -> MatrixMetadata:
        """A copy that shares nothing with this one."""
        return deepcopy(self)

    def subset(self, shape: tuple[int, ...], rows: Any, columns: Any, *, copy_data: bool = True) -> MatrixMetadata:
        """The metadata of some rows and columns of a matrix.

        Parameters
        ----------
        shape
            Of the matrix.
        rows, columns
            Index arrays; None: all.
        copy_data
            False lets arrays that are taken whole be shared.

        Returns
        -------
        MatrixMetadata
            A new one.
        """

        def part(values: Any) -> Any:
            return _select_like(values, shape, rows, columns, copy_data=copy_data)

        return MatrixMetadata(
            part(self.confidence_scores),
            part(self.detection_limits),
            part(self.imputation_quality),
            part(self.outlier_scores),
            deepcopy(self.creation_info) if copy_data else self.creation_info,
        )


@dataclass(eq=False)
class ScpMatrix(Comparable):
    """Values and mask of one layer.

    Parameters
    ----------
    X
        (samples, features), dense or sparse, of a float dtype; any other dtype becomes float64. May be an
        `ArraySource`.
    M
        `MaskCode`s of the same shape, dense or sparse, int8; None where every value is valid. May be an `ArraySource`.
    metadata
        What is known about the values.

    Raises
    ------
    DimensionError, MaskCodeError
        Shapes that differ, codes that there are not; both are `ValueError`s.

    Examples
    --------
    >>> import numpy as np
    >>> from scptensor import MaskCode, ScpMatrix
    >>> matrix = ScpMatrix(np.array([[1.0, np.nan]]), np.array([[MaskCode.VALID, MaskCode.LOD]]))
    >>> matrix.shape, matrix.M.dtype
    ((1, 2), dtype('int8'))
    """

    compared: ClassVar[tuple[str, ...]] = ("X", "M", "metadata")

    X: Matrix
    M: Matrix | None = None
    metadata: MatrixMetadata | None = None

    def __post_init__(self) -> None:
        self.X = as_values(self.X)
        if self.M is not None:
            self.M = as_mask(self.M, tuple(self.X.shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, features)."""
        return tuple(self.X.shape)

    def get_m(self) -> Matrix:
        """The mask; zeros (`MaskCode.VALID`) of the kind of X where there is none."""
        if self.M is not None:
            return self.M
        if sp.issparse(self.X):
            return sp.csr_matrix(self.X.shape, dtype=np.int8)
        return np.zeros(self.X.shape, dtype=np.int8)

    def copy(self) -> ScpMatrix:
        """A copy that shares no array with this one."""
        return deepcopy(self)

    def subset(self, rows: Any = None, columns: Any = None, *, copy_data: bool = True) -> ScpMatrix:
        """The matrix of these rows and columns.

        Parameters
        ----------
        rows, columns
            Index arrays; None: all of them.
        copy_data
            False lets arrays that are taken whole be shared with this matrix.

        Returns
        -------
        ScpMatrix
            A new one.
        """
        values = select(self.X, rows, columns, copy_data=copy_data)
        mask = None if self.M is None else select(self.M, rows, columns, copy_data=copy_data)
        whole = self.metadata
        metadata = None if whole is None else whole.subset(self.shape, rows, columns, copy_data=copy_data)
        return ScpMatrix(values, mask, metadata)


def as_values(values: Any) -> Matrix:
    """`values` as a matrix of floats.

    Raises TypeError for a source of another dtype, which cannot be converted here, and `ValidationError` for what
    would lose a part of it: complex numbers, masked arrays.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise ValidationError("X is a masked array: fill it (x.filled(numpy.nan)), and say in M what is missing", "X")
    if is_source(values):
        if values.dtype.kind != "f":
            raise TypeError(f"X is read block by block and must be of a float dtype, got {values.dtype}")
    elif not sp.issparse(values):
        values = np.asarray(values)
    if len(values.shape) != 2:
        raise DimensionError(f"X must have 2 dimensions (samples x features), got {values.shape}", None, values.shape)
    if values.dtype.kind == "c":
        raise ValidationError(f"X holds complex numbers ({values.dtype}), which no layer can keep", "X")
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def as_mask(codes: Any, shape: tuple[int, ...]) -> Matrix:
    """`codes` as a matrix of int8 mask codes of that shape."""
    if not is_source(codes) and not sp.issparse(codes):
        codes = np.asarray(codes)
    if tuple(codes.shape) != shape:
        message = f"M must have the shape of X: X is {shape}, M is {tuple(codes.shape)}"
        raise DimensionError(message, shape, tuple(codes.shape))
    if is_source(codes):
        if codes.dtype != np.int8:
            raise TypeError(f"M is read block by block and must be int8, got {codes.dtype}")
        return codes
    if codes.dtype.kind == "b":
        advice = "say which code True means: np.where(mask, MaskCode.FILTERED, MaskCode.VALID)"
        raise MaskCodeError(f"M is boolean, and True would be read as 1, {MaskCode(1).name}: {advice}")
    check_codes(stored_values(codes))
    return codes if codes.dtype == np.int8 else codes.astype(np.int8)


def stored_values(values: Matrix) -> np.ndarray[Any, Any]:
    """The elements of a matrix that are there: all of a dense one."""
    if not sp.issparse(values):
        return np.asarray(values)
    return np.asarray(values.tocoo().data if values.format in ("lil", "dok") else values.data)


def check_codes(codes: np.ndarray[Any, Any]) -> None:
    """Raise `MaskCodeError` unless every element is the number of a `MaskCode`. Bounded memory, in threads."""
    if codes.dtype.kind not in "biuf":
        raise MaskCodeError(f"M must hold mask codes, got dtype {codes.dtype}")
    for number in parallel_map(_first_wrong, _pieces(codes)):
        if number is not None:
            message = f"M holds {number}, which is not a mask code (0 to {max(MaskCode):d}: see MaskCode)"
            raise MaskCodeError(message, number)


def _first_wrong(codes: np.ndarray[Any, Any]) -> Any:
    """The first element that is not a mask code, None if all are."""
    if codes.dtype.kind == "f":
        wrong = codes[~np.isin(codes, [float(code) for code in MaskCode])]
    else:
        unsigned = codes.view(codes.dtype.str.replace("i", "u"))  # numbers below 0 are large ones then: one look
        if not codes.size or unsigned.max() <= max(MaskCode):
            return None
        wrong = codes[unsigned > max(MaskCode)]
    return wrong.flat[0].item() if wrong.size else None


def _pieces(array: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    if array.ndim == 0:
        yield array.reshape(1)
        return
    row_bytes = max(1, array[:1].nbytes)
    step = max(1, _CHECK_BYTES // row_bytes)
    for start in range(0, len(array), step):
        yield array[start : start + step]


def select(values: Any, rows: Any, columns: Any, *, copy_data: bool) -> Any:
    """Rows and columns (index arrays, None: all) of a matrix, in its own format."""
    if is_source(values):
        return _taken(values, rows, columns)
    if rows is None and columns is None:
        return values.copy() if copy_data else values
    if sp.issparse(values):
        indexable = values if values.format in ("csr", "csc") else values.tocsr()
        picked = indexable if rows is None else indexable[rows, :]
        picked = picked if columns is None else picked[:, columns]
        return picked.asformat(values.format)
    picked = values if rows is None else values[rows]
    return picked if columns is None else picked[:, columns]


def _taken(source: Any, rows: Any, columns: Any) -> Any:
    """As `select`, for a source: only what is wanted is read, and it is in memory then."""
    picked = take(source, rows, columns)
    fmt = getattr(source, "format", None)
    if fmt is None or fmt == "csr":
        return picked
    picked.sum_duplicates()
    return picked.asformat(fmt)


def _select_like(values: Any, shape: tuple[int, ...], rows: Any, columns: Any, *, copy_data: bool) -> Any:
    """Metadata cut as the matrix: of its shape, or one value a feature (else: a sample). Anything else stays whole."""
    if values is None:
        return None
    if tuple(values.shape) == shape:
        return select(values, rows, columns, copy_data=copy_data)
    if not sp.issparse(values) and values.ndim == 1 and values.shape[0] in shape:
        chosen = columns if values.shape[0] == shape[1] else rows
        if chosen is not None:
            return values[chosen]
    return deepcopy(values) if copy_data else values
