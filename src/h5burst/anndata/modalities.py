"""`.h5mu` files: several AnnData objects about the same cells, as MuData objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import anndata
import numpy as np

from h5burst import codecs
from h5burst.anndata import encodings as spec
from h5burst.anndata.elements import Decoder, Encoder
from h5burst.anndata.matrices import is_left, shape_of
from h5burst.anndata.objects import Dictionary, object_parts
from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import Group, Node, UnsupportedValueError
from h5burst.read.files import read_tree
from h5burst.write.whole_file import write_tree

if TYPE_CHECKING:
    from mudata import MuData

_MOD, _ORDER, _AXIS = "mod", "mod-order", "axis"
_MAPPINGS = ("obsm", "varm", "obsp", "varp", "obsmap", "varmap", "uns")
_USER_BLOCK = b"MuData (format-version=0.1.0;creator=h5burst)"


def write_h5mu(
    mdata: MuData,
    path: str | os.PathLike[str],
    *,
    compression: str | int | None = None,
    compression_opts: int | Sequence[int] | None = None,
    overwrite: bool = True,
    threads: int | None = None,
) -> None:
    """Write a MuData object as an `.h5mu` file that mudata, muon and R's packages read; compressed in threads.

    The file appears under its name when it is complete and on disk.

    Parameters
    ----------
    mdata
        The object, in memory.
    path
        The file.
    compression, compression_opts, overwrite, threads
        As of `write_h5ad`.

    Raises
    ------
    UnsupportedValueError
        (A TypeError) For an element that has no encoding, and a backed object; nothing is written then.
    ValueError, FileExistsError, OSError
        As of `write_h5ad`.

    Examples
    --------
    >>> import anndata, mudata, numpy as np
    >>> from h5burst.anndata import read_h5mu, write_h5mu
    >>> mdata = mudata.MuData({"rna": anndata.AnnData(np.ones((3, 2))), "prot": anndata.AnnData(np.zeros((3, 1)))})
    >>> write_h5mu(mdata, "two.h5mu", compression="gzip")
    >>> list(read_h5mu("two.h5mu").mod)
    ['rna', 'prot']
    """
    storage = codecs.storage_for(compression, compression_opts)
    if mdata.isbacked:
        raise UnsupportedValueError("a backed MuData object: bring it into memory first (mdata.to_memory())", _MOD)
    encoder = Encoder(storage)
    parts: dict[str, Node] = {}
    for name in ("obs", "var"):
        table = mdata.strings_to_categoricals(getattr(mdata, name).copy())
        parts[name] = encoder.encode(table, name)
    for name in _MAPPINGS:
        parts[name] = encoder.encode(dict(getattr(mdata, name)), name)
    for name, adata in mdata.mod.items():
        if not isinstance(adata, anndata.AnnData):
            raise UnsupportedValueError("a modality that is no AnnData object has no place in a file", f"{_MOD}/{name}")
        adata.strings_to_categoricals()
        if adata.raw is not None:
            adata.strings_to_categoricals(adata.raw.var)
    modalities = Dictionary().encode(mdata.mod, _MOD, encoder).children
    parts[_MOD] = Group(modalities, {_ORDER: np.array([*modalities], object)})
    marks = {spec.TYPE: spec.MUDATA.name, spec.VERSION: spec.MUDATA.version}
    root = Group(parts, {**marks, _AXIS: np.int64(mdata.axis), "encoder": "h5burst"})
    block = _USER_BLOCK.ljust(512, b"\0")
    write_tree(path, root, storage=storage, overwrite=overwrite, threads=threads, user_block=block)


def read_h5mu(path: str | os.PathLike[str]) -> MuData:
    """Read an `.h5mu` file into a MuData object; chunks are decompressed in threads.

    Parameters
    ----------
    path
        The file, of any version of mudata, and of other writers that keep to the specification.

    Returns
    -------
    MuData
        As `mudata.read_h5mu` gives it.

    Raises
    ------
    CorruptFileError
        (An OSError) As of `read_h5ad`.
    ValueError
        For a file of another kind.
    ImportError
        Without the package mudata.

    Examples
    --------
    >>> import anndata, mudata, numpy as np
    >>> from h5burst.anndata import read_h5mu
    >>> mudata.MuData({"rna": anndata.AnnData(np.ones((3, 2)))}).write("one.h5mu")
    >>> read_h5mu("one.h5mu").mod["rna"].shape
    (3, 2)
    """
    name = os.path.abspath(path)
    mdata, _ = _read(name, read_tree(name), lambda node: False)
    return mdata


class StoredMatrices(NamedTuple):
    """The matrices of a modality that were left in the file.

    Attributes
    ----------
    X
        The node of X, with lazy data; None where it was read, or there is none.
    layers
        All layers in the order of the file: the node of one that was left; None for one that was read.

    Examples
    --------
    >>> from h5burst.anndata.modalities import StoredMatrices
    >>> StoredMatrices(None, {}).layers
    {}
    """

    X: Node | None
    layers: dict[str, Node | None]


def read_h5mu_with_stored_layers(path: str | os.PathLike[str]) -> tuple[MuData, dict[str, StoredMatrices]]:
    """Read an `.h5mu` file, but leave each X, and layers, that are dense, CSR or CSC in the file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    mudata.MuData
        As `read_h5mu` gives it, without these matrices.
    dict
        By modality its `StoredMatrices`: `X` and `layers`, nodes with lazy data.

    Raises
    ------
    CorruptFileError, ValueError, ImportError
        As of `read_h5mu`.

    Examples
    --------
    >>> import anndata, mudata, numpy as np
    >>> from h5burst.anndata import read_h5mu_with_stored_layers, write_h5mu
    >>> write_h5mu(mudata.MuData({"rna": anndata.AnnData(np.ones((3, 2)))}), "one.h5mu")
    >>> mdata, stored = read_h5mu_with_stored_layers("one.h5mu")
    >>> mdata.mod["rna"].X is None, stored["rna"].X.data[1:2]
    (True, array([[1., 1.]]))
    """
    name = os.path.abspath(path)
    return _read(name, read_tree(name, lazy=True), is_left)


def _read(name: str, root: Group, leaves: Callable[[Node], bool]) -> tuple[MuData, dict[str, StoredMatrices]]:
    """The object of a file, and what is left in it."""
    from mudata import MuData

    modalities = root.children.get(_MOD)
    if not isinstance(modalities, Group):
        format_name = spec.encoding_of(root).name or "HDF5"
        raise ValueError(f"{name} has no modalities: it is a file of {format_name}, not of MuData")
    decoder = Decoder(name, root)
    stored: dict[str, StoredMatrices] = {}
    try:
        modalities_read = {}
        for key, node in _in_order(modalities).items():
            modalities_read[key], stored[key] = _modality(decoder, node, key, leaves)
        parts: dict[str, Any] = {}
        for key in ("obs", "var", *_MAPPINGS):
            if key in root.children:
                parts[key] = decoder.decode(root.children[key], key)
        axis = root.attrs.get(_AXIS)
        mdata = MuData(
            modalities_read, **parts, **({} if axis is None else {_AXIS: int(np.asarray(axis).reshape(-1)[0])})
        )
    except CorruptFileError:
        raise
    except (ValueError, TypeError, IndexError, KeyError) as error:
        if str(error).startswith(name):
            raise
        raise CorruptFileError(name, f"its parts are not those of one object: {str(error).rstrip('.')}") from error
    return mdata, stored


def _modality(decoder: Decoder, node: Node, name: str, leaves: Callable[[Node], bool]) -> tuple[Any, StoredMatrices]:
    if not isinstance(node, Group):
        raise ValueError(f"mod/{name} is not a group")
    X, layers = node.children.get("X"), node.children.get("layers")
    left_x = X if X is not None and leaves(X) else None
    of_layers = layers.children if isinstance(layers, Group) else {}
    left = {key: layer if leaves(layer) else None for key, layer in of_layers.items()}
    children = {**node.children}
    if isinstance(layers, Group):
        others = {key: layer for key, layer in of_layers.items() if left[key] is None}
        children["layers"] = Group(others, layers.attrs)
    rest = Group(children, node.attrs)
    parts = object_parts(decoder, rest, lambda part: part != "X" or left_x is None, f"{_MOD}/{name}")
    read = anndata.AnnData(**parts)
    for key, layer in {"X": left_x, **left}.items():
        if layer is not None and shape_of(layer) != read.shape:
            raise ValueError(f"{name}: {key} is of shape {shape_of(layer)}, not {read.shape}")
    return read, StoredMatrices(left_x, left)


def _in_order(modalities: Group) -> dict[str, Node]:
    """By name in the order that the file says, if it does."""
    stored = modalities.attrs.get(_ORDER)
    order = [] if stored is None else [spec.text_of(name) for name in np.asarray(stored).reshape(-1)]
    is_complete = all(name in modalities.children for name in order) and len(order) == len(modalities.children)
    return {name: modalities.children[name] for name in (order if is_complete else modalities.children)}
