"""Objects that the parser does not cover, read by libhdf5, which cannot promise to survive every file.

Only the child of `h5burst.read.libhdf5_worker.client` calls these functions, but for files that this very process is
writing.
References come as `Reference`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import h5py
import numpy as np

from h5burst.codecs.filter_names import describe_missing, filter_name
from h5burst.codecs.gzip import Gzip
from h5burst.model.errors import CorruptFileError, MissingFilterError, UnfinishedFileError, damaged_objects
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
    Reference,
    SoftLink,
    Storage,
    escape_attribute,
    path_names,
    unescape,
)
from h5burst.read.damaged import DamagedNode
from h5burst.runtime.durable import annotating_oserror, error_number

MakeUnread: TypeAlias = Callable[[str, tuple[str, ...], tuple[int, ...], np.dtype[Any]], Any]

_ROWS_BYTES = 16 << 20  # read at once when a whole file is checked
_MIN_REFUSED = 1 << 30  # bytes


def open_file(path: str | os.PathLike[str]) -> h5py.File:
    """A file open for reading, with all filters that are installed. Every `OSError` names it and says what is wrong."""
    importlib.import_module("hdf5plugin")  # registers its filters
    with annotating_oserror(path, "read"):
        try:
            return h5py.File(os.fspath(path), "r")
        except OSError as error:
            if "consistency flags" in str(error):
                raise UnfinishedFileError(path) from error
            if error_number(error) is not None:
                raise
            raise CorruptFileError(path, str(error)) from error


@contextlib.contextmanager
def naming_damage(path: str, name: str) -> Iterator[None]:
    """Whatever libhdf5 or h5py say about an object, as an error that names it."""
    try:
        yield
    except CorruptFileError:
        raise
    except TypeError as error:
        problem = f"numpy has no type for what it holds, which may be sound ({error})"
        raise CorruptFileError(path, f"{name}: {problem}") from error
    except (OSError, RuntimeError, ValueError, KeyError, OverflowError, MemoryError) as error:
        text = error.args[0] if error.args else type(error).__name__
        raise CorruptFileError(path, f"{name}: {text}") from error


def read_node(path: str, name: str, unread: MakeUnread | None = None) -> Node | None:
    """The object at a stored path with all below it; None for what is neither group nor dataset.

    unread: makes what stands for the data of a dataset (file, names, shape, dtype); None: they are read.
    """
    with open_file(path) as file, naming_damage(path, name):
        names = path_names(name)
        walk = _Walk(path, unread)
        node = walk.node(file[name], names)
    if walk.problems:
        raise damaged_objects(path, sorted(walk.problems))
    return node


def holds(path: str, name: str) -> bool:
    """True where a stored path leads to anything."""
    with open_file(path) as file, naming_damage(path, name):
        return name in file


def read_attribute(path: str, name: str, attribute: str) -> Any:
    """One attribute of the object at a stored path."""
    with open_file(path) as file, naming_damage(path, f"{name}@{attribute}"):
        return _attribute(file[name], escape_attribute(attribute))


def read_box(path: str, name: str, box: Sequence[tuple[int, int]]) -> np.ndarray[Any, Any]:
    """A box of a dataset: (start, stop) for each axis."""
    with open_file(path) as file, naming_damage(path, name):
        dataset = file[name]
        edges = tuple(slice(*edge) for edge in box)
        rank = len(dataset.shape)
        values = read_elements(dataset, edges[:rank] or ...)
        return values[(slice(None),) * rank + edges[rank:]] if edges[rank:] else values  # axes of an array datatype


def read_storage(path: str, name: str) -> Array:
    """Storage of a dataset, as attributes: chunks (None for none), maxshape (-1: without limit), filters."""
    with open_file(path) as file, naming_damage(path, name):
        dataset = file[name]
        creation = dataset.id.get_create_plist()
        steps = [creation.get_filter(index) for index in range(creation.get_nfilters())]
        names = [filter_name(number, stored.decode("utf-8", "replace")) for number, _, _, stored in steps]
        limits = [-1 if limit is None else limit for limit in dataset.maxshape or ()]
        chunks = None if dataset.chunks is None else np.array(dataset.chunks, np.int64)
        return Array(
            None,
            {
                "chunks": chunks,
                "maxshape": np.array(limits, np.int64),
                "filters": " ".join("-".join(name.split()) for name in names),
            },
        )


def read_elements(dataset: h5py.Dataset, selection: Any = ...) -> np.ndarray[Any, Any]:
    """Elements of a dataset: text as `str`, as `bytes` where the file calls it ASCII."""
    _refuse_missing_filters(dataset)
    _refuse_pipes(dataset)
    text = h5py.check_string_dtype(dataset.dtype)
    if selection is ... and not dataset.is_virtual and dataset.external is None:
        _refuse_absurd(dataset)
    if text is not None and text.length is None and text.encoding == "utf-8":
        words: np.ndarray[Any, Any] = np.asarray(dataset.asstr(errors="surrogateescape")[selection], dtype=object)
        return words
    values: np.ndarray[Any, Any] = np.asarray(dataset[selection])
    if values.dtype.hasobject:
        values = _settled(values, dataset, dataset.dtype)
    return values


def _refuse_missing_filters(dataset: h5py.Dataset) -> None:
    """libhdf5's own words for a filter that is not installed name a directory that nobody knows."""
    creation = dataset.id.get_create_plist()
    for index in range(creation.get_nfilters()):
        number, _, _, name = creation.get_filter(index)
        if not h5py.h5z.filter_avail(number):
            reason = describe_missing(number, name.decode("utf-8", "replace"))
            raise MissingFilterError(dataset.file.filename, f"{dataset.name}: {reason}")


