"""`.h5ad` files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import anndata
import numpy as np
import scipy.sparse as sp

from h5burst import codecs
from h5burst.anndata import encodings as spec
from h5burst.anndata.elements import Decoder, Encoder
from h5burst.anndata.legacy import is_legacy, legacy_parts
from h5burst.anndata.matrices import is_left
from h5burst.anndata.objects import AnnDataObject, object_parts
from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import Array, Group, Node
from h5burst.read.files import read_tree
from h5burst.write.whole_file import write_tree

if TYPE_CHECKING:
    from anndata import AnnData

_MATRICES = {"X": "X", "raw/X": "raw/X", "raw.X": "raw/X", ("raw", "X"): "raw/X"}


def write_h5ad(
    adata: AnnData,
    path: str | os.PathLike[str],
    *,
    compression: str | int | None = None,
    compression_opts: int | Sequence[int] | None = None,
    as_dense: str | Iterable[str] = (),
    convert_strings_to_categoricals: bool = True,
    overwrite: bool = True,
    threads: int | None = None,
) -> None:
    """Write an AnnData object as an `.h5ad` file that anndata, scanpy and R's packages read; compressed in threads.

    The file appears under its name when it is complete and on disk.

    Parameters
    ----------
    adata
        The object. A backed X, and dense dask arrays, are read block by block while they are written; the object stays
        backed by its own file, also when that is replaced.
    path
        The file.
    compression
        None, "gzip", "lzf", "zstd", "blosc", a level of gzip (0 to 9), or the number of a filter (such as
        `hdf5plugin.Zstd.filter_id`).
    compression_opts
        The level, None for the codec's default (of gzip: 4).
    as_dense
        Of "X" and "raw/X": what to store dense though it is sparse.
    convert_strings_to_categoricals
        Whether columns of text in which values repeat become categorical, in `adata` as well (as anndata does it).
    overwrite
        Whether an existing file is replaced, which is what anndata does.
    threads
        For compressing; None: the CPUs that this process may use.

    Raises
    ------
    UnsupportedValueError
        (A TypeError) For an element that has no encoding, such as dates; the message names it and
        says what to do. Nothing is written then.
    ValueError
        For an unknown compression or level, and names in `as_dense` that are not known.
    FileExistsError
        For an existing file with overwrite=False.
    OSError
        When writing fails; a file that was there is untouched.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> from h5burst.anndata import read_h5ad, write_h5ad
    >>> write_h5ad(anndata.AnnData(np.eye(3)), "example.h5ad", compression="gzip")
    >>> read_h5ad("example.h5ad").shape
    (3, 3)
    """
    storage = codecs.storage_for(compression, compression_opts)
    dense = frozenset(_matrix_names(as_dense, "as_dense"))
    if "raw/X" in dense and adata.raw is None:
        raise ValueError("as_dense names raw/X, and the object has no raw")
    if convert_strings_to_categoricals:
        adata.strings_to_categoricals()
        if adata.raw is not None:
            adata.strings_to_categoricals(adata.raw.var)
    if adata.isbacked:
        adata.file.close()  # what was changed is then in the file; anndata opens it again when it is needed
    tree = AnnDataObject().tree(adata, "", Encoder(storage), dense)
    write_tree(path, tree, storage=storage, overwrite=overwrite, threads=threads)


def read_h5ad(
    path: str | os.PathLike[str],
    backed: Literal["r", "r+"] | bool | None = None,
    *,
    as_sparse: str | Iterable[Any] = (),
    as_sparse_fmt: Any = sp.csr_matrix,
    chunk_size: int = 6000,
) -> AnnData:
    """Read an `.h5ad` file into an AnnData object; chunks are decompressed in threads.

    Parameters
    ----------
    path
        The file, of any version of anndata, and of other writers that keep to the specification.
    backed
        "r" or "r+" (True): X, and that of raw, stay in the file, and anndata reads (and writes) them there.
    as_sparse
        Of "X" and "raw/X": what to make sparse though it is stored dense; what the file does not have is passed over.
    as_sparse_fmt
        Of what class: `scipy.sparse.csr_matrix` or `csc_matrix`.
    chunk_size
        Rows that are read at once for that.

    Returns
    -------
    AnnData
        As `anndata.read_h5ad` gives it.

    Raises
    ------
    CorruptFileError
        (An OSError) For a file that is damaged, in which an element is not of the form that its encoding says (the
        message names the element), or whose parts do not fit together.
    ValueError
        For a file that is not an AnnData file, an element of unknown encoding,
        and wrong options.
    OSError
        For a file that cannot be opened.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> from h5burst.anndata import read_h5ad, write_h5ad
    >>> write_h5ad(anndata.AnnData(np.arange(6.0).reshape(3, 2)), "example.h5ad")
    >>> read_h5ad("example.h5ad", as_sparse="X").X.nnz
    5
    """
    if as_sparse_fmt not in (sp.csr_matrix, sp.csc_matrix):
        raise ValueError("as_sparse_fmt must be scipy.sparse.csr_matrix or csc_matrix")
    sparse = _matrix_names(as_sparse, "as_sparse")
    mode = "r+" if backed is True else backed or None
    if mode not in (None, "r", "r+"):
        raise ValueError(f"backed must be None, 'r' or 'r+', got {backed!r}")
    path = os.path.abspath(path)
    root = read_tree(path, lazy=mode is not None or bool(sparse))
    check_root(root, path)
    decoder = Decoder(path, root)
    parts = _parts(decoder, root, {"X", "raw/X"} if mode is not None else set(sparse))
    for name in sparse if mode is None else ():
        if (node := spec.matrix_of(root, name)) is not None:
            target = parts if name == "X" else parts.setdefault("raw", {})
            target["X"] = _as_sparse(node, name, as_sparse_fmt, chunk_size, decoder)
    if mode is not None:
        parts.update(filename=path, filemode=mode)
    return _assembled(path, parts)


def read_with_stored_layers(path: str | os.PathLike[str]) -> tuple[AnnData, dict[str, Node | None]]:
    """Read an `.h5ad` file, but leave X, that of raw, and layers that are dense, CSR or CSC in the file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    AnnData
        As `read_h5ad` with backed="r" gives it (in memory, where the file has no X), without these layers.
    dict
        All layers in the order of the file: the node of one that was left, with lazy data; None for one that was read.

    Raises
    ------
    CorruptFileError, ValueError, OSError
        As of `read_h5ad`.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> from h5burst.anndata import read_with_stored_layers, write_h5ad
    >>> write_h5ad(anndata.AnnData(np.eye(3), layers={"raw": np.ones((3, 3))}), "example.h5ad")
    >>> adata, layers = read_with_stored_layers("example.h5ad")
    >>> layers["raw"].data[1:2]
    array([[1., 1., 1.]])
    """
    path = os.path.abspath(path)
    root = read_tree(path, lazy=True)
    check_root(root, path)
    layers = root.children.get("layers")
    stored: dict[str, Node | None] = {}
    if isinstance(layers, Group) and not is_legacy(root):
        stored = {name: node if is_left(node) else None for name, node in layers.children.items()}
        others = {name: node for name, node in layers.children.items() if stored[name] is None}
        root = Group({**root.children, "layers": Group(others, layers.attrs)}, root.attrs)
    if "X" not in root.children:  # an object that is backed looks there for it
        return _assembled(path, _parts(Decoder(path, root), root, set())), stored
    parts = _parts(Decoder(path, root), root, {"X", "raw/X"})
    return _assembled(path, {**parts, "filename": path, "filemode": "r"}), stored


def _parts(decoder: Decoder, root: Group, left: set[str]) -> dict[str, Any]:
    """Parts to build an object of. left: matrices that are not decoded."""

    def keep(name: str) -> bool:
        return name not in left

    return legacy_parts(decoder, root, keep) if is_legacy(root) else object_parts(decoder, root, keep)


def _assembled(path: str, parts: dict[str, Any]) -> AnnData:
    try:
        return anndata.AnnData(**parts)
    except (ValueError, TypeError, IndexError) as error:
        raise CorruptFileError(path, f"its parts are not those of one object: {str(error).rstrip('.')}") from error


def check_root(root: Group, path: str) -> None:
    """Raise ValueError for the tree of another file; warn of what is not a part of AnnData."""
    encoding = spec.encoding_of(root)
    if encoding.name not in ("", AnnDataObject.name):
        advice = ": read_h5mu(path).mod has its AnnData objects by name" if encoding.name == "MuData" else ""
        raise ValueError(f"{path} is not an AnnData file, but one of the encoding {encoding.name!r}{advice}")
    if encoding == spec.NONE and not {"obs", "var"} & set(root.children):
        raise ValueError(f"{path} is not an AnnData file: it has neither obs nor var")
    names = {"X", "obs", "var", "raw", *spec.MAPPINGS, "raw.X", "raw.var", "raw.varm"}
    unknown = [name for name in root.children if name not in names and not name.startswith("__")]
    if unknown:
        message = f"{path}: {', '.join(unknown[:5])} at its top is not a part of AnnData, and is not read"
        warnings.warn(message, UserWarning, stacklevel=3)


def _as_sparse(node: Node, name: str, kind: Any, rows: int, decoder: Decoder) -> Any:
    """A dense matrix of the file as a sparse one, a block of rows in memory at a time."""
    if not isinstance(node, Array) or node.data is None:
        return decoder.decode(node, name)
    data: Any = node.data  # lazy, and sliced as arrays are
    step, blocks = max(1, rows), []
    for start in range(0, data.shape[0], step):
        blocks.append(sp.csr_matrix(np.asarray(data[start : start + step])))
    if not blocks:
        return kind(data.shape, dtype=data.dtype)
    return kind(sp.vstack(blocks, format="csr")) if kind is not sp.csr_matrix else sp.vstack(blocks, format="csr")


def _matrix_names(names: str | Iterable[Any], argument: str) -> list[str]:
    given = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in given if name not in _MATRICES]
    if unknown:
        raise ValueError(f"{argument} takes 'X' and 'raw/X', got {unknown[0]!r}")
    return list(dict.fromkeys(_MATRICES[name] for name in given))
