"""What tests of `.h5ad` files need to know of the installed release of anndata."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pandas as pd
import pytest


def release(package: str) -> tuple[int, int]:
    major, minor = version(package).split(".")[:2]
    return int(major), int(minor)


IS_BEFORE_0_11 = release("anndata") < (0, 11)
IS_BEFORE_0_12 = release("anndata") < (0, 12)
# Their indexing of sparse matrices that are in a file uses private functions, which scipy 1.15 and 1.17 changed.
NO_BACKED_SPARSE = IS_BEFORE_0_12 and release("scipy") >= ((1, 15) if IS_BEFORE_0_11 else (1, 17))
needs_backed_sparse = pytest.mark.skipif(NO_BACKED_SPARSE, reason="this anndata cannot index them beside this scipy")


def nullable_text(values: list[str | None]) -> Any:
    """Text with missing values: pandas' own, which anndata writes by default from 0.12 on; before, categories."""
    if IS_BEFORE_0_12:
        return pd.Categorical(pd.array(values, dtype=object))
    return pd.array(values, dtype="string")
