"""Elements of an AnnData object as nodes of a tree, without copying their arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from h5burst.anndata import encodings as spec
from h5burst.anndata.sources import DenseRows, SlicedRows, stored_node
from h5burst.model.tree import Array, Group, Node, Storage, UnsupportedValueError, escape_link

_INT64 = range(-(1 << 63), 1 << 63)
_ADVICE = {
    "M": "dates and times have no encoding: convert them to text, or to integers with their unit in uns",
    "m": "durations have no encoding: convert them to numbers, with their unit in uns",
}


def encode_anndata(adata: Any, storage: Storage, as_dense: frozenset[str] = frozenset()) -> Group:
    """The tree of an `.h5ad` file.

    Parameters
    ----------
    adata
        An `AnnData`; a backed X stays in its file until the tree is written.
    storage
        For all arrays.
    as_dense
        Of "X" and "raw/X": which to make dense if they are sparse.

    Raises
    ------
    UnsupportedValueError
        For an element that has no encoding; it names the element.
    """
    return ElementEncoder(storage).anndata(adata, "", as_dense)


class ElementEncoder:
    """Makes nodes of elements. `storage` is what arrays of a sparse matrix, which can grow, are stored by."""

    def __init__(self, storage: Storage) -> None:
        self._growing = Storage(storage.codec, storage.level, maxshape=(None,))
        # One row a type: the first that a value is an instance of counts.
        self._writers: tuple[tuple[Any, Callable[[Any, str], Node]], ...] = (
            (type(None), lambda value, where: spec.element(spec.NULL, None)),
            (str, _string),
            ((bool, np.bool_, int, float, complex, np.number), _number),
            (np.ma.MaskedArray, _refused("a masked array", "fill it, and store the mask beside it")),
            (np.ndarray, self._array),
            (list, self._list),
            (pd.DataFrame, self._frame),
            (pd.Categorical, self._categorical),
            (pd.arrays.IntegerArray, self._nullable(spec.NULLABLE_INTEGER)),
            (pd.arrays.BooleanArray, self._nullable(spec.NULLABLE_BOOLEAN)),
            (pd.arrays.StringArray, self._nullable_strings),
            (getattr(pd.arrays, "ArrowStringArray", ()), self._nullable_strings),
            (pd.arrays.NumpyExtensionArray, lambda value, where: self.encode(value.to_numpy(), where)),
            ((sp.csr_matrix, sp.csr_array), self._sparse(spec.CSR)),
            ((sp.csc_matrix, sp.csc_array), self._sparse(spec.CSC)),
            (Mapping, self.mapping),
            (anndata.AnnData, lambda value, where: self.anndata(value, where)),
            (anndata.Raw, lambda value, where: self._raw(value, where, None)),
            (h5py.Dataset, lambda value, where: self._stored(value, where)),
        )

    def encode(self, value: Any, where: str) -> Node:
        """The node of one element. where: its path, for messages."""
        for types, write in self._writers:
            if isinstance(value, types):
                return write(value, where)
        if type(value).__module__.split(".")[0] == "awkward" or type(value).__name__ == "AwkwardArrayView":
            return self._awkward(value, where)
        if hasattr(value, "dask") and hasattr(value, "compute"):
            return self._dask(value, where)
        if hasattr(value, "backend") and hasattr(value, "group") and hasattr(value, "format"):
            return self._stored(value.group, where)
        raise _unsupported(value, where)

    # ------------------------------------------------------------ the parts of an object

    def anndata(self, adata: Any, where: str, as_dense: frozenset[str] = frozenset()) -> Group:
        parts: dict[str, Node] = {}
        below = f"{where}/" if where else ""
        if (x := self._matrix(adata, "X", f"{below}X", "X" in as_dense)) is not None:
            parts["X"] = x
        for name in ("obs", "var"):
            parts[name] = self._frame(getattr(adata, name), below + name)
        for name in spec.MAPPINGS:
            parts[name] = self.mapping(spec.members_of(adata, name), below + name)
        if adata.raw is not None:
            parts["raw"] = self._raw(adata.raw, f"{below}raw", adata, "raw/X" in as_dense)
        return spec.group(spec.ANNDATA, parts)

    def _raw(self, raw: Any, where: str, adata: Any, dense: bool = False) -> Group:
        X = self._matrix(adata, "raw/X", f"{where}/X", dense) if adata is not None else None
        parts: dict[str, Node] = {} if X is None else {"X": X}
        if adata is None:
            parts["X"] = self.encode(raw.X, f"{where}/X")
        parts["var"] = self._frame(raw.var, f"{where}/var")
        parts["varm"] = self.mapping(dict(raw.varm), f"{where}/varm")
        return spec.group(spec.RAW, parts)

    def _matrix(self, adata: Any, name: str, where: str, dense: bool) -> Node | None:
        """X of an object or of its raw: from the file, where it is backed, else from memory."""
        if adata.isbacked and not adata.is_view:
            node = stored_node(adata.filename, name, self._growing)
            if node is None or not (dense and isinstance(node, Group)):
                return node
        values = adata.X if name == "X" else adata.raw.X
        if values is None:
            return None
        if dense and not isinstance(values, np.ndarray):
            if hasattr(values, "to_memory"):
                values = values.to_memory()
            elif hasattr(values, "dask") and sp.issparse(values._meta):
                values = values.compute()
            if sp.issparse(values):
                return spec.element(spec.ARRAY, DenseRows(values.tocsr()))
        return self.encode(values, where)

    def _stored(self, opened: Any, where: str) -> Node:
        """What h5py has open, from its file."""
        node = stored_node(opened.file.filename, opened.name, self._growing)
        if node is None:
            raise UnsupportedValueError(f"{opened.name} of {opened.file.filename}, which is not in that file", where)
        return node

    # ------------------------------------------------------------ groups

    def mapping(self, values: Mapping[Any, Any], where: str) -> Group:
        for name in values:
            _check_name(name, f"{where}/{name}")
            if "/" in name:
                what = f"the name {name!r}: with a slash it would be read as a mapping inside another: rename it"
                raise UnsupportedValueError(what, where)
        kept = {name: value for name, value in values.items() if value is not None or not spec.LEAVES_NONE_OUT}
        return spec.group(spec.DICT, {name: self.encode(value, f"{where}/{name}") for name, value in kept.items()})

    def _frame(self, frame: Any, where: str) -> Group:
        columns = _checked_columns(frame, where)
        index = spec.INDEX if frame.index.name is None else frame.index.name
        _check_name(index, f"{where}: the name of the index")
        made = spec.group(spec.DATAFRAME, {}, **{spec.COLUMN_ORDER: _names(columns), spec.INDEX: index})
        if index not in columns:
            _put(made, index, self.encode(frame.index.array, f"{where}/{index}"), where)
        for number, name in enumerate(columns):
            values = frame.index.array if name == index else frame.iloc[:, number].array
            _put(made, name, self.encode(values, f"{where}/{name}"), where)
        return made

    def _categorical(self, values: Any, where: str) -> Group:
        parts = {
            "codes": self._array(np.asarray(values.codes), f"{where}/codes"),
            "categories": self.encode(values.categories.to_numpy(), f"{where}/categories"),
        }
        return spec.group(spec.CATEGORICAL, parts, **{spec.ORDERED: np.bool_(values.ordered)})

    def _nullable(self, encoding: spec.Encoding) -> Callable[[Any, str], Node]:
        def write(values: Any, where: str) -> Group:
            dtype = values.dtype.numpy_dtype
            stored = values.to_numpy(dtype=dtype, na_value=dtype.type(0))
            return spec.group(encoding, {"values": self._array(stored, where), "mask": self._mask(values)})

        return write

    def _nullable_strings(self, values: Any, where: str) -> Node:
        if spec.are_strings_plain() and not values.isna().any():
            return self._array(np.asarray(values, object), where)
        stored = values.to_numpy(dtype=object, na_value="")
        parts: dict[str, Node] = {"values": self._array(stored, where), "mask": self._mask(values)}
        is_nan = isinstance(values.dtype.na_value, float)  # the dtype "str" of pandas 3; that of "string" is NA
        return spec.group(spec.NULLABLE_STRINGS, parts, **{spec.NA_VALUE: spec.NAN if is_nan else "NA"})

    def _mask(self, values: Any) -> Array:
        return spec.element(spec.ARRAY, np.asarray(values.isna()))

    def _sparse(self, encoding: spec.Encoding) -> Callable[[Any, str], Node]:
        def write(matrix: Any, where: str) -> Group:
            if matrix.data.dtype.kind not in "biufc":
                raise UnsupportedValueError(f"a sparse matrix of {matrix.dtype}", where)
            parts: dict[str, Node] = {}
            for name in spec.SPARSE_PARTS:
                parts[name] = spec.element(spec.ARRAY, np.asarray(getattr(matrix, name)))
                parts[name].storage = self._growing  # type: ignore[union-attr]
            return spec.group(encoding, parts, **{spec.SHAPE: np.array(matrix.shape, np.int64)})

        return write

    # ------------------------------------------------------------ arrays

    def _array(self, array: Any, where: str) -> Node:
        array = np.asarray(array)
        kind = array.dtype.kind
        if kind in "OUT" and (array.shape or kind != "O"):
            return _strings(array, where) if array.shape else _string(str(array[()]), where)
        if not array.shape:
            return self.encode(array[()], where)
        if kind in _ADVICE:
            raise UnsupportedValueError(f"an array of {array.dtype}: {_ADVICE[kind]}", where)
        if array.dtype.names is not None:
            return spec.element(spec.REC_ARRAY, _records(array, where))
        return spec.element(spec.ARRAY, array)

    def _list(self, values: list[Any], where: str) -> Node:
        if any(isinstance(value, str) for value in values) and not all(isinstance(value, str) for value in values):
            raise UnsupportedValueError("a list of text and other values: make it one of them", where)
        try:
            array = np.array(values)
        except ValueError as error:
            raise UnsupportedValueError(f"a list that is not an array ({error}): make it a dict", where) from error
        if array.dtype.kind == "O":
            kinds = sorted({type(value).__name__ for value in values})
            raise UnsupportedValueError(f"a list of {', '.join(kinds)}: make it an array or a dict", where)
        return self._array(array, where)

    def _awkward(self, array: Any, where: str) -> Node:
        """An awkward array: its form as JSON, and a dataset a buffer."""
        import awkward

        form, length, buffers = awkward.to_buffers(awkward.to_packed(array))
        parts = {name: self._array(np.asarray(buffer), f"{where}/{name}") for name, buffer in buffers.items()}
        return spec.group(spec.AWKWARD, parts, form=form.to_json(), length=np.int64(length))

    def _dask(self, array: Any, where: str) -> Node:
        """A dask array: dense ones are computed block by block as they are written, sparse ones whole."""
        if isinstance(array._meta, np.ndarray):
            if array.dtype.kind not in "biufc" or not array.shape:
                return self.encode(array.compute(), where)
            return spec.element(spec.ARRAY, SlicedRows(array))
        return self.encode(array.compute(), where)


# ---------------------------------------------------------------- single values and text


def _string(value: str, where: str) -> Array:
    return spec.element(spec.STRING, np.array(str(value), dtype=object))


def _number(value: Any, where: str) -> Array:
    if type(value) is int and value not in _INT64 and value not in range(1 << 64):
        raise UnsupportedValueError(f"the integer {value} does not fit 64 bits: make it text", where)
    return spec.element(spec.NUMERIC_SCALAR, np.asarray(value))


def _strings(array: np.ndarray[Any, Any], where: str) -> Array:
    """Text of any shape as an object array of `str`."""
    if array.dtype.kind != "O":
        return spec.element(spec.STRING_ARRAY, array.astype(object))
    odd = {kind.__name__ for kind in set(map(type, array.flat)) if not issubclass(kind, str)}
    if odd:
        is_missing = odd <= {"float", "NoneType", "NAType"}
        advice = "for missing values make it a categorical or a string array" if is_missing else "make it one type"
        raise UnsupportedValueError(f"objects of type {', '.join(sorted(odd))}, not text: {advice}", where)
    return spec.element(spec.STRING_ARRAY, array)


def _records(array: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    """A structured array whose members of text are objects."""
    fields = array.dtype.fields or {}
    formats = []
    for name, (dtype, *_) in fields.items():
        if dtype.kind in _ADVICE or (dtype.kind in "UO" and dtype.shape):
            raise UnsupportedValueError(f"a field {name!r} of {dtype}: {_ADVICE.get(dtype.kind, 'split it')}", where)
        if dtype.kind == "O":
            _strings(array[name], f"{where}/{name}")
        formats.append((name, object if dtype.kind in "UO" else dtype))
    return np.asarray(array).astype(formats)


# ---------------------------------------------------------------- frames


def _checked_columns(frame: Any, where: str) -> list[str]:
    columns = list(frame.columns)
    for name in columns:
        _check_name(name, f"{where}: a column's name")
    if spec.INDEX in columns:
        raise UnsupportedValueError(f"{spec.INDEX!r} is a reserved name for columns: rename it", where)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()].unique().tolist()
        raise UnsupportedValueError(f"columns {twice[:3]} appear more than once: rename or drop them", where)
    name = frame.index.name
    if name in columns and not pd.Series(frame.index, index=frame.index).equals(frame[name]):
        what = f"the index is named {name!r}, as a column with other values is: rename one of them"
        raise UnsupportedValueError(what, where)
    return columns


def _names(columns: list[str]) -> np.ndarray[Any, Any]:
    if not columns:
        return np.zeros(0)  # as h5py stores an empty list
    names = np.empty(len(columns), object)
    names[:] = columns
    return names


def _put(frame: Group, name: str, node: Node, where: str) -> None:
    """Add a column; a name with slashes is a path, as anndata reads it."""
    *above, last = name.split("/")
    group = frame
    for part in above:
        child = group.children.setdefault(part, Group())
        if not isinstance(child, Group) or child.attrs:
            raise UnsupportedValueError(f"the column {name!r} is below another column: rename it", where)
        group = child
    if last in group.children:
        raise UnsupportedValueError(f"the column {name!r} is above another column: rename it", where)
    group.children[last] = node


# ---------------------------------------------------------------- refusals


def _check_name(name: Any, where: str) -> None:
    if not isinstance(name, str):
        raise UnsupportedValueError(f"the name {name!r} is not text, but {type(name).__name__}: rename it", where)
    for part in name.split("/"):
        if escape_link(part) != part:
            raise UnsupportedValueError(f"the name {name!r} cannot be the name of an element: rename it", where)


def _refused(what: str, advice: str) -> Callable[[Any, str], Node]:
    def write(value: Any, where: str) -> Node:
        raise UnsupportedValueError(f"{what} has no encoding: {advice}", where)

    return write


def _unsupported(value: Any, where: str) -> UnsupportedValueError:
    title, module = type(value).__name__, type(value).__module__.split(".")[0]
    advice = {
        "polars": "convert it to a pandas DataFrame",
        "anndata": "bring it into memory as a DataFrame (to_memory())",
    }.get(module, "convert it to an array, a number, text, a DataFrame or a dict")
    if title in ("DatetimeArray", "PeriodArray"):
        advice = _ADVICE["M"]
    elif title == "TimedeltaArray":
        advice = _ADVICE["m"]
    elif sp.issparse(value):
        advice = f"only csr and csc have one: convert it with .tocsr() (it is {value.format})"
    elif title in ("Series", "Index"):
        advice = "use its .to_frame() or .to_numpy()"
    elif title == "FloatingArray":
        advice = "convert it to float64, where a missing value is NaN"
    elif isinstance(value, (tuple, set, frozenset)):
        advice = "make it a list"
    return UnsupportedValueError(f"a value of type {title} has no encoding: {advice}", where)
