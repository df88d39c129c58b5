"""Packages of the shape of scptensor that are not ours, as source text.

With dataclasses, with slots, and strict ones.
"""

from __future__ import annotations

from pathlib import Path

_ERRORS = """
class ScpTensorError(Exception):
    pass


class IOWriteError(ScpTensorError):
    def __init__(self, message, path=None):
        super().__init__(message)
        self.path = path


class IOFormatError(ScpTensorError):
    pass
"""

_PLAIN = """
from dataclasses import dataclass, field
from typing import Any, Optional

import polars as pl


@dataclass
class ProvenanceLog:
    timestamp: str
    action: str
    params: dict
    software_version: Optional[str] = None
    description: Optional[str] = None


@dataclass
class MatrixMetadata:
    confidence_scores: Any = None
    detection_limits: Any = None
    imputation_quality: Any = None
    outlier_scores: Any = None
    creation_info: Any = None


@dataclass
class ScpMatrix:
    X: Any
    M: Any = None
    metadata: Optional[MatrixMetadata] = None


@dataclass
class Assay:
    var: pl.DataFrame
    layers: dict = field(default_factory=dict)
    feature_id_col: str = "_index"


@dataclass
class AggregationLink:
    source_assay: str
    target_assay: str
    linkage: pl.DataFrame


@dataclass
class ScpContainer:
    obs: pl.DataFrame
    assays: dict = field(default_factory=dict)
    links: list = field(default_factory=list)
    history: list = field(default_factory=list)
    sample_id_col: str = "_index"
"""

_SLOTTED = (
    _PLAIN.replace("@dataclass\n", "@dataclass(slots=True)\n")
    .replace('    feature_id_col: str = "_index"\n', "")
    .replace('    sample_id_col: str = "_index"\n', "")
)
_STRICT = (
    _PLAIN
    + '''
    def __post_init__(self):
        if any(name.startswith("x") for name in self.assays):
            raise RuntimeError("assays must not begin with x")

    def save(self, path):
        """The package's own."""
        return "their own"
'''
)
SOURCES = {"dataclasses": _PLAIN, "slots": _SLOTTED, "strict": _STRICT}


def write(directory: Path, kind: str, package: str = "scptensor") -> Path:
    """Write the package of that kind into a directory."""
    root = directory / package
    (root / "core").mkdir(parents=True)
    (root / "io").mkdir()
    (root / "__init__.py").write_text(f"KIND = {kind!r}\nfrom {package}.core.structures import *\n")
    (root / "core" / "__init__.py").write_text("")
    (root / "core" / "structures.py").write_text(SOURCES[kind])
    (root / "io" / "__init__.py").write_text(f"from {package}.io.exceptions import IOFormatError, IOWriteError\n")
    (root / "io" / "exceptions.py").write_text(_ERRORS)
    return root
