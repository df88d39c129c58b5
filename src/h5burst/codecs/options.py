"""Storage options from what callers say about compression, checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from h5burst.codecs import registry
from h5burst.codecs.codec import DEFAULT_LEVELS
from h5burst.model.tree import Storage


def storage_for(
    compression: str | int | None, level: int | Sequence[int] | None = None, *, ignores_unused_level: bool = False
) -> Storage:
    """The storage options that a compression and its level mean, checked: every writer takes them alike.

    Parameters
    ----------
    compression
        The name of a codec; True for gzip, False or None for none; a number from 0 to 9 for that level of gzip; another
        number for the codec of that filter of HDF5 (such as `hdf5plugin.Zstd.filter_id`).
    level
        One of the codec's levels, alone or as the only element of a list, as h5py takes it; None for its default.
    ignores_unused_level
        Whether a level that is valid, but says nothing (of "lzf", which has no levels, or without a codec), is left
        out; else it is refused.

    Returns
    -------
    Storage
        Of this codec and level, the rest as it is by default.

    Raises
    ------
    ValueError
        For an unknown codec, a level that is none, and one that says nothing, unless it is ignored.

    Examples
    --------
    >>> from h5burst import codecs
    >>> codecs.storage_for("lzf", 4, ignores_unused_level=True).level is None
    True
    >>> codecs.storage_for(6).codec
    'gzip'
    """
    name, own_level = _codec_of(compression)
    given = None if level is None else _level_of(level, name)
    if own_level is not None and given is not None and not ignores_unused_level:
        raise ValueError(f"compression={compression} is a level of gzip already: leave the other level out")
    used = given if own_level is None else own_level
    if used is not None and _levels(name) is None:
        if not ignores_unused_level:
            raise ValueError(_unused(used, name))
        used = None
    return Storage(name, used)


def check_codec(storage: Storage) -> None:
    """Raise ValueError for an unknown codec, a level that it does not have, or a level of what has none."""
    if storage.codec is not None:
        registry.by_name(storage.codec)
    if storage.level is not None:
        _level_of(storage.level, storage.codec)
        if _levels(storage.codec) is None:
            raise ValueError(_unused(storage.level, storage.codec))


def _codec_of(compression: object) -> tuple[str | None, int | None]:
    """A codec's name, and the level of gzip where `compression` is one."""
    if compression is None or isinstance(compression, (bool, np.bool_)):
        return "gzip" if compression else None, None
    if isinstance(compression, (int, np.integer)):
        number = int(compression)
        if number in DEFAULT_LEVELS:
            return "gzip", number
        codec = registry.by_id(number)
        if codec is not None:
            return codec.name, None
    elif registry.is_known(compression):
        return str(compression), None
    names = ", ".join(map(repr, (*registry.names(), None)))
    raise ValueError(f"compression must be one of {names}, or a level of gzip (0 to 9), got {compression!r}")


def _level_of(level: object, name: str | None) -> int:
    value = level[0] if isinstance(level, (list, tuple)) and len(level) == 1 else level
    levels = _levels(name) or DEFAULT_LEVELS
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value not in levels:
        whose = f" of {name}" if _levels(name) is not None else ""
        raise ValueError(
            f"the compression level{whose} must be a whole number from {levels[0]} to {levels[-1]}, got {level!r}"
        )
    return int(value)


def _levels(name: str | None) -> range | None:
    return None if name is None else registry.by_name(name).levels


def _unused(level: int, name: str | None) -> str:
    reason = "without a codec it does nothing" if name is None else f"{name} has no levels"
    return f"compression level {level!r}: {reason}: leave the level out, or name a codec with levels (gzip)"