def _refuse_pipes(dataset: h5py.Dataset) -> None:
    """Elements that the dataset's own file does not hold come from regular files: a pipe would keep libhdf5 waiting.

    A directory does not: "." as the file of a virtual source is the dataset's own.
    """
    names = [name for name, _, _ in dataset.external or ()]
    names += [source.file_name for source in dataset.virtual_sources()] if dataset.is_virtual else []
    for name in set(names):
        for candidate in (os.path.join(os.path.dirname(dataset.file.filename), name), name):  # where libhdf5 looks
            if os.path.exists(candidate) and not os.path.isfile(candidate) and not os.path.isdir(candidate):
                raise CorruptFileError(dataset.file.filename, f"{dataset.name}: {candidate} is not a regular file")


def _settled(array: np.ndarray[Any, Any], item: h5py.HLObject, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Objects at any depth as they are told in trees, of elements of the dtype of h5py.

    References as `Reference`; text as `str`, as `bytes` where the file calls it ASCII.
    """
    out: np.ndarray[Any, Any]
    if array.dtype.names:
        out = array.copy()
        for name in array.dtype.names:
            if array.dtype[name].hasobject:
                out[name] = _settled(np.asarray(array[name]), item, dtype[name].base)
        return out
    if not array.size:
        return np.empty(array.shape, dtype)  # which says what it would have
    text, inner = h5py.check_string_dtype(dtype), np.dtype(h5py.check_vlen_dtype(dtype) or object)
    is_utf8 = text is not None and text.encoding == "utf-8"
    out = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        value = array[index]
        if isinstance(value, (h5py.Reference, h5py.RegionReference)):
            value = _referred(value, item)
        elif isinstance(value, np.ndarray) and value.dtype.hasobject:
            value = _settled(value, item, inner)
        elif isinstance(value, np.ndarray) and not inner.hasobject:  # h5py's own have neither its order nor its names
            value = value.view(inner) if value.dtype == inner or _swaps_sequences() else value.astype(inner)
        elif is_utf8 and isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        out[index] = value
    return out


@functools.cache
def _swaps_sequences() -> bool:
    """True where h5py gives numbers of the other byte order in sequences unswapped, as 3.16 does."""
    other = np.dtype("i4").newbyteorder()
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("sequences", (1,), h5py.vlen_dtype(other))
        dataset[0] = np.array([1], other)
        return bool(dataset[0][0] != 1)


def _referred(reference: Any, item: h5py.HLObject) -> Reference:
    is_region = isinstance(reference, h5py.RegionReference)
    try:
        target_name = h5py.h5r.get_name(reference, item.id) if reference else None
    except (ValueError, RuntimeError, OSError):
        target_name = None  # what it referred to is gone
    elements = _elements(reference, item) if is_region and target_name else ""
    return Reference("" if target_name is None else target_name.decode("utf-8", "surrogateescape"), is_region, elements)


def _elements(reference: Any, item: h5py.HLObject) -> str:
    """The elements of a region: corners of its blocks, or its points."""
    try:
        space = h5py.h5r.get_region(reference, item.id)
        if space.get_select_type() == h5py.h5s.SEL_POINTS:
            return f"points {space.get_select_elem_pointlist().tolist()}"
        if space.get_select_type() == h5py.h5s.SEL_HYPERSLABS:
            return f"blocks {space.get_select_hyper_blocklist().tolist()}"
        return f"selection {space.get_select_type()}"
    except (ValueError, RuntimeError, OSError):
        return ""


def _refuse_absurd(dataset: h5py.Dataset) -> None:
    if dataset.nbytes > max(_MIN_REFUSED, Gzip.max_ratio * dataset.file.id.get_filesize()):
        raise ValueError(f"claims the shape {dataset.shape}, which the file cannot hold: read what you need lazily")


def element_dtype(dataset: h5py.Dataset) -> np.dtype[Any]:
    """The dtype of what `read_elements` gives."""
    dtype: np.dtype[Any] = dataset.dtype
    text = h5py.check_string_dtype(dtype)
    return np.dtype(object) if text is not None and text.length is None else dtype


def _attribute(target: h5py.HLObject, name: str) -> Any:
    value = target.attrs[name]
    if isinstance(value, h5py.Empty):
        return None if value.dtype == NULL_DTYPE else value
    if isinstance(value, np.ndarray) and (text := h5py.check_string_dtype(value.dtype)) and text.length is None:
        if not value.size:
            return value
        value = value.astype(object)
        if text.encoding == "ascii":
            items = [item.encode("utf-8", "surrogateescape") for item in value.flat]
            value[...] = np.array(items, dtype=object).reshape(value.shape)
    elif isinstance(value, (h5py.Reference, h5py.RegionReference)):
        return _referred(value, target)
    elif isinstance(value, np.integer) and h5py.check_enum_dtype(target.attrs.get_id(name).dtype) is not None:
        return np.array(value, target.attrs.get_id(name).dtype)
    elif isinstance(value, (np.ndarray, np.void)) and value.dtype.hasobject:
        settled = _settled(np.asarray(value), target, target.attrs.get_id(name).dtype)
        value = settled if isinstance(value, np.ndarray) else settled[()]
    return value


def read_attributes(target: h5py.HLObject) -> dict[str, Any]:
    """All attributes of an object, by logical name."""
    return {unescape(name): _attribute(target, name) for name in target.attrs}


class _Walk:
    """Objects of one file to nodes. Cycles are errors, dangling links are skipped."""

    def __init__(self, path: str, unread: MakeUnread | None) -> None:
        self._path = path
        self._unread = unread
        self._seen: dict[tuple[int, int], Node | None] = {}  # an object with two names is read once
        self.problems: list[tuple[str, str]] = []  # of a tree that is read whole

    def node(self, item: Any, names: tuple[str, ...], above: frozenset[tuple[int, int]] = frozenset()) -> Node | None:
        if not isinstance(item, (h5py.Dataset, h5py.Group)):
            return None
        info = h5py.h5o.get_info(item.id)
        here = (info.fileno, info.addr)
        if here in above:
            raise CorruptFileError(
                self._path, f"{item.name}: links back to a group that holds it: a cycle is not a tree"
            )
        if len(names) > MAX_DEPTH and isinstance(item, h5py.Group):
            raise CorruptFileError(self._path, f"{item.name}: more than {MAX_DEPTH} groups inside each other")
        if here not in self._seen:
            if isinstance(item, h5py.Dataset):
                self._seen[here] = Array(self._elements(item, names), read_attributes(item), _kept_storage(item))
            else:
                links: dict[str, Link] = {}
                children = self._children(item, names, above | {here}, links)
                ordered = bool(item.id.get_create_plist().get_link_creation_order())
                self._seen[here] = Group(children, read_attributes(item), links, ordered)
        return self._seen[here]

    def _children(
        self, group: h5py.Group, names: tuple[str, ...], above: frozenset[tuple[int, int]], links: dict[str, Link]
    ) -> dict[str, Node]:
        children = {}
        for link in group:
            below = (*names, unescape(link))
            where = "/" + "/".join(below)
            member = child = None
            try:
                with naming_damage(self._path, where):
                    member = _member(group, link)
                    child = self.node(member, below, above) if member is not None else None
            except CorruptFileError as error:
                child = self._damaged(where, error)
            if child is not None:
                children[unescape(link)] = child
            kept = _kept_link(group, link, child, isinstance(member, h5py.Datatype))
            if kept is not None:
                links[unescape(link)] = kept
        return children

    def _damaged(self, where: str, error: CorruptFileError) -> Node | None:
        if self._unread is not None:
            return DamagedNode(error)
        self.problems.append((where, error.message.removeprefix(f"{where}: ")))
        return None

    def _elements(self, dataset: h5py.Dataset, names: tuple[str, ...]) -> Any:
        if dataset.shape is None:
            return None
        if self._unread is None:
            return read_elements(dataset)
        dtype = element_dtype(dataset)
        base, inner = dtype.subdtype or (dtype, ())
        return self._unread(self._path, names, dataset.shape + inner, base)


def _kept_link(group: h5py.Group, link: str, node: Node | None, is_type: bool) -> Link | None:
    """The link that a member is besides a node; None for a node alone."""
    if is_type:
        dtype = group[link].dtype
        return CommittedType(None if dtype.hasobject else dtype)
    stored_link = group.get(link, getlink=True)
    if isinstance(stored_link, h5py.SoftLink):
        return SoftLink(stored_link.path, node)
    return (
        ExternalLink(stored_link.filename, stored_link.path, node)
        if isinstance(stored_link, h5py.ExternalLink)
        else None
    )


def _kept_storage(dataset: h5py.Dataset) -> Storage | None:
    """Properties of a dataset besides its elements, to be written again (as the reader says it)."""
    creation = dataset.id.get_create_plist()
    ordered = bool(creation.get_attr_creation_order())
    if dataset.shape is None:
        is_usual = dataset.dtype == NULL_DTYPE and not ordered
        return None if is_usual else Storage(AS_DEFAULT, null_dtype=dataset.dtype, track_order=ordered)
    limits = chunk = value = None
    inner = () if dataset.dtype.subdtype is None else dataset.dtype.subdtype[1]
    if dataset.maxshape != dataset.shape:
        limits = dataset.maxshape + inner
        chunk = None if dataset.chunks is None else dataset.chunks + inner
    if creation.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED and not inner:
        value = _fillvalue(dataset)
    if limits is None and value is None and not ordered:
        return None
    return Storage(AS_DEFAULT, chunks=chunk, maxshape=limits, fillvalue=value, track_order=ordered)


def _fillvalue(dataset: h5py.Dataset) -> Any:
    text = h5py.check_string_dtype(dataset.dtype)
    if text is None or text.length is not None:
        return None if dataset.dtype.hasobject else dataset.fillvalue
    value = dataset.fillvalue
    value = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    return (value if text.encoding == "utf-8" else value.encode()) if value else None


def _member(group: h5py.Group, link: str) -> Any:
    """Target of a link; None for a soft or external one that leads nowhere."""
    try:
        return group[link]
    except (KeyError, RuntimeError, OSError):
        if isinstance(group.get(link, getlink=True), h5py.HardLink):
            raise
        return None


def problems(path: str, skip: frozenset[str]) -> Iterator[tuple[str, str | None]]:
    """Read everything in a file, object by object: (name, None) before each, (name, what is wrong) where it fails.

    skip: names to pass over, with what is below them.
    """
    with open_file(path) as file:
        waiting, seen = ["/"], set()
        while waiting:
            name = waiting.pop()
            if name in skip:
                continue
            yield name, None
            try:
                with naming_damage(path, name):
                    item = file[name]
                    info = h5py.h5o.get_info(item.id)
                    if (info.fileno, info.addr) in seen:
                        continue
                    seen.add((info.fileno, info.addr))
                    waiting += _read_through(item, name)
            except CorruptFileError as error:
                yield name, error.message.removeprefix(f"{name}: ")


def _read_through(item: Any, name: str) -> list[str]:
    """Read attributes and elements of one object, rows by rows; gives the names of a group's members."""
    if not isinstance(item, (h5py.Dataset, h5py.Group)):
        return []
    for attribute in item.attrs:
        _attribute(item, attribute)
    if isinstance(item, h5py.Group):
        links = [link for link in item if isinstance(item.get(link, getlink=True), h5py.HardLink)]
        return [f"{name.rstrip('/')}/{link}" for link in reversed(links)]
    if item.shape:
        rows = max(1, _ROWS_BYTES // max(1, item.nbytes // max(1, item.shape[0])))
        rows = max(rows, (item.chunks or (1,))[0])
        for start in range(0, item.shape[0] if item.size else 0, rows):
            read_elements(item, slice(start, start + rows))
    elif item.shape is not None:
        read_elements(item)
    return []
