"""Data frames, and the columns that pandas alone has: categories, integers, booleans and text with missing values."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from h5burst.anndata import encodings as spec
from h5burst.anndata.elements import Decoder, Element, Encoder, group_of, register
from h5burst.model.tree import Array, Group, Node, Reference, UnsupportedValueError, escape_link

_HAS_STR = "na_value" in signature(pd.StringDtype).parameters  # from pandas 2.3 on

# ---------------------------------------------------------------- frames


@register
class Frame(Element):
    """A data frame: a group with a dataset or group a column, and one for the index."""

    name, version, types = "dataframe", "0.2.0", (pd.DataFrame,)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        columns = _checked_columns(value, where)
        index = spec.INDEX if value.index.name is None else value.index.name
        check_name(index, f"{where}: the name of the index")
        group_made = Group({}, {spec.COLUMN_ORDER: column_order(columns), spec.INDEX: index})
        if index not in columns:
            _put(group_made, index, encoder.encode(value.index.array, f"{where}/{index}"), where)
        for number, name in enumerate(columns):
            values = value.index.array if name == index else value.iloc[:, number].array
            _put(group_made, name, encoder.encode(values, f"{where}/{name}"), where)
        return group_made

    def decode(self, node: Any, where: str, decoder: Decoder) -> pd.DataFrame:
        return _frame(node, lambda name: _child(node, name, where, decoder))


@register
class OldFrame(Element):
    """As anndata before 0.8 wrote it: categories of a column are elsewhere in the file."""

    name, version = "dataframe", "0.1.0"

    def decode(self, node: Any, where: str, decoder: Decoder) -> pd.DataFrame:
        return _frame(node, lambda name: _old_column(group_of(node)[name], name, where, decoder))


def column_order(columns: list[str]) -> np.ndarray[Any, Any]:
    """The attribute with the names of the columns."""
    if not columns:
        return np.zeros(0)  # as h5py stores an empty list
    names = np.empty(len(columns), object)
    names[:] = columns
    return names


def columns_of(node: Node) -> list[str]:
    """The names of the columns of a stored frame, in order."""
    order = np.asarray(node.attrs[spec.COLUMN_ORDER])
    return [spec.text_of(name) for name in order.reshape(-1)] if order.dtype.kind != "f" else []


def _frame(node: Node, column: Callable[[str], Any]) -> pd.DataFrame:
    columns, index = columns_of(node), spec.text_of(node.attrs[spec.INDEX])
    columns_read = {name: column(name) for name in columns}
    frame = pd.DataFrame(columns_read, index=column(index), columns=columns or None)
    if index != spec.INDEX:
        frame.index.name = index
    return frame


def _child(node: Node, name: str, where: str, decoder: Decoder) -> Any:
    return decoder.decode(group_of(node)[name], f"{where}/{name}")


def _old_column(stored: Node, name: str, where: str, decoder: Decoder) -> Any:
    values = decoder.decode(Array(stored.data, {}) if isinstance(stored, Array) else stored, f"{where}/{name}")
    target = stored.attrs.get("categories")
    if target is None:
        return values
    if not isinstance(target, Reference):
        raise ValueError(f"the categories of {name!r} are not a reference")
    categories = decoder.root[target.path]
    categories_read = decoder.decode(Array(categories.data, {}), target.path) if isinstance(categories, Array) else None
    ordered = bool(np.any(categories.attrs.get(spec.ORDERED, False)))
    return pd.Categorical.from_codes(np.asarray(values), np.atleast_1d(np.asarray(categories_read)), ordered=ordered)


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


def _checked_columns(frame: Any, where: str) -> list[str]:
    columns = list(frame.columns)
    for name in columns:
        check_name(name, f"{where}: a column's name")
    if spec.INDEX in columns:
        raise UnsupportedValueError(f"{spec.INDEX!r} is a reserved name for columns: rename it", where)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()].unique().tolist()
        raise UnsupportedValueError(f"columns {twice[:3]} appear more than once: rename or drop them", where)
    name = frame.index.name
    if name in columns and not pd.Series(frame.index, index=frame.index).equals(frame[name]):
        problem = f"the index is named {name!r}, as a column with other values is: rename one of them"
        raise UnsupportedValueError(problem, where)
    return columns


def check_name(name: Any, where: str) -> None:
    """Raise `UnsupportedValueError` for a name that no element can have."""
    if not isinstance(name, str):
        raise UnsupportedValueError(f"the name {name!r} is not text, but {type(name).__name__}: rename it", where)
    for part in name.split("/"):
        if escape_link(part) != part:
            raise UnsupportedValueError(f"the name {name!r} cannot be the name of an element: rename it", where)


# ---------------------------------------------------------------- columns


@register
class Categorical(Element):
    """Codes and the categories that they stand for."""

    name, version, types = "categorical", "0.2.0", (pd.Categorical,)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        parts = {
            "codes": encoder.encode(np.asarray(value.codes), f"{where}/codes"),
            "categories": encoder.encode(value.categories.to_numpy(), f"{where}/categories"),
        }
        return Group(parts, {spec.ORDERED: np.bool_(value.ordered)})

    def decode(self, node: Any, where: str, decoder: Decoder) -> pd.Categorical:
        codes, categories = (_child(node, name, where, decoder) for name in ("codes", "categories"))
        return pd.Categorical.from_codes(codes, categories, ordered=bool(np.any(node.attrs[spec.ORDERED])))


@register
class NullableIntegers(Element):
    """Integers and a mask of those that are missing."""

    name, version, types = "nullable-integer", "0.1.0", (pd.arrays.IntegerArray,)
    array_class: ClassVar[Any] = pd.arrays.IntegerArray

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        dtype = value.dtype.numpy_dtype
        return _masked(value, value.to_numpy(dtype=dtype, na_value=dtype.type(0)), where, encoder)

    def decode(self, node: Any, where: str, decoder: Decoder) -> Any:
        values, mask = (_child(node, name, where, decoder) for name in ("values", "mask"))
        return self.array_class(np.asarray(values), np.asarray(mask, bool))


@register
class NullableBooleans(NullableIntegers):
    """Booleans and a mask of those that are missing."""

    name, types = "nullable-boolean", (pd.arrays.BooleanArray,)
    array_class = pd.arrays.BooleanArray


@register
class NullableText(Element):
    """Text and a mask of what is missing; with nothing missing plain text, where anndata's settings say so."""

    name, version = "nullable-string-array", "0.1.0"
    types = tuple(getattr(pd.arrays, name) for name in ("StringArray", "ArrowStringArray") if hasattr(pd.arrays, name))

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        if spec.are_strings_plain() and not value.isna().any():
            return encoder.encode(np.asarray(value, object), where)
        group = _masked(value, value.to_numpy(dtype=object, na_value=""), where, encoder)
        is_nan = isinstance(value.dtype.na_value, float)  # the dtype "str" of pandas 3; that of "string" is NA
        group.attrs[spec.NA_VALUE] = spec.NAN if is_nan else "NA"
        return group

    def decode(self, node: Any, where: str, decoder: Decoder) -> Any:
        values = np.array(_child(node, "values", where, decoder), dtype=object)
        values[np.asarray(_child(node, "mask", where, decoder), bool)] = pd.NA
        if spec.text_of(node.attrs.get(spec.NA_VALUE)) != spec.NAN or not _HAS_STR:
            return pd.array(values, dtype=pd.StringDtype())
        return pd.array(values, dtype=pd.StringDtype(na_value=np.nan))  # type: ignore[call-arg]


def _masked(values: Any, stored: Any, where: str, encoder: Encoder) -> Group:
    mask = encoder.encode(np.asarray(values.isna()), f"{where}/mask")
    return Group({"values": encoder.encode(stored, where), "mask": mask})
