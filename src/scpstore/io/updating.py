"""Parts of a container written into the file that it is from, in one transaction."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from h5burst import Group, Transaction, edit
from scpstore.core.container import ScpContainer
from scpstore.core.exceptions import ValidationError
from scpstore.io.exceptions import writing
from scpstore.io.exporters import matrix_storage, scratch_directory
from scpstore.io.importers import load_hdf5
from scpstore.io.layout import ASSAY_ORDER, LAYER_ORDER, SavedParts, encode_container
from scpstore.io.matrices import Target
from scpstore.io.stored import EXTRAS, texts_node

_ALWAYS = (("provenance",), ("links",), ("extras",))


def update_hdf5(
    container: ScpContainer,
    path: str | os.PathLike[str],
    *names: str,
    compression: str | None = "gzip",
    compression_level: int = 4,
) -> None:
    """Write some parts of a container into its file, whole or not at all; the history grows by this step.

    Links, extras and history are written, too. All other layers and tables stay as they are in the file, and are not
    read. A layer or assay that the container does not have any more is removed.

    Parameters
    ----------
    container
        With the samples and features of the file, in the same order.
    path
        The file.
    names
        "obs", "proteins" (an assay with its layers), "proteins/var", "proteins/log2" (a layer).
    compression, compression_level
        Of these parts, as of `save_hdf5`.

    Raises
    ------
    ValidationError
        A name that neither the container nor the file has; other samples or features than in the file.
    IOFormatError, FileNotFoundError
        There is no such file, or it is not a container.
    IOWriteError
        It cannot be written, or somebody else writes it; it is then as it was.

    Examples
    --------
    >>> import numpy as np
    >>> from scptensor import ScpMatrix, load_hdf5
    >>> container = load_hdf5("cells.h5")
    >>> proteins = container.assays["proteins"]
    >>> proteins.add_layer("log2", ScpMatrix(np.log2(proteins.layers["X"].X)))
    >>> container.update("cells.h5", "proteins/log2")
    >>> load_hdf5("cells.h5").list_layers("proteins")
    ['X', 'log2']
    """
    if not names:
        raise ValidationError("update needs the names of what is to be written, such as 'proteins/log2'", "names")
    target = Path(path)
    stored = load_hdf5(target, lazy=True)
    parts = [_Part.of(name, container, stored) for name in dict.fromkeys(names)]
    _check_same(container, stored, parts, target)
    layers: dict[str, list[str]] = {}
    for part in parts:
        if part.assay in container.assays:
            of_assay = container.assays[part.assay].layers
            layers.setdefault(part.assay, []).extend(
                layer for layer in of_assay if part.member is None or (part.member == layer and part.is_layer)
            )
    storage = matrix_storage(compression, compression_level)
    saved_params = {"parts": list(dict.fromkeys(names)), "file": target.name}
    container.log_operation("update", saved_params)
    try:
        small = replace(storage, compress_small=False)
        with writing(target), Target(storage, scratch_directory(target)) as matrices:
            root = encode_container(container, SavedParts(layers), matrices)
            with edit(target, f"update {', '.join(saved_params['parts'])}", storage=small) as tx:
                for part in parts:
                    _put(tx, root, part.path)
                for always in _ALWAYS:
                    _put(tx, root, always)
                _put_links(tx, container, storage, target)
                _put_orders(tx, container, stored, parts)
    except BaseException:
        container.history.pop()
        raise


class _Part:
    """The part that a name means. assay: "" for obs; member: "var", a layer, or None for the whole assay."""

    def __init__(self, assay: str, member: str | None, *, is_layer: bool = False) -> None:
        self.assay, self.member, self.is_layer = assay, member, is_layer

    @classmethod
    def of(cls, name: str, container: ScpContainer, stored: ScpContainer) -> _Part:
        """Raises `ValidationError` for what neither of them has."""
        if name == "obs":
            return cls("", None)
        for assay in dict.fromkeys((*container.assays, *stored.assays)):
            if name == assay:
                return cls(assay, None)
            if name == f"{assay}/var":
                return cls(assay, "var")
            for source in (container, stored):
                if assay in source.assays and name.removeprefix(f"{assay}/") in source.assays[assay].layers:
                    return cls(assay, name.removeprefix(f"{assay}/"), is_layer=True)
        names = [
            "obs",
            *(f"{a}/{layer}" for a, of_assay in container.assays.items() for layer in ("var", *of_assay.layers)),
        ]
        raise ValidationError(f"neither the container nor the file has {name!r}: there are {', '.join(names)}", "names")

    @property
    def path(self) -> tuple[str, ...]:
        if not self.assay:
            return ("obs",)
        inside = () if self.member is None else ("layers", self.member) if self.is_layer else (self.member,)
        return ("assays", self.assay, *inside)


def _check_same(container: ScpContainer, stored: ScpContainer, parts: list[_Part], path: Path) -> None:
    if container.sample_id_col != stored.sample_id_col or not container.sample_ids.equals(stored.sample_ids):
        raise ValidationError(f"{path} has other samples than the container, or another order: save it anew", "path")
    for part in parts:
        if part.member is None or part.assay not in container.assays:
            continue
        if part.assay not in stored.assays:
            raise ValidationError(f"{path} has no assay {part.assay!r}: write all of it ({part.assay!r})", "names")
        if not container.assays[part.assay].feature_ids.equals(stored.assays[part.assay].feature_ids):
            message = f"{path} has other features in {part.assay!r} than the container, or another order"
            raise ValidationError(f"{message}: write all of it ({part.assay!r})", "names")


def _put(tx: Transaction, root: Group, path: tuple[str, ...]) -> None:
    """Put what the tree has at a path, and what belongs to it among the extras; remove what it does not have."""
    for whole in (path, (EXTRAS, *path)):
        if whole in root:
            tx.put(whole, root[whole])
        elif whole in tx:
            tx.remove(whole)


def _put_links(tx: Transaction, container: ScpContainer, storage: Any, target: Path) -> None:
    """Links of assays of which no layer is written: they need the assays' names alone."""
    empty = SavedParts({name: [] for name in container.assays})
    _put(tx, encode_container(container, empty, Target(storage, scratch_directory(target))), ("links",))


def _put_orders(tx: Transaction, container: ScpContainer, stored: ScpContainer, parts: list[_Part]) -> None:
    assays = [*stored.assays, *(part.assay for part in parts if part.assay)]
    gone = {part.assay for part in parts if part.member is None and part.assay not in container.assays}
    tx.put((EXTRAS, ASSAY_ORDER), texts_node([name for name in dict.fromkeys(assays) if name not in gone]))
    for name in {part.assay for part in parts if part.is_layer}:
        layers = [*(stored.assays[name].layers if name in stored.assays else ()), *container.assays[name].layers]
        present = [layer for layer in dict.fromkeys(layers) if ("assays", name, "layers", layer) in tx]
        tx.put((EXTRAS, "assays", name, LAYER_ORDER), texts_node(present))
