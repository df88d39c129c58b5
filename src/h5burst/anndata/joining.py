"""`.h5ad` files made of others: several one below the other, or some rows and columns of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anndata
import numpy as np
import pandas as pd

from h5burst import codecs
from h5burst.anndata import encodings as spec
from h5burst.anndata.arrays import Null
from h5burst.anndata.assembling import Piece, assembled
from h5burst.anndata.elements import Decoder, Encoder
from h5burst.anndata.files import check_root
from h5burst.anndata.legacy import is_legacy
from h5burst.anndata.matrices import Csc, Csr
from h5burst.anndata.objects import AnnDataObject, Dictionary, RawObject, object_parts, raw_parts
from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import Array, Group, Node, Storage
from h5burst.read.files import read_tree
from h5burst.runtime import durable
from h5burst.runtime.gc_pause import collection_paused
from h5burst.write.whole_file import write_tree

_LEFT = ("X", "layers", "raw")  # that stay in the file


@dataclass
class Opened:
    """A file of which everything but X, layers and raw is in memory: `rest`."""

    path: str
    root: Group
    rest: Any
    decoder: Decoder

    @property
    def layers(self) -> dict[str, Node]:
        """The layers by name, in the file."""
        layers = self.root.children.get("layers")
        return dict(layers.children) if isinstance(layers, Group) else {}

    @property
    def raw(self) -> Group | None:
        """The group of raw; None where there is none."""
        raw = self.root.children.get("raw")
        return raw if isinstance(raw, Group) and "X" in raw.children else None

    def raw_rest(self) -> Any:
        """An object of var and varm of raw, without values."""
        parts = raw_parts(self.decoder, lambda name: name != "raw/X", self.root.children["raw"], "raw")
        return anndata.AnnData(obs=pd.DataFrame(index=self.rest.obs_names), **parts)

    def check(self, name: str, node: Node, shape: tuple[int, int]) -> None:
        """Raise `CorruptFileError` for a matrix of another shape, or one that is none."""
        stored = node.attrs.get(spec.SHAPE) if isinstance(node, Group) else getattr(node.data, "shape", ())
        stored_shape = tuple(int(length) for length in np.asarray(stored if stored is not None else ()).reshape(-1))
        if stored_shape != shape or (isinstance(node, Group) and not (Csr.is_of(node) or Csc.is_of(node))):
            problem = (
                f"it is no matrix of shape {shape}, but {spec.encoding_of(node).name or 'array'} of {stored_shape}"
            )
            raise CorruptFileError(self.path, f"/{name}: {problem}", [(f"/{name}", problem)])


def opened(path: str | os.PathLike[str]) -> Opened:
    """A file for parts of it. Raises ValueError for one that is older than anndata 0.8."""
    name = os.path.abspath(path)
    root = read_tree(name, lazy=True)
    check_root(root, name)
    if is_legacy(root) or spec.encoding_of(root) == spec.NONE:
        raise ValueError(f"{name} is of a version of anndata before 0.8: read it, and write it anew")
    decoder = Decoder(name, root)
    try:
        rest = anndata.AnnData(**object_parts(decoder, root, lambda part: part not in _LEFT))
    except (ValueError, TypeError, IndexError) as error:
        raise CorruptFileError(name, f"its parts are not those of one object: {str(error).rstrip('.')}") from error
    file = Opened(name, root, rest, decoder)
    shape = (rest.n_obs, rest.n_vars)
    for where, node in (("X", root.children.get("X")), *((f"layers/{key}", n) for key, n in file.layers.items())):
        if node is not None and not Null.is_of(node):
            file.check(where, node, shape)
    return file


@contextmanager
def naming_damage(path: str) -> Iterator[None]:
    """Turn numpy's errors about arrays that do not fit into damage of a file."""
    try:
        yield
    except IndexError as error:
        raise CorruptFileError(path, f"a sparse matrix of it has columns that there are not: {error}") from error


def _matrix_of(node: Node | None) -> Node | None:
    return None if node is None or Null.is_of(node) else node


# ---------------------------------------------------------------- several files


