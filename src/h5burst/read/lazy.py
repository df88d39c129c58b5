"""Lazy trees: groups and arrays that read themselves from their file on access.

Nothing here keeps a file open: each access opens it, checks that it is still the same file, reads and closes it. So
lazy trees may be shared by threads, survive a fork, and are pickled by path. The members of a group are read when they
are first asked for; an array's elements each time.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from h5burst._ext.h5parse import Type, Uncovered
from h5burst.arrays.selection import select
from h5burst.model.tree import Group, Node
from h5burst.read import fallback
from h5burst.read.elements import Elements
from h5burst.read.node_factory import Makers
from h5burst.read.open_file import OpenFile, Stamp
from h5burst.read.reader import Place, Reader, stored_path

_ROWS_BYTES = 1 << 20  # read at once when iterating
_MEMBERS_AHEAD = 1000  # of groups, read along with the one that was asked for


def open_tree(path: str | os.PathLike[str]) -> Group:
    """The file as a lazy tree.

    Raises `CorruptFileError` for what is no whole HDF5 file; what is damaged further down is found when it is read.
    """
    try:
        with Reader(path, makers=MAKERS) as reader:
            return reader.tree()
    except Uncovered as why:
        return fallback.read_file(path, why, MAKERS)


class LazyArray(NDArrayOperatorsMixin):
    """A dataset that is read on access, with numpy's behaviour for reading.

    Indexing (basic and advanced), `np.asarray`, arithmetic, iteration, `len` and numpy's functions work; every one of
    them reads. Whatever numpy's arrays have besides (`mean`, `astype`, `T`, …) is taken from the array when asked for.
    Writing to it is refused: `np.array(x)` makes an array of it. Raises `StaleFileError` when the file has changed since
    it was opened, `CorruptFileError` when it is damaged.
    """

    __slots__ = ("_address", "_elements", "_names", "_path", "_stamp", "dtype", "shape")

    def __init__(
        self,
        path: str,
        stamp: Stamp,
        names: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        address: int | None = None,
    ) -> None:
        self._path = path
        self._stamp = stamp
        self._names = names  # from the root
        self._address = address  # of the dataset's object header; None: only libhdf5 reads it
        self._elements: Elements | None = None
        self.shape = shape
        self.dtype = dtype

    # ------------------------------------------------------------ what it is

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
        """It shares memory with nothing."""
        return None

    @property
    def path(self) -> str:
        """The file."""
        return self._path

    @property
    def name(self) -> str:
        """Path of the dataset in the file, as stored."""
        return stored_path(self._names)

    def __repr__(self) -> str:
        return f"<LazyArray {self.shape} {self.dtype} of {self._path}:{self.name}>"

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
        return self._read(selection.box)[selection.within]

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("a lazily read array cannot be assigned to: np.array(x) makes an array in memory of it")

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

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(target, LazyArray) for target in kwargs.get("out", ())):
            return NotImplemented
        return getattr(ufunc, method)(*(np.asarray(x) if isinstance(x, LazyArray) else x for x in inputs), **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(np.asarray(self), name)

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

    def _read(self, box: tuple[tuple[int, int], ...]) -> np.ndarray[Any, Any]:
        if self._address is None:
            return self._read_by_name(box)
        try:
            with Reader(self._path, expected=self._stamp) as reader, reader.naming_damage(self._names):
                if self._elements is None:
                    self._elements = Elements(reader.parser.dataset(self._address))
                elements, rank = self._elements, len(self._elements.shape)
                found = reader.finish(elements.read(reader.source, box[:rank]), elements.dataset.type)
                inner = tuple(slice(*edge) for edge in box[rank:])  # axes of an array datatype
                return found[(slice(None),) * rank + inner] if inner else found
        except Uncovered:
            return self._read_by_name(box)

    def _read_by_name(self, box: tuple[tuple[int, int], ...]) -> np.ndarray[Any, Any]:
        with OpenFile(self._path, self._stamp) as file:
            return fallback.read_box(self._path, self.name, box, in_use=file.busy)

    def __reduce__(self) -> tuple[Any, ...]:
        return LazyArray, (self._path, self._stamp, self._names, self.shape, self.dtype, self._address)


_publishing = threading.Lock()


def _renew_lock() -> None:
    """A lock that another thread held at the moment of a fork stays held in the child for ever."""
    global _publishing
    _publishing = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class _Unread(NamedTuple):
    """What it takes to read the members of a group: where it is, its names from the root, and what holds it."""

    path: str
    stamp: Stamp
    address: int
    names: tuple[str, ...]
    above: frozenset[Place]


class LazyChildren(dict[str, Node]):
    """The members of a group: a dict that is filled from the file when it is first looked at."""

    __slots__ = ("_unread",)

    def __init__(self, unread: _Unread) -> None:
        super().__init__()
        self._unread: _Unread | None = unread

    def _fill(self) -> None:
        """Read the members, and what lies below them as long as it is little: opening the file is what costs."""
        unread = self._unread
        if unread is None:
            return
        with Reader(unread.path, expected=unread.stamp, makers=MAKERS) as reader:
            found = reader.children(unread.address, unread.names, unread.above)
            self._publish(found or {})
            waiting = deque([found or {}])
            left = _MEMBERS_AHEAD
            while waiting and left > 0:
                for node in waiting.popleft().values():
                    ahead = _read_ahead(reader, unread.path, node, left)
                    left -= len(ahead) + 1
                    waiting.append(ahead)

    def _publish(self, found: dict[str, Node]) -> None:
        with _publishing:
            if self._unread is not None:  # else another thread was faster
                dict.update(self, found)
                self._unread = None

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _read_ahead(reader: Reader, path: str, node: Node, most: int) -> dict[str, Node]:
    """Fill a group of a tree that is being read anyway, if it has few members; gives those."""
    children = node.children if isinstance(node, Group) else None
    if not isinstance(children, LazyChildren) or most <= 0:
        return {}
    unread = children._unread
    if unread is None or unread.path != path:
        return {}
    try:
        found = reader.children(unread.address, unread.names, unread.above, most)
    except OSError:
        return {}  # nobody has asked for this group yet; who does gets the error
    if found is None:
        return {}
    children._publish(found)
    return found


def _filled_first(name: str) -> Any:
    method = getattr(dict, name)

    def call(self: LazyChildren, *args: Any, **kwargs: Any) -> Any:
        self._fill()
        return method(self, *args, **kwargs)

    call.__name__, call.__doc__ = name, method.__doc__
    return call


_READING = """
    __contains__ __delitem__ __eq__ __getitem__ __ior__ __iter__ __len__ __ne__ __or__ __repr__ __reversed__ __ror__
    __setitem__ clear copy get items keys pop popitem setdefault update values
"""
for _name in _READING.split():
    setattr(LazyChildren, _name, _filled_first(_name))


# ---------------------------------------------------------------- what readers call


def _make_array(file: OpenFile, address: int, names: tuple[str, ...], shape: tuple[int, ...], type_: Type) -> LazyArray:
    return LazyArray(file.path, file.stamp, names, shape, type_.dtype, address)


def _make_children(file: OpenFile, address: int, names: tuple[str, ...], above: frozenset[Place]) -> LazyChildren:
    return LazyChildren(_Unread(file.path, file.stamp, address, names, above))


def _make_by_name(path: str, names: tuple[str, ...], shape: tuple[int, ...], dtype: np.dtype[Any]) -> LazyArray:
    with OpenFile(path) as file:
        return LazyArray(path, file.stamp, names, shape, dtype)


MAKERS = Makers(array=_make_array, children=_make_children, by_name=_make_by_name)
