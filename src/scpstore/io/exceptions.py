"""Errors about files."""

from __future__ import annotations

import os

from scpstore.core.exceptions import ScpTensorError

__all__ = ["IOFormatError", "IOPasswordError", "IOWriteError"]


class IOFormatError(ScpTensorError):
    """A file that is not a container, or not a whole one: the message says which file, what is wrong and where."""


class IOPasswordError(ScpTensorError):
    """A file that is recognisably encrypted: the message says by what, and how to go on."""


class IOWriteError(ScpTensorError):
    """A container that could not be saved; the file that was there before, if any, is untouched.

    Parameters
    ----------
    message
        What is wrong.
    path
        The file.
    """

    def __init__(self, message: str, path: str | os.PathLike[str] | None = None) -> None:
        super().__init__(message if path is None else f"{message}: {os.fspath(path)}")
        self.path = path
