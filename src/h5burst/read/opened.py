"""Files opened for looking into: groups as mappings, arrays that read what is asked for, one link at a time.

Where `h5burst.read.lazy` makes trees, whose groups know the headers of all their members, nothing here is read before
it is asked for, so that a remote file costs a few requests however many objects it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from h5burst.arrays.readable import ReadableArray
from h5burst.model.errors import CorruptFileError, CorruptStructureError, UnsupportedFeatureError, damaged_objects
from h5burst.model.lazy_dict import LazyDict
from h5burst.model.tree import Array, Group, Node, path_names
from h5burst.read import fallback
from h5burst.read.damaged import DamagedNode
from h5burst.read.file_objects import FileLike, FileObject, locate
from h5burst.read.handle import FileHandle, Target
from h5burst.read.history import At
from h5burst.read.lazy import LazyArray, LazyReader, array_by_name
from h5burst.read.links import External
from h5burst.read.reader import FILES_DEEP, Reader, describe_names, stored_path
from h5burst.read.state_file import located

Names: TypeAlias = "tuple[str, ...]"
Member: TypeAlias = "LazyGroup | OpenedArray | NullArray | NamedType"


class NullArray(NamedTuple):
    """A dataset without a dataspace: it has a dtype and attributes, and no elements (h5py: `Empty`)."""

    name: str
    dtype: np.dtype[Any] | None
    attrs: Mapping[str, Any]

    @property
    def shape(self) -> None:
        """It has none."""
        return None

    def __getitem__(self, key: Any) -> None:  # type: ignore[override]
        if key not in ((), ...):
            raise IndexError(f"{self.name} has no elements: only [()] and [...] can be asked of it")


class NamedType(NamedTuple):
    """A datatype that is committed to the file under a name of its own.

    Where only libhdf5 reads it, its dtype is None, and attributes are not given.
    """

    name: str
    dtype: np.dtype[Any] | None
    attrs: Mapping[str, Any]


class OpenedArray(LazyArray):
    """A dataset of a file that `open` gave: as `LazyArray`, and it can look at a newer state of the file."""

    __slots__ = ()

    def refresh(self) -> bool:
        """Look at the newest state of the file from here on: a dataset that has grown shows all of its rows.

        Other objects of the file stay what they were. The file is then not kept open between reads, as it is for those
        that a group of the opened file gives.

        Returns
        -------
        bool
            Whether there was anything new.

        Raises
        ------
        KeyError
            There is no such dataset any more.
        CorruptFileError, OSError
            As `open`.

        Examples
        --------
        >>> import numpy as np, h5burst
        >>> rows = h5burst.Array(np.zeros(3), storage=h5burst.Storage("gzip", chunks=(100,), maxshape=(None,)))
        >>> h5burst.write_tree("grows.h5", h5burst.Group({"rows": rows}), overwrite=True)
        >>> with h5burst.open("grows.h5") as file:
        ...     rows = file["rows"]
        ...     with h5burst.edit("grows.h5") as tx:
        ...         tx.append("rows", np.ones(2))
        ...     rows.refresh(), rows[:]
        (True, array([0., 0., 0., 1., 1.]))
        """
        root = _newer(self._handle)
        if root is None:
            return False
        with root:
            member = root[self._names]
        if not isinstance(member, OpenedArray):
            raise KeyError(f"{describe_names(self._names)} in {self.path} is not a dataset any more")
        for slot in (*LazyArray.__slots__, *ReadableArray.__slots__):
            setattr(self, slot, getattr(member, slot))
        return True


class _File:
    """State that all objects of one opened file share. tree: of a file that only libhdf5 reads."""

    def __init__(self, handle: FileHandle, depth: int = 0) -> None:
        self.handle, self.path, self.depth = handle, handle.path, depth
        self.tree: Group | None = None
        self.is_closed = False
        handle.hold()

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.handle.release()

    def target(self, reader: Reader, address: int, name: str) -> Target | None:
        """The target of a link. In a far file not all links of a group of the older format are read for it."""
        if self.handle.is_far and address not in self.handle.links:
            target = reader.search_symbol(address, name)
            if target is not None:
                return target
        return reader.links_of(address).get(name)

    def reader(self, names: Names | None = None) -> Reader:
        return LazyReader(self.handle, names=names)

    def check_open(self) -> None:
        if self.is_closed:
            raise ValueError(f"{self.path} was closed: open it again with h5burst.open")


class LazyGroup(Mapping[str, Any]):
    """A group of an opened file: a mapping of names to groups and arrays.

    A path ("a/b", from the root with "/a/b") leads further down; a tuple of names does so, too, and is for names that
    hold a "/". Keys, `in`, `len` and iteration read the group's own links alone. Objects are read when they are asked
    for; one that is damaged raises `CorruptFileError`, its neighbours do not. Groups are pickled by the file's place.

    Attributes
    ----------
    name : str
        Its path in the file, as stored.
    filename : str
        The file.
    attrs : Mapping
        Its attributes.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("nested.h5", {"a": {"b": np.arange(3)}}, overwrite=True)
    >>> with h5burst.open("nested.h5") as file:
    ...     list(file["a"]), "a/b" in file
    (['b'], True)
    """

    __slots__ = ("__weakref__", "_address", "_attrs", "_file", "_names", "_node")

    def __init__(self, file: _File, address: int | None, names: Names, attrs: Mapping[str, Any], node: Any = None):
        self._file, self._address, self._names, self._attrs = file, address, names, attrs
        self._node: Group | None = node  # of a group that only libhdf5 reads

    # ------------------------------------------------------------ what it is

    @property
    def name(self) -> str:
        """Its path in the file, as stored."""
        return stored_path(self._names)

    @property
    def filename(self) -> str:
        """The file."""
        return self._file.path

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Its attributes."""
        return self._attrs

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} of {self.filename}>"

    # ------------------------------------------------------------ a mapping

    def __getitem__(self, path: str | Names) -> Any:
        """The group or array at a path. KeyError where there is none, or where a link leads to nothing."""
        self._file.check_open()
        names = path_names(path)
        start = self._root() if isinstance(path, str) and path.startswith("/") else self
        return start._find(names) if names else start

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, (str, tuple)):
            return False
        try:
            self[path]
        except KeyError:
            return False
        except OSError:
            return True  # it is there, and damaged
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._links())

    def __len__(self) -> int:
        return len(self._links())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LazyGroup):
            return NotImplemented
        return (self._file.handle.location, self._names) == (other._file.handle.location, other._names)

    def __hash__(self) -> int:
        return hash((self.filename, self._names))

    def visititems(self, function: Callable[[str, Any], Any]) -> Any:
        """Call `function(path, object)` for everything below, each object once; the first result that is not None.

        What a group holds comes right after it, in the order in which the group is iterated over. Soft and external
        links are passed over.

        Parameters
        ----------
        function : callable
            Takes the path, relative to this group, and the object.

        Returns
        -------
        object
            The first result that is not None; None where there is none.

        Raises
        ------
        CorruptFileError
            After everything that is sound was visited: it names what is damaged.
        """
        for path, member in self.walk():
            result = function(path, member)
            if result is not None:
                return result
        return None

    def visit(self, function: Callable[[str], Any]) -> Any:
        """Call `function(path)` for everything below, as `visititems`."""
        return self.visititems(lambda path, _: function(path))

    def walk(self) -> Iterator[tuple[str, Any]]:
        """Path and object of everything below, as `visititems`. Raises `CorruptFileError` after all that is sound."""
        seen = {self._identity()}
        problems: list[tuple[str, str]] = []
        waiting = [self._members("", problems)]
        while waiting:
            path, member = next(waiting[-1], ("", None))
            if member is None:
                waiting.pop()
                continue
            identity = _identity_of(member)
            if identity is not None and identity in seen:
                continue
            seen.add(identity)
            yield path, member
            if isinstance(member, LazyGroup):
                waiting.append(member._members(f"{path}/", problems))
        if problems:
            raise damaged_objects(self.filename, problems)

    def _members(self, prefix: str, problems: list[tuple[str, str]]) -> Iterator[tuple[str, Any]]:
        """Path and object of every member that is no soft or external link; what is damaged goes to `problems`."""
        try:
            names = [name for name, target in self._links().items() if not isinstance(target, (bytes, tuple))]
        except CorruptFileError as error:
            problems.append((self.name, error.message.removeprefix(f"{self.name}: ")))
            return
        for name in names:
            try:
                member = self._find((name,))
            except CorruptFileError as error:
                where = stored_path((*self._names, name))
                problems.append((where, error.message.removeprefix(f"{where}: ")))
            else:
                yield prefix + name, member

    def refresh(self) -> bool:
        """Look at the newest state of the file from here on; an object that others have changed is not stale any more.

        What was taken out of it before stays what it was, and stale where the file has changed: take it out anew.

        Returns
        -------
        bool
            Whether there was anything new.

        Raises
        ------
        KeyError
            There is no such group any more.
        CorruptFileError, OSError
            As `open`.

        Examples
        --------
        >>> import h5burst
        >>> h5burst.save("watched.h5", {"a": 1}, overwrite=True)
        >>> with h5burst.open("watched.h5") as file:
        ...     with h5burst.edit("watched.h5") as tx:
        ...         tx.put("b", h5burst.Group())
        ...     file.refresh(), list(file)
        (True, ['a', 'b'])
        """
        self._file.check_open()
        handle = self._file.handle
        root = _newer(handle, self._file.depth)
        if root is None:
            return False
        member = root._find(self._names) if self._names else root
        if not isinstance(member, LazyGroup):
            raise KeyError(f"{describe_names(self._names)} in {handle.path} is not a group any more")
        self._file, self._address, self._attrs, self._node = root._file, member._address, member._attrs, member._node
        handle.release()  # who holds it still opens the file for each read, and is told what is stale
        return True

    # ------------------------------------------------------------ finding

    def _root(self) -> LazyGroup:
        return _root_of(self._file) if self._names else self

    def _identity(self) -> Any:
        return (self.filename, self._address) if self._address is not None else id(self._node)

    def _links(self) -> Mapping[str, Any]:
        self._file.check_open()
        if self._node is not None:
            return self._node.children
        assert self._address is not None
        links = self._file.handle.links.get(self._address)
        if links is not None:
            return links
        with self._file.reader(self._names) as reader:
            return reader.links_of(self._address)

    def _find(self, names: Names) -> Member:
        if self._node is not None:
            return _in_tree(self._file, self._node, self._names, names)
        assert self._address is not None
        with self._file.reader() as reader:
            return _follow(self._file, reader, self._address, self._names, names)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._file.handle, self._names)


