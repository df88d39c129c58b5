"""What the parser does not cover, read by libhdf5.

In this process libhdf5 is asked only about files of which nothing was found wrong: what it is given was too new, too
old or too rare for the parser, in structures whose checksums were right. (`h5burst.verify` asks it about any file, in
a process of its own.)
"""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np

from h5burst.durable import error_number, explaining
from h5burst.errors import CorruptFileError, UnfinishedFileError
from h5burst.parse.makers import Makers
from h5burst.tree import Array, Group, Node, escape_attribute, unescape


def open_file(path: str | os.PathLike[str]) -> h5py.File:
    """A file open for reading. Every `OSError` names it and says what is wrong."""
    with explaining(path, "read"):
        try:
            return h5py.File(os.fspath(path), "r")
        except OSError as error:
            if "consistency flags" in str(error):
                raise UnfinishedFileError(path) from error
            if error_number(error) is not None:
                raise
            raise CorruptFileError(path, str(error)) from error


def read_file(path: str, makers: Makers | None = None) -> Group:
    """A whole file."""
    node = read_node(path, "/", makers)
    if not isinstance(node, Group):
        raise CorruptFileError(path, "its root is no group")
    return node


def read_node(path: str, stored_path: str, makers: Makers | None = None) -> Node | None:
    """One object with all below it; None where there is none, and for what is neither group nor dataset."""
    with open_file(path) as file:
        try:
            found = file.get(stored_path)
            return _Walk(path, makers).node(found, tuple(unescape(part) for part in stored_path.split("/") if part))
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            if isinstance(error, CorruptFileError):
                raise
            raise CorruptFileError(path, f"{stored_path}: {error}") from error


def read_attribute(path: str, stored_path: str, name: str) -> Any:
    """One attribute."""
    with open_file(path) as file:
        try:
            return _attribute(file[stored_path], escape_attribute(name))
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            raise CorruptFileError(path, f"{stored_path}@{name}: {error}") from error


def read_elements(dataset: h5py.Dataset, selection: Any = ...) -> np.ndarray[Any, Any]:
    """Elements of a dataset: text as `str`, as `bytes` where the file calls it ASCII."""
    text = h5py.check_string_dtype(dataset.dtype)
    if text is not None and text.length is None and text.encoding == "utf-8":
        return np.asarray(dataset.asstr(errors="surrogateescape")[selection], dtype=object)
    return np.asarray(dataset[selection])


def element_dtype(dataset: h5py.Dataset) -> np.dtype[Any]:
    """The dtype of what `read_elements` gives."""
    dtype: np.dtype[Any] = dataset.dtype
    text = h5py.check_string_dtype(dtype)
    return np.dtype(object) if text is not None and text.length is None else dtype


def _attribute(target: h5py.HLObject, name: str) -> Any:
    value = target.attrs[name]
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, np.ndarray) and (text := h5py.check_string_dtype(value.dtype)) and text.length is None:
        value = value.astype(object)
        if text.encoding == "ascii":
            value[...] = [item.encode("utf-8", "surrogateescape") for item in value.flat]
    return value


class _Walk:
    """Objects of one file to nodes. Circles are errors, links that lead nowhere are left out."""

    def __init__(self, path: str, makers: Makers | None) -> None:
        self._path = path
        self._makers = makers

    def node(self, item: Any, names: tuple[str, ...], above: frozenset[tuple[int, int]] = frozenset()) -> Node | None:
        if isinstance(item, h5py.Dataset):
            return Array(self._elements(item, names), self._attributes(item))
        if not isinstance(item, h5py.Group):
            return None
        info = h5py.h5o.get_info(item.id)
        here = (info.fileno, info.addr)
        if here in above:
            raise CorruptFileError(self._path, f"{item.name}: links back to a group that holds it: a circle is no tree")
        if len(above) > 500:
            raise CorruptFileError(self._path, f"{item.name}: more than 500 groups inside each other")
        children = {}
        for link in item:
            member = _member(item, link)
            made = self.node(member, (*names, unescape(link)), above | {here}) if member is not None else None
            if made is not None:
                children[unescape(link)] = made
        return Group(children, self._attributes(item))

    def _elements(self, dataset: h5py.Dataset, names: tuple[str, ...]) -> Any:
        if dataset.shape is None:
            return None
        if self._makers is None:
            return read_elements(dataset)
        return self._makers.by_name(self._path, names, dataset.shape, element_dtype(dataset))

    def _attributes(self, target: h5py.HLObject) -> dict[str, Any]:
        return {unescape(name): _attribute(target, name) for name in target.attrs}


def _member(group: h5py.Group, link: str) -> Any:
    try:
        return group[link]
    except KeyError:
        return None
    except RuntimeError:
        if isinstance(group.get(link, getlink=True), h5py.SoftLink):  # one of a circle of them
            return None
        raise
