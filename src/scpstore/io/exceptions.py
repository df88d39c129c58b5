"""Errors about files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from h5burst import CorruptFileError, StaleFileError, UnsupportedValueError
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


@contextmanager
def writing(path: str | os.PathLike[str], unsupported: str = "Cannot be stored") -> Iterator[None]:
    """Turn what goes wrong while a file is written into an error that names it.

    unsupported: the message for a value that such a file cannot hold, before the reason.
    """
    try:
        yield
    except IOWriteError as error:
        raise error if error.path is not None else IOWriteError(str(error), path) from error
    except UnsupportedValueError as error:
        raise IOWriteError(f"{unsupported}: {error}", path) from error
    except FileExistsError as error:
        raise IOWriteError("File already exists (overwrite=True replaces it)", path) from error
    except (CorruptFileError, StaleFileError) as error:  # of a file that a lazy layer is read from
        raise IOFormatError(f"{error} (while it was read for {os.fspath(path)}, which was not written)") from error
    except OSError as error:
        raise IOWriteError(error.strerror or str(error), path) from error
