"""Nodes of a tree as elements of an AnnData object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

from h5burst.anndata import encodings as spec
from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import Array, Group, Node, Reference

_HAS_STR = "na_value" in signature(pd.StringDtype).parameters  # from pandas 2.3 on
Keep = Callable[[str], bool]


class ElementDecoder:
    """Makes elements of nodes. path: of the file, for messages. root: of its tree, for references of old files.

    Raises `CorruptFileError`, which names the element, for what is not of the form that its encoding says, ValueError
    for an encoding that is not known.
    """

    def __init__(self, path: str, root: Group) -> None:
        self.path = path
        self.root = root
        self._readers: dict[spec.Encoding, Callable[[Any, str], Any]] = {
            spec.NULL: lambda node, where: None,
            spec.DICT: self.mapping,
            spec.DATAFRAME: self._frame,
            spec.OLD_DATAFRAME: self._old_frame,
            spec.ARRAY: self._array,
            spec.STRING_ARRAY: self._strings,
            spec.REC_ARRAY: self._records,
            spec.CSR: self._sparse("csr"),
            spec.CSC: self._sparse("csc"),
            spec.CATEGORICAL: self._categorical,
            spec.NULLABLE_INTEGER: self._nullable(pd.arrays.IntegerArray),
            spec.NULLABLE_BOOLEAN: self._nullable(pd.arrays.BooleanArray),
            spec.NULLABLE_STRINGS: self._nullable_strings,
            spec.NUMERIC_SCALAR: self._scalar,
            spec.BYTES: self._scalar,
            spec.STRING: self._string,
            spec.ANNDATA: self._nested,
            spec.RAW: self._raw,
            spec.AWKWARD: self._awkward,
            spec.NONE: self._unmarked,
        }

    def element(self, node: Node, where: str) -> Any:
        """The element of a node. where: its path in the file, for messages."""
        encoding = spec.encoding_of(node)
        read = self._readers.get(encoding)
        if read is None:
            raise ValueError(f"{self.path}: /{where} {self._unknown(encoding)}")
        return self.read_by(read, node, where)

    def read_by(self, read: Callable[[Any, str], Any], node: Node, where: str) -> Any:
        """An element by the function that reads it; its errors name the element."""
        try:
            return read(node, where)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            if str(error).startswith(f"{self.path}: "):  # an element below it is of unknown encoding
                raise
            what = f"there is no {error}" if isinstance(error, KeyError) else str(error)
            name = spec.encoding_of(node).name
            problem = f"it is not what its encoding {name!r} says: {what}" if name else what
            raise CorruptFileError(self.path, f"/{where}: {problem}", [(f"/{where}", problem)]) from error

    @staticmethod
    def _unknown(encoding: spec.Encoding) -> str:
        return (
            f"has the encoding {encoding.name!r} of version {encoding.version!r}, which is not known: a newer version "
            "of this package may read it"
        )

    # ------------------------------------------------------------ the parts of an object

    def parts(self, root: Group, keep: Keep, where: str = "") -> dict[str, Any]:
        """What to build an `AnnData` of: its parts by name. keep: which to decode."""
        below = f"{where}/" if where else ""
        names = [name for name in ("X", "obs", "var", *spec.MAPPINGS) if name in root.children and keep(name)]
        made = {name: self._part(root.children[name], name, below + name) for name in names}
        if "raw" in root.children and keep("raw") and spec.encoding_of(root.children["raw"]) != spec.NULL:
            made["raw"] = self.read_by(partial(self.raw_parts, keep), root.children["raw"], f"{below}raw")
        return made

    def _part(self, node: Node, name: str, where: str) -> Any:
        """A part, of the kind that an object takes. Raises `CorruptFileError` for another."""
        made = self.element(node, where)
        problem = _part_problem(name, made)
        if problem:
            raise CorruptFileError(self.path, f"/{where}: {problem}", [(f"/{where}", problem)])
        return made

    def raw_parts(self, keep: Keep, node: Node, where: str) -> dict[str, Any]:
        """X, var and varm of a raw."""
        children = self._group(node).children
        names = [name for name in ("X", "var", "varm") if name in children and keep(f"raw/{name}")]
        return {name: self._part(children[name], name, f"{where}/{name}") for name in names}

    def _nested(self, node: Group, where: str) -> Any:
        return anndata.AnnData(**self.parts(self._group(node), lambda name: True, where))

    def _raw(self, node: Group, where: str) -> Any:
        return anndata.AnnData(**self.raw_parts(lambda name: True, node, where))

    def _awkward(self, node: Group, where: str) -> Any:
        try:
            import awkward
        except ImportError as error:
            raise ImportError(f"/{where} of {self.path} is an awkward array: pip install awkward") from error
        children = self._group(node).children
        buffers = {name: np.asarray(self.element(child, f"{where}/{name}")) for name, child in children.items()}
        form, length = spec.text_of(node.attrs["form"]), int(np.asarray(node.attrs["length"]).reshape(-1)[0])
        made = awkward.from_buffers(form, length, buffers)
        problem = awkward.validity_error(made)
        if problem:
            raise ValueError(f"an awkward array: {problem}")
        return made

    # ------------------------------------------------------------ groups

    @staticmethod
    def _group(node: Node) -> Group:
        if not isinstance(node, Group):
            raise ValueError("it is not a group")
        return node

    def mapping(self, node: Group, where: str) -> dict[str, Any]:
        """A dict of elements."""
        children = self._group(node).children
        return {name: self.element(child, f"{where}/{name}") for name, child in children.items()}

    def _child(self, node: Group, name: str, where: str) -> Any:
        return self.element(self._group(node)[name], f"{where}/{name}")

    def _frame(self, node: Group, where: str) -> pd.DataFrame:
        return self._frame_of(node, where, self._child)

    def _old_frame(self, node: Group, where: str) -> pd.DataFrame:
        """As anndata before 0.8 wrote it: categories of a column are elsewhere in the file."""
        return self._frame_of(node, where, self._old_column)

    def _frame_of(self, node: Group, where: str, column: Callable[[Group, str, str], Any]) -> pd.DataFrame:
        order = np.asarray(node.attrs[spec.COLUMN_ORDER])
        columns = [spec.text_of(name) for name in order.reshape(-1)] if order.dtype.kind != "f" else []
        index = spec.text_of(node.attrs[spec.INDEX])
        made = {name: column(node, name, where) for name in columns}
        frame = pd.DataFrame(made, index=column(node, index, where), columns=columns or None)
        if index != spec.INDEX:
            frame.index.name = index
        return frame

    def _old_column(self, node: Group, name: str, where: str) -> Any:
        stored = self._group(node)[name]
        values = self.element(Array(stored.data, {}) if isinstance(stored, Array) else stored, f"{where}/{name}")
        target = stored.attrs.get("categories")
        if target is None:
            return values
        if not isinstance(target, Reference):
            raise ValueError(f"the categories of {name!r} are not a reference")
        categories = self.root[target.path]
        known = self.element(Array(categories.data, {}), target.path) if isinstance(categories, Array) else None
        ordered = bool(np.any(categories.attrs.get(spec.ORDERED, False)))
        return pd.Categorical.from_codes(np.asarray(values), np.atleast_1d(np.asarray(known)), ordered=ordered)

    def _categorical(self, node: Group, where: str) -> pd.Categorical:
        codes, categories = self._child(node, "codes", where), self._child(node, "categories", where)
        return pd.Categorical.from_codes(codes, categories, ordered=bool(np.any(node.attrs[spec.ORDERED])))

    def _nullable(self, kind: Any) -> Callable[[Any, str], Any]:
        def read(node: Group, where: str) -> Any:
            values, mask = self._child(node, "values", where), self._child(node, "mask", where)
            return kind(np.asarray(values), np.asarray(mask, bool))

        return read

    def _nullable_strings(self, node: Group, where: str) -> Any:
        values = np.array(self._child(node, "values", where), dtype=object)
        values[np.asarray(self._child(node, "mask", where), bool)] = pd.NA
        if spec.text_of(node.attrs.get(spec.NA_VALUE)) != spec.NAN or not _HAS_STR:
            return pd.array(values, dtype=pd.StringDtype())
        return pd.array(values, dtype=pd.StringDtype(na_value=np.nan))  # type: ignore[call-arg]

    def _sparse(self, form: str) -> Callable[[Any, str], Any]:
        def read(node: Group, where: str) -> Any:
            return sparse_matrix(node, form)

        return read

    # ------------------------------------------------------------ arrays and single values

    def _array(self, node: Array, where: str) -> Any:
        data = _data(node)
        return data if data.shape else data[()]

    def _strings(self, node: Array, where: str) -> Any:
        text = as_text(_data(node))
        return text if text.shape else str(text[()])

    def _records(self, node: Array, where: str) -> Any:
        return decode_records(_data(node))

    def _scalar(self, node: Array, where: str) -> Any:
        value = _data(node)[()]
        if not isinstance(value, (np.generic, bytes)):
            raise ValueError("it is not a number")
        return value if spec.GIVES_NUMPY_SCALARS or isinstance(value, bytes) else value.item()

    def _string(self, node: Array, where: str) -> str:
        return str(as_text(_data(node)).reshape(-1)[0])

    def _unmarked(self, node: Node, where: str) -> Any:
        """An element of a file from before the encodings."""
        if isinstance(node, Group):
            form = node.attrs.get("h5sparse_format")
            return sparse_matrix(node, spec.text_of(form)) if form is not None else self.mapping(node, where)
        if node.data is None:
            return None
        return unmarked_array(_data(node))


def _is_awkward(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == "awkward"


def _part_problem(name: str, made: Any) -> str:
    """Why an object cannot have such a part; "" where it can."""
    problem = f"it is {type(made).__name__}, not "
    if made is None:
        return ""
    if name in ("obs", "var"):
        return "" if isinstance(made, pd.DataFrame) else f"{problem}a table"
    if name == "X":
        return "" if np.ndim(made) or sp.issparse(made) else f"{problem}a matrix"
    is_old = name in ("obsm", "varm") and isinstance(made, np.ndarray) and made.dtype.names is not None  # before 0.7
    if not isinstance(made, dict):
        return "" if is_old else f"{problem}a group of elements"
    if name == "uns":
        return ""
    wrong = [key for key, value in made.items() if not getattr(value, "shape", ()) and not _is_awkward(value)]
    return f"its member {wrong[0]!r} is {type(made[wrong[0]]).__name__}, not an array or a table" if wrong else ""


def _data(node: Array) -> np.ndarray[Any, Any]:
    if not isinstance(node, Array):
        raise ValueError("it is not a dataset")
    if node.data is None:
        raise ValueError("its dataspace is null")
    return np.asarray(node.data)


def as_text(stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Text of variable or fixed length as an object array of `str`. Raises ValueError for anything else."""
    if stored.dtype.kind == "O":
        if set(map(type, stored.flat)) <= {str}:
            return stored
    elif stored.dtype.kind != "S":
        raise ValueError(f"its dataset holds {stored.dtype}, not text")
    made: np.ndarray[Any, Any] = np.empty(stored.shape, object)
    made.reshape(-1)[:] = list(_decoded(stored))
    return made


