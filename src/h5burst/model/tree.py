"""The tree: everything that is saved is first groups, arrays and attributes in plain data classes.

Names here are the logical ones; a name that HDF5 cannot hold as one link is escaped by the code that writes bytes
(`escape_link`, `escape_attribute`) and unescaped by the code that reads them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

import numpy as np

from h5burst._ext.treenodes import ArrayMaker
from h5burst.model.source import ArraySource

ESCAPE_PREFIX = "%~"
AS_DEFAULT = "default"  # as a codec: that of the arrays which name no storage themselves
NULL_DTYPE = np.dtype(np.float64)  # of a null dataspace that names none
MAX_DEPTH = 128  # groups inside groups, for all that writes and reads: none of it may run out of stack


def path_names(path: str | Sequence[str]) -> tuple[str, ...]:
    """The logical names of a path, for all that takes one, to read or to write.

    path: one text as a file stores it, with "/" between the links, in which "." means nothing; or the logical names one
    by one, for names that hold "/" or are ".". Raises TypeError for what is neither.
    """
    if isinstance(path, str):
        return _stored_names(path)
    if not isinstance(path, (tuple, list)) or not all(isinstance(name, str) for name in path):
        raise TypeError(f"a path is one text or a tuple of names, not {path!r}")
    return tuple(path)


@functools.lru_cache(512)  # the same objects are asked for again and again
def _stored_names(path: str) -> tuple[str, ...]:
    return tuple(unescape(part) for part in path.split("/") if part not in ("", "."))


@dataclass(frozen=True, slots=True)
class Storage:
    """Storage options of one array.

    Parameters
    ----------
    codec : str, optional
        "gzip", "lzf", "blosc", "zstd" or another that is registered (`h5burst.codecs`); None: not compressed;
        "default": codec and level of the arrays that name no storage, as `write_tree` is given them.
    level : int, optional
        0 to 9, for codecs that have levels ("lzf" has none); None: the codec's default.
    chunks : tuple of int, optional
        Shape of a chunk; None: the writer chooses. Text of variable length has chunks only with `maxshape`.
    compress_small : bool
        Apply the codec however small the array is.
    maxshape : tuple, optional
        The largest shape that the dataset may be given later, None along an axis without a limit; None: it keeps its
        shape.
    fillvalue : scalar, optional
        The value of elements that were never written, in the array's dtype; None: HDF5's default, zero or empty text.
    null_dtype : numpy.dtype, optional
        Of a null dataspace, an array whose data are None; None: float64.
    track_order : bool
        Whether the order of the attributes is kept, as by h5py's option of that name; else readers sort them by name.

    Notes
    -----
    `read_tree` gives an array a storage (with the codec "default") only where the file says one of the last four, or a
    maximal shape beyond the shape, together with the shape of its chunks.

    Examples
    --------
    >>> from h5burst import Storage
    >>> Storage("gzip", level=4).maxshape is None
    True
    >>> Storage(maxshape=(None,), fillvalue=-1).fillvalue
    -1
    """

    codec: str | None = None
    level: int | None = None
    chunks: tuple[int, ...] | None = None
    compress_small: bool = False
    maxshape: tuple[int | None, ...] | None = None
    fillvalue: Any = field(default=None, hash=False)
    null_dtype: np.dtype[Any] | None = None
    track_order: bool = False


def storage_of(named: Storage | None, default: Storage | None) -> Storage | None:
    """Storage of an array that names one or none, among others that get `default`."""
    if named is None or named.codec != AS_DEFAULT:
        return named or default
    base = default or Storage()
    return replace(named, codec=base.codec, level=base.level, compress_small=base.compress_small)


def fill_bytes(value: Any, dtype: np.dtype[Any]) -> bytes:
    """A fill value as one element of a dtype. Raises ValueError unless that holds it exactly."""
    try:
        element = np.asarray(value).astype(dtype, casting="same_kind" if isinstance(value, np.generic) else "unsafe")
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the fill value {value!r} is not of dtype {dtype}") from error
    same = element.tolist() == np.asarray(value).tolist() or value != value  # a NaN is not equal to itself
    if element.shape or not same:
        raise ValueError(f"the fill value {value!r} is not one element of dtype {dtype}")
    return element.tobytes()


@dataclass(slots=True)
class Array:
    """One dataset.

    Parameters
    ----------
    data : numpy.ndarray, ArraySource or None
        A numpy array of any shape (numeric, bool, complex, fixed bytes, structured, or object holding only `str` or
        only `bytes`: variable-length text; for whole files also only `Reference`, or only arrays of one axis: sequences
        of variable length), an `ArraySource`, or None for a null dataspace.
    attrs : dict
        Attributes, as of `Group`.
    storage : Storage, optional
        None: the writer's choice.

    Examples
    --------
    >>> import numpy as np
    >>> from h5burst import Array
    >>> Array(np.arange(3), {"unit": "samples"}).data.shape
    (3,)
    """

    data: np.ndarray[Any, Any] | ArraySource | None
    attrs: dict[str, Any] = field(default_factory=dict)
    storage: Storage | None = None


@dataclass(slots=True)
class Group:
    """One group: children by logical name, in insertion order, and attributes.

    Parameters
    ----------
    children : dict of str to Group or Array
        Logical names: what HDF5 cannot hold as one link is escaped in the file.
    attrs : dict of str to object
        str, bytes, bool, int, float, complex, numpy scalars and arrays (as in `Array.data`), None.
    links : dict of str to str, SoftLink, ExternalLink or CommittedType
        Members that are not nodes of their own, by logical name: a `str` or `SoftLink` (the path of a node of the file,
        relative to this group, or from the root with "/"), an `ExternalLink`, or a `CommittedType`. A group that is
        read has what a link leads to under `children` as well, and the link is written again as long as that is the
        node there.
    track_order : bool
        Whether the order of members and attributes is kept, as by h5py's option of that name; else readers sort them
        by name.

    Examples
    --------
    >>> import numpy as np
    >>> from h5burst import Array, Group
    >>> tree = Group({"units": Group({"unit_001": Array(np.arange(3))})})
    >>> "units/unit_001" in tree, len(list(tree.walk()))
    (True, 2)
    """

    children: dict[str, Array | Group] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    track_order: bool = False

    def __getitem__(self, path: str | tuple[str, ...]) -> Array | Group:
        """The node at a path: a tuple of logical names, or one text as stored. KeyError where there is none."""
        node: Array | Group = self
        for name in path_names(path):
            if not isinstance(node, Group):
                raise KeyError(path)
            node = node.children[name]
        return node

    def __contains__(self, path: str | tuple[str, ...]) -> bool:
        try:
            self[path]
        except KeyError:
            return False
        return True

    def walk(self, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Array | Group]]:
        """Every node below this one with its path, parents first.

        Parameters
        ----------
        prefix : tuple of str
            Names that each path begins with.

        Yields
        ------
        (tuple of str, Array or Group)
            The path from this group, after `prefix`, and the node.
        """
        for name, node in self.children.items():
            path = (*prefix, name)
            yield path, node
            if isinstance(node, Group):
                yield from node.walk(path)


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference of a file to one of its objects, or to a region of a dataset's elements.

    Attributes
    ----------
    path : str
        Of the object, as stored; empty for a reference to nothing.
    is_region : bool
        Whether it is to a region.
    elements : str
        Of a region that was read: which elements, as corners of blocks or as points.

    Notes
    -----
    `write_tree` writes references to objects of the tree; those to regions, whose elements a tree does not say, are
    copied by `repack` alone.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> references = np.array([h5burst.Reference("/x"), h5burst.Reference("")], object)
    >>> tree = h5burst.Group({"x": h5burst.Array(np.arange(3)), "references": h5burst.Array(references)})
    >>> h5burst.write_tree("references.h5", tree, overwrite=True)
    >>> h5burst.read_tree("references.h5")["references"].data[0].path
    '/x'
    """

    path: str
    is_region: bool = False
    elements: str = ""


