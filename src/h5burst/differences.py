"""Differences between two files: structure, types, attributes, values."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from h5burst.model.errors import CYCLE, CorruptFileError
from h5burst.model.source import as_source, read_whole
from h5burst.model.tree import Array, ExternalLink, Group, Link, Node, Reference, Storage
from h5burst.read.file_objects import FileLike, accepts_file_objects
from h5burst.read.history import At
from h5burst.read.lazy import address_in_file, open_tree
from h5burst.read.state_file import located_meanwhile

_BLOCK_BYTES = 8 << 20
_SHOWN = 60  # characters of a value


@dataclass(frozen=True)
class Difference:
    """One difference of two files.

    Attributes
    ----------
    path : str
        Of the object or attribute.
    kind : str
        "only in a", "only in b", "kind", "type", "shape", "value", "attribute" or "unreadable".
    message : str
        What differs, for people.

    Examples
    --------
    >>> import h5burst
    >>> h5burst.save("a.h5", {"x": 1}, overwrite=True)
    >>> h5burst.save("b.h5", {"x": 1, "y": 2}, overwrite=True)
    >>> [(one.path, one.kind) for one in h5burst.diff("a.h5", "b.h5")]
    [('/y', 'only in b')]
    """

    path: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class _Names:
    """Paths of a file that lead to the same object: of several hard links to it, references may name any."""

    def __init__(self, tree: Node) -> None:
        self._tree = tree
        self._first: dict[tuple[str, int], str] | None = None

    def first(self, reference: Reference) -> Reference:
        """The same reference by the name under which a walk comes first upon the object."""
        if self._first is None:
            self._first = {}
            for names, node in self._tree.walk() if isinstance(self._tree, Group) else ():
                identity = address_in_file(node)
                if identity is not None:
                    self._first.setdefault(identity, "/" + "/".join(names))
        try:
            identity = address_in_file(self._tree[reference.path]) if isinstance(self._tree, Group) else None
        except (KeyError, OSError):
            identity = None
        return reference if identity is None else replace(reference, path=self._first.get(identity, reference.path))


@dataclass(frozen=True)
class _Tolerance:
    """Allowed difference of numbers, and a way to find out whether references differ."""

    rtol: float
    atol: float
    names: tuple[_Names, _Names]

    def is_same(self, x: Any, y: Any) -> bool:
        """True where two objects are equal: text, references, sequences."""
        if isinstance(x, Reference) and isinstance(y, Reference):
            return x == y or self.names[0].first(x) == self.names[1].first(y)
        if isinstance(x, np.ndarray) or isinstance(y, np.ndarray):
            if type(x) is not type(y) or x.dtype != y.dtype or x.shape != y.shape:
                return False
            return not _differing(x, y, self).any()
        return bool(x == y)


def diff(
    a: FileLike,
    b: FileLike,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    at: str | tuple[str, str] = "/",
    state: At | tuple[At | None, At | None] | None = None,
) -> list[Difference]:
    """Differences between two HDF5 files: groups and datasets, types, shapes, attributes, values.

    How data are stored (chunks, filters, order of creation) does not count, nor do comments, padding and character set
    of text, and tags of opaque types. NaN
    equals NaN of any bits, -0.0 equals 0.0. Datasets are read in blocks.

    Parameters
    ----------
    a, b
        The files: paths, or binary file objects.
    rtol, atol
        Numbers x of `a` and y of `b` are equal when abs(x - y) <= atol + rtol * abs(y).
    at
        Path of the objects that are compared; two paths where they have different ones in the two files.
    state
        An earlier state of both files, as `at` of `file_at`, or one of each; None: the newest. `changes` is quicker for
        two states of one file.

    Returns
    -------
    list of Difference
        None for equal files.

    Raises
    ------
    KeyError
        Where one of the paths leads nowhere.
    LookupError
        For a state that there is not.
    ValueError
        For a negative tolerance.
    OSError
        For a file that cannot be opened. An object that cannot be read is a difference.

    Examples
    --------
    >>> import h5burst, numpy as np
    >>> h5burst.write_tree("a.h5", h5burst.Group({"x": h5burst.Array(np.arange(3.0))}), overwrite=True)
    >>> h5burst.write_tree("b.h5", h5burst.Group({"x": h5burst.Array(np.arange(3.0) + 1e-9)}), overwrite=True)
    >>> [str(found) for found in h5burst.diff("a.h5", "b.h5")]
    ['/x: 3 of 3 values differ, by at most 1e-09; the first at [0]: 0.0 and 1e-09']
    >>> h5burst.diff("a.h5", "b.h5", atol=1e-6)
    []
    """
    first, second = state if isinstance(state, tuple) else (state, state)
    with located_meanwhile(a, first) as one, located_meanwhile(b, second) as other:
        return _diff(one, other, rtol=rtol, atol=atol, at=at)


@accepts_file_objects("a", "b")
def _diff(a: FileLike, b: FileLike, *, rtol: float, atol: float, at: str | tuple[str, str]) -> list[Difference]:
    if not (rtol >= 0 and atol >= 0):
        raise ValueError(f"tolerances must not be negative: rtol={rtol}, atol={atol}")
    paths = (at, at) if isinstance(at, str) else at
    trees = open_tree(a), open_tree(b)
    first, second = (_at(tree, path, file) for tree, path, file in zip(trees, paths, (a, b), strict=True))
    tolerance = _Tolerance(rtol, atol, (_Names(trees[0]), _Names(trees[1])))
    return list(_of_nodes(first, second, paths[0].rstrip("/") or "/", tolerance))


def _at(tree: Group, path: str, file: str | os.PathLike[str]) -> Node:
    try:
        return tree[path]
    except KeyError:
        raise KeyError(f"{os.fspath(file)}: there is no object {path}") from None


def _of_nodes(a: Node, b: Node, where: str, tolerance: _Tolerance) -> Iterator[Difference]:
    try:
        _ = a.attrs, b.attrs
    except CorruptFileError as error:
        if _is_cyclic(a) and _is_cyclic(b):
            return  # both lead back to a group above them
        yield Difference(where, "unreadable", error.message)
        return
    yield from _of_attributes(a.attrs, b.attrs, where, tolerance)
    if isinstance(a, Group) and isinstance(b, Group):
        yield from _of_groups(a, b, where, tolerance)
    elif isinstance(a, Group) or isinstance(b, Group):
        kinds = ["a group" if isinstance(node, Group) else "a dataset" for node in (a, b)]
        yield Difference(where, "kind", f"{kinds[0]} in the first file, {kinds[1]} in the second")
    else:
        try:
            yield from _of_arrays(a, b, where, tolerance)
        except OSError as error:
            yield Difference(where, "unreadable", " ".join(str(error).split()))


def _is_cyclic(node: Node) -> bool:
    try:
        return node.attrs is None
    except CorruptFileError as error:
        return CYCLE in error.message


def _of_groups(a: Group, b: Group, where: str, tolerance: _Tolerance) -> Iterator[Difference]:
    try:
        first, second = dict(a.children), dict(b.children)
    except CorruptFileError as error:
        yield Difference(where, "unreadable", error.message)
        return
    for name in sorted(a.links.keys() | b.links.keys()):
        if name not in first and name not in second:  # else it is told by what it leads to
            yield from _of_links(a.links.get(name), b.links.get(name), f"{where.rstrip('/')}/{name}")
    for name in sorted(first.keys() | second.keys()):
        below = f"{where.rstrip('/')}/{name}"
        if name not in second:
            yield Difference(below, "only in a", "only in the first file")
        elif name not in first:
            yield Difference(below, "only in b", "only in the second file")
        else:
            yield from _of_nodes(first[name], second[name], below, tolerance)


def _of_links(a: Link | None, b: Link | None, where: str) -> Iterator[Difference]:
    """Names that lead to no node: links to nowhere, committed datatypes."""
    if a is None or b is None:
        side = "a" if b is None else "b"
        yield Difference(where, f"only in {side}", f"only in the {'first' if b is None else 'second'} file")
    elif _link_text(a) != _link_text(b):
        yield Difference(where, "kind", f"{_link_text(a)} and {_link_text(b)}")


def _link_text(link: Link) -> str:
    if isinstance(link, ExternalLink):
        return f"an external link to {link.path!r} in {link.file!r}"
    if isinstance(link, str):
        return f"a soft link to {str(link)!r}"
    names = link.dtype is not None and _enumeration(link.dtype)
    return f"the committed datatype {link.dtype}" + (f" of the names {names}" if names else "")


def _of_attributes(a: dict[str, Any], b: dict[str, Any], where: str, tolerance: _Tolerance) -> Iterator[Difference]:
    for name in sorted(a.keys() | b.keys()):
        here = f"{where}@{name}"
        if name not in b:
            yield Difference(here, "attribute", "only in the first file")
        elif name not in a:
            yield Difference(here, "attribute", "only in the second file")
        else:
            difference = _of_values(a[name], b[name], tolerance)
            if difference:
                yield Difference(here, "attribute", difference)


def _of_values(a: Any, b: Any, tolerance: _Tolerance) -> str:
    """Difference between two attributes' values; "" for equal ones."""
    if isinstance(a, Reference) and isinstance(b, Reference):
        return "" if tolerance.is_same(a, b) else f"{_shown(a)} and {_shown(b)}"
    if a is None or b is None or isinstance(a, str) or isinstance(b, str):
        same = type(a) is type(b) and a == b
        return "" if same else f"{_shown(a)} and {_shown(b)}"
    first, second = np.asarray(a), np.asarray(b)
    if first.dtype == second.dtype and _enumeration(first.dtype) != _enumeration(second.dtype):
        return f"enumerations {_shown(_enumeration(first.dtype))} and {_shown(_enumeration(second.dtype))}"
    if first.dtype != second.dtype:
        return f"{_shown(a)} of type {first.dtype} and {_shown(b)} of type {second.dtype}"
    if first.shape != second.shape:
        return f"{_shown(a)} of shape {first.shape} and {_shown(b)} of shape {second.shape}"
    return f"{_shown(a)} and {_shown(b)}" if _differing(first, second, tolerance).any() else ""


