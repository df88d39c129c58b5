"""The containers that the files of the first round in `tests/data/scpstore` were written from."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import polars as pl
import scipy.sparse as sp

from scpstore import AggregationLink, Assay, MatrixMetadata, ProvenanceLog, ScpContainer, ScpMatrix


def frames() -> ScpContainer:
    """Every dtype of a column, IDs in another column than the usual one, awkward names, history, metadata."""
    obs = pl.DataFrame(
        {
            "cell": ["c1", "c2", "c3"],
            "i8": pl.Series([1, None, -128], dtype=pl.Int8),
            "u64": pl.Series([2**64 - 1, 0, None], dtype=pl.UInt64),
            "i128": pl.Series([2**100, -(2**100), 0], dtype=pl.Int128),
            "f32": pl.Series([1.5, None, float("nan")], dtype=pl.Float32),
            "flag": [True, None, False],
            "text": ["", None, "a\0b"],
            "kind": pl.Series(["x", None, "y"], dtype=pl.Categorical),
            "grade": pl.Series(["hi", "lo", None], dtype=pl.Enum(["lo", "mid", "hi"])),
            "day": [date(2024, 2, 29), None, date(1900, 1, 1)],
            "when": pl.Series([datetime(2024, 1, 1), None, datetime(1999, 12, 31)], dtype=pl.Datetime("ms", "UTC")),
            "lasts": pl.Series([timedelta(seconds=1), None, timedelta(days=-1)], dtype=pl.Duration("ns")),
            "price": pl.Series([Decimal("1.50"), None, Decimal("-2.25")], dtype=pl.Decimal(10, 2)),
            "raw": [b"\0\xff", None, b""],
            "list": [[1.0, float("nan"), float("-inf")], None, []],
            "pair": [{"a": 1, "b/c": "x"}, {"a": None, "b/c": None}, {"a": 3, "b/c": ""}],
            "nothing": pl.Series([None, None, None], dtype=pl.Null),
            "a/b": [1, 2, 3],
            ".": [0.1, 0.2, 0.3],
        }
    )
    values = np.array([[1.25, np.nan], [-0.0, np.inf], [3.5, 4.0]])
    metadata = MatrixMetadata(
        confidence_scores=np.array([[0.5, 1.0], [0.25, 0.0], [1.0, 1.0]], np.float32),
        detection_limits=np.array([0.1, 0.2]),
        creation_info={"software": "x", "settings": (1, 2.5), "seed": np.int64(7)},
    )
    mask = np.array([[0, 2], [5, 0], [1, 6]], np.int8)
    assay = Assay(
        pl.DataFrame({"protein": ["p2", "p1"], "gene": ["B", None]}),
        {"log/2": ScpMatrix(values, mask, metadata), "X": ScpMatrix(values.astype(np.float32))},
        "protein",
    )
    history = [
        ProvenanceLog("2024-01-02T03:04:05+00:00", "read", {"path": "a.csv", "rows": 3}),
        ProvenanceLog("2024-01-02T03:04:06+00:00", "log", {"base": np.float32(2.0), "axes": (0, 1)}, "", ""),
        ProvenanceLog(
            "2024-01-02T03:04:07+00:00",
            "odd",
            {"nan": float("nan"), "when": datetime(2024, 1, 1, tzinfo=timezone.utc), "ids": {"b", "a"}, "n": None},
            "1.0",
            "why",
        ),
    ]
    return ScpContainer(obs, {"proteins": assay}, history=history, sample_id_col="cell")


def sparse() -> ScpContainer:
    """Every sparse format, entries in odd orders, and two assays with a link."""
    rows, cols = np.array([2, 0, 2, 1], np.int32), np.array([1, 2, 1, 0], np.int32)
    coo = sp.coo_matrix((np.array([1.0, 2.0, 3.0, 0.0]), (rows, cols)), shape=(3, 3))
    layers = {
        "coo": ScpMatrix(coo, sp.coo_matrix((np.array([5], np.int8), ([0], [2])), shape=(3, 3))),
        "csr": ScpMatrix(sp.csr_matrix(coo)),
        "csc": ScpMatrix(sp.csc_array(coo.astype(np.float32))),
        "lil": ScpMatrix(sp.lil_matrix(coo)),
        "dok": ScpMatrix(sp.dok_matrix(coo)),
        "dia": ScpMatrix(sp.dia_matrix(np.diag([1.0, 2.0, 3.0]))),
        "bsr": ScpMatrix(sp.bsr_matrix(np.eye(3), blocksize=(3, 3))),
    }
    proteins = Assay(pl.DataFrame({"_index": ["p1", "p2", "p3"]}), layers)
    peptides = Assay(pl.DataFrame({"_index": ["a", "b"]}), {"X": ScpMatrix(np.ones((3, 2)))})
    link = AggregationLink(
        "peptides", "proteins", pl.DataFrame({"source_id": ["a", "b"], "target_id": ["p1", "p3"], "w": [0.5, 1.0]})
    )
    obs = pl.DataFrame({"_index": ["c1", "c2", "c3"]})
    return ScpContainer(obs, {"proteins": proteins, "peptides": peptides}, [link])


def linked(link: AggregationLink | None) -> ScpContainer:
    """A container with that link."""
    proteins = Assay(pl.DataFrame({"_index": ["p1", "p2"]}), {"X": ScpMatrix(np.ones((2, 2)))})
    return ScpContainer(pl.DataFrame({"_index": ["c1", "c2"]}), {"proteins": proteins}, [link] if link else [])


DANGLING = AggregationLink("proteins", "proteins", pl.DataFrame({"source_id": ["p1"], "target_id": ["gone"]}))
