"""Lazy trees: groups and arrays that read themselves from their file on access.

Every node holds the handle of its file and an address. Nothing here keeps a file open: each access has the handle open
it and check that it is still the same file. So lazy trees may be shared by threads, survive a fork, and are pickled by
path. The members of a group are read when they
are first asked for; an array's elements each time.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple, overload

import numpy as np

from h5burst._ext.h5parse import ProcessLock, RowsInFile, Type
from h5burst.arrays.readable import ReadableArray
from h5burst.arrays.selection import AxisIndices, Box, bounding_box, relative_index
from h5burst.codecs.filter_names import NOT_CODECS
from h5burst.model.errors import StaleFileError, UnsupportedFeatureError
from h5burst.model.lazy_dict import FilledLater
from h5burst.model.tree import Group, Link, Node
from h5burst.read import fallback, history
from h5burst.read.damaged import DamagedNode
from h5burst.read.elements import Elements, StorageInfo
from h5burst.read.file_objects import FileLike, FileObject, locate
from h5burst.read.handle import FileHandle
from h5burst.read.open_file import OpenFile, Stamp
from h5burst.read.reader import CheckingReader, Place, Reader, stored_path
from h5burst.runtime.gc_pause import collection_paused

_BLOCK_BYTES = 8 << 20  # that `iter_blocks` reads at once
_ADVISED_BYTES = 1 << 17  # of which Linux reads no more at a time on advice
_TRIES = 3  # to read a file whole that others change meanwhile
_PAGE = 4096  # bytes; of a source of which no structures are read
_READAHEAD_MEMBERS = 1000  # of groups, read along with the one that was asked for
_READAHEAD_OF_ROOT = 64  # the same for the root: every use of a file begins there, and few need what is far below


@collection_paused()
def open_tree(file: FileLike | FileHandle, ahead: int = 0) -> Group:
    """The file as a lazy tree: of a handle, the state that it looks at. ahead: see `read_tree`.

    Raises `CorruptFileError` for what is not a whole HDF5 file; what is damaged further down is found when it is read.
    """
    handle = file if isinstance(file, FileHandle) else FileHandle(locate(file))
    return _tree(handle, LazyReader, array_by_name, ahead=ahead)


@collection_paused()
def load_tree(file: FileLike | FileHandle) -> Group:
    """The whole file as a tree, all arrays in memory: of a handle, the state that it looks at.

    Raises `CorruptFileError` for a file that is damaged, cut short, or holds a cycle of links; other `OSError`s for
    one that cannot be opened.
    """
    if isinstance(file, FileHandle):
        return _tree(file, Reader)
    location = locate(file)
    with location.nearby() if isinstance(location, FileObject) else contextlib.nullcontext(location) as near:
        for left in reversed(range(_TRIES)):
            with contextlib.suppress(StaleFileError) if left else contextlib.nullcontext():
                return _tree(FileHandle(near), Reader)
    raise AssertionError  # the last try raises


@collection_paused()
def check_tree(handle: FileHandle) -> None:
    """Read what `load_tree` reads, with its errors, and keep nothing."""
    _tree(handle, CheckingReader)


def _tree(handle: FileHandle, kind: type[Reader], by_name: fallback.ByName | None = None, ahead: int = 0) -> Group:
    try:
        with kind(handle, ahead=ahead) as reader:
            tree = reader.tree()
            if isinstance(reader.file, OpenFile) and not reader.is_lazy:
                assert handle.state is not None
                if not history.is_only_appended_to(reader.file, handle.state.root):
                    raise StaleFileError(handle.path, "while it was read")
            return tree
    except UnsupportedFeatureError as why:
        return fallback.read_file(handle, why, by_name)


def address_in_file(node: Node) -> tuple[str, int] | None:
    """The file of a lazy node's object and the address of its header there; None for one that has none."""
    if isinstance(node, DamagedNode):
        return None
    if isinstance(node, Group):
        return node.children.place if isinstance(node.children, LazyChildren) else None
    data = node.data
    return (data.path, data._address) if isinstance(data, LazyArray) and data._address is not None else None


