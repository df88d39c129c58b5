"""One open file as a tree: what the compiled parser does not do itself, and where it hands over to libhdf5."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ClassVar, TypeAlias, cast

import h5py
import numpy as np

from h5burst._ext.h5parse import Dataset, Kind, Parser, Source, SymbolTable, Type, set_model
from h5burst.arrays.selection import Box
from h5burst.format import data_layout, datatype, dense, object_header, symbol_table
from h5burst.format.constants import UNDEFINED
from h5burst.format.filter_pipeline import fill_element
from h5burst.format.superblock import Superblock, read_superblock
from h5burst.model.errors import (
    CorruptFileError,
    CorruptStructureError,
    MissingFilterError,
    UnsupportedFeatureError,
    damaged_objects,
)
from h5burst.model.tree import (
    AS_DEFAULT,
    MAX_DEPTH,
    NULL_DTYPE,
    Array,
    CommittedType,
    ExternalLink,
    Group,
    Link,
    Node,
    SoftLink,
    Storage,
    escape_attribute,
    escape_link,
    path_names,
    unescape,
)
from h5burst.read import fallback, kept_values
from h5burst.read.damaged import DamagedNode
from h5burst.read.elements import Elements, fill_too_large, max_fill_bytes, new_elements
from h5burst.read.fallback import InUseError
from h5burst.read.file_objects import Location
from h5burst.read.handle import FileHandle, State, Target
from h5burst.read.libhdf5_worker.client import LibraryDiedError
from h5burst.read.links import External, LinkResolver
from h5burst.read.open_file import Stamp
from h5burst.runtime.threads import parallel_map, split_evenly, thread_count

_EAGER_BLOCK = 1 << 18  # bytes read at once: parsing everything visits most of the file
_LAZY_BLOCK = 1 << 15
_BLOCKS = 32
MAX_DEATHS = 3  # of libhdf5, over one file
FILES_DEEP = 16  # external links one after another

Place: TypeAlias = "int | tuple[str, bytes]"  # a group of this file, or what an external link to it leads through

set_model(Array, Group, unescape)


def describe_names(names: tuple[str | None, ...]) -> str:
    """The path of an object as errors name it."""
    return "/" + "/".join(name for name in names if name is not None)


def stored_path(names: tuple[str | None, ...] | list[str | None]) -> str:
    """The path by which libhdf5 finds an object."""
    return "/" + "/".join(escape_link(name) for name in names if name is not None)


def _null_dtype(type_: Type) -> np.dtype[Any]:
    """The dtype of a null dataspace; of text the one by which h5py knows it."""
    if type_.kind not in (Kind.UTF8, Kind.ASCII):
        return type_.dtype
    return cast("np.dtype[Any]", h5py.string_dtype("ascii" if type_.kind == Kind.ASCII else "utf-8"))


class Reader:
    """The owner of a parser: its callbacks read uncommon structures. Used in a `with` block.

    Its trees are read whole; those of `LazyReader` read themselves. unfinished: read a file although its last writer
    has left it marked as still being written. above, shared: of a file that an external link led to, what lies above,
    and the nodes that the readers of one load share. names: of the object that is read, for errors of the whole block;
    without them they name the one that is parsed. ahead: read the groups of a lazy tree at once, and so many bytes
    of arrays that are no larger than a 512th of it.

    Raises `CorruptFileError`, `StaleFileError`, other `OSError`s; `UnsupportedFeatureError` for a file that only
    libhdf5 reads.
    """

    is_lazy: ClassVar[bool] = False  # whether its trees read themselves
    only_checks: ClassVar[bool] = False  # long arrays are read, but its trees do not hold their elements

    _parser: Parser | None = None
    _helper: Parser | None = None
    _resolver: LinkResolver | None = None
    _missing_filter = False
    _unwritten = 0  # bytes in memory that no bytes of the file stand for
    _deaths = 0  # of libhdf5, over this file

    def __init__(
        self,
        file: Location | FileHandle,
        *,
        above: frozenset[Place] = frozenset(),
        shared: dict[tuple[str, bytes], Node | None] | None = None,
        unfinished: bool = False,
        ahead: int = 0,
        names: tuple[str | None, ...] | None = None,
    ) -> None:
        self.handle = file if isinstance(file, FileHandle) else FileHandle(file)
        self.file = self.handle.open()
        self.path = self.file.path
        self._shared = {} if shared is None else shared
        self._ancestors = above
        self._ahead = ahead
        self._names = names
        try:
            self._open(unfinished)
        except BaseException:
            self.file.close()
            raise

    @property
    def by_name(self) -> fallback.ByName | None:
        """Of a lazy tree: makes an array that only libhdf5 reads."""
        return None

    def _open(self, unfinished: bool) -> None:
        if self.file.locked_for_writing:
            why = InUseError(is_locked=True)
            raise why if self.handle.state is None else fallback.refusal(self.path, why)
        if self.handle.state is None:
            self.handle.state = self._newest_state(unfinished)
        self.root, base, end = self.handle.state
        block = _LAZY_BLOCK if (self.is_lazy and not self._ahead) or self.file.reader is not None else _EAGER_BLOCK
        self.source = Source(self.file.descriptor, end, base, block, _BLOCKS, self.file.reader)
        self._problems: list[tuple[str, str]] = []
        self._committed: dict[int, bytes] = {}
        self._deferred_reads: list[Any] = []  # a run of the parser's reads, or elements, their array and names

    def _newest_state(self, unfinished: bool) -> State:
        try:
            superblock, size = self._superblock(self.file.descriptor, self.file.stamp.size)
        except CorruptStructureError as error:
            raise CorruptFileError(self.path, str(error)) from error
        if superblock.open_for_writing and not unfinished:
            raise InUseError(is_locked=False)
        return State(superblock.root, superblock.base, size)

    def _superblock(self, descriptor: int, size: int) -> tuple[Superblock, int]:
        """The superblock, and the length of the file: an edit may append to it between looking at the two."""
        try:
            return read_superblock(descriptor, size, self.file.reader), size
        except CorruptStructureError:
            if self.file.reader is not None:
                raise
            self.handle.stamp = self.file.stamp = Stamp.of(os.fstat(descriptor))
            if self.file.stamp.size == size:
                raise
            return read_superblock(descriptor, self.file.stamp.size), self.file.stamp.size

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        named = self._named(error, self._names) if isinstance(error, CorruptStructureError) else None
        self.file.close()
        # Parsers and reader know each other: without this the arrays would outlive their last user until a collection.
        self._parser = self._helper = self._resolver = None
        self._deferred_reads.clear()
        if named is not None:
            raise named from error

    @property
    def parser(self) -> Parser:
        if self._parser is None:
            self._parser = Parser(self.source, self, self.is_lazy, MAX_DEPTH, self._ahead, self.only_checks)
        return self._parser

    @property
    def helper(self) -> Parser:
        """A parser for looking elsewhere while `parser` is in the middle of an object."""
        if self._helper is None:
            self._helper = Parser(self.source, self)
        return self._helper

    # ------------------------------------------------------------ trees

    @contextmanager
    def naming_damage(self, names: tuple[str | None, ...] | None = None) -> Iterator[None]:
        """CorruptStructureError as an error that names the file, and the object: `names`, else the one being parsed."""
        try:
            yield
        except CorruptStructureError as error:
            raise self._named(error, names) from error

    def _named(self, error: CorruptStructureError, names: tuple[str | None, ...] | None) -> CorruptFileError:
        where = names if names is not None else self.parser.where
        if len(error.args) > 1:
            where = error.args[1]
        return CorruptFileError(self.path, f"{describe_names(where)}: {error.args[0]}")

    def tree(self) -> Group:
        """The whole file."""
        if not self.is_lazy or self._ahead:
            return self.load()
        root = self.parser.node(self.root)
        if not isinstance(root, Group):
            raise CorruptStructureError("the root is not a group")
        return root

    def children(
        self, address: int, names: tuple[str, ...], above: frozenset[Place], max_links: int | None = None
    ) -> tuple[dict[str, Node], dict[str, Link]] | None:
        """The members and the links of one group of a lazy tree; None if there are more than `max_links`.

        above: the groups that hold this one, and the external links that led to this file.
        """
        self._ancestors = above | {address}
        with self.naming_damage():
            return self.parser.children(address, names, self._ancestors, max_links)

    def load(self, address: int | None = None) -> Group:
        """The tree below a group (the root if None), read but for what is lazy. The error names all that is damaged."""
        tree: Group = self.parser.load(self.root if address is None else address)
        self._finish_reads()
        return tree

    def _finish_reads(self) -> None:
        """Read what the parser left, in threads: many runs of bytes, and datasets of few chunks."""
        if left := self.parser.reads_left:
            self._deferred_reads += split_evenly(left, 8 * thread_count())
        if self._deferred_reads:
            parallel_map(self._read_later, self._deferred_reads)
        if self._problems:
            problems = sorted(self._problems)
            if len(problems) == 1 and self._missing_filter:
                raise MissingFilterError(self.path, ": ".join(problems[0]), problems)
            raise damaged_objects(self.path, problems)

    def _read_later(self, work: Any) -> None:
        if isinstance(work[0], int):
            self._problems += [(describe_names(names), problem) for names, problem in self.parser.run_reads(*work)]
            return
        elements, out, names = work
        try:
            elements.read(self.source, out=self.room(out), threads=1)
        except CorruptStructureError as error:
            self._problems.append((describe_names(names), str(error)))

    # ------------------------------------------------------------ the parser's questions: what is damaged

    def note_problem(self, names: tuple[str | None, ...], error: CorruptStructureError | OSError) -> None:
        """An object of a tree that is read whole cannot be read: the others are, so that the error names all."""
        if isinstance(error, CorruptFileError):
            self._missing_filter = isinstance(error, MissingFilterError)
            self._problems += self._object_problems(names, error)
        elif isinstance(error, OSError):
            raise error
        else:
            self._problems.append((describe_names(names), error.args[0]))

    def _object_problems(self, names: tuple[str | None, ...], error: CorruptFileError) -> list[tuple[str, str]]:
        where = describe_names(names)
        if error.path != self.path:  # the object is beyond an external link
            return [(where, f"in {error.path}: {error.message}")]
        return list(error.problems) or [(where, error.message.removeprefix(f"{where}: "))]

    def damaged_node(self, names: tuple[str | None, ...], error: CorruptStructureError | OSError) -> Node:
        """A stand-in for an object of a lazy tree that cannot be read."""
        if isinstance(error, OSError) and not isinstance(error, CorruptFileError):
            raise error
        if isinstance(error, CorruptStructureError) or error.path != self.path:
            where = describe_names(names)
            problem = error.args[0] if isinstance(error, CorruptStructureError) else f"in {error.path}: {error.message}"
            error = CorruptFileError(self.path, f"{where}: {problem}", [(where, problem)])
        return DamagedNode(error)

    # ------------------------------------------------------------ the parser's questions: elements

    def read_dataset(self, dataset: Dataset) -> Any:
        elements = Elements(dataset)
        stored = elements.stored_bytes(self.source)
        self.parser.claim(stored)
        self._unwritten += elements.unwritten_bytes(self.source)
        if self._unwritten > max_fill_bytes(self.source.size):
            raise fill_too_large(elements.shape)
        if self._can_wait(elements):
            out = np.empty(elements.shape, dataset.type.dtype)
            self._deferred_reads.append((elements, out.view(elements.raw), self.parser.where))
            return out
        return self.finish(self.elements_of(elements), dataset.type)

    def elements_of(self, elements: Elements) -> np.ndarray[Any, Any]:
        """All elements of a dataset, as they are in the file."""
        return elements.read(self.source)

    def room(self, out: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The array that elements are read into, which will be `out` in the tree."""
        return out

    def _can_wait(self, elements: Elements) -> bool:
        """True where a dataset has so few chunks that threads should each take datasets, not chunks."""
        type_ = elements.dataset.type
        if type_.kind != Kind.PLAIN or type_.subshape or elements.layout_class != 2 or not type_.dtype.isbuiltin:
            return False
        written = len(elements.index(self.source).numbers)
        return 0 < written == elements.plan.chunk_count < 2 * thread_count()

    def finish(self, raw: np.ndarray[Any, Any], type_: Type, parser: Parser | None = None) -> np.ndarray[Any, Any]:
        """Elements as they are in the file, as those of the dtype."""
        if type_.kind in (Kind.UTF8, Kind.ASCII):
            return (parser or self.helper).text(raw.tobytes(), raw.shape, type_.kind == Kind.ASCII)
        if type_.subshape:
            elements: np.ndarray[Any, Any] = raw.reshape(-1).view(type_.dtype)
            return np.reshape(elements, raw.shape + type_.subshape)
        out: np.ndarray[Any, Any] = raw.view(type_.dtype)
        if type_.kind != Kind.PLAIN:
            datatype.normalise(out, type_.kind)
        return out

    def kept_storage(self, dataset: Dataset, ordered: bool) -> Storage | None:
        """Properties of a dataset besides its elements, to be written again; None if they are written anyway."""
        type_ = dataset.type
        if dataset.space is None:
            dtype = _null_dtype(type_)
            is_usual = dtype == NULL_DTYPE and not ordered
            return None if is_usual else Storage(AS_DEFAULT, null_dtype=dtype, track_order=ordered)
        grows = dataset.space != dataset.limits and bool(dataset.space)
        value = fill_element(dataset.fill, type_.size)
        fillvalue = None if value is None or type_.subshape else self._fillvalue(value, type_)
        limits = chunk = None
        if grows:
            limits = tuple(None if limit == UNDEFINED else limit for limit in dataset.limits) + type_.subshape
            if dataset.layout[1:2] == bytes([data_layout.CHUNKED]):
                layout = data_layout.decode(dataset.layout, len(dataset.space), type_.size)
                chunk = layout.chunks + type_.subshape
        if limits is None and fillvalue is None and not ordered:
            return None
        return Storage(AS_DEFAULT, chunks=chunk, maxshape=limits, fillvalue=fillvalue, track_order=ordered)

    def _fillvalue(self, value: bytes, type_: Type) -> Any:
        """One element as those of the dtype; None for the default of text, which is no text."""
        if type_.kind in (Kind.UTF8, Kind.ASCII) and not any(value):
            return None
        values: Any = self.finish(np.frombuffer(bytearray(value), np.dtype((np.void, type_.size))), type_)[0]
        return values

    @staticmethod
    def null_value(type_: Type) -> Any:
        """An attribute without a dataspace: None, or what says its dtype."""
        dtype = _null_dtype(type_)
        return None if dtype == NULL_DTYPE else h5py.Empty(dtype)

    normalise = staticmethod(datatype.normalise)
    decode_datatype = staticmethod(datatype.decode)

    def committed_datatype(self, address: int) -> bytes:
        message = self._committed.get(address)
        if message is None:
            message = self.helper.datatype_message(address)
            if message is None:
                raise CorruptStructureError(f"there is no committed datatype at address {address}")
            self._committed[address] = message
        return message

    # ------------------------------------------------------------ the parser's questions: links and attributes

    def dense_links(self, heap: int, tree: int) -> list[bytes]:
        return dense.read_links(self.source, heap, tree)

    def dense_attributes(self, heap: int, tree: int) -> list[tuple[bytes, int]]:
        return dense.read_attributes(self.source, heap, tree)

    def search_symbol(self, address: int, name: str) -> Target | None:
        """The target of a link of a group of the older format; None for another group, and where it is not found."""
        message = object_header.decode(self.source, address).first(object_header.SYMBOL_TABLE)
        if message is None:
            return None
        table = SymbolTable(self.source, *symbol_table.decode_message(message.body))
        return table.find(escape_link(name).encode("utf-8", "surrogateescape"))

    def links_of(self, address: int) -> dict[str, Target]:
        """The targets of the links of a group, by name; they are read once for all that share the handle."""
        targets = self.handle.links.get(address)
        if targets is None:
            targets = self.handle.links[address] = {name: target for name, target, _ in self.helper.links(address)}
        return targets

    def committed_type(self, message: bytes | None) -> CommittedType:
        """The object behind the name of a committed datatype. message: that of its header."""
        try:
            return CommittedType(None if message is None else datatype.decode(message).dtype)
        except UnsupportedFeatureError:
            return CommittedType()

    def link(self, target: bytes | tuple[bytes, bytes], node: Node | None) -> Link:
        """The link that a member is where it is no node of its own."""
        if isinstance(target, tuple):
            return ExternalLink(os.fsdecode(target[0]), target[1].decode("utf-8", "surrogateescape"), node)
        return SoftLink(target.decode("utf-8", "surrogateescape"), node)

    def follow(self, target: bytes | tuple[bytes, bytes], group: int) -> int | Node | None:
        """Target of a soft or external link: an address, a node of another file, None for nothing."""
        followed = self.target(target, group)
        return self._external(followed) if isinstance(followed, External) else followed

    def target(self, target: Target | None, group: int) -> int | External | None:
        """The target of a link of the group at an address: an address, another file, None for nothing."""
        if isinstance(target, bytes):
            if self._resolver is None:
                self._resolver = LinkResolver(self.links_of, self.root)
            return self._resolver.resolve(target, group)
        return External(target) if isinstance(target, tuple) else target

    def _external(self, link: External) -> Node | None:
        file = link.place(self.file.location) if isinstance(self.file.location, str) else None
        if file is None:  # a link to nowhere
            return None
        path = link[1]
        key = (file, path)
        crossed = frozenset(above for above in self._ancestors if isinstance(above, tuple)) | {key}
        if key in self._ancestors or len(crossed) > FILES_DEEP:
            raise CorruptStructureError(
                f"external links lead back to where they came from by way of {file}: a cycle is not a tree"
            )
        if key not in self._shared:
            self._shared[key] = self._external_node(file, path, crossed)
        return self._shared[key]

    def _external_node(self, file: str, path: bytes, crossed: frozenset[Place]) -> Node | None:
        handle = FileHandle(file)
        try:
            with type(self)(handle, above=crossed, shared=self._shared, ahead=self._ahead) as other:
                return other.at(path)
        except UnsupportedFeatureError:
            name = os.fsdecode(path)
            return fallback.read_node(handle, name, self.by_name) if fallback.holds(handle, name) else None

    def at(self, path: bytes) -> Node | None:
        """The node at a stored path of this file; None where there is none."""
        names = path_names(path.decode("utf-8", "surrogateescape"))
        self.parser.come_to(names)
        with self.naming_damage():
            address = self.follow(b"/" + path, self.root)
            if not isinstance(address, int):
                return address
            node: Node | None = self.parser.node(address)
            if isinstance(node, Group) and (self._ahead or not self.is_lazy):
                return self.load(address)
            self._finish_reads()
            return node

    # ------------------------------------------------------------ the parser's questions: libhdf5

    def uncovered(self, names: list[str | None], address: int) -> Node | None:
        """An object, and all below it. Elements of a lazy tree are checked when they are read."""
        self.check_attributes(address)
        if not self.is_lazy:
            self.check_elements(address)
        with self._asking_libhdf5(names):
            return fallback.read_node(self.handle, stored_path(names), self.by_name)

    def with_unread(
        self, attrs: dict[str, Any], unread: list[str], names: tuple[str, ...], address: int
    ) -> dict[str, Any]:
        """The attributes of an object, with those that only libhdf5 reads."""
        return attrs | {name: self.uncovered_attribute([*names], name, address) for name in unread}

    def uncovered_attribute(self, names: list[str | None], name: str, address: int) -> Any:
        self.check_attributes(address, name)
        with self._asking_libhdf5(names):
            return fallback.read_attribute(self.handle, stored_path(names), name)

    def note_free_space(self, address: int) -> None:
        """A collection of the heap says of its last part, the free space, that it ends elsewhere, or is an object:
        libhdf5 may read it without end, or not at all."""
        problem = f"the global heap at {address} names another size of its free space: libhdf5 may fail or hang"
        self.handle.misfits.setdefault(describe_names(self.parser.where), problem)

    def check_elements(self, address: int, box: Box | None = None) -> None:
        """Raise `CorruptStructureError` unless what a dataset's elements refer to is whole: libhdf5 does not look."""
        kept_values.check_elements(self.source, object_header.decode(self.source, address), box, self.note_free_space)

    def check_attributes(self, address: int, name: str | None = None) -> None:
        """The same of an attribute, of all if None."""
        stored = None if name is None else escape_attribute(name).encode("utf-8", "surrogateescape")
        kept_values.check_attributes(
            self.source, object_header.decode(self.source, address), stored, self.note_free_space
        )

    def check_elements_at(self, path: str, box: Box) -> None:
        """As `check_elements`, of the dataset at a stored path, if it is in this file."""
        address = self.target(path.encode("utf-8", "surrogateescape"), self.root)
        if isinstance(address, int):
            self.check_elements(address, box)

    @contextmanager
    def _asking_libhdf5(self, names: list[str | None]) -> Iterator[None]:
        """No more objects are tried of a file that makes libhdf5 crash repeatedly."""
        if self._deaths >= MAX_DEATHS:
            problem = f"only libhdf5 reads it, which crashed at {self._deaths} other objects of this file"
            raise CorruptFileError(self.path, f"{describe_names(tuple(names))}: {problem}")
        try:
            yield
        except LibraryDiedError:
            self._deaths += 1
            raise


class CheckingReader(Reader):
    """Reads all elements and keeps few: those of long arrays go through memory that is used again.

    Memory that is touched for the first time costs more than reading into it does. Arrays of its trees hold anything.
    """

    only_checks = True

    def elements_of(self, elements: Elements) -> np.ndarray[Any, Any]:
        if elements.layout_class != data_layout.CHUNKED or not elements.is_plain:
            return super().elements_of(elements)
        if len(elements.index(self.source).numbers) < elements.plan.chunk_count:
            return super().elements_of(elements)  # there, zeros that nobody wrote take no memory
        out = new_elements(elements.shape, elements.raw)
        elements.read(self.source, out=self.room(out))
        return out

    def room(self, out: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        room: np.ndarray[Any, Any] | None = getattr(self._rooms, "room", None)
        if room is None or room.nbytes < out.nbytes:
            room = self._rooms.room = np.empty(out.nbytes, np.uint8)
        used: np.ndarray[Any, Any] = room[: out.nbytes].view(out.dtype).reshape(out.shape)
        return used

    def _open(self, unfinished: bool) -> None:
        self._rooms = threading.local()
        super()._open(unfinished)