class SoftLink(str):
    """Another name for a node of the file: its path, as stored.

    Attributes
    ----------
    node : Group, Array or None
        What it leads to in a tree that was read; None where it leads to nothing.

    Examples
    --------
    >>> from h5burst import SoftLink
    >>> SoftLink("/units/unit_001").node is None
    True
    """

    __slots__ = ("node",)

    node: Array | Group | None

    def __new__(cls, path: str, node: Array | Group | None = None) -> SoftLink:
        link = super().__new__(cls, path)
        link.node = node
        return link

    def __reduce__(self) -> tuple[Any, ...]:
        return SoftLink, (str(self), self.node)


@dataclass(frozen=True, slots=True)
class ExternalLink:
    """A name for an object of another file.

    Attributes
    ----------
    file, path : str
        Name of the file, and of the object in it, as stored.
    node : Group, Array or None
        What it leads to in a tree that was read; None where it leads to nothing.

    Examples
    --------
    >>> from h5burst import ExternalLink
    >>> ExternalLink("raw.h5", "/samples").file
    'raw.h5'
    """

    file: str
    path: str
    node: Array | Group | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CommittedType:
    """The object behind the name of a committed datatype, in a tree that was read.

    Attributes
    ----------
    dtype : numpy.dtype or None
        As of elements of a dataset of that type; None for one that has no dtype of its own, such as text.

    Notes
    -----
    Datasets of a tree have their datatypes themselves: `write_tree` leaves the name out, and warns. `repack` copies it.

    Examples
    --------
    >>> import h5py, numpy as np, h5burst
    >>> with h5py.File("types.h5", "w") as file:
    ...     file["point"] = np.dtype([("x", "f4"), ("y", "f4")])
    >>> type(h5burst.read_tree("types.h5").links["point"]).__name__
    'CommittedType'
    """

    dtype: np.dtype[Any] | None = None