def _decoded(stored: np.ndarray[Any, Any]) -> Iterator[str]:
    for item in stored.flat:
        yield item.decode("utf-8") if isinstance(item, bytes) else item


def decode_records(stored: np.ndarray[Any, Any]) -> Any:
    """A compound with its members of text as `str`: objects for variable length, "U" for fixed."""
    fields = stored.dtype.fields
    if fields is None:
        raise ValueError(f"its dataset holds {stored.dtype}, not records")
    formats: list[tuple[str, Any]] = []
    for name, (dtype, *_) in fields.items():
        formats.append((name, f"U{dtype.itemsize}" if dtype.kind == "S" else dtype))
    made = np.empty(stored.shape, np.dtype(formats))
    for name, (dtype, *_) in fields.items():
        made[name] = as_text(stored[name]) if dtype.kind in "OS" else stored[name]
    return made


def unmarked_array(stored: np.ndarray[Any, Any]) -> Any:
    """An array of an old file: text of fixed length is text, and a single value where it has one element."""
    if stored.dtype.names is not None:
        return decode_records(stored)
    if stored.dtype.kind == "O":
        stored = as_text(stored)
    elif stored.dtype.kind == "S":
        stored = as_text(stored).astype(str)
        if stored.shape == (1,):
            return stored[0]
    return stored if stored.shape else stored[()]


def sparse_matrix(node: Group, form: str) -> Any:
    """A CSR or CSC matrix, or array where anndata's settings say so. Raises ValueError for anything else."""
    if form not in ("csr", "csc"):
        raise ValueError(f"a sparse matrix of the format {form!r}")
    if not isinstance(node, Group):
        raise ValueError("it is not a group")
    is_array = getattr(getattr(anndata, "settings", None), "use_sparse_array_on_read", False)  # not before 0.11
    kind = getattr(sp, f"{form}_{'array' if is_array else 'matrix'}")
    stored_shape = node.attrs.get(spec.SHAPE, node.attrs.get("h5sparse_shape"))
    shape = tuple(int(length) for length in np.asarray(stored_shape).reshape(-1))
    data, indices, indptr = (_data(node.children[part]) for part in spec.SPARSE_PARTS)  # type: ignore[arg-type]
    if len(shape) != 2 or any(part.ndim != 1 for part in (data, indices, indptr)):
        raise ValueError(f"a sparse matrix of the shape {shape}, with parts of other than one axis")
    made = kind(shape, dtype=data.dtype)
    made.data, made.indices, made.indptr = data, indices, indptr
    made.check_format(full_check=True)
    return made