class LazyFile(LazyGroup):
    """The root group of a file that was opened with `open`; a context manager.

    It may be used by threads, in forked children, and pickled. Until it is closed or collected, the file is kept open
    between reads where the system lets open files be replaced, but locked only during each. Arrays that were taken out
    of it can be read after it was closed. A file object stays as open as its owner has it.

    Attributes
    ----------
    closed : bool
        Whether `close` was called, or its `with` block has ended.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("lazy.h5", {"a": np.arange(3)}, overwrite=True)
    >>> with h5burst.open("lazy.h5") as file:
    ...     file["a"][-1]
    np.int64(2)
    """

    __slots__ = ()

    @property
    def closed(self) -> bool:
        """True where `close` was called, or its `with` block has ended."""
        return self._file.is_closed

    def close(self) -> None:
        """Refuse to give anything more; a second time does nothing."""
        self._file.close()

    def __enter__(self) -> LazyFile:
        self._file.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open(path: FileLike, *, at: At | None = None) -> LazyFile:
    """Open an HDF5 file for reading, as a mapping of names to groups and arrays that read themselves on access.

    Parameters
    ----------
    path
        Of any HDF5 file, or a binary file object (`read`, `seek`): `io.BytesIO`, an open file, a file of fsspec. Of
        a remote one only what is asked for is fetched, in few requests.
    at
        An earlier state of the file, as of `file_at`; None: the newest. What was opened stays readable through later
        edits.

    Returns
    -------
    LazyFile
        For a `with` block; the file is locked during each read alone. Text comes as `str`.

    Raises
    ------
    CorruptFileError
        For what is not a whole HDF5 file; damage further down is found when it is read.
    StaleFileError
        Later, for a file that was changed since it was opened.
    OSError
        For a file that cannot be opened.
    LookupError
        For a state that there is not.
    TypeError
        For what is neither a path nor a binary file object, and for states of what is no path.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("recording.h5", {"units": {"unit_001": np.arange(5)}, "light": np.ones(2000)}, overwrite=True)
    >>> with h5burst.open("recording.h5") as file:
    ...     sorted(file), file["units/unit_001"][1:3], file["light"][:1000].shape
    (['light', 'units'], array([1, 2]), (1000,))
    """
    return _open(FileHandle(locate(located(path, at))))


