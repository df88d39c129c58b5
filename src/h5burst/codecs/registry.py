"""The list of codecs: those of this package, and those that others register or bring by an entry point."""

from __future__ import annotations

import functools
import warnings
from importlib.metadata import entry_points

from h5burst.codecs.blosc import Blosc
from h5burst.codecs.codec import Codec
from h5burst.codecs.gzip import Gzip
from h5burst.codecs.lzf import Lzf
from h5burst.codecs.zstd import Zstd

ENTRY_POINTS = "h5burst.codecs"  # group: each names a class derived from `Codec`, without arguments

_by_name: dict[str, Codec] = {}
_by_id: dict[int, Codec] = {}


def register(codec: Codec) -> None:
    """Make a codec known by its name and its filter number.

    Parameters
    ----------
    codec
        An instance of a class derived from `Codec`.

    Raises
    ------
    ValueError
        When its name or its filter number is taken by another class.

    Examples
    --------
    >>> from h5burst import codecs
    >>> codecs.register(codecs.gzip.Gzip())  # again the same class: no error
    """
    for registered in (_by_name.get(codec.name), _by_id.get(codec.filter_id)):
        if registered is not None and type(registered) is not type(codec):
            raise ValueError(
                f"a codec {codec.name!r} (filter {codec.filter_id}) is registered: {type(registered).__name__}"
            )
    _by_name[codec.name] = _by_id[codec.filter_id] = codec


def by_name(name: str) -> Codec:
    """The codec that `Storage(codec=name)` stands for.

    Parameters
    ----------
    name
        One of `names()`.

    Returns
    -------
    Codec
        The registered instance.

    Raises
    ------
    ValueError
        For another name; the message has all names.

    Examples
    --------
    >>> from h5burst import codecs
    >>> codecs.by_name("gzip").filter_id
    1
    """
    codec = _by_name.get(name) or _with_entry_points().get(name)
    if codec is None:
        raise ValueError(f"unknown codec {name!r}: choose one of {', '.join(map(repr, names()))}, or None")
    return codec


def by_id(filter_id: int) -> Codec | None:
    """The codec of an HDF5 filter number."""
    if filter_id not in _by_id:
        _with_entry_points()
    return _by_id.get(filter_id)


def is_known(name: object) -> bool:
    """True where `Storage(codec=name)` names a codec."""
    return isinstance(name, str) and (name in _by_name or name in _with_entry_points())


def names() -> tuple[str, ...]:
    """The names that `Storage(codec=...)` takes."""
    return tuple(_with_entry_points())


@functools.cache
def _load_entry_points() -> None:
    """Register what other packages offer, once. One that does not load is a warning, and the rest go on."""
    for point in entry_points(group=ENTRY_POINTS):
        try:
            register(point.load()())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's code: it must not stop the codecs that work
            message = (
                f"the codec of the entry point {point.name} = {point.value} cannot be loaded: "
                f"{type(error).__name__}: {error}"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=4)


def _with_entry_points() -> dict[str, Codec]:
    _load_entry_points()
    return _by_name


for _codec in (Gzip(), Lzf(), Blosc(), Zstd()):
    register(_codec)
