"""`.h5ad` and `.h5mu` files that change in place: elements replaced, cells added, in one transaction."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

from h5burst import codecs
from h5burst.anndata import encodings as spec
from h5burst.anndata.arrays import DenseArray, Null
from h5burst.anndata.assembling import stored_data
from h5burst.anndata.elements import Decoder, Encoder
from h5burst.anndata.files import check_root
from h5burst.anndata.joining import Opened, opened
from h5burst.anndata.legacy import is_legacy
from h5burst.anndata.matrices import Csr
from h5burst.anndata.tables import column_order, columns_of
from h5burst.model.tree import Array, Group, Node, Storage, UnsupportedValueError
from h5burst.read.files import read_tree
from h5burst.write.changes import Joined
from h5burst.write.transaction import Transaction, edit

_TABLES = ("obs", "var")
_MISSING = object()  # in the place of an element that an object does not have
_OF_ROWS = {"obs": "obs", "obsm": "obs", "obsp": "obs", "var": "var", "varm": "var", "varp": "var"}


def update(
    path: str | os.PathLike[str],
    adata: Any,
    *names: str,
    compression: str | int | None = None,
    compression_opts: int | None = None,
    message: str | None = None,
    wait: float = 0,
) -> None:
    """Write some elements of an object into the `.h5ad` or `.h5mu` file that it was read from, whole or not at all.

    All that is not named stays as it is in the file, and is not read. An element that the object does not have any more
    is removed. The edit is a commit in the file's history.

    Parameters
    ----------
    path
        The file.
    adata
        An AnnData object of the same cells and genes, in the same order; for `.h5mu` a MuData object.
    names
        "obs", "obs/leiden" (a column), "X", "obsm/X_pca", "uns", "uns/neighbors", "layers/log1p", "raw", …; of a
        modality "mod/rna/obs".
    compression, compression_opts
        Of these elements, as of `write_h5ad`.
    message
        What the edit is for; None: which elements.
    wait
        As of `h5burst.edit`.

    Raises
    ------
    KeyError
        A name that neither the object nor the file has.
    ValueError
        The file has other cells or genes, or another order; it is older than anndata 0.8.
    UnsupportedValueError
        (A TypeError) An element that has no encoding.
    OSError
        As of `h5burst.edit`.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> from h5burst.anndata import read_h5ad, update, write_h5ad
    >>> adata = anndata.AnnData(np.eye(3))
    >>> write_h5ad(adata, "kept.h5ad")
    >>> adata.obs["cluster"] = ["a", "b", "a"]
    >>> adata.obsm["X_pca"] = np.ones((3, 2))
    >>> update("kept.h5ad", adata, "obs", "obsm/X_pca")
    >>> read_h5ad("kept.h5ad").obs["cluster"].to_list()
    ['a', 'b', 'a']
    """
    if not names:
        raise ValueError("update needs the names of what is to be written, such as 'obs' or 'obsm/X_pca'")
    storage = codecs.storage_for(compression, compression_opts)
    root = _current(path)
    _close_if_backed(adata, path)
    encoder = Encoder(storage)
    with edit(path, message or f"update {', '.join(names)}", wait=wait, storage=storage) as tx:
        for name in dict.fromkeys(names):
            steps = tuple(name.strip("/").split("/"))
            owner, group = adata, root
            prefix: tuple[str, ...] = ()
            if steps[0] == "mod" and len(steps) > 2 and hasattr(adata, "mod"):
                if steps[1] not in adata.mod:
                    raise KeyError(f"{name}: the object has no modality {steps[1]!r}, but {', '.join(adata.mod)}")
                owner, prefix, steps = adata.mod[steps[1]], steps[:2], steps[2:]
                group = _group_at(root, prefix, path)
            _check_same(owner, group, steps, set(names), prefix, path)
            if steps[0] in _TABLES and len(steps) == 1:
                owner.strings_to_categoricals()
            _write(tx, _Element(owner, group, prefix, steps), encoder)


class _Element:
    """An element of an object and of its file."""

    def __init__(self, owner: Any, group: Group, prefix: tuple[str, ...], steps: tuple[str, ...]) -> None:
        self.owner, self.group, self.prefix, self.steps = owner, group, prefix, steps

    @property
    def path(self) -> tuple[str, ...]:
        return (*self.prefix, *self.steps)

    @property
    def is_stored(self) -> bool:
        node: Node | None = self.group
        for step in self.steps:
            node = node.children.get(step) if isinstance(node, Group) else None
        return node is not None

    def value(self) -> Any:
        """The element; KeyError where the object has none."""
        first, *rest = self.steps
        value = getattr(self.owner, first)
        if not rest:
            return spec.members_of(self.owner, first) if first == "layers" else value
        for step in rest:
            if not isinstance(value, (Mapping, pd.DataFrame)) and not hasattr(value, "keys"):
                raise KeyError(step)
            value = value[step]
        return value

    def check(self) -> None:
        """Raise KeyError for what is not a name of an element."""
        first, most = self.steps[0], {"uns": 99, "X": 1, "raw": 1}.get(self.steps[0], 2)
        parts = ("X", "raw", *_TABLES, *spec.MAPPINGS)
        if first not in (*parts, "obsmap", "varmap") or not hasattr(self.owner, first):
            raise KeyError(f"{'/'.join(self.path)}: an object has {', '.join(parts)}")
        if len(self.steps) > most:
            raise KeyError(f"{'/'.join(self.path)}: {'/'.join(self.steps[:most])} is written as a whole")


def _write(tx: Transaction, element: _Element, encoder: Encoder) -> None:
    where = "/".join(element.path)
    element.check()
    try:
        value = element.value()
    except KeyError:
        value = _MISSING
    is_column = element.steps[0] in _TABLES and len(element.steps) == 2
    is_left_out = value is None and (element.steps[0] in ("X", "raw") or spec.LEAVES_NONE_OUT)
    is_gone = value is _MISSING or is_left_out
    if is_gone:
        if element.is_stored:
            tx.remove(element.path)
        elif not (is_left_out or element.steps[0] in ("X", "raw")):
            raise KeyError(f"neither the object nor the file has {where}")
    elif is_column:
        tx.put(element.path, encoder.encode(_column(value), where))
    else:
        tx.put(element.path, encoder.encode(value, where))
    if is_column:
        table = tx[element.path[:-1]]  # with the columns that were written before this one
        order = [name for name in columns_of(table) if name != element.steps[1] or not is_gone]
        if not is_gone and element.steps[1] not in order:
            order.append(element.steps[1])
        tx.set_attributes(element.path[:-1], {spec.COLUMN_ORDER: column_order(order)})


def _column(values: Any) -> Any:
    """A column as an array, of text that repeats as a category, as whole tables are written."""
    if pd.api.types.infer_dtype(values) == "string" and values.nunique() < len(values):
        return values.astype("category").array
    return values.array


def _current(path: str | os.PathLike[str]) -> Group:
    name = os.path.abspath(path)
    root = read_tree(name, lazy=True)
    if spec.encoding_of(root).name != spec.MUDATA.name:
        check_root(root, name)
        if is_legacy(root) or spec.encoding_of(root) == spec.NONE:
            raise ValueError(f"{name} is of a version of anndata before 0.8: read it, and write it anew")
    return root


def _group_at(root: Group, prefix: tuple[str, ...], path: str | os.PathLike[str]) -> Group:
    group = root[prefix] if prefix in root else None  # noqa: SIM401
    if not isinstance(group, Group):
        raise KeyError(f"{os.fspath(path)} has no {'/'.join(prefix)}")
    return group


def _close_if_backed(adata: Any, path: str | os.PathLike[str]) -> None:
    """Close what the object has open of the same file: it is opened again when it is needed, in the new state."""
    name = adata.filename if getattr(adata, "isbacked", False) else None
    if name is not None and os.path.exists(name) and os.path.samefile(name, path):
        adata.file.close()


def _names_in(group: Group, table: str, path: str | os.PathLike[str]) -> pd.Index[Any]:
    node = group.children.get(table)
    if not isinstance(node, Group) or spec.INDEX not in node.attrs:
        raise ValueError(f"{os.fspath(path)}: {table} is not a table with names")
    index = spec.text_of(node.attrs[spec.INDEX])
    return pd.Index(Decoder(os.fspath(path), group).decode(node[index], f"{table}/{index}"))


def _check_same(
    owner: Any,
    group: Group,
    steps: tuple[str, ...],
    updated: set[str],
    prefix: tuple[str, ...],
    path: str | os.PathLike[str],
) -> None:
    """Raise ValueError where the file has other cells or genes than the object; a table may rename them."""
    sides = {"X": _TABLES, "layers": _TABLES, "raw": ("obs",)}.get(steps[0])
    for table in sides if sides is not None else [_OF_ROWS[steps[0]]] if steps[0] in _OF_ROWS else []:
        stored = _names_in(group, table, path)
        names = pd.Index(getattr(owner, f"{table}_names"))
        if len(stored) == len(names) and (stored == names).all():
            continue
        is_renamed = "/".join((*prefix, table)) in updated and len(stored) == len(names)
        if is_renamed and not stored.isin(names).all():
            continue
        difference = "the same names in another order" if set(stored) == set(names) else "other names"
        message = f"{os.fspath(path)} has {len(stored)} {table}_names, the object {len(names)}"
        raise ValueError(f"{message}: {difference}: bring them into the order of the file, or write a new one")


# ---------------------------------------------------------------- more cells


def append(
    path: str | os.PathLike[str],
    adata: Any,
    *,
    compression: str | int | None = None,
    compression_opts: int | None = None,
    message: str | None = None,
    wait: float = 0,
) -> None:
    """Add the cells of an object to an `.h5ad` file, whole or not at all.

    Arrays that may grow (those of sparse matrices) take the new entries behind theirs; dense X and layers are written
    anew the first time, block by block, and may grow then. obs becomes what `anndata.concat(join="outer")` makes of
    both; var, varm, varp and uns stay as they are.

    Parameters
    ----------
    path
        The file.
    adata
        The new cells: all genes of the file, in any order, and the layers, obsm and raw that it has.
    compression, compression_opts
        Of what is written anew, as of `write_h5ad`.
    message
        What the edit is for.
    wait
        As of `h5burst.edit`.

    Raises
    ------
    ValueError
        Other genes, layers or obsm; names of cells that the file has already; a file with obsp, which would have to
        know of the new cells; one older than anndata 0.8.
    OSError, UnsupportedValueError
        As of `update`.

    Examples
    --------
    >>> import anndata, numpy as np, scipy.sparse as sp
    >>> from h5burst.anndata import append, read_h5ad, write_h5ad
    >>> write_h5ad(anndata.AnnData(sp.eye(3, format="csr")), "grows.h5ad")
    >>> more = anndata.AnnData(sp.csr_matrix(np.ones((1, 3))))
    >>> more.obs_names = ["new"]
    >>> append("grows.h5ad", more)
    >>> read_h5ad("grows.h5ad").X.toarray()[2:]
    array([[0., 0., 1.],
           [1., 1., 1.]])
    """
    storage = codecs.storage_for(compression, compression_opts)
    file = opened(path)
    added = _fitting(file, adata)
    rest = anndata.AnnData(obs=file.rest.obs, var=file.rest.var[[]], obsm=dict(file.rest.obsm))
    of_added = anndata.AnnData(obs=added.obs, var=file.rest.var[[]], obsm=dict(added.obsm))
    joined = anndata.concat([rest, of_added], join="outer")
    joined.strings_to_categoricals()
    encoder = Encoder(storage)
    _close_if_backed(adata, path)
    with edit(path, message or f"append {added.n_obs} cells", wait=wait, storage=storage) as tx:
        tx.put("obs", encoder.encode(joined.obs, "obs"))
        for name in file.rest.obsm:
            tx.put(("obsm", name), encoder.encode(joined.obsm[name], f"obsm/{name}"))
        if file.root.children.get("X") is not None and added.X is not None:
            _append_matrix(tx, ("X",), file.root["X"], added.X, storage)
        for name, node in file.layers.items():
            _append_matrix(tx, ("layers", name), node, added.layers[name], storage)
        if file.raw is not None:
            _append_matrix(tx, ("raw", "X"), file.raw["X"], added.raw.X, storage)


def _fitting(file: Opened, adata: Any) -> Any:
    """The new cells with the genes in the order of the file. Raises ValueError where they do not fit."""
    names = file.rest.var_names
    if set(names) != set(adata.var_names) or len(names) != adata.n_vars:
        odd = sorted(set(names) ^ set(adata.var_names))[:5]
        raise ValueError(f"{file.path} has other genes than the object, such as {', '.join(map(str, odd))}")
    twice = adata.obs_names.intersection(file.rest.obs_names)
    if len(twice):
        raise ValueError(f"{file.path} has cells of these names already: {', '.join(map(str, twice[:5]))}")
    if len(file.rest.obsp):
        which = ", ".join(file.rest.obsp)
        raise ValueError(f"{file.path} has obsp ({which}), which would lack the new cells: remove it with update first")
    has_x = file.root.children.get("X") is not None and not Null.is_of(file.root["X"])
    for part, ours, theirs in (
        ("layers", set(file.layers), set(spec.members_of(adata, "layers"))),
        ("obsm", set(file.rest.obsm), set(adata.obsm)),
        ("parts", {"X"} & {"X" if has_x else ""}, {"X"} & {"" if adata.X is None else "X"}),
        ("parts", {"raw"} & {"" if file.raw is None else "raw"}, {"raw"} & {"" if adata.raw is None else "raw"}),
    ):
        if ours != theirs:
            raise ValueError(f"{file.path} has the {part} {sorted(ours)}, the new cells have {sorted(theirs)}")
    added = adata if (adata.var_names == names).all() else adata[:, names].copy()
    if file.raw is not None and not file.raw_rest().var_names.equals(added.raw.var_names):
        raise ValueError(f"{file.path}: raw has other genes than that of the new cells, or another order")
    return added


def _append_matrix(tx: Transaction, path: tuple[str, ...], node: Node, values: Any, storage: Storage) -> None:
    where = "/".join(path)
    if hasattr(values, "to_memory"):
        values = values.to_memory()
    if isinstance(node, Group):
        if not Csr.is_of(node):
            raise UnsupportedValueError("a matrix that is stored by columns (CSC) takes no rows: write it anew", where)
        _append_csr(tx, path, node, sp.csr_matrix(values))
        return
    dense = values.toarray() if sp.issparse(values) else np.asarray(values)
    data: Any = node.data
    if not np.can_cast(dense.dtype, data.dtype, "same_kind"):
        raise UnsupportedValueError(f"{dense.dtype} does not fit behind {data.dtype}: convert it", where)
    dense = np.ascontiguousarray(dense, data.dtype)
    if data.maxshape[0] is None:
        tx.append(path, dense)
    else:
        growing = Storage(storage.codec, storage.level, maxshape=(None, *data.shape[1:]))
        tx.put(path, DenseArray.marked(Array(Joined([data, dense]), {}, growing)))


def _append_csr(tx: Transaction, path: tuple[str, ...], node: Group, rows: Any) -> None:
    rows = rows.tocsr()
    rows.sort_indices()
    stored = {part: stored_data(node, part) for part in spec.SPARSE_PARTS}
    entries = int(stored["data"].shape[0])
    indptr = rows.indptr[1:].astype(np.int64) + entries
    if stored["indptr"].dtype.itemsize < 8 and entries + rows.nnz > np.iinfo(np.int32).max:
        whole = np.concatenate([np.asarray(stored["indptr"]).astype(np.int64), indptr])
        tx.put((*path, "indptr"), DenseArray.marked(Array(whole, {}, Storage(maxshape=(None,)))))
        added = {"data": rows.data, "indices": rows.indices}
    else:
        added = {"data": rows.data, "indices": rows.indices, "indptr": indptr}
    for part, values in added.items():
        data, where = stored[part], "/".join((*path, part))
        if not np.can_cast(values.dtype, data.dtype, "same_kind"):
            raise UnsupportedValueError(f"{values.dtype} does not fit behind {data.dtype}: convert it", where)
        converted = np.ascontiguousarray(values, data.dtype)
        if data.maxshape[0] is None:
            tx.append((*path, part), converted)
        else:
            growing = Storage(None, maxshape=(None,))
            tx.put((*path, part), DenseArray.marked(Array(Joined([data, converted]), {}, growing)))
    shape = np.array([len(stored["indptr"]) - 1 + rows.shape[0], rows.shape[1]], np.int64)
    tx.set_attributes(path, {spec.SHAPE: shape})