Link: TypeAlias = "str | SoftLink | ExternalLink | CommittedType"
Node: TypeAlias = Array | Group
_maker = ArrayMaker(Array)


def numbered_arrays(arrays: Any, dtype: np.dtype[Any]) -> dict[str, Array] | None:
    """The children of a group that holds numbered arrays, thousands of them in little time.

    Parameters
    ----------
    arrays : dict of int to numpy.ndarray
        By their numbers.
    dtype : numpy.dtype
        Of all of them.

    Returns
    -------
    dict of str to Array, or None
        Nodes without attributes, by the numbers in decimal form. None where `arrays` is anything else: not a dict, with
        keys that are not `int`, or with a value that is not an array of this very dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from h5burst import numbered_arrays
    >>> list(numbered_arrays({0: np.arange(3), 1: np.arange(2)}, np.dtype(np.int64)))
    ['0', '1']
    """
    return _maker.by_number(arrays, dtype)


class UnsupportedValueError(TypeError):
    """A value that HDF5 cannot hold exactly.

    Parameters
    ----------
    message : str
        What cannot be stored, and what to do.
    path : str
        Of the node, and the name of the attribute where it is one.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(f"{message} (at {path})")
        self.path = path


def _escape(name: str) -> str:
    return ESCAPE_PREFIX + quote(name, safe="", errors="surrogatepass")


def is_encodable(name: str) -> bool:
    """True where HDF5 can hold a name, or the path of a link, as it is: not empty, without NUL and lone surrogates."""
    return bool(name) and "\0" not in name and (name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name))


def escape_link(name: str) -> str:
    """The link name under which a name is stored: itself, unless HDF5 could not hold it as one link.

    Parameters
    ----------
    name : str
        Any text.

    Returns
    -------
    str
        With percent escapes after `%~` where it is empty, ".", or holds "/", NUL or a lone surrogate.

    Examples
    --------
    >>> from h5burst import escape_link
    >>> escape_link("unit_001"), escape_link("on/off")
    ('unit_001', '%~on%2Foff')
    """
    if "/" in name or name == "." or name.startswith(ESCAPE_PREFIX) or not is_encodable(name):
        return _escape(name)
    return name


def escape_attribute(name: str) -> str:
    """As `escape_link`, for attribute names, in which "/" and "." mean nothing."""
    return _escape(name) if name.startswith(ESCAPE_PREFIX) or not is_encodable(name) else name


def unescape(stored: str) -> str:
    """The logical name of a stored one.

    Parameters
    ----------
    stored : str
        The name of a link or an attribute in a file.

    Returns
    -------
    str
        What `escape_link` was given; a name that no escape made stays as it is.

    Examples
    --------
    >>> from h5burst import unescape
    >>> unescape("%~on%2Foff"), unescape("50%")
    ('on/off', '50%')
    """
    if not stored.startswith(ESCAPE_PREFIX):
        return stored
    name = unquote(stored[len(ESCAPE_PREFIX) :], errors="surrogatepass")
    return name if _escape(name) == stored else stored