def _newer(handle: FileHandle, depth: int = 0) -> LazyFile | None:
    """The newest state of a file; None where that is the one that is looked at."""
    is_state = isinstance(handle.location, FileObject) and handle.location.state is not None
    root = _open(FileHandle(handle.path if is_state else handle.location), depth)
    now = root._file.handle
    if (now.stamp, now.state) != (handle.stamp, handle.state):
        return root
    root.close()
    return None


def _open(handle: FileHandle, depth: int = 0) -> LazyFile:
    root = _root_of(_File(handle, depth))
    return LazyFile(root._file, root._address, (), root._attrs, root._node)


def _root_of(file: _File) -> LazyGroup:
    if file.tree is None:
        try:
            with file.reader() as reader:
                root = _object(file, reader, reader.root, ())
        except UnsupportedFeatureError as why:
            file.tree = fallback.read_file(file.handle, why, array_by_name)
        else:
            if not isinstance(root, LazyGroup):
                raise CorruptFileError(file.path, "its root is not a group")
            return root
    return LazyGroup(file, None, (), file.tree.attrs, file.tree)


def _restored(handle: FileHandle, names: Names) -> Any:
    file = _open(handle)
    return file[names] if names else file


def _follow(file: _File, reader: Reader, address: int, above: Names, names: Names) -> Member:
    """The object at a path from the group at `address`."""
    for number, name in enumerate(names):
        here = (*above, *names[: number + 1])
        with reader.naming_damage(here[:-1]):
            target: int | External | None = reader.target(file.target(reader, address, name), address)
        if target is None:
            raise KeyError(f"nothing at {describe_names(here)} in {file.path}")
        if not isinstance(target, int):
            return _elsewhere(file, target, names[number + 1 :], here)
        address = target
    return _object(file, reader, address, (*above, *names))