class LazyArray(ReadableArray):
    """A dataset that is read on access, with numpy's behaviour for reading (see `ReadableArray`).

    `read_tree(path, lazy=True)` and `open` give them.

    Attributes
    ----------
    shape : tuple of int
        Of the array.
    dtype : numpy.dtype
        Of its elements in memory.
    path : str
        The file.
    name : str
        Path of the dataset in the file, as stored.
    names : tuple of str
        The logical names that lead to the dataset.
    attrs : Mapping
        Its attributes, read when they are first asked for.
    chunks : tuple of int or None
        Shape of a chunk; None for an array that is not stored in chunks.
    maxshape : tuple of int or None
        The largest shape that it may be given; None along an axis without a limit.
    filters : tuple of str
        Names of the filters of its chunks, in the order of writing.
    compression : str or None
        The codec among the filters, as `Storage(codec=…)` and h5py call it; None where there is none.
    stamp : tuple
        Device, number, size and time of the file, which tell it from any other.
    address : int or None
        The address of the dataset's object header; None for a dataset that only libhdf5 reads.

    Raises
    ------
    StaleFileError
        At an access, when the file has changed since it was opened.
    CorruptFileError
        At an access, when it is damaged.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("array.h5", {"a": np.arange(6).reshape(3, 2)}, overwrite=True)
    >>> lazy = h5burst.read_tree("array.h5", lazy=True).children["a"].data
    >>> lazy.shape, lazy[1:, 0]
    ((3, 2), array([2, 4]))
    """

    __slots__ = ("_address", "_attrs", "_base", "_elements", "_handle", "_names", "_rows")

    def __init__(
        self,
        handle: FileHandle,
        names: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        address: int | None = None,
    ) -> None:
        self._handle = handle
        self._names = names  # from the root
        self._address = address  # of the dataset's object header; None: only libhdf5 reads it
        self._elements: Elements | None = None
        self._rows: RowsInFile | None = None
        self._base = 0  # where address 0 is in the file, once there are `_elements`
        self._attrs: Mapping[str, Any] | None = None
        self._shape = shape
        self._dtype = dtype

    @property
    def path(self) -> str:
        """The file."""
        return self._handle.path

    @property
    def name(self) -> str:
        """Path of the dataset in the file, as stored."""
        return stored_path(self._names)

    @property
    def names(self) -> tuple[str, ...]:
        """The logical names that lead to the dataset."""
        return self._names

    @property
    def stamp(self) -> Stamp:
        """The marks by which its file is told from any other."""
        assert self._handle.stamp is not None
        return self._handle.stamp

    @property
    def address(self) -> int | None:
        """The address of the dataset's object header; None for a dataset that only libhdf5 reads."""
        return self._address

    # ------------------------------------------------------------ how it is stored

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Its attributes, read when they are first asked for."""
        if self._attrs is None:
            self._attrs = self._read_attributes()
        return self._attrs

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of a chunk; None for an array that is not stored in chunks."""
        chunks = self._storage().chunks
        return None if chunks is None else chunks + self.shape[len(chunks) :]

    @property
    def maxshape(self) -> tuple[int | None, ...]:
        """The largest shape that it may be given; None along an axis without a limit."""
        limits = self._storage().maxshape
        return limits + self.shape[len(limits) :]

    @property
    def filters(self) -> tuple[str, ...]:
        """Names of the filters that its chunks went through when they were written, in their order."""
        return self._storage().filters

    @property
    def compression(self) -> str | None:
        """The codec among the filters, as `Storage(codec=…)` and h5py call it; None where there is none."""
        return next((name for name in self.filters if name not in NOT_CODECS), None)

    def _storage(self) -> StorageInfo:
        if self._address is not None:
            try:
                with self._reader() as reader:
                    return self._open_elements(reader).storage
            except UnsupportedFeatureError:
                pass  # libhdf5 knows
        return fallback.read_storage(self._handle, self.name)

    def _read_attributes(self) -> Mapping[str, Any]:
        if self._address is not None:
            with contextlib.suppress(UnsupportedFeatureError), self._reader() as reader:
                attrs, unread, *_ = reader.parser.inspect(self._address)
                return reader.with_unread(attrs, unread, self._names, self._address)
        node = fallback.read_node(self._handle, self.name, array_by_name)
        return {} if node is None else node.attrs

    def _reader(self) -> Reader:
        return LazyReader(self._handle, names=self._names)

    def _open_elements(self, reader: Reader) -> Elements:
        if self._elements is None:
            assert self._address is not None
            self._base = reader.source.base
            kept = self._handle, self._address
            self._elements = Elements(reader.parser.dataset(self._address), kept)
            self._rows = self._elements.rows(self._base)
        return self._elements

    # ------------------------------------------------------------ reading

    def __getitem__(self, key: Any) -> Any:
        if self._rows is not None and (part := self._rows.read(self._handle.kept, key)) is not None:
            return part
        return super().__getitem__(key)

    @overload
    def read_into(self, start: np.ndarray[Any, Any], /) -> None: ...

    @overload
    def read_into(self, start: int | np.ndarray[Any, Any], out: np.ndarray[Any, Any]) -> None: ...

    def read_into(self, start: Any, out: np.ndarray[Any, Any] | None = None) -> None:
        """Fill an array: `read_into(out)` with all elements, `read_into(start, out)` with rows from `start` on.

        `read_into(rows, out)` fills it with some rows.

        Parameters
        ----------
        start : int or numpy.ndarray
            The first row; or the numbers of the rows, ascending.
        out : numpy.ndarray
            Of the array's shape, or (rows, *shape[1:]). One of its dtype that is C-ordered is decoded in place;
            elements are converted to any other dtype that numpy casts to safely.

        Raises
        ------
        TypeError
            For what is not a numpy array.
        ValueError
            For another shape, or rows that it does not have.

        Examples
        --------
        >>> import numpy as np, h5burst
        >>> h5burst.save("array.h5", {"a": np.arange(6).reshape(3, 2)}, overwrite=True)
        >>> lazy = h5burst.read_tree("array.h5", lazy=True).children["a"].data
        >>> out = np.empty((2, 2), lazy.dtype)
        >>> lazy.read_into(np.array([0, 2]), out)
        >>> out
        array([[0, 1],
               [4, 5]])
        """
        first, target = (0, start) if out is None else (start, out)
        if not isinstance(target, np.ndarray):
            raise TypeError(f"read_into fills a numpy array, not {type(target).__name__}")
        rows = target.shape[0] if target.ndim else 0
        listed = first if isinstance(first, np.ndarray) else None
        if listed is not None:
            self._check_rows(listed, rows)
            first = 0
        fits = target.shape == self.shape if out is None else target.shape[1:] == self.shape[1:] and target.ndim > 0
        if not fits or not 0 <= first <= first + rows <= max(rows if out is None else 0, *self.shape[:1], 0):
            raise ValueError(f"rows {first} to {first + rows} of shape {target.shape[1:]} of an array {self.shape}")
        chosen = range(first, first + rows) if listed is None else listed.astype(np.int64)
        places = (chosen, *map(range, self.shape[1:])) if target.ndim else ()
        if target.dtype == self.dtype and target.flags.c_contiguous and self._fill(places, target):
            return
        np.copyto(target, self._pick(places))

    def _check_rows(self, rows: np.ndarray[Any, Any], count: int) -> None:
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or len(rows) != count:
            raise ValueError(f"rows of shape {rows.shape} and dtype {rows.dtype} for {count} rows of memory")
        if count and (rows[0] < 0 or rows[-1] >= max(self.shape[:1]) or bool((rows[1:] <= rows[:-1]).any())):
            raise ValueError(f"rows must be ascending numbers of an array {self.shape}")

    def _has_long_rows(self) -> bool:
        """True where each row of a list is read from a local file by itself."""
        if self._elements is None:
            self._storage()
        return self._elements is not None and self._elements.has_long_rows and not self._handle.is_far

    def prefetch(self, rows: np.ndarray[Any, Any]) -> bool:
        """Let the system bring rows into its cache, where they are read from a local file as they are stored.

        Parameters
        ----------
        rows : numpy.ndarray
            Shape (rows,): their numbers, ascending.

        Returns
        -------
        bool
            False, and nothing is done, where rows are short, are decoded, or the system takes no such advice. Then many
            rows are best read together.

        Examples
        --------
        >>> import numpy as np, h5burst
        >>> h5burst.save("array.h5", {"a": np.arange(6).reshape(3, 2)}, overwrite=True)
        >>> h5burst.read_tree("array.h5", lazy=True).children["a"].data.prefetch(np.array([0, 2]))
        False
        """
        self._check_rows(rows, len(rows))
        if not hasattr(os, "posix_fadvise") or not self._has_long_rows():
            return False
        with self._reader() as reader:
            assert self._elements is not None
            run = self._elements.run
            assert run is not None
            row_bytes, begin = self.nbytes // self.shape[0], reader.source.base + run.address
            edges = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
            for first, last in pairwise(edges if len(rows) else []):
                at, end = begin + int(rows[first]) * row_bytes, begin + (int(rows[last - 1]) + 1) * row_bytes
                for start in range(at, end, _ADVISED_BYTES):
                    os.posix_fadvise(
                        reader.source.descriptor, start, min(_ADVISED_BYTES, end - start), os.POSIX_FADV_WILLNEED
                    )
        return True

    def _fill(self, places: tuple[AxisIndices, ...], out: np.ndarray[Any, Any]) -> bool:
        """Read places straight into `out`; False where their bytes in the file are not those in memory."""
        if self._address is None:
            return False
        try:
            with self._reader() as reader:
                elements = self._open_elements(reader)
                if not elements.is_plain:
                    return False
                elements.read(reader.source, places, out=out.view(elements.raw))
                return True
        except UnsupportedFeatureError:
            return False

    def iter_blocks(self, rows: int | None = None) -> Iterator[np.ndarray[Any, Any]]:
        """All rows from the first to the last, some at a time.

        Parameters
        ----------
        rows : int, optional
            How many at a time; None: whole chunks, about 8 MiB.

        Yields
        ------
        numpy.ndarray
            Shape (up to `rows`, *shape[1:]).

        Raises
        ------
        TypeError
            For an array without axes.
        ValueError
            For fewer than one row.
        """
        if not self.shape:
            raise TypeError("an array without axes has no rows")
        if rows is None:
            rows_wanted = max(1, _BLOCK_BYTES // max(1, self.nbytes // max(1, self.shape[0])))
            deep = (self.chunks or (1,))[0]
            rows = max(1, rows_wanted // deep) * deep
        elif rows < 1:
            raise ValueError(f"rows must be at least 1, got {rows}")
        for start in range(0, self.shape[0], rows):
            yield self[start : start + rows]

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return type(self).__name__, self.path, tuple(self.stamp), self._handle.state, self.name

    def __repr__(self) -> str:
        return f"<LazyArray {self.shape} {self.dtype} of {self.path}:{self.name}>"

    def _read(self, box: Box) -> np.ndarray[Any, Any]:
        return self._pick(tuple(range(*edge) for edge in box))

    def _pick(self, places: tuple[AxisIndices, ...]) -> np.ndarray[Any, Any]:
        if self._address is None:
            return self._pick_by_name(places)
        try:
            with self._reader() as reader:
                elements = self._open_elements(reader)
                rank = len(elements.shape)
                values = reader.finish(elements.read(reader.source, places[:rank]), elements.dataset.type)
                if len(places) == rank:
                    return values
                inner = (*map(range, values.shape[:rank]), *places[rank:])  # axes of an array datatype
                part: np.ndarray[Any, Any] = values[
                    relative_index(inner, tuple((0, length) for length in values.shape))
                ]
                return part
        except UnsupportedFeatureError:
            return self._pick_by_name(places)

    def check(self, max_bytes: int) -> None:
        """Read all that is stored of it, independent of the shape that it claims.

        Parameters
        ----------
        max_bytes : int
            About how many are in memory at once.

        Raises
        ------
        CorruptFileError
            And all else that reading raises.
        UnsupportedFeatureError
            For what only libhdf5 reads.
        """
        if self._address is None:
            raise UnsupportedFeatureError("what only libhdf5 reads")
        with self._reader() as reader:
            elements = self._open_elements(reader)
            for part in elements.stored_parts(reader.source, max_bytes):
                reader.finish(part, elements.dataset.type)

    def _pick_by_name(self, places: tuple[AxisIndices, ...]) -> np.ndarray[Any, Any]:
        box = bounding_box(places)
        with contextlib.suppress(UnsupportedFeatureError), self._reader() as reader:
            reader.check_elements_at(self.name, box)
        with self._handle.open() as file:
            whole = fallback.read_box(self._handle, self.name, box, in_use=file.locked_for_writing)
        part: np.ndarray[Any, Any] = whole[relative_index(places, box)]
        return part

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._handle, self._names, self.shape, self.dtype, self._address)


_publishing = ProcessLock()


class _Unread(NamedTuple):
    """Means to read the members of a group: where it is, its names from the root, and what holds it."""

    handle: FileHandle
    address: int
    names: tuple[str, ...]
    above: frozenset[Place]


class LazyChildren(FilledLater[str, Node]):
    """The members of a group: a dict that is filled from the file when it is first looked at."""

    __slots__ = ("_unread", "links", "place")

    def __init__(self, unread: _Unread) -> None:
        super().__init__()
        self.links: dict[str, Link] = {}  # once it is filled
        self._unread: _Unread | None = unread
        self.place = (unread.handle.path, unread.address)

    def _fill(self) -> None:
        """Read the members, and what is below them as long as it is little: opening the file is what costs."""
        unread = self._unread
        if unread is None:
            return
        with LazyReader(unread.handle) as reader:
            members = reader.children(unread.address, unread.names, unread.above)
            if members is None:
                return
            self._publish(*members)
            waiting = deque([members[0]])
            left = _READAHEAD_MEMBERS if unread.names else _READAHEAD_OF_ROOT
            while waiting and left > 0:
                for node in waiting.popleft().values():
                    ahead = _read_ahead(reader, node, left)
                    left -= len(ahead) + 1
                    waiting.append(ahead)

    def _publish(self, members: dict[str, Node], links: dict[str, Link]) -> None:
        with _publishing.of_this_process():
            if self._unread is not None:  # else another thread was faster
                self.links = links
                dict.update(self, members)
                self._unread = None


class LazyLinks(FilledLater[str, Link]):
    """The links of a group, which are read with its members."""

    __slots__ = ("_children",)

    def __init__(self, children: LazyChildren) -> None:
        super().__init__()
        self._children: LazyChildren | None = children

    def _fill(self) -> None:
        children = self._children
        if children is not None:
            children._fill()
            if self._children is not None:  # else another thread was faster
                dict.update(self, children.links)
                self._children = None


def _read_ahead(reader: Reader, node: Node, max_links: int) -> dict[str, Node]:
    """Fill a group of a tree that is being read anyway, if it has few members; gives those."""
    children = node.children if isinstance(node, Group) else None
    if not isinstance(children, LazyChildren) or max_links <= 0:
        return {}
    unread = children._unread
    if unread is None or unread.handle is not reader.handle:
        return {}
    try:
        members = reader.children(unread.address, unread.names, unread.above, max_links)
    except OSError:
        return {}  # not requested yet; raised again on access
    if members is None:
        return {}
    children._publish(*members)
    return members[0]


# ---------------------------------------------------------------- what makes them


def array_by_name(
    handle: FileHandle, names: tuple[str, ...], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> LazyArray:
    """A dataset that only libhdf5 reads."""
    if handle.stamp is None:
        handle.open().close()
    return LazyArray(handle, names, shape, dtype)


class LazyReader(Reader):
    """A reader whose trees read themselves: the parser asks it for their arrays, and for the members of groups."""

    is_lazy = True

    @property
    def by_name(self) -> fallback.ByName:
        return array_by_name

    def lazy_array(self, address: int, names: list[str], shape: tuple[int, ...], type_: Type) -> LazyArray:
        return LazyArray(self.handle, tuple(names), shape, type_.dtype, address)

    def lazy_members(self, address: int, names: list[str]) -> tuple[LazyChildren, LazyLinks]:
        children = LazyChildren(_Unread(self.handle, address, tuple(names), self._ancestors))
        return children, LazyLinks(children)
