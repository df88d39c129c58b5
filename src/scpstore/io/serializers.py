"""Single parts of a container in the groups of an open HDF5 file: the same nodes as `save_hdf5` writes.

What format 1.0 cannot say about the group `/P` goes to `/scptensor/P` of the same file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
import polars as pl
import scipy.sparse as sp

from h5burst import Array, Group, Node, escape_link, graft, is_source, set_attributes, unescape
from scpstore.core.history import ProvenanceLog
from scpstore.io.exceptions import writing
from scpstore.io.exporters import matrix_storage
from scpstore.io.frames import as_frame, decode_frame, encode_frame
from scpstore.io.matrices import Target, csr_nodes, encode_matrix, source_parts
from scpstore.io.provenance import decode_history, encode_history
from scpstore.io.stored import EXTRAS, StoredGroup

__all__ = [
    "deserialize_dataframe",
    "deserialize_provenance",
    "serialize_dataframe",
    "serialize_dense_matrix",
    "serialize_provenance",
    "serialize_sparse_matrix",
]


def serialize_dataframe(df: pl.DataFrame, group: h5py.Group) -> None:
    """Write each column of a frame as a dataset.

    Parameters
    ----------
    df
        The frame.
    group
        Of a file that is open for writing; it should be empty.

    Raises
    ------
    IOWriteError
        A column of Python objects.

    Examples
    --------
    >>> import h5py
    >>> import polars as pl
    >>> from scptensor.io import deserialize_dataframe, serialize_dataframe
    >>> with h5py.File("frame.h5", "w") as file:
    ...     serialize_dataframe(pl.DataFrame({"a": [1, None]}), file.create_group("obs"))
    ...     print(deserialize_dataframe(file["obs"])["a"].to_list())
    [1, None]
    """
    _graft(group, encode_frame(as_frame(df, group.name), group.name))


def deserialize_dataframe(group: h5py.Group) -> pl.DataFrame:
    """The frame in a group, written by any program.

    Parameters
    ----------
    group
        Of an open file.

    Returns
    -------
    polars.DataFrame
        A column a dataset.

    Raises
    ------
    IOFormatError
        Datasets that are not columns.

    Examples
    --------
    >>> import h5py
    >>> from scptensor.io import deserialize_dataframe
    >>> with h5py.File("cells.h5", "r") as file:
    ...     print(deserialize_dataframe(file["obs"]).columns)
    ['_index', 'group']
    """
    return decode_frame(_stored(group))


def serialize_dense_matrix(
    X: Any, group: h5py.Group, name: str = "X", compression: str | None = "gzip", compression_level: int = 4
) -> None:
    """Write a dense matrix as a dataset, in its own dtype.

    Parameters
    ----------
    X
        An array (rows, columns), or an `ArraySource`.
    group
        Of a file that is open for writing.
    name
        Of the dataset.
    compression, compression_level
        As of `save_hdf5`.

    Raises
    ------
    TypeError
        X is sparse.
    IOWriteError
        An array of objects.
    ValueError
        A compression that there is not.

    Examples
    --------
    >>> import h5py
    >>> import numpy as np
    >>> from scptensor.io import serialize_dense_matrix
    >>> with h5py.File("matrix.h5", "w") as file:
    ...     serialize_dense_matrix(np.ones((2, 3), np.float32), file)
    ...     print(file["X"].shape, file["X"].dtype)
    (2, 3) float32
    """
    if sp.issparse(X):
        raise TypeError("X is sparse: use serialize_sparse_matrix")
    with Target(matrix_storage(compression, compression_level)) as target:
        _graft(group, encode_matrix(name, X, target, group.name))


def serialize_sparse_matrix(X: Any, group: h5py.Group, name: str = "X") -> None:
    """Write a matrix as the CSR datasets `{name}_data`, `{name}_indices`, `{name}_indptr`, in blocks of rows.

    Parameters
    ----------
    X
        (rows, columns), sparse of any format, or dense values (an array or an `ArraySource`) of which what is not zero
        is written.
    group
        Of a file that is open for writing.
    name
        Begins the names of the datasets.

    Examples
    --------
    >>> import h5py
    >>> import scipy.sparse
    >>> from scptensor.io import serialize_sparse_matrix
    >>> with h5py.File("matrix.h5", "w") as file:
    ...     serialize_sparse_matrix(scipy.sparse.eye(3), file)
    ...     print(sorted(file))
    ['X_data', 'X_indices', 'X_indptr']
    """
    with Target(matrix_storage("gzip", 4)) as target:
        if sp.issparse(X):
            _graft(group, encode_matrix(name, X, target, group.name))
            return
        values = X if is_source(X) else np.asarray(X)
        _graft(group, csr_nodes(name, source_parts(values, target), target, group.name))


def serialize_provenance(history: Iterable[ProvenanceLog], group: h5py.Group) -> None:
    """Write the steps of a history as datasets.

    Parameters
    ----------
    history
        The steps.
    group
        Of a file that is open for writing.

    Raises
    ------
    IOWriteError
        Params that no file can hold.

    Examples
    --------
    >>> import h5py
    >>> from scptensor import ProvenanceLog
    >>> from scptensor.io import deserialize_provenance, serialize_provenance
    >>> step = ProvenanceLog("2024-05-01T10:30:00+00:00", "normalize", {"method": "median"})
    >>> with h5py.File("history.h5", "w") as file:
    ...     serialize_provenance([step], file)
    ...     print(deserialize_provenance(file) == [step])
    True
    """
    _graft(group, encode_history(history, group.name))


def deserialize_provenance(group: h5py.Group) -> list[ProvenanceLog]:
    """The history in a group, or in its subgroup `history`.

    Parameters
    ----------
    group
        Of an open file.

    Returns
    -------
    list of ProvenanceLog
        In their order.

    Raises
    ------
    IOFormatError
        Datasets that do not fit.

    Examples
    --------
    >>> import h5py
    >>> from scptensor import load_hdf5, save_hdf5
    >>> from scptensor.io import deserialize_provenance
    >>> save_hdf5(load_hdf5("cells.h5").filter_samples(["A"]), "one.h5")
    >>> with h5py.File("one.h5", "r") as file:
    ...     print([step.action for step in deserialize_provenance(file["provenance"])])
    ['filter_samples']
    """
    if "action" not in group and isinstance(group.get("history"), h5py.Group):
        group = group["history"]
    stored = _stored(group)
    return decode_history(stored) if stored.plain.children else []


def _path(group: h5py.Group) -> tuple[str, ...]:
    return tuple(unescape(part) for part in group.name.split("/") if part)


def _graft(group: h5py.Group, stored: StoredGroup) -> None:
    """Create in `group` what `stored` holds: its objects, attributes, and extras."""
    with writing(group.file.filename):
        for name, node in stored.plain.children.items():
            graft(group, (name,), node)
        set_attributes(group, (), stored.plain.attrs)
        if stored.extra.children or stored.extra.attrs:
            graft(group.file, (EXTRAS, *_path(group)), stored.extra)


def _read(group: h5py.Group) -> Group:
    """The datasets of an open group (one that is being written cannot be read as a file)."""
    children: dict[str, Node] = {}
    for link, item in group.items():
        children[unescape(link)] = _read(item) if isinstance(item, h5py.Group) else _read_dataset(item)
    return Group(children, {unescape(name): value for name, value in group.attrs.items()})


def _read_dataset(dataset: h5py.Dataset) -> Array:
    data: Any = None
    if dataset.shape is not None:
        is_text = dataset.dtype == object and h5py.check_string_dtype(dataset.dtype) is not None
        data = np.asarray(dataset.asstr()[()], dtype=object) if is_text else np.asarray(dataset[()])
    return Array(data, {unescape(name): value for name, value in dataset.attrs.items()})


def _stored(group: h5py.Group) -> StoredGroup:
    extra = group.file.get("/".join((EXTRAS, *map(escape_link, _path(group)))))
    return StoredGroup(group.name, _read(group), _read(extra) if isinstance(extra, h5py.Group) else Group())
