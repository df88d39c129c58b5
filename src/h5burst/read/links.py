"""The targets of links that name no address: soft links within a file, external ones into another."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from h5burst.format.superblock import is_hdf5
from h5burst.model.tree import unescape
from h5burst.read.handle import Target

_SOFT_LINKS_DEEP = 16  # as many as libhdf5 follows one after another


class External(tuple[bytes, bytes]):
    """Stored name of another file, and the path of an object in it."""

    def place(self, path: str) -> str | None:
        """The file that it names in the file at `path`, if there is an HDF5 file; else None."""
        target = find_external(self[0], path)
        return target if target is not None and is_hdf5(target) else None


class _Found(NamedTuple):
    """The target of a path, and how many soft links are followed one inside the other on the way.

    is_cut: more than are followed from where the question began; from further on, the path may lead somewhere.
    """

    target: int | External | None
    depth: int
    is_cut: bool = False


_NOWHERE = _Found(None, 1)
_TOO_DEEP = _Found(None, 1, is_cut=True)


class LinkResolver:
    """Follows links in one file. links_of: where the links of the group at an address lead, by name.

    Each path is followed once from each group, so that links that lead to paths of links take no longer than the file
    is long.
    """

    def __init__(self, links_of: Callable[[int], dict[str, Target]], root: int) -> None:
        self._links_of, self._root = links_of, root
        self._found: dict[tuple[int, bytes], _Found] = {}

    def resolve(self, path: bytes, group: int) -> int | External | None:
        """The address at a path from a group, or the external link at which it leaves the file; None for nothing."""
        return self._resolve(path, group, 1).target

    def _resolve(self, path: bytes, group: int, level: int) -> _Found:
        if level > _SOFT_LINKS_DEEP:
            return _TOO_DEEP
        key = (self._root if path.startswith(b"/") else group, path)
        resolved = self._found.get(key)
        if resolved is None:
            self._found[key] = _NOWHERE  # what comes back here runs in a cycle
            resolved = self._follow(*key, level)
            if resolved.is_cut:
                del self._found[key]
            else:
                self._found[key] = resolved
        return resolved

    def _follow(self, at: int, path: bytes, level: int) -> _Found:
        names = [name for name in path.split(b"/") if name not in (b"", b".")]
        deepest = 1
        for number, stored in enumerate(names):
            target = self._links_of(at).get(unescape(stored.decode("utf-8", "surrogateescape")))
            if isinstance(target, bytes):
                further = self._resolve(target, at, level + 1)
                if further.is_cut:
                    return _TOO_DEEP
                deepest = max(deepest, further.depth + 1)
                target = further.target if deepest <= _SOFT_LINKS_DEEP else None
            if isinstance(target, tuple):
                return _Found(External((target[0], b"/".join([target[1], *names[number + 1 :]]))), deepest)
            if target is None:
                return _Found(None, deepest)
            at = target
        return _Found(at, deepest)


def find_external(name: bytes, path: str) -> str | None:
    """The file that an external link of the file at `path` names: beside it, else where the process works."""
    filename = os.fsdecode(name)
    directory = os.path.dirname(path)
    places = [os.path.join(directory, filename), filename]
    if os.path.isabs(filename):
        places = [filename, os.path.join(directory, os.path.basename(filename))]
    return next((os.path.abspath(candidate) for candidate in places if os.path.isfile(candidate)), None)