def concat(
    paths: Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    compression: str | int | None = None,
    compression_opts: int | None = None,
    overwrite: bool = False,
    **options: Any,
) -> None:
    """Write several `.h5ad` files as one, their cells one below the other, as `anndata.concat` joins objects.

    X, layers and those of raw are read and written block by block; obs, obsm and the like are in memory meanwhile. The
    file appears when it is complete.

    Parameters
    ----------
    paths
        The files, in order; of a mapping, its names are `keys`.
    out
        The file to write; it may be one of them, with `overwrite`.
    compression, compression_opts, overwrite
        As of `write_h5ad`.
    options
        Of `anndata.concat`: `join` ("inner", "outer"), `merge`, `uns_merge`, `label`, `keys`, `index_unique`,
        `fill_value`, `pairwise`. Values that are missing in an outer join are 0 in sparse matrices, NaN in dense ones.
        Layers keep float32 where anndata makes them float64.

    Raises
    ------
    CorruptFileError
        (An OSError) One of the files is damaged, or its parts do not fit together.
    ValueError
        No files, one that is not an AnnData file, or is older than anndata 0.8; a `fill_value` other than 0 for a
        sparse matrix; a layer of booleans that would have missing values.
    FileExistsError
        `out` is there, without `overwrite`.
    TypeError
        An `axis`, or `keys` beside those of a mapping.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> from h5burst.anndata import concat, read_h5ad, write_h5ad
    >>> write_h5ad(anndata.AnnData(np.eye(3)), "first.h5ad")
    >>> write_h5ad(anndata.AnnData(np.ones((2, 3))), "second.h5ad")
    >>> concat({"a": "first.h5ad", "b": "second.h5ad"}, "both.h5ad", label="batch", index_unique="-")
    >>> read_h5ad("both.h5ad").obs_names.to_list()
    ['0-a', '1-a', '2-a', '0-b', '1-b']
    """
    if "axis" in options:
        raise TypeError("concat joins cells: it has no axis")
    storage = codecs.storage_for(compression, compression_opts)
    durable.require_absent(out, overwrite)
    if isinstance(paths, Mapping):
        if "keys" in options:
            raise TypeError("keys are those of the mapping: give one of them")
        options, paths = {**options, "keys": list(paths)}, list(paths.values())
    files = [opened(path) for path in paths]
    if not files:
        raise ValueError("concat needs at least one file")
    with naming_damage(os.fspath(out)), collection_paused():
        root = _joined(files, storage, options)
        write_tree(out, root, storage=storage, overwrite=overwrite)


def _joined(files: Sequence[Opened], storage: Storage, options: Mapping[str, Any]) -> Group:
    whole_object = anndata.concat([file.rest for file in files], **options)
    root = _encoded(whole_object, "", storage)
    fill = options.get("fill_value")
    columns = [_columns(file.rest.var_names, whole_object.var_names) for file in files]

    def below_each_other(nodes: Sequence[Node | None]) -> Node:
        pieces = [
            Piece(node, file.rest.n_obs, columns=places)
            for node, file, places in zip(nodes, files, columns, strict=True)
        ]
        return assembled(pieces, whole_object.n_vars, storage, fill)

    values = [_matrix_of(file.root.children.get("X")) for file in files]
    if any(value is not None for value in values):
        if any(value is None for value in values):
            lacking = [file.path for file, value in zip(files, values, strict=True) if value is None]
            raise ValueError(f"{lacking[0]} has no X, and others have one: write it with an X, or all without")
        root.children["X"] = below_each_other(values)
    layers = root.children["layers"]
    for name in _names([file.layers for file in files], options.get("join", "inner")):
        layers.children[name] = below_each_other([_matrix_of(file.layers.get(name)) for file in files])  # type: ignore[union-attr]
    if all(file.raw is not None for file in files):
        root.children["raw"] = _joined_raw(files, storage, options)
    return root


def _joined_raw(files: Sequence[Opened], storage: Storage, options: Mapping[str, Any]) -> Group:
    rests = [file.raw_rest() for file in files]
    kept = {name: value for name, value in options.items() if name in ("join", "label", "keys", "index_unique")}
    whole_object = anndata.concat(rests, **kept)
    pieces = []
    for file, rest in zip(files, rests, strict=True):
        node = file.root.children["raw"].children["X"]  # type: ignore[union-attr]
        file.check("raw/X", node, rest.shape)
        pieces.append(Piece(node, rest.n_obs, columns=_columns(rest.var_names, whole_object.var_names)))
    whole = _encoded(whole_object, "raw", storage)
    parts: dict[str, Node] = {"X": assembled(pieces, whole_object.n_vars, storage, options.get("fill_value"))}
    return RawObject.marked(Group({**parts, "var": whole.children["var"], "varm": whole.children["varm"]}))


def _encoded(whole_object: Any, where: str, storage: Storage) -> Group:
    whole_object.strings_to_categoricals()  # as it is written: text of which some is missing has no other encoding
    return AnnDataObject().tree(whole_object, where, Encoder(storage))


def _names(layers: Sequence[Mapping[str, Any]], join: str) -> list[str]:
    """Of the layers of each file: those of all, or of any."""
    names = list(dict.fromkeys(name for each in layers for name in each))
    return [name for name in names if join == "outer" or all(name in each for each in layers)]


def _columns(old: pd.Index[Any], new: pd.Index[Any]) -> np.ndarray[Any, Any] | None:
    return None if old.equals(new) else old.get_indexer(new)


