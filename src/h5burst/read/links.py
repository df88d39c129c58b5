"""Where links lead that name no address: soft links within a file, external ones into another."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeAlias

from h5burst._ext.h5parse import Damage, Parser
from h5burst.model.tree import unescape

Target: TypeAlias = "int | bytes | tuple[bytes, bytes]"

_SOFT_LINKS_DEEP = 16  # as many as libhdf5 follows one after another
_STEPS = 10_000_000
_GROUPS_HELD = 256


class External(tuple[bytes, bytes]):
    """Stored name of another file, and the path of an object in it."""


class LinkResolver:
    """Follows links in one file. parser: one of its own, for it changes what the parser holds."""

    def __init__(self, parser: Parser, root: int) -> None:
        self._parser = parser
        self._root = root
        self._groups: dict[int, dict[str, Target]] = {}
        self._steps = 0

    def resolve(self, path: bytes, group: int, depth: int = _SOFT_LINKS_DEEP) -> int | External | None:
        """The address at a path from a group, or the external link at which it leaves the file; None for nothing."""
        at = self._root if path.startswith(b"/") else group
        names = [name for name in path.split(b"/") if name not in (b"", b".")]
        for number, stored in enumerate(names):
            self._steps += 1
            if self._steps > _STEPS:
                raise Damage("its soft links lead to more places than any program looks at")
            target = self._members(at).get(unescape(stored.decode("utf-8", "surrogateescape")))
            rest = b"/".join(names[number + 1 :])
            if isinstance(target, tuple):
                return External((target[0], target[1] + b"/" + rest if rest else target[1]))
            if isinstance(target, bytes):
                found = self.resolve(target, at, depth - 1) if depth else None
                if isinstance(found, External):
                    return External((found[0], found[1] + b"/" + rest if rest else found[1]))
                target = found
            if target is None:
                return None
            at = target
        return at

    def _members(self, group: int) -> dict[str, Target]:
        members = self._groups.get(group)
        if members is None:
            if len(self._groups) >= _GROUPS_HELD:
                self._groups.clear()
            members = {name: target for name, target, _ in self._parser.links(group)}
            self._groups[group] = members
        return members


def find_external(name: bytes, path: str, exists: Callable[[str], bool] = os.path.isfile) -> str | None:
    """The file that an external link of the file at `path` names: beside it, else where the process works."""
    wanted = os.fsdecode(name)
    folder = os.path.dirname(path)
    places = [os.path.join(folder, wanted), wanted]
    if os.path.isabs(wanted):
        places = [wanted, os.path.join(folder, os.path.basename(wanted))]
    return next((os.path.abspath(place) for place in places if exists(place)), None)
