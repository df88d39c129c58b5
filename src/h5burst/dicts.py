"""Plain nested dicts to files and back: `save` and `load`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from h5burst.codecs import storage_for
from h5burst.model import values
from h5burst.model.errors import damaged_objects
from h5burst.model.lazy_dict import LazyDict
from h5burst.model.tree import Group, Node
from h5burst.read.file_objects import FileLike, name_of
from h5burst.read.files import read_tree
from h5burst.read.history import At
from h5burst.write.whole_file import write_tree

_SCALARS: values.Scalars = "scalar_datasets"


def save(
    path: str | os.PathLike[str],
    mapping: Mapping[Any, Any],
    *,
    compression: str | int | None = None,
    compression_opts: int | None = None,
    overwrite: bool = False,
    threads: int | None = None,
) -> None:
    """Save a nested dict as a new HDF5 file: dicts become groups, what is in them datasets.

    Parameters
    ----------
    path
        Of the file, which appears when it is complete and on disk. Missing directories on the way are made.
    mapping
        Keys are text or integers. Values are numpy arrays of any dtype (no objects but text), numbers, text, bytes,
        None, lists and tuples, dicts, numpy scalars, dates and times; masked arrays; sources of rows (`shape`, `dtype`,
        `read(start, stop)`), lazy arrays among them, which are streamed. `load` gives back the same types, with
        the keys of a dict in the order of their names, whatever it was.
    compression
        Of large arrays, as `codecs.storage_for` takes it: "gzip", "lzf", "blosc", "zstd"; a number from 0 to 9 for that
        level of gzip; None for none.
    compression_opts
        Level of the codec, 0 to 9; None for its default. "lzf" has no levels.
    overwrite
        Whether an existing file may be replaced.
    threads
        For compression; None: the CPUs that this process may use.

    Raises
    ------
    UnsupportedValueError
        Before the first byte, for what cannot be stored exactly; it names the path in the dict.
    FileExistsError
        For an existing file without `overwrite`.
    TypeError
        For what is not a dict.
    ValueError
        For an unknown codec or level, and a level of what has none.
    OSError
        When writing fails; the file that was there is untouched.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("run.h5", {"trace": np.arange(10.0), "rate": 30_000, "by": {"name": "Ada", "tags": ["a", "b"]}})
    >>> h5burst.load("run.h5")["by"]["tags"]
    ['a', 'b']
    """
    if not isinstance(mapping, Mapping):
        raise TypeError(f"save takes a dict, not {type(mapping).__name__}: for trees of nodes there is write_tree")
    tree = values.encode(mapping, scalars=_SCALARS)
    write_tree(path, tree, storage=storage_for(compression, compression_opts), overwrite=overwrite, threads=threads)


def load(path: FileLike, *, lazy: bool = False, at: At | None = None) -> dict[Any, Any]:
    """An HDF5 file as a nested dict: what `save` was given, and of other programs' files groups and datasets.

    Parameters
    ----------
    path
        Of any HDF5 file, or a binary file object (`read`, `seek`).
    lazy
        Whether arrays are read when they are sliced, and groups when they are looked into.
    at
        An earlier state of the file, as of `file_at`; None: the newest.

    Returns
    -------
    dict
        Groups as dicts, datasets as arrays, datasets without axes as single values, null dataspaces as None, text as
        `str`. Keys are in the order of their names; of a file that was made with `track_order`, in the order of their
        making. Attributes are left out: `open` and `read_tree` have them.

    Raises
    ------
    CorruptFileError
        For a file that is damaged; it names all objects that cannot be read. For markers of types that a newer version
        wrote, or that do not fit what is stored. With `lazy`, when such an object is read.
    OSError
        For a file that cannot be opened.
    LookupError
        For a state that there is not.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("loaded.h5", {"trace": np.arange(3), "rate_hz": 2.5}, overwrite=True)
    >>> h5burst.load("loaded.h5")
    {'rate_hz': 2.5, 'trace': array([0, 1, 2])}
    """
    tree = read_tree(path, lazy=lazy, at=at)
    if lazy:
        return _later(tree, _Place(path))
    with _Place(path).naming(tree):
        return values.decode(_without_attributes(tree), scalars=_SCALARS)


class _Place(NamedTuple):
    """A file and the path of an object in it."""

    file: FileLike
    path: str = ""

    def below(self, name: str) -> _Place:
        return self._replace(path=f"{self.path}/{name}")

    @contextmanager
    def naming(self, node: Node) -> Iterator[None]:
        """Markers of types that do not fit what is stored are an error of the file, which names the object."""
        try:
            yield
        except (ValueError, TypeError) as error:
            where = _first_misfit(node, self.path) or "/"
            name = self.file if isinstance(self.file, (str, os.PathLike)) else name_of(self.file)
            raise damaged_objects(name, [(where, str(error))]) from error


def _first_misfit(node: Node, path: str) -> str:
    """The path of the innermost object that is no value of ours."""
    for name, child in node.children.items() if isinstance(node, Group) else ():
        try:
            values.decode_value(_without_attributes(child) if isinstance(child, Group) else child, scalars=_SCALARS)
        except (ValueError, TypeError):
            return _first_misfit(child, f"{path}/{name}")
    return path


def _without_attributes(group: Group) -> Group:
    """The same tree with no attributes but the markers of types."""
    children: dict[str, Node] = {
        name: _without_attributes(node) if isinstance(node, Group) else node for name, node in group.children.items()
    }
    return Group(children, {name: group.attrs[name] for name in values.GROUP_MARKERS if name in group.attrs})


def _later(group: Group, at: _Place) -> dict[Any, Any]:
    """A dict that looks into the group when it is first asked for anything."""
    return LazyDict(lambda: _members(group, at))


def _members(group: Group, at: _Place) -> dict[Any, Any]:
    members = {name: _value(node, at.below(name)) for name, node in group.children.items()}
    with at.naming(Group({}, {name: group.attrs[name] for name in values.GROUP_MARKERS if name in group.attrs})):
        return values.with_integer_keys(members, group.attrs)


def _value(node: Node, at: _Place) -> Any:
    if isinstance(node, Group) and values.TYPE not in node.attrs:
        return _later(node, at)
    if isinstance(node, Group):
        node = _without_attributes(node)
    with at.naming(node):
        return values.decode_value(node, scalars=_SCALARS)
