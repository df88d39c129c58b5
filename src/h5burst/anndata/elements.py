"""Kinds of elements of `.h5ad` files: a class each, with its encoding, how it is written and how it is read.

Others register theirs as those of this package are. The encodings are those of anndata's on-disk specification, as its
versions 0.10 to 0.13 write them ("On-disk format" in its documentation).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import scipy.sparse as sp

from h5burst.anndata.encodings import NONE, TYPE, VERSION, Encoding, encoding_of
from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import Array, Group, Node, Storage, UnsupportedValueError

DATES = "dates and times have no encoding: convert them to text, or to integers with their unit in uns"
DURATIONS = "durations have no encoding: convert them to numbers, with their unit in uns"


class Element:
    """One kind of element: what files call it, which values it stores, how it is written and how it is read.

    Derive from it and decorate the class with `register`.

    Attributes
    ----------
    name, version
        "encoding-type" and "encoding-version" of the element in the file. A kind without a name stores its values as
        those of another kind.
    types
        Whose instances it stores; () for a kind that is only read.

    Examples
    --------
    >>> from fractions import Fraction
    >>> import anndata, numpy as np
    >>> from h5burst import Array
    >>> from h5burst.anndata import Element, read_h5ad, register, write_h5ad
    >>> @register
    ... class Ratio(Element):
    ...     name, version, types = "my_package.ratio", "1", (Fraction,)
    ...     def encode(self, value, where, encoder):
    ...         return Array(np.array([value.numerator, value.denominator]))
    ...     def decode(self, node, where, decoder):
    ...         return Fraction(*map(int, node.data))
    >>> write_h5ad(anndata.AnnData(np.eye(2), uns={"gear": Fraction(3, 7)}), "ratio.h5ad")
    >>> read_h5ad("ratio.h5ad").uns["gear"]
    Fraction(3, 7)
    """

    name: ClassVar[str] = ""
    version: ClassVar[str] = ""
    types: ClassVar[tuple[type, ...]] = ()

    def takes(self, value: Any) -> bool:
        """True where it stores this value: one of its `types`, unless a kind says otherwise."""
        return isinstance(value, self.types)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        """The `Array` or `Group` of a value, to which the encoding's attributes are added.

        Parameters
        ----------
        value
            What it `takes`.
        where
            Its place in the object, for messages.
        encoder
            Its `encode` makes nodes of what is within the value.

        Raises
        ------
        UnsupportedValueError
            A value that the kind cannot store; it names the place.
        """
        raise NotImplementedError

    def decode(self, node: Any, where: str, decoder: Decoder) -> Any:
        """The value of a node; ValueError, KeyError, IndexError or TypeError for one that is not of this kind.

        Parameters
        ----------
        node
            What the file has: an `Array` or a `Group`.
        where
            Its path in the file, for messages.
        decoder
            Its `decode` makes values of the nodes within.
        """
        raise NotImplementedError

    @classmethod
    def encoding(cls) -> Encoding:
        """Name and version."""
        return Encoding(cls.name, cls.version)

    @classmethod
    def is_of(cls, node: Node) -> bool:
        """True where a node says that it is of this kind."""
        return encoding_of(node) == cls.encoding()

    @classmethod
    def marked(cls, node: _Made) -> _Made:
        """A node with the attributes of this kind, unless it has those of one already."""
        if cls.name:
            node.attrs = {TYPE: cls.name, VERSION: cls.version, **node.attrs}
        return node


_Made = TypeVar("_Made", Array, Group, Node)
_Kind = TypeVar("_Kind", bound=type[Element])
_writers: list[Element] = []  # the last that takes a value stores it
_readers: dict[Encoding, Element] = {}


def register(kind: _Kind) -> _Kind:
    """Make a kind of elements known to everything that writes and reads `.h5ad` and `.h5mu` files; a decorator.

    Of several kinds that take a value, the one that was registered last stores it. Files with elements of your own are
    read where the kind is registered; elsewhere such an element is an error that names its encoding.

    Parameters
    ----------
    kind
        A class derived from `Element`, without arguments. One that has `decode` alone is for files that are there.

    Returns
    -------
    type
        The class.

    Raises
    ------
    TypeError
        For what is no such class.
    ValueError
        When its name and version are those of another class.

    Examples
    --------
    >>> from decimal import Decimal
    >>> import numpy as np
    >>> from h5burst import Array
    >>> from h5burst.anndata import Element, register
    >>> @register
    ... class DecimalElement(Element):
    ...     name, version, types = "my_package.decimal", "1", (Decimal,)
    ...     def encode(self, value, where, encoder):
    ...         return Array(np.array(str(value), object))
    ...     def decode(self, node, where, decoder):
    ...         return Decimal(str(node.data))
    >>> DecimalElement.encoding()
    Encoding(name='my_package.decimal', version='1')
    """
    if not (isinstance(kind, type) and issubclass(kind, Element)):
        raise TypeError(f"an element is a class derived from Element, not {kind!r}")
    writes, reads = kind.encode is not Element.encode, kind.decode is not Element.decode
    registered = _readers.get(kind.encoding())
    if reads and registered is not None and _place(type(registered)) != _place(kind):
        raise ValueError(
            f"the encoding {kind.name!r} of version {kind.version!r} is that of {type(registered).__name__}"
        )
    if writes and reads and not kind.name:
        raise ValueError(f"{kind.__name__} has no name, by which its elements are found in a file")
    instance = kind()
    _writers[:] = [writer for writer in _writers if _place(type(writer)) != _place(kind)]  # defined once more
    if writes:
        _writers.append(instance)
    if reads:
        _readers[kind.encoding()] = instance
    return kind


def _place(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def readable() -> list[Encoding]:
    """The encodings that can be read."""
    return list(_readers)


class Encoder:
    """Makes nodes of elements.

    Parameters
    ----------
    storage
        Of what may grow, the arrays of a sparse matrix, by `growing`.
    """

    def __init__(self, storage: Storage) -> None:
        self.growing = Storage(storage.codec, storage.level, maxshape=(None,))

    def encode(self, value: Any, where: str) -> Node:
        """The node of one element. where: its path, for messages. Raises UnsupportedValueError if it has no kind."""
        for kind in reversed(_writers):
            if kind.takes(value):
                return kind.marked(kind.encode(value, where, self))
        raise unsupported(value, where)


class Decoder:
    """Makes elements of nodes. path: of the file, for messages. root: of its tree, for references of old files.

    Raises `CorruptFileError`, which names the element, for what is not of the form that its encoding says, ValueError
    for an encoding that is not known.
    """

    def __init__(self, path: str, root: Group) -> None:
        self.path = path
        self.root = root

    def decode(self, node: Node, where: str) -> Any:
        """The element of a node. where: its path in the file, for messages."""
        encoding = encoding_of(node)
        kind = _readers.get(encoding)
        if kind is None:
            raise ValueError(
                f"{self.path}: /{where} has the encoding {encoding.name!r} of version {encoding.version!r}, which is "
                "not known: a newer version of this package may read it, or the package whose element it is"
            )
        return self.named(functools.partial(kind.decode, decoder=self), node, where)

    def named(self, read: Callable[[Any, str], Any], node: Node, where: str) -> Any:
        """An element by the function that reads it; its errors name the element."""
        try:
            return read(node, where)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            if str(error).startswith(f"{self.path}: "):  # an element below it is of unknown encoding
                raise
            problem_of = f"there is no {error}" if isinstance(error, KeyError) else str(error)
            name = encoding_of(node).name
            problem = f"it is not what its encoding {name!r} says: {problem_of}" if name != NONE.name else problem_of
            raise CorruptFileError(self.path, f"/{where}: {problem}", [(f"/{where}", problem)]) from error


def group_of(node: Node) -> Group:
    """A node that must be a group. Raises ValueError for a dataset."""
    if not isinstance(node, Group):
        raise ValueError("it is not a group")
    return node


def unsupported(value: Any, where: str) -> UnsupportedValueError:
    """The error of a value that no kind takes: its type, and what to make of it."""
    title, module = type(value).__name__, type(value).__module__.split(".")[0]
    advice = {
        "polars": "convert it to a pandas DataFrame",
        "anndata": "bring it into memory as a DataFrame (to_memory())",
    }.get(module, "convert it to an array, a number, text, a DataFrame or a dict")
    if title in ("DatetimeArray", "PeriodArray"):
        advice = DATES
    elif title == "TimedeltaArray":
        advice = DURATIONS
    elif sp.issparse(value):
        advice = f"only csr and csc have one: convert it with .tocsr() (it is {value.format})"
    elif title in ("Series", "Index"):
        advice = "use its .to_frame() or .to_numpy()"
    elif title == "FloatingArray":
        advice = "convert it to float64, where a missing value is NaN"
    elif isinstance(value, (tuple, set, frozenset)):
        advice = "make it a list"
    return UnsupportedValueError(f"a value of type {title} has no encoding: {advice}", where)
