"""HDF5 files to containers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from h5burst import CorruptFileError, Group, file_at, is_hdf5, keeping_open, read_tree
from scpstore.core.exceptions import ScpTensorError
from scpstore.core.structures import ScpContainer
from scpstore.io.classes import OURS, Classes
from scpstore.io.encrypted import encryption_of
from scpstore.io.exceptions import IOFormatError, IOPasswordError
from scpstore.io.layout import SUPPORTED_VERSIONS, decode_container

__all__ = ["SUPPORTED_VERSIONS", "load_hdf5"]

# What attributes and markers of a file that is not trusted may raise, in all places that decode them.
_OF_DAMAGE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError, MemoryError)


def load_hdf5(path: str | os.PathLike[str], *, lazy: bool = False, at: Any = None) -> ScpContainer:
    """The container in an HDF5 file of format 1.0, written by any program.

    Parameters
    ----------
    path
        The file.
    lazy
        True leaves the matrices of all layers in the file until they are asked for (`LazyMatrix`).
    at
        An earlier state of a file that was edited: its number in `scptensor log`, or what else `h5burst.file_at` takes;
        None: the newest.

    Returns
    -------
    ScpContainer
        With dtypes, masks, links and history as they were saved.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    IOPasswordError
        The file is recognisably encrypted.
    IOFormatError
        The file is not HDF5, is cut short or damaged, or is not a container; the message says what is wrong and where.
    LookupError, TypeError, ValueError
        There is no such state, or `at` names none.

    Examples
    --------
    >>> from scptensor import load_hdf5
    >>> container = load_hdf5("cells.h5")
    >>> container.list_assays(), container.n_samples
    (['proteins', 'peptides'], 3)
    >>> load_hdf5("cells.h5", lazy=True).assays["proteins"].X[:1]  # only this row is read
    array([[1., 2.]])
    """
    container: ScpContainer = load_as(path, OURS, lazy=lazy, at=at)
    return container


def load_as(path: str | os.PathLike[str], classes: Classes, *, lazy: bool = False, at: Any = None) -> Any:
    """As `load_hdf5`, built of other classes."""
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"No such file: {source}")
    with keeping_open():
        root = read_checked(source, lazy=lazy, at=at)
        return _decoded(root, source, classes, lazy=lazy)


def _decoded(root: Group, source: Path, classes: Classes, *, lazy: bool) -> Any:
    try:
        return decode_container(root, lazy=lazy, classes=classes)
    except IOFormatError as error:
        raise IOFormatError(f"{error} (in {source})") from error
    except (ScpTensorError, OSError) as error:
        raise IOFormatError(f"{source}: {error}") from error
    except _OF_DAMAGE as error:
        raise IOFormatError(f"{source} does not hold a container as expected: {error!r:.200}") from error


def read_checked(path: Path, *, lazy: bool, at: Any = None) -> Group:
    """The tree of an HDF5 file, or of an earlier state of it, or the error that says what the file is instead."""
    if path.is_dir():
        raise IOFormatError(f"{path} is a directory, not an HDF5 file")
    if at is not None:
        file_at(path, at).close()  # the error of what names no state of the file
    try:
        return read_tree(path, lazy=lazy, at=at)
    except PermissionError:
        raise
    except CorruptFileError as error:
        if not is_hdf5(path):
            raise _not_hdf5(path) from error
        raise IOFormatError(f"{path} is a damaged or truncated HDF5 file: {error.message}") from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        # What h5py raises for a damaged file depends on the place of the damage.
        raise IOFormatError(f"{path} is a damaged or truncated HDF5 file: {error}") from error


def _not_hdf5(path: Path) -> ScpTensorError:
    encryption = encryption_of(path)
    if encryption is not None:
        remedy = encryption.remedy.format(path=path)
        return IOPasswordError(
            f"{path} is encrypted by {encryption.by}: decrypt it first ({remedy}), then load the result"
        )
    if path.stat().st_size == 0:
        return IOFormatError(f"{path} is empty: not an HDF5 file")
    return IOFormatError(f"{path} is not an HDF5 file")