def _elsewhere(file: _File, link: External, rest: Names, here: Names) -> Member:
    """Target of an external link."""
    target_path = None if file.handle.is_far else link.place(file.path)
    if target_path is None:
        raise KeyError(f"{describe_names(here)} in {file.path} leads to the file {link[0]!r}, which does not exist")
    if file.depth >= FILES_DEEP:
        raise KeyError(f"{describe_names(here)} in {file.path}: more than {FILES_DEEP} files one after another")
    other = _open(FileHandle(target_path), depth=file.depth + 1)
    member: Member = other[link[1].decode("utf-8", "surrogateescape").strip("/") or "/"]
    if not rest:
        return member
    if not isinstance(member, LazyGroup):
        raise KeyError(f"nothing below {describe_names(here)} in {file.path}: it is not a group")
    return member._find(rest)


def _object(file: _File, reader: Reader, address: int, names: Names) -> Member:
    try:
        with reader.naming_damage(names):
            attrs, unread, links, dataset, has_all_links = reader.parser.inspect(address, not file.handle.is_far)
            if links is not None:
                if has_all_links:
                    file.handle.links.setdefault(address, {name: target for name, target, _ in links})
                return LazyGroup(file, address, names, _attributes(file, names, address, attrs, unread))
            attributes = _attributes(file, names, address, attrs, unread)
            if dataset is None:
                message = reader.parser.datatype_message(address)
                if message is None:
                    raise CorruptStructureError("it is neither a group nor a dataset")
                return NamedType(stored_path(names), reader.decode_datatype(message).dtype, attributes)
            if dataset.shape is None:
                return NullArray(stored_path(names), dataset.dtype, attributes)
            array = OpenedArray(file.handle, names, dataset.shape, dataset.dtype, address)
            array._attrs = attributes
            return array
    except UnsupportedFeatureError:
        if not names:
            raise
        with reader.naming_damage(names):
            node = reader.uncovered([*names], address)
        if node is None:
            return NamedType(stored_path(names), None, {})
        return _wrapped(file, node, names)


def _attributes(file: _File, names: Names, address: int, attrs: dict[str, Any], unread: list[str]) -> Mapping[str, Any]:
    """Attributes; those that only libhdf5 reads when one of them is looked at."""
    if not unread:
        return attrs

    def read() -> dict[str, Any]:
        with file.reader(names) as reader:
            return reader.with_unread(attrs, unread, names, address)

    return LazyDict(read)


def _in_tree(file: _File, node: Group, above: Names, names: Names) -> Member:
    member: Node = node
    for number, name in enumerate(names):
        if not isinstance(member, Group) or name not in member.children:
            raise KeyError(f"nothing at {describe_names((*above, *names[: number + 1]))} in {file.path}")
        member = member.children[name]
    return _wrapped(file, member, (*above, *names))


def _wrapped(file: _File, node: Node, names: Names) -> Member:
    """A node that libhdf5 has read, as an object of an opened file."""
    if isinstance(node, DamagedNode):
        node.fail()
    if isinstance(node, Group):
        return LazyGroup(file, None, names, node.attrs, node)
    assert isinstance(node, Array)
    if isinstance(node.data, LazyArray):
        array = OpenedArray(node.data._handle, node.data.names, node.data.shape, node.data.dtype, node.data.address)
        array._attrs = node.attrs
        return array
    return NullArray(stored_path(names), getattr(node.data, "dtype", None), node.attrs)


def _identity_of(member: Member) -> Any:
    """Identity of an object, however many names it has; None where that is not known."""
    if isinstance(member, LazyGroup):
        return member._identity()
    return (member.path, member._address) if isinstance(member, LazyArray) and member._address is not None else None
