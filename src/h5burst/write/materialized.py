"""Trees as they are written: members read, long text in memory, links that lead somewhere as links."""

from __future__ import annotations

import os
import warnings
from typing import Any, TypeVar, cast

import numpy as np

from h5burst.model.lazy_dict import FilledLater
from h5burst.model.source import as_source, is_source, read_whole
from h5burst.model.tree import (
    MAX_DEPTH,
    Array,
    CommittedType,
    ExternalLink,
    Group,
    Link,
    Node,
    SoftLink,
    is_encodable,
    path_names,
)
from h5burst.read.links import find_external

NodeT = TypeVar("NodeT", bound=Node)

_MAX_NAMED = 5  # paths in one warning


class NeedsMaterializingError(Exception):
    """A tree that is written only after `materialized`."""


def needs_materializing(group: Group) -> bool:
    """True where a group is read lazily, or has links that came from a file."""
    return isinstance(group.children, FilledLater) or not all(map(_is_final, group.links.values()))


def _is_final(link: Link) -> bool:
    """True where a link knows of no node, so that it is written as it is."""
    return type(link) is str or (isinstance(link, ExternalLink) and link.node is None)


def is_text_source(data: Any) -> bool:
    """True where data are text that is read lazily. The format keeps text apart from what refers to it."""
    return not isinstance(data, np.ndarray) and is_source(data) and np.dtype(data.dtype).hasobject


def materialized(node: NodeT, path: tuple[str, ...], target: str | None) -> NodeT:
    """The node as it is written at a path of the file `target`: lazily read groups and text in memory.

    A soft link stays one where it leads to a node that is written along, an external one where it leads to a file from
    the new place, and both where they led to nothing; what others lead to is written in their place. Warns of what is
    left out.
    """
    work = _Materializing(node, path, target)
    written = work.node(node, path)
    work.warn()
    return written


class _Materializing:
    def __init__(self, root: Node, path: tuple[str, ...], target: str | None) -> None:
        self._root, self._path, self._target = root, path, target
        self._known: dict[int, Node] = {}
        self._left_out: dict[str, list[str]] = {}

    def node(self, node: NodeT, path: tuple[str, ...], depth: int = 0) -> NodeT:
        """The materialized node. What HDF5 cannot hold, cycles included, stays as it is: `validate` names it then."""
        copied: Any = self._known.get(id(node))
        if copied is not None:
            return copied  # type: ignore[no-any-return]
        copied = self._known[id(node)] = node
        if isinstance(node, Group) and depth <= MAX_DEPTH:
            copied = self._known[id(node)] = Group({}, node.attrs, {}, node.track_order)
            links = {name: link for name, link in node.links.items() if self._is_kept(node, name, link, path)}
            copied.links = {name: _final(link) for name, link in links.items()}
            for name, child in node.children.items():
                if name not in links or _is_final(links[name]):
                    copied.children[name] = self.node(child, (*path, name), depth + 1)
        elif isinstance(node, Array) and is_text_source(node.data):
            data = np.asarray(read_whole(as_source(cast(Any, node.data))))
            copied = self._known[id(node)] = Array(data, node.attrs, node.storage)
        return copied  # type: ignore[no-any-return]

    def _is_kept(self, group: Group, name: str, link: Link, path: tuple[str, ...]) -> bool:
        """True where a link is written, and not what it leads to."""
        if _is_final(link):
            return True
        where = "/" + "/".join((*path, name))
        if isinstance(link, CommittedType):
            self._left_out.setdefault("committed datatypes, whose datasets keep their types", []).append(where)
            return False
        assert isinstance(link, (SoftLink, ExternalLink))
        if group.children.get(name) is not link.node:
            return False
        if not all(map(is_encodable, (link.file, link.path) if isinstance(link, ExternalLink) else (link,))):
            self._left_out.setdefault("links to what is not Unicode text", []).append(where)
            return False
        if link.node is None:
            return True
        if isinstance(link, ExternalLink):
            if self._target is not None and find_external(os.fsencode(link.file), os.path.abspath(self._target)):
                return True
            kind = "external links that lead to nothing from here, so that what they led to is copied"
            self._left_out.setdefault(kind, []).append(where)
            return False
        return self._holds(link, path)

    def _holds(self, link: SoftLink, path: tuple[str, ...]) -> bool:
        """True where the path of a soft link of the group at `path` leads to a node that is written."""
        names = path_names(str(link))
        names = names if link.startswith("/") else (*path, *names)
        inside = len(self._path)
        if names[:inside] != self._path or not isinstance(self._root, Group):
            return False
        return names[inside:] in self._root

    def warn(self) -> None:
        """Say what is left out, in one warning."""
        parts = []
        for kind, where in self._left_out.items():
            more = f" and {len(where) - _MAX_NAMED} more" if len(where) > _MAX_NAMED else ""
            parts.append(f"{kind}: {', '.join(where[:_MAX_NAMED])}{more}")
        if parts:
            file = "" if self._target is None else f" into {self._target}"
            message = f"not written{file}: {'; '.join(parts)} (h5burst.repack copies a file with all that it has)"
            warnings.warn(message, stacklevel=5)


def _final(link: Link) -> Link:
    """A link without its node."""
    return ExternalLink(link.file, link.path) if isinstance(link, ExternalLink) else str(link)
