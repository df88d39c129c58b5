"""Elements of elements: mappings, AnnData objects and their raw; awkward arrays; what files before 0.7 do not mark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

from h5burst.anndata import encodings as spec
from h5burst.anndata.arrays import DenseArray, Null, data_of, unmarked_array
from h5burst.anndata.elements import Decoder, Element, Encoder, group_of, register
from h5burst.anndata.matrices import sparse_matrix, stored_node
from h5burst.anndata.sources import DenseRows
from h5burst.anndata.tables import check_name
from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import Array, Group, Node, UnsupportedValueError

Keep = Callable[[str], bool]


@register
class Dictionary(Element):
    """Elements by name."""

    name, version, types = "dict", "0.1.0", (Mapping,)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Group:
        for name in value:
            check_name(name, f"{where}/{name}")
            if "/" in name:
                problem = f"the name {name!r}: with a slash it would be read as a mapping inside another: rename it"
                raise UnsupportedValueError(problem, where)
        kept = {name: item for name, item in value.items() if item is not None or not spec.LEAVES_NONE_OUT}
        return Group({name: encoder.encode(item, f"{where}/{name}") for name, item in kept.items()})

    def decode(self, node: Any, where: str, decoder: Decoder) -> dict[str, Any]:
        children = group_of(node).children
        return {name: decoder.decode(child, f"{where}/{name}") for name, child in children.items()}


@register
class Unmarked(Element):
    """An element of a file from before the encodings."""

    def decode(self, node: Any, where: str, decoder: Decoder) -> Any:
        if isinstance(node, Group):
            form = node.attrs.get("h5sparse_format")
            if form is not None:
                return sparse_matrix(node, spec.text_of(form))
            return Dictionary().decode(node, where, decoder)
        return None if node.data is None else unmarked_array(data_of(node))


# ---------------------------------------------------------------- AnnData objects


@register
class AnnDataObject(Element):
    """A whole object: the root of an `.h5ad` file, a modality of an `.h5mu` file, or an element of another object."""

    name, version, types = "anndata", "0.1.0", (anndata.AnnData,)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Group:
        return self.tree(value, where, encoder)

    def tree(self, adata: Any, where: str, encoder: Encoder, as_dense: frozenset[str] = frozenset()) -> Group:
        """The group. as_dense: of "X" and "raw/X", which to make dense if they are sparse."""
        below = f"{where}/" if where else ""
        parts: dict[str, Node] = {}
        if (x := _matrix(adata, "X", f"{below}X", encoder, "X" in as_dense)) is not None:
            parts["X"] = x
        for name in ("obs", "var"):
            parts[name] = encoder.encode(getattr(adata, name), below + name)
        for name in spec.MAPPINGS:
            parts[name] = encoder.encode(spec.members_of(adata, name), below + name)
        if adata.raw is not None:
            raw_x = _matrix(adata, "raw/X", f"{below}raw/X", encoder, "raw/X" in as_dense)
            parts["raw"] = RawObject.marked(_raw_group(adata.raw, raw_x, f"{below}raw", encoder))
        return self.marked(Group(parts))

    def decode(self, node: Any, where: str, decoder: Decoder) -> Any:
        return anndata.AnnData(**object_parts(decoder, group_of(node), lambda name: True, where))


@register
class RawObject(Element):
    """The raw of an object: X, var and varm."""

    name, version, types = "raw", "0.1.0", (anndata.Raw,)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Group:
        return _raw_group(value, encoder.encode(value.X, f"{where}/X"), where, encoder)

    def decode(self, node: Any, where: str, decoder: Decoder) -> Any:
        return anndata.AnnData(**raw_parts(decoder, lambda name: True, node, where))


def _raw_group(raw: Any, X: Node | None, where: str, encoder: Encoder) -> Group:
    parts = {} if X is None else {"X": X}
    parts["var"] = encoder.encode(raw.var, f"{where}/var")
    parts["varm"] = encoder.encode(dict(raw.varm), f"{where}/varm")
    return Group(parts)


def _matrix(adata: Any, name: str, where: str, encoder: Encoder, dense: bool) -> Node | None:
    """X of an object or of its raw: from the file, where it is backed, else from memory."""
    if adata.isbacked and not adata.is_view:
        node = stored_node(adata.filename, name, encoder.growing)
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
            return DenseArray.marked(Array(DenseRows(values.tocsr())))
    return encoder.encode(values, where)


def object_parts(decoder: Decoder, root: Group, keep: Keep, where: str = "") -> dict[str, Any]:
    """Parts to build an `AnnData` of, by name. keep: which to decode."""
    below = f"{where}/" if where else ""
    names = [name for name in ("X", "obs", "var", *spec.MAPPINGS) if name in root.children and keep(name)]
    parts = {name: _part(decoder, root.children[name], name, below + name) for name in names}
    if "raw" in root.children and keep("raw") and not Null.is_of(root.children["raw"]):
        parts["raw"] = decoder.named(partial(raw_parts, decoder, keep), root.children["raw"], f"{below}raw")
    return parts


def raw_parts(decoder: Decoder, keep: Keep, node: Node, where: str) -> dict[str, Any]:
    """X, var and varm of a raw."""
    children = group_of(node).children
    names = [name for name in ("X", "var", "varm") if name in children and keep(f"raw/{name}")]
    return {name: _part(decoder, children[name], name, f"{where}/{name}") for name in names}


def _part(decoder: Decoder, node: Node, name: str, where: str) -> Any:
    """A part, of the kind that an object takes. Raises `CorruptFileError` for another."""
    decoded = decoder.decode(node, where)
    problem = _part_problem(name, decoded)
    if problem:
        raise CorruptFileError(decoder.path, f"/{where}: {problem}", [(f"/{where}", problem)])
    return decoded


def _part_problem(name: str, part: Any) -> str:
    """Why an object cannot have such a part; "" where it can."""
    problem = f"it is {type(part).__name__}, not "
    if part is None:
        return ""
    if name in ("obs", "var"):
        return "" if isinstance(part, pd.DataFrame) else f"{problem}a table"
    if name == "X":
        return "" if np.ndim(part) or sp.issparse(part) else f"{problem}a matrix"
    is_old = name in ("obsm", "varm") and isinstance(part, np.ndarray) and part.dtype.names is not None  # before 0.7
    if not isinstance(part, dict):
        return "" if is_old else f"{problem}a group of elements"
    if name == "uns":
        return ""
    wrong = [key for key, value in part.items() if not getattr(value, "shape", ()) and not _is_awkward(value)]
    return f"its member {wrong[0]!r} is {type(part[wrong[0]]).__name__}, not an array or a table" if wrong else ""


# ---------------------------------------------------------------- awkward arrays


@register
class AwkwardArray(Element):
    """An array of the package awkward: its form as JSON, and a dataset a buffer."""

    name, version = "awkward-array", "0.1.0"

    def takes(self, value: Any) -> bool:
        return _is_awkward(value) or type(value).__name__ == "AwkwardArrayView"

    def encode(self, value: Any, where: str, encoder: Encoder) -> Group:
        import awkward

        form, length, buffers = awkward.to_buffers(awkward.to_packed(value))
        parts = {name: encoder.encode(np.asarray(buffer), f"{where}/{name}") for name, buffer in buffers.items()}
        return Group(parts, {"form": form.to_json(), "length": np.int64(length)})

    def decode(self, node: Any, where: str, decoder: Decoder) -> Any:
        try:
            import awkward
        except ImportError as error:
            raise ImportError(f"/{where} of {decoder.path} is an awkward array: pip install awkward") from error
        children = group_of(node).children
        buffers = {name: np.asarray(decoder.decode(child, f"{where}/{name}")) for name, child in children.items()}
        form, length = spec.text_of(node.attrs["form"]), int(np.asarray(node.attrs["length"]).reshape(-1)[0])
        array = awkward.from_buffers(form, length, buffers)
        problem = awkward.validity_error(array)
        if problem:
            raise ValueError(f"an awkward array: {problem}")
        return array


def _is_awkward(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == "awkward"
