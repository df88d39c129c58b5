"""The words of anndata's on-disk specification, and what differs between its releases."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any, NamedTuple

import anndata
import numpy as np

from h5burst.model.tree import Group, Node

TYPE, VERSION = "encoding-type", "encoding-version"
INDEX, COLUMN_ORDER, ORDERED, SHAPE = "_index", "column-order", "ordered", "shape"
NA_VALUE, NAN = "na-value", "NaN"  # of nullable strings, from anndata 0.13 on: what a missing one is: "NA" or "NaN"
SPARSE_PARTS = ("data", "indices", "indptr")
# Parts of an AnnData object beside X, obs, var and raw: mappings of names to elements.
MAPPINGS = ("obsm", "varm", "obsp", "varp", "layers", "uns")


def is_before_0_12(release: str) -> bool:
    """True where a release of anndata leaves None out of mappings, cannot read it, and gives numbers as numpy's."""
    return re.match(r"0\.(\d|10|11)\b", release) is not None


LEAVES_NONE_OUT = GIVES_NUMPY_SCALARS = is_before_0_12(version("anndata"))  # as the installed one does
_MAY_BE_PLAIN = re.match(r"0\.(\d|1[0-2])\b", version("anndata")) is None  # what False means from anndata 0.13 on


def are_strings_plain() -> bool:
    """True where text of pandas' own dtypes is to be stored as older programs read it, by anndata's settings."""
    return _MAY_BE_PLAIN and getattr(anndata.settings, "allow_write_nullable_strings", None) is False


def members_of(adata: Any, part: str) -> dict[Any, Any]:
    """The elements of a part by name; X, which is a layer called None from anndata 0.13 on, is none of them."""
    members = getattr(adata, part)
    return {name: members[name] for name in members if name is not None or part != "layers"}


class Encoding(NamedTuple):
    """Type and version of an element, as its attributes say."""

    name: str
    version: str


MUDATA = Encoding("MuData", "0.1.0")
NONE = Encoding("", "")  # files from before the specification

_STORED_AT = {"raw/X": ("raw/X", "raw.X")}  # the second before anndata 0.7


def matrix_of(root: Group, name: str) -> Node | None:
    """X, or that of raw ("raw/X"), under the name that the file has it by; None where it has none."""
    return next((root[stored] for stored in _STORED_AT.get(name, (name,)) if stored in root), None)


def text_of(value: Any) -> str:
    """An attribute as text, however a writer stored it: R's are often of fixed length, or arrays of one element."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size == 1 else ""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value) if value is not None else ""


def encoding_of(node: Node) -> Encoding:
    """The encoding that a node's attributes name, `NONE` where they name none."""
    return Encoding(text_of(node.attrs.get(TYPE, "")), text_of(node.attrs.get(VERSION, "")))
