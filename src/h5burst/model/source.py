"""Array sources: objects with a shape, a dtype and rows to read, be it in memory, a file, a scratch file or a stream.

All that writes, counts or moves arrays takes any of them; `as_source` makes one of an array in memory.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
import numpy.ma  # numpy imports it late otherwise: perhaps at a save, when no more files may be opened

Rows: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"


@runtime_checkable
class ArraySource(Protocol):
    """Data that are read or made block by block along the first axis, never whole.

    Any object with these three members is one. `shape` and `dtype` are known beforehand; `read(start, stop)` gives rows
    [start, stop) as a C-ordered array of exactly that dtype. Writers ask for rows in ascending order, each row once.
    A source that also has `read_into` (see `BufferedSource`) saves its readers a copy.

    Examples
    --------
    >>> import numpy as np
    >>> from h5burst import ArraySource
    >>> class Squares:
    ...     shape, dtype = (1_000_000,), np.dtype("i8")
    ...     def read(self, start, stop):
    ...         return np.arange(start, stop) ** 2
    >>> isinstance(Squares(), ArraySource)
    True
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Rows [start, stop) in memory.

        Parameters
        ----------
        start, stop : int
            Half-open range of rows, within the shape.

        Returns
        -------
        numpy.ndarray
            Shape (stop - start, *shape[1:]), C-ordered, of the source's dtype.
        """
        ...


BlockSource = ArraySource  # its name in earlier versions


@runtime_checkable
class BufferedSource(ArraySource, Protocol):
    """An array source that reads rows [start, start + len(out)) into memory of the caller's, too."""

    def read_into(self, start: int, out: Rows) -> None: ...


class MemoryArray:
    """An array in memory as an array source: rows are views of it."""

    __slots__ = ("array", "dtype", "shape")

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Rows [start, stop), as strided in memory as the array is."""
        return self.array[start:stop]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.array, dtype=dtype) if copy else np.asarray(self.array, dtype=dtype)


def is_source(value: object) -> TypeGuard[ArraySource]:
    """True where a value is an array source rather than an array in memory, a single value or anything else.

    Parameters
    ----------
    value
        Anything.

    Returns
    -------
    bool
        True for what has `shape`, `dtype` and `read`, and is not one of numpy's arrays or scalars.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.is_source(np.arange(5)), h5burst.is_source(h5burst.as_source(np.arange(5)))
    (False, True)
    """
    # numpy's arrays have no `read`, but a record array may have a field of that name.
    if isinstance(value, (np.ndarray, np.generic, type)):
        return False
    return all(hasattr(value, member) for member in ("shape", "dtype", "read"))


def as_source(data: np.ndarray[Any, Any] | ArraySource) -> ArraySource:
    """The source itself, or an array in memory as one.

    Parameters
    ----------
    data : numpy.ndarray or ArraySource
        Of any shape, a scalar's included, and any dtype; a subclass of numpy's arrays counts as one.

    Returns
    -------
    ArraySource
        Rows of an array in memory are views of it.

    Raises
    ------
    TypeError
        For what is neither.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.as_source(np.arange(5)).read(1, 3)
    array([1, 2])
    """
    if isinstance(data, np.ndarray):
        return MemoryArray(data)
    if is_source(data):
        return data
    raise TypeError(f"an array or an array source (shape, dtype, read) was expected, not {type(data).__name__}")


def read_whole(source: np.ndarray[Any, Any] | ArraySource) -> np.ndarray[Any, Any]:
    """All elements in memory: the array itself, if it is there already."""
    if isinstance(source, np.ndarray):
        return source
    return source.read(0, source.shape[0]) if source.shape else np.asarray(source)


class CastSource:
    """An array, or a source, as a source of another dtype, which is converted block by block.

    Parameters
    ----------
    data : numpy.ndarray or ArraySource
        Of any shape and any dtype that numpy converts.
    dtype : numpy.dtype
        What its elements become, as by `numpy.ndarray.astype`.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.CastSource(np.arange(5), np.dtype("f4")).read(1, 3)
    array([1., 2.], dtype=float32)
    """

    def __init__(self, data: np.ndarray[Any, Any] | ArraySource, dtype: np.dtype[Any]) -> None:
        self._source = as_source(data)
        self.shape: tuple[int, ...] = tuple(data.shape)
        self.dtype = dtype

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Rows [start, stop) as a new C-ordered array."""
        return np.asarray(self._source.read(start, stop)).astype(self.dtype, order="C")
