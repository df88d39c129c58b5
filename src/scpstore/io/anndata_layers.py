"""Matrices of AnnData as layers of containers, which hold floats, and back."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from h5burst import Group, Node, read_tree
from scpstore.core.exceptions import ValidationError
from scpstore.core.extras import AssayExtras
from scpstore.core.sources import LazyRows, RowReader, blocks, whole
from scpstore.core.structures import MaskCode
from scpstore.io.columnreaders import ColumnRows
from scpstore.io.csr import INDEX_DTYPES
from scpstore.io.matrices import CSR_PARTS, stored_dtype, whole_codes
from scpstore.io.pandasframes import nested
from scpstore.io.rowreaders import StoredRows
from scpstore.io.stored import StoredGroup

DTYPES = "dtypes"  # in the origin of an assay
_EXACT_IN_FLOAT64 = 2**53

# ---------------------------------------------------------------- in memory


def as_floats(values: Any, name: str, dtypes: dict[str, str]) -> Any:
    """A layer as floats; the dtype that it had is noted. Raises `ValidationError` where numbers would change."""
    check_not_masked(values, f"layer {name!r}")
    if isinstance(values, StoredLayer):
        if values.dtype.kind != "f":
            dtypes[name] = values.dtype.str
        return values.floats(name)
    dtype = np.dtype(values.dtype)
    if dtype.kind not in "biuf":
        raise ValidationError(f"layer {name!r} has the dtype {dtype}: a container holds floats: convert it first", name)
    if _is_backed(values):
        if dtype.kind != "f":
            dtypes[name] = dtype.str
        return LazyRows(_backed_rows(values, name))
    values = in_memory(values)
    if dtype.kind == "f":
        return values
    _check_exact(values, name)
    dtypes[name] = dtype.str
    return values.astype(np.float64)


def for_anndata(values: Any, extras: AssayExtras, layer: str) -> Any:
    """A matrix in a format that AnnData knows, in the dtype that it had there, if it still fits."""
    values = known_formats(values)
    dtype = _whole_numbers(extras, layer)
    return values if dtype is None or not _is_kept(values, dtype) else values.astype(dtype)


def known_formats(values: Any) -> Any:
    """A matrix in memory, if it is sparse as CSR or CSC."""
    values = whole(values)
    return values.tocsr() if sp.issparse(values) and values.format not in ("csr", "csc") else values


def for_file(values: Any, extras: AssayExtras, layer: str | None = None) -> Any:
    """As `for_anndata`, or of a mask `known_formats`; what is in a file stays there, to be read as it is written."""
    if isinstance(values, LazyRows) and hasattr(values.reader, "datasets"):
        origin_dtype = None if layer is None else _whole_numbers(extras, layer)
        stream = _streamed(values, origin_dtype)
        if stream is not None:
            return stream
    return known_formats(values) if layer is None else for_anndata(values, extras, layer)


def _streamed(values: LazyRows, origin_dtype: np.dtype[Any] | None) -> Any:
    """A matrix of a file as what stands for it; None for one whose datasets are not those that AnnData has."""
    from h5burst.anndata import streamed

    reader: Any = values.reader
    datasets = reader.datasets()
    if datasets is None:
        return None
    is_checked = values.format is not None or values.dtype.kind != "f"  # reading checks places and mask codes
    compared = origin_dtype if origin_dtype is not None and datasets[0].dtype != origin_dtype else None
    is_kept = True
    is_by_columns = isinstance(reader, ColumnRows)
    checked = reader.blocks_of_values() if is_by_columns else (block for _, block in blocks(values))
    for block in checked if is_checked or compared is not None else ():
        is_kept = is_kept and (compared is None or _is_kept(block, compared))
    dtype = origin_dtype if origin_dtype is not None and is_kept else values.dtype
    parts = [streamed(datasets[0] if datasets[0].dtype == dtype else _Converted(datasets[0], dtype))]
    if values.format is None:
        return parts[0]
    index_dtype = datasets[1].dtype
    if index_dtype not in INDEX_DTYPES or not index_dtype.isnative:
        return None
    parts += [streamed(part if part.dtype == index_dtype else _Converted(part, index_dtype)) for part in datasets[1:]]
    matrix = reader.empty().astype(dtype)
    matrix.data, matrix.indices, matrix.indptr = parts
    return matrix


class _Converted:
    """An `ArraySource` in another dtype."""

    def __init__(self, source: Any, dtype: np.dtype[Any]) -> None:
        self._source, self.shape, self.dtype = source, source.shape, dtype

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Rows [start, stop)."""
        read = getattr(self._source, "read", None)
        rows: np.ndarray[Any, Any] = np.asarray(read(start, stop) if read else self._source[start:stop])
        rows = rows.astype(self.dtype)
        return rows


def _whole_numbers(extras: AssayExtras, layer: str) -> np.dtype[Any] | None:
    """The dtype without fractions that a layer had in AnnData, if it had one."""
    dtype_name = nested(extras.origin, DTYPES).get(layer)
    if not isinstance(dtype_name, str):
        return None
    try:
        dtype = np.dtype(dtype_name)
    except (TypeError, ValueError):  # not the name of a dtype: of a file
        return None
    return dtype if dtype.kind in "biu" else None


def _is_kept(values: Any, dtype: np.dtype[Any]) -> bool:
    """True where all numbers are the same in another dtype."""
    stored = values.data if sp.issparse(values) else values
    with np.errstate(invalid="ignore"):
        return np.array_equal(stored.astype(dtype).astype(stored.dtype), stored)


def in_memory(values: Any) -> Any:
    """A backed matrix is read; a view of one becomes a plain array."""
    values = values.to_memory() if hasattr(values, "to_memory") else values
    if sp.issparse(values):
        plain = getattr(sp, f"{values.format}_{'array' if isinstance(values, sp.sparray) else 'matrix'}")
        return values if type(values) is plain else plain(values)
    return np.asarray(values)


