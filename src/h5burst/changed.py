"""Differences between two states of one file, by comparing addresses: objects that both share are not read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from h5burst._ext.h5parse import Source
from h5burst.format import dense
from h5burst.format import object_header as oh
from h5burst.format.object_header import ObjectHeader
from h5burst.model.errors import UnsupportedFeatureError, naming_file
from h5burst.read.history import At, opened
from h5burst.write.links import GroupLinks

_BLOCK_BYTES, _BLOCKS = 1 << 12, 64
_GROUP = frozenset({oh.LINK, oh.LINK_INFO, oh.SYMBOL_TABLE})
_OF_ATTRIBUTES = frozenset({oh.ATTRIBUTE, oh.ATTRIBUTE_INFO})


@dataclass(frozen=True)
class Change:
    """One object that an edit has added, removed or changed.

    Attributes
    ----------
    path : str
        Of the object, as stored; of several hard links to it the first.
    kind : str
        "added", "removed" or "changed".
    message : str
        What it is, or what of it has changed, for people.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("edited.h5", {"a": np.arange(3)}, overwrite=True)
    >>> with h5burst.edit("edited.h5") as tx:
    ...     tx.set_attributes("a", {"unit": "s"})
    >>> print(*h5burst.changes("edited.h5", 0))
    changed /a (attributes)
    """

    path: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind} {self.path} ({self.message})"


def changes(path: str | os.PathLike[str], since: At, until: At = -1) -> list[Change]:
    """Differences between two states of a file, in a time that depends on what has changed, not on the file.

    Objects are compared by their addresses: one that was put again with equal content counts as changed. Of what was
    added or removed the topmost object is named. A group is named for its own attributes, not for what is in it.

    Parameters
    ----------
    path
        Of a file that was edited (see `log`).
    since, until
        The two states, as of `file_at`. `since` may be the later one: then it tells what going back would change.

    Returns
    -------
    list of Change
        In the order of their paths; none for equal states.

    Raises
    ------
    LookupError
        There is no such state.
    CorruptFileError, OSError
        For a file that cannot be read.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("edited.h5", {"a": np.arange(3), "b": {}}, overwrite=True)
    >>> with h5burst.edit("edited.h5") as tx:
    ...     tx.put("b/c", h5burst.Array(np.arange(4)))
    ...     tx.remove("a")
    True
    >>> [(found.kind, found.path) for found in h5burst.changes("edited.h5", since=0)]
    [('removed', '/a'), ('added', '/b/c')]
    """
    return changes_between(os.path.abspath(path), since, until)


def changes_between(name: str, since: At, until: At, *, trust: bool = False) -> list[Change]:
    """As `changes`, of an absolute path. trust: as of `log`."""
    with opened(name, trust=trust) as log:
        first, second = log.history.state(since), log.history.state(until)
        source = Source(log.file.descriptor, max(first.end, second.end), first.base, _BLOCK_BYTES, _BLOCKS)
        try:
            with naming_file(name):
                return sorted(_Comparison(source).all(first.root, second.root), key=lambda change: change.path)
        except UnsupportedFeatureError as error:
            raise OSError(f"{name}: what has changed cannot be told: {error}") from error


class _Comparison:
    """Compares objects of one file by their addresses, each once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._seen: set[tuple[int | None, int | None]] = set()
        self._waiting: list[tuple[int, int, bytes]] = []  # pairs of objects to look at, and their path

    def all(self, old: int, new: int) -> Iterator[Change]:
        """Differences between the roots of the earlier and the later state, and below them."""
        self._waiting.append((old, new, b""))
        while self._waiting:
            yield from self._object(*self._waiting.pop())

    def _object(self, old: int, new: int, path: bytes) -> Iterator[Change]:
        if old == new or (old, new) in self._seen:
            return
        self._seen.add((old, new))
        before, after = oh.decode(self._source, old), oh.decode(self._source, new)
        kinds = _kind(before), _kind(after)
        if kinds[0] != kinds[1]:
            yield _change(path, "changed", f"a {kinds[0]} before, a {kinds[1]} now")
        elif kinds[0] == "group":
            if not self._has_same_attributes(before, after):
                yield _change(path, "changed", "attributes")
            yield from self._members(before, after, path)
        else:
            yield _change(path, "changed", self._what_of_dataset(before, after))

    def _members(self, before: ObjectHeader, after: ObjectHeader, path: bytes) -> Iterator[Change]:
        old, new = GroupLinks(self._source, before), GroupLinks(self._source, after)
        for name in sorted(old.differing(new)):
            was, now, below = old.find(name), new.find(name), path + b"/" + name
            if was is not None and was.address is not None and now is not None and now.address is not None:
                self._waiting.append((was.address, now.address, below))
            elif was is None and now is not None:
                yield from self._one(None, now.address, below)
            elif now is None and was is not None:
                yield from self._one(was.address, None, below)
            elif was is not None and now is not None and old.body(name) != new.body(name):
                yield _change(below, "changed", "link")

    def _one(self, old: int | None, new: int | None, path: bytes) -> Iterator[Change]:
        """An object that one state has and the other has not, or a link that leads to no address."""
        kind, address = ("added", new) if old is None else ("removed", old)
        if address is None:
            yield _change(path, "added" if old is None else "removed", "link")
        elif (old, new) not in self._seen:
            self._seen.add((old, new))
            yield _change(path, kind, _kind(oh.decode(self._source, address)))

    def _what_of_dataset(self, before: ObjectHeader, after: ObjectHeader) -> str:
        same_attributes = self._has_same_attributes(before, after)
        if not same_attributes and _others(before) == _others(after):
            return "attributes"
        return "elements" if same_attributes else "elements and attributes"

    def _has_same_attributes(self, before: ObjectHeader, after: ObjectHeader) -> bool:
        return self._attributes(before) == self._attributes(after)

    def _attributes(self, header: ObjectHeader) -> list[bytes]:
        return sorted(message.body for message in dense.all_attributes(self._source, header.messages))


def _others(header: ObjectHeader) -> list[tuple[int, bytes]]:
    return [(message.type, message.body) for message in header.messages if message.type not in _OF_ATTRIBUTES]


def _kind(header: ObjectHeader) -> str:
    if any(message.type in _GROUP for message in header.messages):
        return "group"
    return "dataset" if header.first(oh.DATA_LAYOUT) is not None else "datatype"


def _change(path: bytes, kind: str, description: str) -> Change:
    return Change((path or b"/").decode("utf-8", "backslashreplace"), kind, description)
