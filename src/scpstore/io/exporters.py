"""Containers to HDF5 files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from h5burst import Storage, codecs, durable, write_tree
from scpstore.io.exceptions import writing
from scpstore.io.layout import FORMAT_VERSION, SavedParts, encode_container
from scpstore.io.matrices import Target

__all__ = ["FORMAT_VERSION", "matrix_storage", "save_hdf5"]


def save_hdf5(
    container: Any,
    path: str | os.PathLike[str],
    *,
    compression: str | None = "gzip",
    compression_level: int = 4,
    save_obs: bool = True,
    save_assays: Sequence[str] | None = None,
    save_layers: Sequence[str] | None = None,
    save_history: bool = True,
    overwrite: bool = False,
    chunk_rows: int | None = None,
) -> None:
    """Write a container as an HDF5 file of format 1.0, from which `load_hdf5` makes it again exactly.

    Parameters
    ----------
    container
        A `ScpContainer`, or any object with its attributes: `obs`, `assays` (by name: `var`, `layers`, and these by
        name: `X`, `M`), `history`. One that was loaded lazily is streamed from its file to the new one.
    path
        The file. It appears, or is replaced, only when it is complete and on disk; a save that fails leaves what was
        there.
    compression
        "gzip" (plain HDF5 deflate, readable everywhere), "lzf", "blosc", "zstd" (these need a plugin to read) or None,
        and what else `h5burst.codecs.storage_for` takes.
    compression_level
        0 to 9; compressions without levels ignore it.
    save_obs
        False keeps of `obs` the IDs alone.
    save_assays, save_layers
        Names to keep, None for all. A name that there is not is skipped with a `UserWarning`. Links between assays
        that are not both kept are left out.
    save_history
        False leaves the history out.
    overwrite
        Whether a file of that name is replaced.
    chunk_rows
        How many samples of a matrix are compressed together, of layers that are not streamed from another file as they
        are there; None suits loads of the whole and of stretches; 128 to 512 suit random samples of sparse layers.

    Raises
    ------
    ValueError
        `compression` or `compression_level` is not one of the above.
    IOWriteError
        The file exists, cannot be written, or the container holds what no file can hold (objects).
    IOFormatError
        A lazily loaded container's own file is damaged.

    Examples
    --------
    >>> from scptensor import load_hdf5, save_hdf5
    >>> save_hdf5(load_hdf5("cells.h5"), "proteins.h5", save_assays=["proteins"], compression="zstd")
    >>> load_hdf5("proteins.h5").list_assays()
    ['proteins']
    """
    storage = matrix_storage(compression, compression_level)
    if chunk_rows is not None and chunk_rows < 1:
        raise ValueError(f"chunk_rows must be at least 1, got {chunk_rows}")
    target = Path(path)
    with writing(target):
        durable.require_absent(target, overwrite)
    selection = SavedParts(_selected(container, save_assays, save_layers), save_obs, save_history)
    small = replace(storage, compress_small=False)  # for what is not a matrix, where the writer deems it worth it
    with writing(target), Target(storage, scratch_directory(target), chunk_rows) as matrices:
        tree = encode_container(container, selection, matrices)
        write_tree(target, tree, storage=small, overwrite=overwrite)


def scratch_directory(target: Path) -> Path | None:
    """The directory of blocks while a file is made: beside it, where the space for it is (None: anywhere)."""
    parent = Path(os.path.realpath(target)).parent
    return parent if os.access(parent, os.W_OK) else None


def matrix_storage(compression: str | None, level: int) -> Storage:
    """Storage of a matrix. Raises ValueError for what is not a compression or level."""
    return replace(codecs.storage_for(compression, level, ignores_unused_level=True), compress_small=True)


def _selected(
    container: Any, save_assays: Sequence[str] | None, save_layers: Sequence[str] | None
) -> dict[str, list[str]]:
    """Layer names to save by assay, in the container's order; a warning for each name that there is not."""
    assays = _requested_names(list(container.assays), save_assays, "assays", container.assays)
    layers = dict.fromkeys(layer for name in assays for layer in container.assays[name].layers)
    if save_layers is not None:
        _requested_names([], save_layers, "layers", layers)
    return {
        name: [layer for layer in container.assays[name].layers if save_layers is None or layer in set(save_layers)]
        for name in assays
    }


def _requested_names(
    names: list[str], requested: Sequence[str] | None, kind: str, available: Iterable[str]
) -> list[str]:
    if requested is None:
        return names
    if isinstance(requested, str):
        raise TypeError(f"save_{kind} must be a list of names, got the text {requested!r}")
    unknown = [name for name in requested if name not in available]
    if unknown:
        message = (
            f"save_{kind}: no such {kind}: {', '.join(map(repr, unknown))}; there are: {', '.join(available) or 'none'}"
        )
        warnings.warn(message, UserWarning, stacklevel=4)
    return [name for name in names if name in set(requested)]
