"""Checking files: everything is opened and read, by this package's parser and, if one asks for it, by libhdf5."""

from __future__ import annotations

import math
import os

from h5burst.memory.budget import memory_budget
from h5burst.model.errors import (
    CYCLE,
    DEEP,
    CorruptFileError,
    MissingFilterError,
    Problem,
    UnsupportedFeatureError,
)
from h5burst.model.source import as_source, read_whole
from h5burst.model.tree import Array, Group, Node
from h5burst.read.elements import NEVER_WRITTEN
from h5burst.read.file_objects import FileLike, accepts_file_objects
from h5burst.read.handle import FileHandle
from h5burst.read.history import At
from h5burst.read.lazy import LazyArray, address_in_file, check_tree, open_tree
from h5burst.read.libhdf5_worker import client
from h5burst.read.open_file import OpenFile
from h5burst.read.reader import MAX_DEATHS
from h5burst.read.state_file import located_meanwhile

BLOCK_BYTES = 8 << 20


def verify(path: FileLike, *, deep: bool = False, at: At | None = None, in_blocks: bool = False) -> list[Problem]:
    """Open and read everything in an HDF5 file, checksums included.

    Parameters
    ----------
    path
        The file, or a binary file object.
    deep
        Ask libhdf5, too, in a process of its own: it takes several times as long.
    at
        An earlier state of the file, as of `file_at`, which takes a copy of it; None: the newest.
    in_blocks
        Never hold more than a few blocks of arrays in memory, which takes longer where arrays are small. Files larger
        than an eighth of the memory are always read so.

    Returns
    -------
    list of Problem
        Every problem found; none for a sound file.

    Raises
    ------
    FileNotFoundError, OSError
        For a file that is not there, may not be read, or is not a regular file.
    LookupError
        For a state that there is not.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("checked.h5", {"a": np.arange(3)}, overwrite=True)
    >>> h5burst.verify("checked.h5")
    []
    """
    with located_meanwhile(path, at) as local_path:
        return _verify(local_path, deep=deep, in_blocks=in_blocks)


@accepts_file_objects("path")
def _verify(path: FileLike, *, deep: bool, in_blocks: bool) -> list[Problem]:
    with OpenFile(path):
        pass  # what is not there, may not be read or is not a regular file is not a problem of its content
    problems = _own_problems(path, in_blocks)
    if deep:
        paths = {problem.path for problem in problems}
        problems += [problem for problem in _libhdf5_problems(path) if problem.path not in paths]
    return problems


def _own_problems(path: str | os.PathLike[str], in_blocks: bool) -> list[Problem]:
    handle = FileHandle(os.fspath(path))
    problems = _unread(handle, in_blocks)
    paths = {problem.path for problem in problems}
    problems += [Problem(where, problem) for where, problem in handle.misfits.items() if where not in paths]
    return sorted(problems, key=lambda problem: problem.path)


def _unread(handle: FileHandle, in_blocks: bool) -> list[Problem]:
    """Every object that cannot be read."""
    if os.path.getsize(handle.path) > memory_budget() // 8 or in_blocks:
        return _walk(handle)
    try:
        check_tree(handle)
    except CorruptFileError as error:
        if any(NEVER_WRITTEN in problem for _, problem in error.problems):
            return _walk(handle)  # not damaged, but more than fits into memory
        problems = [Problem(where, problem) for where, problem in error.problems] or [Problem("/", error.message)]
        return [problem for problem in problems if _is_damage(problem.message)]
    except (OSError, MemoryError) as error:
        return [Problem("/", _what(error))]
    return []


def damaged(path: str | os.PathLike[str]) -> list[Problem]:
    """Every object that cannot be read, filters that are not installed aside."""
    return _walk(FileHandle(os.fspath(path)), passing=MissingFilterError)


def _walk(handle: FileHandle, passing: type[OSError] | tuple[()] = ()) -> list[Problem]:
    """Read a file block by block, each object once, whatever the number of its names. passing: no problem."""
    try:
        waiting: list[tuple[str, Node]] = [("/", open_tree(handle))]
    except OSError as error:
        return [Problem("/", _what(error))]
    problems: list[Problem] = []
    seen: set[tuple[str, int]] = set()
    while waiting:
        where, node = waiting.pop()
        identity = address_in_file(node)
        if identity is not None and identity in seen:
            continue
        if identity is not None:
            seen.add(identity)
        try:
            if isinstance(node, Group):
                waiting += [(f"{where.rstrip('/')}/{name}", child) for name, child in node.children.items()]
            else:
                _read_all(node)
        except passing:
            continue
        except (OSError, MemoryError) as error:
            damage = _what(error).removeprefix(f"{where}: ")
            if _is_damage(damage):
                problems.append(Problem(where, damage))
    return sorted(problems, key=lambda problem: problem.path)


def _is_damage(problem: str) -> bool:
    """True for damage. What is no tree may be a sound file: groups that hold themselves, or are very deep."""
    return CYCLE not in problem and DEEP not in problem


def _what(error: OSError | MemoryError) -> str:
    if isinstance(error, CorruptFileError):
        return error.message
    return "more memory than there is" if isinstance(error, MemoryError) else " ".join(str(error).split())


def _read_all(node: Array) -> None:
    if node.data is None:
        return
    if isinstance(node.data, LazyArray):
        try:
            return node.data.check(BLOCK_BYTES)
        except UnsupportedFeatureError:
            pass  # libhdf5 reads it, row by row
    source = as_source(node.data)
    if not source.shape:
        read_whole(source)
        return
    row_bytes = math.prod(source.shape[1:]) * source.dtype.itemsize
    rows = max(1, BLOCK_BYTES // max(1, row_bytes))
    for start in range(0, source.shape[0], rows):
        source.read(start, min(start + rows, source.shape[0]))


def _libhdf5_problems(path: str | os.PathLike[str]) -> list[Problem]:
    """Problems that libhdf5 meets. An object that crashes it is left out of the next attempt, a few times."""
    problems_by_path: dict[str, str] = {}
    skip: list[str] = []
    for _ in range(MAX_DEATHS):
        at, died = "/", ""
        request = {"do": "problems", "path": os.path.abspath(path), "name": "/", "options": {"skip": skip}}
        for message in client.ask(request):
            if "at" in message:
                at = message["at"]
                if message["problem"]:
                    problems_by_path[at] = message["problem"]
            elif "error" in message:
                problems_by_path["/"] = message["error"]
            died = message.get("died", "")
        if not died:
            break
        problems_by_path[at] = f"libhdf5 {died} while reading it"
        skip.append(at)
    return [Problem(where, problem) for where, problem in sorted(problems_by_path.items())]
