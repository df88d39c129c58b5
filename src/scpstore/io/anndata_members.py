"""Members that AnnData keeps beside its layers (`obsm`, `varm`, `uns`, …) as extras of containers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from scpstore.core.exceptions import ValidationError
from scpstore.io.anndata_layers import check_not_masked, in_memory
from scpstore.io.pandasframes import INDEX, nested, to_pandas, with_dtypes

_VALUES, _IS_ARRAY = "values", "is_array"  # the only column of a frame that was an array of pandas; mark of its origin


def mapped(values: Mapping[str, Any], where: str, origins: dict[str, Any]) -> dict[str, Any]:
    """A copy of a mapping of AnnData, frames as polars ones, whose origins are noted under the mapping's name."""
    mapping_made: dict[str, Any] = _plain(dict(values), where, where, origins)
    return mapping_made


def _plain(value: Any, where: str, name: str, origins: dict[str, Any]) -> Any:
    if isinstance(value, Mapping) and not sp.issparse(value):
        dtypes_below: dict[str, Any] = {}
        members = {below: _plain(item, f"{where}/{below}", below, dtypes_below) for below, item in value.items()}
        if dtypes_below:
            origins[name] = dtypes_below
        return members
    if hasattr(value, "iloc") and hasattr(value, "columns"):
        return frame_of(value, where, name, origins)
    if hasattr(value, "_from_sequence"):  # a category, or another array of pandas
        import pandas as pd

        frame = frame_of(pd.DataFrame({_VALUES: value}), where, name, origins)
        origins[name] = {**origins.get(name, {}), _IS_ARRAY: True}
        return frame
    if hasattr(value, "obs_names"):
        raise ValidationError(f"{where} is an AnnData object: make it an assay of its own, or save it by itself", where)
    if sp.issparse(value) or hasattr(value, "to_memory"):
        return deepcopy(in_memory(value))
    check_not_masked(value, where)
    if isinstance(value, np.ndarray) and value.dtype.names is not None:  # as a file gives it: no record array
        return np.array(value, dtype=[(field, value.dtype[field]) for field in value.dtype.names])
    return np.array(value) if isinstance(value, np.ndarray) else deepcopy(value)


def frame_of(frame: Any, where: str, name: str, origins: dict[str, Any]) -> pl.DataFrame:
    """A frame of pandas as one of polars, whose origin is noted under a name."""
    polars_frame, origin = with_dtypes(frame, where)
    if origin:
        origins[name] = origin
    return polars_frame


def unmapped(values: Mapping[str, Any], origins: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A mapping for AnnData, of what `mapped` made and noted under a name."""
    origins_below = nested(origins, name)
    return {below: _unplain(value, origins_below, below) for below, value in values.items()}


def _unplain(value: Any, origins: Mapping[str, Any], name: str) -> Any:
    if isinstance(value, Mapping) and not sp.issparse(value):
        return unmapped(value, origins, name)
    if isinstance(value, pl.DataFrame):
        origin = nested(origins, name)
        frame = to_pandas(value if INDEX in value.columns else value.with_row_index(INDEX), INDEX, name, origin)
        return frame[_VALUES].array if origin.get(_IS_ARRAY) and _VALUES in frame else frame
    return value
