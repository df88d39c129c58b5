"""Checking files: everything is opened and read, by this package's own parser and by libhdf5 in a guarded process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from h5burst.memory.budget import memory_budget
from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import Array, Group, Node
from h5burst.read.lazy import open_tree
from h5burst.read.whole_file import load_tree
from h5burst.runtime import isolated

BLOCK_BYTES = 8 << 20
CHECKER_MEMORY = 2 << 30  # bytes beyond the file's size that libhdf5 may ask for before its process is stopped
CHECKER_SECONDS = 60  # and a second more for every 10 MB

# Runs in a process of its own, because a damaged file may crash libhdf5 or keep it busy for ever.
_CHECKER = """
path, memory, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
except ImportError:
    pass
import h5py
try:
    import hdf5plugin
except ImportError:
    pass
try:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
except NameError:
    pass

def say(name, error):
    print(f"{name}\\t{type(error).__name__}: {' '.join(str(error).split())}", flush=True)

def attributes(name, item):
    try:
        for key in item.attrs:
            item.attrs[key]
    except Exception as error:
        say(name, error)

def elements(name, item):
    try:
        if item.shape is None or not item.size:
            return
        if item.ndim == 0:
            item[()]
            return
        rows = max(1, (8 << 20) // max(1, item.nbytes // item.shape[0]))
        for start in range(0, item.shape[0], rows):
            item[start:start + rows]
    except Exception as error:
        say(name, error)

def walk(group, seen):
    attributes(group.name, group)
    for link in group:
        name = group.name.rstrip("/") + "/" + link
        try:
            if not isinstance(group.get(link, getlink=True), h5py.HardLink):
                continue
            item = group[link]
            place = h5py.h5o.get_info(item.id).addr
        except Exception as error:
            say(name, error)
            continue
        if place in seen:
            continue
        seen.add(place)
        if isinstance(item, h5py.Group):
            walk(item, seen)
        else:
            attributes(name, item)
            if isinstance(item, h5py.Dataset):
                elements(name, item)

sys.setrecursionlimit(100000)
try:
    with h5py.File(path, "r") as file:
        walk(file, {h5py.h5o.get_info(file["/"].id).addr})
except Exception as error:
    say("/", error)
"""


@dataclass(frozen=True)
class Problem:
    """What is wrong, and with which object of the file."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def verify_file(path: str | os.PathLike[str], *, deep: bool = False) -> list[Problem]:
    """Open and read everything in an HDF5 file, checksums included; every problem found, none for a sound file.

    Files of any size are read in blocks. deep: libhdf5 reads everything once more, in a process of its own. Raises
    `FileNotFoundError`, and `OSError` for a file that may not be read.
    """
    with open(path, "rb") as stream:
        stream.read(1)
    found = _own_problems(path)
    if not deep:
        return found
    known = {problem.path for problem in found}
    return found + [problem for problem in _libhdf5_problems(path) if problem.path not in known]


def _own_problems(path: str | os.PathLike[str]) -> list[Problem]:
    if os.path.getsize(path) <= memory_budget() // 8:
        try:
            load_tree(path)
            return []
        except OSError:
            pass  # the walk below finds what else is wrong
    try:
        root = open_tree(path)
    except OSError as error:
        return [Problem("/", _what(error))]
    return list(_walk(root, "/"))


def _walk(group: Group, name: str) -> Iterator[Problem]:
    waiting: list[tuple[str, Node]] = [(name, group)]
    while waiting:
        place, node = waiting.pop()
        try:
            if isinstance(node, Group):
                below = place.rstrip("/")
                waiting += [(f"{below}/{child}", item) for child, item in node.children.items()]
            else:
                _read_all(node)
        except (OSError, MemoryError) as error:
            yield Problem(place, _what(error))


def _what(error: OSError | MemoryError) -> str:
    if isinstance(error, CorruptFileError):
        return error.what
    return "more memory than there is" if isinstance(error, MemoryError) else " ".join(str(error).split())


def _read_all(node: Array) -> None:
    data = node.data
    if data is None or not getattr(data, "shape", ()):
        np.asarray(data)
        return
    rows = max(1, BLOCK_BYTES // max(1, data.nbytes // max(1, data.shape[0])))
    for start in range(0, data.shape[0], rows):
        data[start : start + rows]


def _libhdf5_problems(path: str | os.PathLike[str]) -> list[Problem]:
    size = os.path.getsize(path)
    seconds = CHECKER_SECONDS + size // 10_000_000
    arguments = (os.path.abspath(path), str(CHECKER_MEMORY + size), str(seconds))
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 2 * seconds, "check": False}
    try:
        done = subprocess.run(isolated.command(_CHECKER, arguments), env=isolated.environment(), **options)
    except subprocess.TimeoutExpired:
        return [Problem("/", f"libhdf5 does not come to an end with it (stopped after {2 * seconds} s)")]
    problems = [Problem(*line.split("\t", 1)) for line in done.stdout.splitlines() if "\t" in line]
    if done.returncode:
        how = f"signal {-done.returncode}" if done.returncode < 0 else done.stderr.strip()[-200:]
        problems.append(Problem("/", f"libhdf5 breaks down on it ({how})"))
    return problems


# ---------------------------------------------------------------- what is in a file


@dataclass(frozen=True)
class Described:
    """One object of a file: its path, what it is, and for a dataset how it is stored."""

    path: str
    kind: str
    attributes: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    stored_bytes: int = 0
    filters: str = ""


def describe(path: str | os.PathLike[str]) -> Iterator[Described]:
    """Every group and dataset of an HDF5 file of any origin, parents first. Raises `CorruptFileError`, `OSError`."""
    import h5py

    from h5burst.read.libhdf5_worker.libhdf5 import open_file

    with open_file(os.fspath(path)) as file:
        yield Described("/", "group", dict(file.attrs))
        waiting = [(f"/{name}", file, name) for name in reversed(list(file))]
        seen = {h5py.h5o.get_info(file.id).addr}
        while waiting:
            place, parent, name = waiting.pop()
            link = parent.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                yield Described(place, f"link to {getattr(link, 'filename', '')}{link.path}")
                continue
            item = parent[name]
            if isinstance(item, h5py.Group):
                yield Described(place, "group", dict(item.attrs))
                address = h5py.h5o.get_info(item.id).addr
                if address not in seen:
                    seen.add(address)
                    waiting += [(f"{place}/{child}", item, child) for child in reversed(list(item))]
            elif isinstance(item, h5py.Dataset):
                yield Described(
                    place, "dataset", dict(item.attrs), item.shape, _dtype_name(item), item.id.get_storage_size(),
                    _filters(item),
                )  # fmt: skip
            else:
                yield Described(place, "datatype", dict(item.attrs))


def _dtype_name(dataset: Any) -> str:
    import h5py

    text = h5py.check_string_dtype(dataset.dtype)
    if text is None:
        return str(dataset.dtype)
    return f"text {text.encoding}" + ("" if text.length is None else f"[{text.length}]")


def _filters(dataset: Any) -> str:
    """The filters of a dataset as a short text: "shuffle gzip-4 fletcher32"."""
    names = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 32000: "lzf", 32001: "blosc", 32015: "zstd"}
    creation = dataset.id.get_create_plist()
    steps = [creation.get_filter(index) for index in range(creation.get_nfilters())]
    return " ".join(
        f"gzip-{values[0]}" if number == 1 and values else names.get(number, f"filter {number}")
        for number, _, values, _ in steps
    )