def check_not_masked(values: Any, where: str) -> None:
    """Raise `ValidationError` for a masked array."""
    if isinstance(values, np.ma.MaskedArray):
        raise ValidationError(f"{where} is a masked array: fill it first, and keep its mask beside it", where)


def _check_exact(values: Any, name: str) -> None:
    stored = values.data if sp.issparse(values) else values
    if stored.dtype.kind == "b" or stored.dtype.itemsize < 8 or not stored.size:
        return
    low, high = int(stored.min()), int(stored.max())
    if low >= -_EXACT_IN_FLOAT64 and high <= _EXACT_IN_FLOAT64:
        return
    beyond = stored[(stored > _EXACT_IN_FLOAT64) | (stored < -_EXACT_IN_FLOAT64)]
    if not all(value == int(float(value)) for value in beyond.tolist()):
        message = f"layer {name!r} holds whole numbers that float64 does not ({low} to {high}): convert or drop it"
        raise ValidationError(message, name)


# ---------------------------------------------------------------- in a file


def _is_backed(values: Any) -> bool:
    return not sp.issparse(values) and not isinstance(values, np.ndarray) and not hasattr(values, "compute")


def _backed_rows(values: Any, name: str) -> RowReader:
    """The rows of a matrix in its file; by anndata if it is open to be changed."""
    opened = values.group if hasattr(values, "group") else values
    if opened.file.mode != "r" or not os.path.isfile(opened.file.filename):
        return _AnndataRows(values, name)
    node = read_tree(opened.file.filename, lazy=True)[opened.name]
    form = getattr(values, "format", None)
    return StoredLayer(opened.file.filename, opened.name, node, values.shape, form).floats(name).reader


class StoredLayer:
    """A dense, CSR or CSC matrix of an AnnData file that stays there: a layer, or the mask of one.

    shape, form: of a sparse one, where its attributes do not say it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        place: str,
        node: Node,
        shape: tuple[int, ...] | None = None,
        form: str | None = None,
    ) -> None:
        import anndata

        self._stored = StoredGroup(f"{os.fspath(path)}:{place}", Group({"X": node}))
        self._is_array = bool(getattr(getattr(anndata, "settings", None), "use_sparse_array_on_read", False))
        self._of_columns: tuple[int, int] | None = None  # the shape of CSC
        if isinstance(node, Group):
            lengths = np.array(node.attrs["shape"] if shape is None else shape, np.int64)
            attrs = {"X_format": "csr", "X_shape": lengths}
            attrs |= {"X_original_class": "array"} if self._is_array else {}
            self._stored.plain = Group({f"X_{part}": node.children[part] for part in CSR_PARTS}, attrs)
            if (form or node.attrs.get("encoding-type")) in ("csc", "csc_matrix"):
                self._of_columns = (int(lengths[0]), int(lengths[1]))
        self.dtype = stored_dtype("X", self._stored)

    def floats(self, name: str) -> LazyRows:
        """The layer. Reading raises `ValidationError` for numbers that would change."""
        return self._rows(lambda rows: _converted(rows, name), _float(self.dtype))

    def codes(self) -> LazyRows:
        """The mask. Reading raises `IOFormatError` for what is not a code."""
        return self._rows(lambda rows: whole_codes(rows, self._stored.where), np.dtype(np.int8))

    def holds_codes(self) -> bool:
        """True where all of it are codes of a mask, as int8."""
        if self.dtype != np.int8:
            return False
        read = self._rows(lambda rows: rows, self.dtype)
        if isinstance(read.reader, ColumnRows):
            return all(are_codes(values) for values in read.reader.blocks_of_values())
        return all(are_codes(block.data if sp.issparse(block) else block) for _, block in blocks(read))

    def _rows(self, convert: Callable[[Any], Any], dtype: np.dtype[Any]) -> LazyRows:
        if self._of_columns is not None:
            return LazyRows(ColumnRows(self._stored, self._of_columns, self._is_array, convert, dtype))
        return LazyRows(StoredRows("X", self._stored, convert, dtype, lambda: None))


def are_codes(stored: Any) -> bool:
    """True where whole numbers are codes of a mask."""
    return bool(stored.size == 0 or 0 <= stored.min() <= stored.max() <= max(MaskCode))


class _AnndataRows:
    """A `RowReader` of AnnData's X that is in its file, by anndata."""

    def __init__(self, values: Any, name: str) -> None:
        self._values, self._name = values, name
        self.shape = (int(values.shape[0]), int(values.shape[1]))
        self.dtype = _float(values.dtype)
        self.format: str | None = getattr(values, "format", None)

    def read(self, start: int, stop: int) -> Any:
        """Rows [start, stop): an array, or a CSR matrix."""
        rows = self._values[start:stop]
        return _converted(rows.tocsr() if sp.issparse(rows) else np.asarray(rows), self._name)

    @property
    def read_rows(self) -> Callable[[np.ndarray[Any, Any]], Any] | None:
        """Rows by a list, sorted, in one request; None for dense ones, which h5py reads faster in stretches."""
        return (lambda index: _converted(self._values[index].tocsr(), self._name)) if self.format else None

    def read_whole(self) -> Any:
        """The whole matrix, in its own format."""
        return _converted(in_memory(self._values if self.format else self._values[:]), self._name)


def _float(dtype: Any) -> np.dtype[Any]:
    return np.dtype(dtype) if np.dtype(dtype).kind == "f" else np.dtype(np.float64)


def _converted(rows: Any, name: str) -> Any:
    if rows.dtype.kind == "f":
        return rows
    _check_exact(rows, name)
    return rows.astype(np.float64)
