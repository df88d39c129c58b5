"""Differences of files of anndata before 0.7: tables as compounds, categories in uns, raw as three elements."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from h5burst.anndata.arrays import decode_records
from h5burst.anndata.elements import Decoder
from h5burst.anndata.objects import Keep, object_parts
from h5burst.model.tree import Array, Group

_RAW = {"raw.X": "X", "raw.var": "var", "raw.varm": "varm"}
_CATEGORIES = "_categories"


def is_legacy(root: Group) -> bool:
    """True where a file is of that age: its tables are compounds, or it has the old names of raw."""
    tables = any(isinstance(root.children.get(name), Array) for name in ("obs", "var"))
    return tables or any(name in root.children for name in _RAW)


def legacy_parts(decoder: Decoder, root: Group, keep: Keep) -> dict[str, Any]:
    """The parts of an `AnnData` of such a file. Raises ValueError for a file that has a raw of both forms."""
    tables = {name: root.children[name] for name in ("obs", "var") if isinstance(root.children.get(name), Array)}
    parts = object_parts(decoder, root, lambda name: keep(name) and name not in tables)
    for name, node in tables.items():
        parts[name] = decoder.named(_table, node, name)
    if tables:
        _restore_categories(parts)
    if "raw.X" in root.children:  # else there is no raw, as anndata reads it
        if "raw" in parts:
            raise ValueError(f"{decoder.path}: it has both the earlier and the present form of raw")
        raw: dict[str, Any] = {}
        for stored, name in _RAW.items():
            old = root.children.get(stored)
            if old is not None and keep(f"raw/{name}"):
                is_table = name == "var" and isinstance(old, Array)
                raw[name] = decoder.named(_table, old, stored) if is_table else decoder.decode(old, stored)
        raw["varm"] = _columns_of(raw.get("varm"))
        parts["raw"] = raw
    for name in ("obsm", "varm"):
        if name in parts:
            parts[name] = _columns_of(parts[name])
    return parts


def _table(node: Any, where: str) -> pd.DataFrame:
    frame = pd.DataFrame(decode_records(np.asarray(node.data)))
    return frame.set_index(frame.columns[0])


def _columns_of(stored: Any) -> Any:
    """Matrices that were the fields of one compound, by name; anything else as it is, nothing as a dict."""
    if isinstance(stored, np.ndarray) and stored.dtype.names is not None:
        return {name: stored[name] for name in stored.dtype.names}
    return {} if stored is None else stored


def _restore_categories(parts: dict[str, Any]) -> None:
    """Columns of codes whose categories are in uns, under the column's name."""
    uns = parts.get("uns")
    if not isinstance(uns, dict):
        return
    for stored in [name for name in uns if name.endswith(_CATEGORIES)]:
        column, categories = stored.removesuffix(_CATEGORIES), np.atleast_1d(np.asarray(uns[stored]))
        is_restored = False
        for name in ("obs", "var"):
            frame = parts.get(name)
            if frame is None or column not in frame or frame[column].dtype.kind not in "iu":
                continue
            with suppress(ValueError, TypeError):  # not the categories of this column
                frame[column] = pd.Categorical.from_codes(frame[column].to_numpy(), categories)
                is_restored = True
        if is_restored:
            del uns[stored]
