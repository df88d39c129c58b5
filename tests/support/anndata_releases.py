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
# Its indexing of sparse matrices that are in a file uses a private function of scipy, which scipy 1.15 changed.
NO_BACKED_SPARSE = IS_BEFORE_0_11 and release("scipy") >= (1, 15)
needs_backed_sparse = pytest.mark.skipif(NO_BACKED_SPARSE, reason="anndata 0.10 cannot index them beside this scipy")


def nullable_text(values: list[str | None]) -> Any:
    """Text with missing values: pandas' own, which anndata writes from 0.11 on; before, categories of objects."""
    if IS_BEFORE_0_11:
        return pd.Categorical(pd.array(values, dtype=object))
    return pd.array(values, dtype="string")