def _of_arrays(a: Array, b: Array, where: str, tolerance: _Tolerance) -> Iterator[Difference]:
    if a.data is None or b.data is None:
        if a.data is not b.data:
            yield Difference(where, "shape", "null in one file, not in the other")
        else:
            yield from _of_storage(a, b, where)
        return
    first, second = as_source(a.data), as_source(b.data)
    if first.dtype != second.dtype:
        yield Difference(where, "type", f"{first.dtype} and {second.dtype}")
    elif (names := _enumeration(first.dtype)) != (others := _enumeration(second.dtype)):
        yield Difference(where, "type", f"enumerations {_shown(names)} and {_shown(others)}")
    yield from _of_storage(a, b, where)
    if first.shape != second.shape:
        yield Difference(where, "shape", f"shape {first.shape} and {second.shape}")
        return
    yield from _of_elements(first, second, where, tolerance)


def _of_storage(a: Array, b: Array, where: str) -> Iterator[Difference]:
    """Largest shapes, fill values, types of datasets without elements."""
    first, second = a.storage or Storage(), b.storage or Storage()
    if first.maxshape is not None and second.maxshape is not None:
        if first.maxshape != second.maxshape:
            yield Difference(where, "shape", f"largest shape {first.maxshape} and {second.maxshape}")
    elif first.maxshape is not None or second.maxshape is not None:
        which = "first" if second.maxshape is None else "second"
        yield Difference(
            where, "shape", f"it may grow to {first.maxshape or second.maxshape} in the {which} file alone"
        )
    if not np.array_equal(_filled(first.fillvalue), _filled(second.fillvalue)):
        yield Difference(where, "value", f"fill value {_shown(first.fillvalue)} and {_shown(second.fillvalue)}")
    if a.data is None and first.null_dtype != second.null_dtype:
        yield Difference(where, "type", f"{first.null_dtype} and {second.null_dtype}")


