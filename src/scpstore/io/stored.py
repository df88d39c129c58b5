"""A group of the file together with what the format cannot say about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from h5burst import Array, CorruptFileError, Group, Node, decode_attributes, decode_value, encode_value
from scpstore.io.exceptions import IOFormatError

EXTRAS = "scptensor"  # the group at the root whose group P belongs to the group /P


@dataclass
class StoredGroup:
    """The group at `where`, as any reader of format 1.0 knows it, and its extras, which only we read."""

    where: str = ""
    plain: Group = field(default_factory=Group)
    extra: Group = field(default_factory=Group)

    @classmethod
    def of_root(cls, root: Group) -> StoredGroup:
        """A whole file."""
        extra = root.children.get(EXTRAS)
        return cls("", root, extra if isinstance(extra, Group) else Group())

    # ------------------------------------------------------------ writing

    def put(self, name: str, child: StoredGroup) -> None:
        """Make `child` a group of this one; empty extras are left out."""
        self.plain.children[name] = child.plain
        if child.extra.children or child.extra.attrs:
            self.extra.children[name] = child.extra

    def below(self, name: str) -> StoredGroup:
        """An empty group that is to be put under `name`."""
        return StoredGroup(self._path(name))

    def as_root(self) -> Group:
        """The tree of a whole file."""
        return Group({**self.plain.children, EXTRAS: self.extra}, self.plain.attrs)

    # ------------------------------------------------------------ reading

    @contextmanager
    def naming_damage(self) -> Iterator[None]:
        """While the block runs, damage to the file is an `IOFormatError` that names this group."""
        try:
            yield
        except CorruptFileError as error:
            raise IOFormatError(f"{self.where}: {error}") from error

    def child(self, name: str) -> StoredGroup | None:
        """The group of that name, None where there is none."""
        node, extra = self.plain.children.get(name), self.extra.children.get(name)
        if not isinstance(node, Group):
            return None
        return StoredGroup(self._path(name), node, extra if isinstance(extra, Group) else Group())

    def required(self, name: str) -> StoredGroup:
        """The group of that name. Raises `IOFormatError` where there is none."""
        group = self.child(name)
        if group is None:
            raise IOFormatError(f"Missing required group: {self._path(name)}")
        return group

    def groups(self, order: Sequence[str] = ()) -> Iterator[tuple[str, StoredGroup]]:
        """The groups in this one by name: those of `order` first, in that order, then others."""
        present = [name for name, node in self.plain.children.items() if isinstance(node, Group)]
        listed = [name for name in order if name in set(present)]
        for name in [*dict.fromkeys(listed), *(name for name in present if name not in set(listed))]:
            yield name, self.required(name)

    def extra_value(self, *path: str) -> Any:
        """The value of a dataset among the extras, in memory; None where there is none."""
        node: Node | None = self.extra
        for part in path:
            node = node.children.get(part) if isinstance(node, Group) else None
        if not isinstance(node, Array) or node.data is None:
            return None
        return decode_value(Array(np.asarray(node.data), node.attrs), scalars="attributes")

    def extra_texts(self, *path: str) -> list[str]:
        """A list of text among the extras; empty where there is none, or something else."""
        values = self.extra_value(*path)
        if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype != object:
            return []
        return [str(text) for text in values.tolist()]

    def text(self, name: str, default: str) -> str:
        """An attribute that is text. Raises `IOFormatError` for one that is something else."""
        value = decode_attributes(self.plain.attrs).get(name, default)
        if not isinstance(value, str):
            raise IOFormatError(f"{self.where or '/'}: attribute {name} must be text, got {str(value)[:60]!r}")
        return value

    def in_memory(self) -> StoredGroup:
        """The same with every array read."""
        return StoredGroup(self.where, in_memory(self.plain), in_memory(self.extra))

    def _path(self, name: str) -> str:
        return f"{self.where}/{name}" if self.where else name


def in_memory(node: Group) -> Group:
    """The same tree with every array read (one that is read already is not copied)."""
    children: dict[str, Node] = {}
    for name, child in node.children.items():
        if isinstance(child, Group):
            children[name] = in_memory(child)
        else:
            children[name] = Array(None if child.data is None else np.asarray(child.data), child.attrs)
    return Group(children, node.attrs)


def object_array(items: list[Any]) -> np.ndarray[Any, Any]:
    """(n,) object array of exactly these items."""
    return np.fromiter(items, dtype=object, count=len(items))  # lists stay lists, however long


def texts_node(items: Any) -> Array:
    """A list of text as a dataset; NUL characters and lone surrogates are escaped."""
    node = encode_value(object_array(list(items)), scalars="attributes")
    assert isinstance(node, Array)
    return node
