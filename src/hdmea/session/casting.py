"""Arrays as the dtypes that the layout has for them, where that loses nothing but the precision of fractions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from h5burst import ArraySource, CastSource, is_source
from hdmea.utils.exceptions import ValidationError

_BLOCK_BYTES = 1 << 23


def cast(value: Any, dtype: np.dtype[Any], path: str) -> Any:
    """The value as an array of `dtype`; a source stays one, and is read block by block.

    path: names it in errors. Raises `ValidationError` for values that `dtype` does not keep.
    """
    if (isinstance(value, np.ndarray) or is_source(value)) and value.dtype == dtype:
        return value
    try:
        if is_source(value) and value.shape:
            for start, stop in _row_blocks(value):
                _check_cast(value.read(start, stop), dtype, path)
            return CastSource(value, dtype)
        array = np.asarray(value)
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
            raise TypeError("it has masked elements, which this field cannot hold: take them out")
        _check_cast(array, dtype, path)
        return array.astype(dtype)
    except (TypeError, ValueError) as error:
        message = f"{path} cannot be stored as {dtype}: {error}"
        raise ValidationError(message, entity="array", entity_id=path, field=path) from error


def _row_blocks(source: ArraySource) -> Iterator[tuple[int, int]]:
    rows, size = source.shape[0], source.dtype.itemsize * math.prod(source.shape)
    step = max(1, _BLOCK_BYTES * rows // max(1, size))
    return ((start, min(start + step, rows)) for start in range(0, rows, step))


def _check_cast(array: np.ndarray[Any, Any], dtype: np.dtype[Any], path: str) -> None:
    """Raise `TypeError`, `ValueError` or `ValidationError` for what a cast would not keep."""
    if array.dtype.kind in "cmMV":
        raise TypeError(f"it is of dtype {array.dtype}")
    if array.size == 0:
        return
    if dtype.kind == "u" and array.dtype.kind in "if" and array.min() < 0:
        raise ValidationError(f"{path} holds negative values", entity="array", entity_id=path, field=path)
    if dtype.kind in "iu" and array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise ValidationError(f"{path} holds NaN or infinity", entity="array", entity_id=path, field=path)
    _refuse_loss(array, dtype)


def _refuse_loss(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> None:
    """Raise `ValueError` for values that the cast would change by more than the precision of `dtype`, and for whole
    numbers that it would change at all.
    """
    if dtype.kind in "iu" and array.dtype.kind in "iuf":
        limits = np.iinfo(dtype)
        low, high = array.min().item(), array.max().item()  # exact: Python's own numbers
        if low < limits.min or high > limits.max:
            raise ValueError(f"the value {high if high > limits.max else low} does not fit")
        if array.dtype.kind == "f" and not np.array_equal(array, np.floor(array)):
            raise ValueError("it holds fractions where samples are whole: round them, or give samples, not seconds")
    elif dtype.kind == "f" and array.dtype.kind in "iu":
        exact = 2 ** (np.finfo(dtype).nmant + 1)
        low, high = array.min().item(), array.max().item()
        if max(high, -low) > exact:
            raise ValueError(
                f"the value {high if high > exact else low} is beyond {exact}, up to which whole numbers are kept: "
                f"scale it, or give it as {dtype}"
            )
    elif dtype.kind == "f" and array.dtype.kind == "f":
        finite = array[np.isfinite(array)]
        if finite.size and np.abs(finite.astype(np.float64)).max() > np.finfo(dtype).max:
            raise ValueError("it holds values beyond the range")
