"""Samples or features, chosen by IDs, positions, a mask or an expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from scpstore.core.assay import as_indices
from scpstore.core.exceptions import ValidationError


def chosen(
    frame: pl.DataFrame, id_column: str, kind: str, ids: Any, indices: Any, mask: Any, expression: Any
) -> np.ndarray[Any, Any]:
    """Positions in `frame` of what exactly one of the four ways chooses."""
    given = [choice is not None for choice in (ids, indices, mask, expression)]
    if sum(given) != 1:
        ways = f"{kind}_ids, {kind}_indices, boolean_mask, polars_expression"
        raise ValidationError(f"choose in exactly one way ({ways}), got {sum(given)}", field=kind)
    if ids is not None:
        if isinstance(ids, pl.Expr):
            expression = ids
        elif _is_index(ids, frame.schema[id_column]):
            indices = ids
        else:
            return _positions(frame.get_column(id_column), ids, kind)
    if expression is not None:
        mask = frame.select(expression).to_series()
        if mask.dtype != pl.Boolean:
            raise ValidationError(f"polars_expression must be boolean, got {mask.dtype}", field="polars_expression")
        mask = mask.fill_null(False)
        mask = mask.new_from_index(0, frame.height) if mask.len() == 1 != frame.height else mask
    if mask is not None:
        values = np.asarray(mask)
        if values.dtype != bool:
            raise ValidationError(f"boolean_mask must be boolean, got {values.dtype}", field="boolean_mask")
        return as_indices(values, frame.height, "boolean_mask")
    return as_indices(indices, frame.height, f"{kind}_indices")


def _is_index(chosen: Any, id_dtype: pl.DataType) -> bool:
    """True where what was given in the place of IDs is a mask, a slice, or positions (where IDs are not integers)."""
    if isinstance(chosen, slice):
        return True
    if isinstance(chosen, str):
        return False
    kind = np.asarray(chosen).dtype.kind
    return kind == "b" or (kind in "iu" and not id_dtype.is_integer())


def _positions(all_ids: pl.Series, ids: Any, kind: str) -> np.ndarray[Any, Any]:
    ids_wanted: Sequence[Any] = [ids] if isinstance(ids, str) else list(ids)
    places = {value: index for index, value in enumerate(all_ids.to_list())}
    missing = [value for value in ids_wanted if value not in places]
    if missing:
        raise ValidationError(f"{kind} IDs not found: {missing[:5]}", field=f"{kind}_ids")
    return np.array([places[value] for value in ids_wanted], dtype=np.int64)
