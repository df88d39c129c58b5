"""Arrays that are in a file and behave as numpy's when they are read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from h5burst.arrays.selection import AxisIndices, bounding_box, relative_index, select

_ROWS_BYTES = 1 << 20  # read at once when iterating
_CHANGING = ("fill", "itemset", "partition", "put", "resize", "setfield", "setflags", "sort")  # of numpy's methods
_UNCHANGEABLE = (
    "an array that is read from a file cannot be changed in place: change x[...], which is a copy in memory, and write "
    "that to the file with tx.put of h5burst.edit"
)


class ReadableArray(NDArrayOperatorsMixin):
    """An array of which boxes can be read, with numpy's behaviour for reading.

    Indexing (basic and advanced), `np.asarray`, arithmetic, iteration, `len` and numpy's functions work; every one of
    them reads. Whatever numpy's arrays have besides (`mean`, `astype`, `T`, …) is taken from the array when asked for.
    Writing to it is refused, `x += 1` included: `x[...]` is an array in memory. Subclasses set `_shape` and `_dtype`,
    and read boxes.
    """

    __slots__ = ("_dtype", "_shape")

    _dtype: np.dtype[Any]
    _shape: tuple[int, ...]
    if TYPE_CHECKING:  # the mixin's stub asks for it; numpy reads what does not have it, and dask then takes blocks
        __array_ufunc__: Callable[..., Any]

    @abstractmethod
    def _read(self, box: tuple[tuple[int, int], ...]) -> np.ndarray[Any, Any]:
        """The elements of a box: (start, stop) for each axis."""

    def _pick(self, places: tuple[AxisIndices, ...]) -> np.ndarray[Any, Any]:
        """The elements at some places of each axis. Subclasses that can read less than the box around them do."""
        box = bounding_box(places)
        picked: np.ndarray[Any, Any] = self._read(box)[relative_index(places, box)]
        return picked

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def nbytes(self) -> int:
        """Bytes of the whole in memory."""
        return self.size * self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def base(self) -> None:
        """Always None: it does not share memory."""
        return None

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    # ------------------------------------------------------------ reading

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Rows [start, stop) as a C-ordered array."""
        return np.ascontiguousarray(self[start:stop])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) or (isinstance(key, list) and key and isinstance(key[0], str)):
            return np.asarray(self)[key]
        selection = select(key, self.shape)
        return self._pick(selection.places)[selection.within]

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(_UNCHANGEABLE)

    def _refuse_in_place(self, other: Any) -> Any:
        raise TypeError(_UNCHANGEABLE)

    __iadd__ = __isub__ = __imul__ = __imatmul__ = __itruediv__ = __ifloordiv__ = __imod__ = _refuse_in_place
    __ipow__ = __ilshift__ = __irshift__ = __iand__ = __ixor__ = __ior__ = _refuse_in_place

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        rows = max(1, _ROWS_BYTES // max(1, self.nbytes // max(1, self.shape[0])))
        for start in range(0, self.shape[0], rows):
            yield from self[start : start + rows]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("an array that is read from a file is always a copy")
        array = self._read(tuple((0, length) for length in self.shape))
        return array if dtype is None else array.astype(dtype, copy=False)

    def __getattr__(self, name: str) -> Any:
        kind = None if name.startswith("_") else getattr(np.ndarray, name, None)
        if kind is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if not callable(kind):
            whole = np.asarray(self)
            if name in ("flat", "data"):
                whole.flags.writeable = False  # else what is assigned to it would be lost
            return getattr(whole, name)

        def method(*args: Any, **kwargs: Any) -> Any:
            if name in _CHANGING:
                raise TypeError(_UNCHANGEABLE)
            return getattr(np.asarray(self), name)(*args, **kwargs)

        return method

    def __contains__(self, value: Any) -> bool:
        return value in np.asarray(self)

    def __bool__(self) -> bool:
        return bool(np.asarray(self))

    def __int__(self) -> int:
        return int(np.asarray(self))

    def __float__(self) -> float:
        return float(np.asarray(self))

    def __complex__(self) -> complex:
        return complex(np.asarray(self))

    def __index__(self) -> int:
        return np.asarray(self).__index__()