# ---------------------------------------------------------------- a part of a file


def subset(
    path: str | os.PathLike[str],
    rows: Any,
    columns: Any,
    out: str | os.PathLike[str],
    *,
    compression: str | int | None = None,
    compression_opts: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write some rows and columns of an `.h5ad` file as another, as `adata[rows, columns].write_h5ad(out)` does.

    X, layers and that of raw (rows alone) are read and written block by block. The file appears when it is complete.

    Parameters
    ----------
    path
        The file.
    rows, columns
        Names, whole numbers, a mask of booleans, or a slice, in the order wanted; None: all.
    out
        The file to write.
    compression, compression_opts, overwrite
        As of `write_h5ad`.

    Raises
    ------
    KeyError, IndexError
        Names, or rows and columns, that there are not.
    CorruptFileError, ValueError, FileExistsError
        As of `concat`.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> from h5burst.anndata import read_h5ad, subset, write_h5ad
    >>> write_h5ad(anndata.AnnData(np.arange(12.0).reshape(4, 3)), "whole.h5ad")
    >>> subset("whole.h5ad", ["3", "0"], slice(1, None), "part.h5ad")
    >>> read_h5ad("part.h5ad").X
    array([[10., 11.],
           [ 1.,  2.]])
    """
    storage = codecs.storage_for(compression, compression_opts)
    durable.require_absent(out, overwrite)
    file = opened(path)
    row_places = _places(rows, file.rest.obs_names, "rows")
    column_places = _places(columns, file.rest.var_names, "columns")
    part_object = file.rest[
        slice(None) if row_places is None else row_places, slice(None) if column_places is None else column_places
    ].copy()
    root = _encoded(part_object, "", storage)

    def part(node: Node, width: int, of_columns: Any) -> Node:
        return assembled([Piece(node, part_object.n_obs, row_places, of_columns)], width, storage)

    with naming_damage(file.path):
        if (X := _matrix_of(file.root.children.get("X"))) is not None:
            root.children["X"] = part(X, part_object.n_vars, column_places)
        layers = {name: part(node, part_object.n_vars, column_places) for name, node in file.layers.items()}
        root.children["layers"] = Dictionary.marked(Group(dict(layers)))
        if file.raw is not None:
            root.children["raw"] = _raw_part(file, lambda node, width: part(node, width, None))
        write_tree(out, root, storage=storage, overwrite=overwrite)


def _raw_part(file: Opened, part: Callable[[Node, int], Node]) -> Group:
    raw = file.root.children["raw"].children  # type: ignore[union-attr]
    rest = file.raw_rest()
    file.check("raw/X", raw["X"], rest.shape)
    others = _in_memory({name: node for name, node in raw.items() if name != "X"})
    return RawObject.marked(Group({"X": part(raw["X"], rest.n_vars), **others}))


def _in_memory(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Nodes of a file as they are, read."""
    loaded: dict[str, Node] = {}
    for name, node in nodes.items():
        if isinstance(node, Group):
            loaded[name] = Group(_in_memory(node.children), dict(node.attrs))
        else:
            loaded[name] = Array(None if node.data is None else np.asarray(node.data), dict(node.attrs))
    return loaded


def _places(chosen: Any, names: pd.Index[Any], axis: str) -> np.ndarray[Any, Any] | None:
    """Positions of names, whole numbers, a mask or a slice; None for all."""
    if chosen is None or (isinstance(chosen, slice) and chosen == slice(None)):
        return None
    count = len(names)
    if isinstance(chosen, slice):
        return np.arange(count)[chosen]
    requested = np.atleast_1d(np.asarray(chosen))
    if requested.dtype == bool:
        if requested.shape != (count,):
            raise IndexError(f"{axis}: a mask of shape {requested.shape} does not fit {count} {axis}")
        return np.flatnonzero(requested)
    if not requested.size:
        return np.zeros(0, np.int64)
    if requested.ndim != 1 or requested.dtype.kind not in "iuOUT":
        raise IndexError(f"{axis} must be names, whole numbers, a mask or a slice, got {requested.dtype}")
    if requested.dtype.kind in "iu":
        if requested.min() < -count or requested.max() >= count:
            raise IndexError(f"{axis} {requested.min()} to {requested.max()} are out of bounds for {count} {axis}")
        return np.where(requested < 0, requested + count, requested).astype(np.int64)
    if not names.is_unique:
        raise KeyError(f"{axis}: the names of the file repeat: give whole numbers")
    positions: np.ndarray[Any, Any] = names.get_indexer(requested)
    if (positions < 0).any():
        raise KeyError(f"{axis}: there is no {str(requested[positions < 0][0])!r}")
    return positions
