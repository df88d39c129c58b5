"""Errors about files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

_NAMED = 50  # objects that one message names
CYCLE = "a cycle is not a tree"  # ends the message about a link to a group that holds it: sound, but no tree
DEEP = "groups inside each other"  # ends that about groups too deep for a tree


class CorruptStructureError(Exception):
    """Bytes that cannot be the structure that they should be; who knows the file raises `CorruptFileError` of it."""


class UnsupportedFeatureError(Exception):
    """A sound structure that only libhdf5 reads."""


@dataclass(frozen=True)
class Problem:
    """A fault, and the object of the file that has it.

    Attributes
    ----------
    path : str
        Of the object.
    message : str
        For people.

    Examples
    --------
    >>> from h5burst import Problem
    >>> str(Problem("/units/unit_007", "its header is damaged"))
    '/units/unit_007: its header is damaged'
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True)
class Note(Problem):
    """A remark on an object that has no fault.

    Attributes
    ----------
    path : str
        Of the object.
    message : str
        What there is to know.

    Examples
    --------
    >>> from h5burst import Note
    >>> str(Note("/pipeline", "is not there in files of this version"))
    'note: /pipeline: is not there in files of this version'
    """

    def __str__(self) -> str:
        return f"note: {super().__str__()}"


class CorruptFileError(OSError):
    """A file that cannot be read as what it claims to be: damaged, cut short, or not an HDF5 file at all.

    Attributes
    ----------
    path : str
        Of the file.
    message : str
        What is wrong with it, and where in the file.
    problems : tuple of (str, str)
        All objects that cannot be read: the path of each in the file, and what is wrong with it. Empty where the fault
        is not in one object.
    """

    _advice = " The file may be damaged or incomplete."

    def __init__(self, path: str | os.PathLike[str], message: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(f"Cannot read HDF5 file: {os.fspath(path)}: {message}.{self._advice}")
        self.path = os.fspath(path)
        self.message = message
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.path, self.message, self.problems)


class MissingFilterError(CorruptFileError):
    """Data that went through a filter which is not installed. The file may be sound."""

    _advice = ""


class naming_file:  # noqa: N801 - a block, as those of contextlib, without what a generator costs
    """A `CorruptStructureError` of the block as the `CorruptFileError` that names the file."""

    __slots__ = ("_path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, CorruptStructureError):
            raise CorruptFileError(self._path, str(error)) from error


def damaged_objects(path: str | os.PathLike[str], problems: Sequence[tuple[str, str]]) -> CorruptFileError:
    """The error that names all objects of a file that cannot be read."""
    named = "; ".join(f"{where}: {problem}" for where, problem in problems[:_NAMED])
    if len(problems) == 1:
        return CorruptFileError(path, named, problems)
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    return CorruptFileError(path, f"{len(problems)} objects cannot be read: {named}{more}", problems)


class StaleFileError(OSError):
    """A file that was replaced or changed after it was opened lazily, or while it was read.

    Attributes
    ----------
    path : str
        Of the file.
    when : str
        Since it was opened lazily, or while it was read or copied.
    """

    def __init__(self, path: str | os.PathLike[str], when: str = "since it was opened lazily") -> None:
        super().__init__(f"{os.fspath(path)} was changed {when}: read it anew")
        self.path, self.when = os.fspath(path), when


class UnfinishedFileError(OSError):
    """A file that is marked as open for writing, and that this process does not have open.

    Attributes
    ----------
    path : str
        Of the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(
            f"Cannot open {os.fspath(path)}: its last writer was interrupted, or is still at work. "
            "If none is, the file "
            "may lack what was written last: restore a backup, or clear the mark with `h5clear -s` and check "
            "what is there"
        )
        self.path = os.fspath(path)