def _filled(value: Any) -> Any:
    array = np.asarray(value)
    return np.frombuffer(array.tobytes(), np.uint8) if array.dtype.kind in "fcV" else array  # NaN equals NaN


def _enumeration(dtype: np.dtype[Any]) -> dict[str, int] | None:
    metadata: Mapping[str, Any] = dtype.metadata or {}
    names = metadata.get("enum")
    return names if isinstance(names, dict) else None


def _of_elements(first: Any, second: Any, where: str, tolerance: _Tolerance) -> Iterator[Difference]:
    total = differing = 0
    largest, example = 0.0, ""
    for start, x, y in _blocks(first, second):
        wrong = _differing(x, y, tolerance)
        total += wrong.size
        count = int(np.count_nonzero(wrong))
        if not count:
            continue
        if not differing:
            position = tuple(int(k) for k in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
            index = (position[0] + start, *position[1:]) if position else ()
            example = f"the first at {list(index)}: {_shown(x[position])} and {_shown(y[position])}"
        differing += count
        largest = max(largest, _distance(x[wrong], y[wrong]))
    if differing:
        by = f", by at most {largest:.6g}" if largest else ""
        yield Difference(where, "value", f"{differing} of {total} values differ{by}; {example}")


def _blocks(first: Any, second: Any) -> Iterator[tuple[int, Any, Any]]:
    """First row, and elements of both, block by block."""
    if not first.shape:
        yield 0, np.asarray(read_whole(first)), np.asarray(read_whole(second))
        return
    row = max(1, int(np.prod(first.shape[1:], dtype=np.int64)) * max(first.dtype.itemsize, second.dtype.itemsize))
    rows = max(1, _BLOCK_BYTES // row)
    for start in range(0, first.shape[0], rows):
        stop = min(start + rows, first.shape[0])
        yield start, np.asarray(first.read(start, stop)), np.asarray(second.read(start, stop))


def _differing(a: Any, b: Any, tolerance: _Tolerance) -> np.ndarray[Any, Any]:
    """A mask of the elements that differ: two arrays of one shape."""
    if a.dtype.names and b.dtype.names:
        if a.dtype.names != b.dtype.names:
            return np.ones(a.shape, bool)
        wrong: np.ndarray[Any, Any] = np.zeros(a.shape, bool)
        for name in a.dtype.names:
            part = _differing(np.asarray(a[name]), np.asarray(b[name]), tolerance)
            wrong |= part.reshape(*a.shape, -1).any(axis=-1) if part.ndim > a.ndim else part
        return wrong
    if a.dtype.kind in "iufc" and b.dtype.kind in "iufc" and (tolerance.rtol or tolerance.atol):
        with np.errstate(invalid="ignore", over="ignore"):
            close: Any = np.isclose(a, b, rtol=tolerance.rtol, atol=tolerance.atol, equal_nan=True)
        return np.asarray(~close, bool)
    if a.dtype.hasobject or b.dtype.hasobject:
        wrong = np.zeros(a.size, bool)
        wrong[:] = [not tolerance.is_same(x, y) for x, y in zip(a.reshape(-1), b.reshape(-1), strict=True)]
        shaped: np.ndarray[Any, Any] = wrong.reshape(a.shape)
        return shaped
    wrong = np.array(a != b, bool)
    if a.dtype.kind in "fc" and b.dtype.kind in "fc":
        wrong &= ~((a != a) & (b != b))  # NaN
    return np.asarray(wrong, bool)


def _distance(x: Any, y: Any) -> float:
    """The largest finite distance of numbers; 0 for what is not numbers."""
    if x.dtype.kind not in "iufc" or y.dtype.kind not in "iufc":
        return 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        wide = np.promote_types(np.promote_types(x.dtype, y.dtype), np.float64)
        distances = np.abs(x.astype(wide) - y.astype(wide))
    finite = distances[np.isfinite(distances)]
    return float(finite.max()) if finite.size else 0.0


def _shown(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
