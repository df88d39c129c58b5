"""Everything that can be asked of a file, for tests of what damaged and forged ones do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import h5burst
from h5burst.model.tree import Array, Group

LARGEST = 1 << 28  # bytes of an array that is read whole: forged ones claim more than any file here holds


def _look_at(data: Any) -> None:
    if getattr(data, "shape", None) is not None and hasattr(data, "nbytes"):
        data[...] if data.nbytes < LARGEST else data[:1]


def _read_lazily(path: Path) -> None:
    for _, node in h5burst.read_tree(path, lazy=True).walk():
        if isinstance(node, Array):
            _look_at(node.data)


def _load_lazily(path: Path) -> None:
    waiting: list[Any] = [h5burst.load(path, lazy=True)]
    while waiting:
        for value in waiting.pop().values():
            waiting.append(value) if isinstance(value, dict) else _look_at(value)


def _open(path: Path) -> None:
    with h5burst.open(path) as file:
        for _, member in file.walk():
            dict(member.attrs)
            _look_at(member)


def _edit(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.put(("added",), Array(np.arange(3)))
        tx.set_attributes((), {"edited": 1})
        for names, node in tx.tree().walk():
            if not "".join(names).isprintable():
                continue  # a name that is no UTF-8 leads nowhere by way of libhdf5
            with contextlib.suppress(OSError):
                tx.set_attributes(names, {"edited": 1})
            if isinstance(node, Group) and len(names) == 1:
                tx.put((*names, "added"), Array(np.arange(3)))


VERBS: dict[str, Callable[[Path], Any]] = {
    "read_tree": h5burst.read_tree,
    "lazy": _read_lazily,
    "load": h5burst.load,
    "load lazily": _load_lazily,
    "open": _open,
    "info": h5burst.info,
    "verify": h5burst.verify,
    "diff": lambda path: h5burst.diff(path, path),
    "repack": lambda path: h5burst.repack(path, path.with_suffix(".repacked"), overwrite=True),
    "salvage": lambda path: h5burst.salvage(path, path.with_suffix(".salvaged"), overwrite=True),
    "edit": _edit,
    "compact": h5burst.compact,
}
"""What is done with a file at a path; the last two change it."""


def misbehaviours(path: Path, verbs: dict[str, Callable[[Path], Any]] = VERBS) -> Iterator[str]:
    """Each verb that ends in another error than one of the file (`OSError`), on a file that may be damaged."""
    content = path.read_bytes()
    for name, verb in verbs.items():
        try:
            verb(path)
        except OSError:
            pass
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
            yield f"{name}: {type(error).__name__}: {error}"
        if path.read_bytes() != content:
            path.write_bytes(content)
