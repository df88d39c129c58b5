"""Parts that an AnnData object has no place for, in its `uns["scptensor"]`: history, matrix metadata, links.

version                1
ids                    a digest of the IDs of samples and features that arrays are about
history                one text a step: tagged JSON
metadata/X/…           of X: arrays by their names; creation_info as tagged JSON
metadata/layers/{name}/…
links/{number}         source_assay, target_assay, linkage (a frame)
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from h5burst import UnsupportedValueError, from_json, to_json
from scpstore.core.exceptions import ValidationError
from scpstore.core.history import AggregationLink, ProvenanceLog
from scpstore.core.matrix import MatrixMetadata
from scpstore.core.sources import whole
from scpstore.io.pandasframes import INDEX, to_pandas, with_dtypes

KEY = "scptensor"
_VERSION = 1
_STEP = ProvenanceLog.compared
_INFO = "creation_info"
_ARRAYS = tuple(name for name in MatrixMetadata.compared if name != _INFO)


def carry(
    history: Sequence[ProvenanceLog],
    metadata: Mapping[str | None, MatrixMetadata | None],
    links: Sequence[AggregationLink],
    ids: tuple[Sequence[Any], Sequence[Any]],
) -> dict[str, Any]:
    """The content of `uns["scptensor"]`; empty where there is nothing to carry.

    metadata: by layer, None that of X. Raises `ValidationError` for params that JSON cannot say.
    """
    carried_: dict[str, Any] = {}
    if history:
        carried_["history"] = np.array(
            [_text([getattr(step, n) for n in _STEP], f"step {step.action!r}") for step in history], object
        )
    by_layer = {name: _metadata(matrix) for name, matrix in metadata.items() if matrix is not None}
    if by_layer:
        carried_["metadata"] = {"X": by_layer.pop(None)} if None in by_layer else {}
        carried_["metadata"] |= {"layers": by_layer} if by_layer else {}
    if links:
        carried_["links"] = {str(number): _link(link) for number, link in enumerate(links)}
    return carried_ and {"version": _VERSION, "ids": _digest(ids), **carried_}


def carried(
    uns: Mapping[str, Any], ids: tuple[Sequence[Any], Sequence[Any]]
) -> tuple[list[ProvenanceLog], dict[str | None, MatrixMetadata], list[AggregationLink]] | None:
    """History, metadata by layer (None: of X) and links; None where `uns` carries none that is known.

    Arrays are about certain samples and features, in their order: where these are others now, they are left out with
    a `UserWarning`.
    """
    content = uns.get(KEY)
    if not isinstance(content, Mapping) or content.get("version") != _VERSION:
        return None
    try:
        history = [ProvenanceLog(*from_json(str(text))) for text in np.atleast_1d(content.get("history", []))]
        of_x, of_layers = (content.get("metadata", {}).get(name, {}) for name in ("X", "layers"))
        stored = {**({None: of_x} if of_x else {}), **of_layers}
        links = [_linked(link) for _, link in sorted(content.get("links", {}).items(), key=lambda item: int(item[0]))]
        fits = str(content.get("ids")) == _digest(ids)
        metadata = {name: _restored(one, fits) for name, one in stored.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValidationError(f"uns/{KEY} is not what it should be ({error}): remove it", "uns") from error
    if not fits and any(name in one for one in stored.values() for name in _ARRAYS):
        message = f"uns/{KEY}: what is known of matrices is of other samples or features: it is left out"
        warnings.warn(message, UserWarning, stacklevel=3)
    return history, metadata, links


def _digest(ids: tuple[Sequence[Any], Sequence[Any]]) -> str:
    text = to_json([[str(name) for name in names] for names in ids])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _text(value: Any, subject: str) -> str:
    try:
        return to_json(value)
    except (UnsupportedValueError, RecursionError) as error:
        raise ValidationError(f"{subject} cannot be carried in uns: {error}", "history") from error


def _metadata(metadata: MatrixMetadata) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name in _ARRAYS:
        values = getattr(metadata, name, None)
        if values is not None:
            values = whole(values)
            record[name] = values.tocsr() if sp.issparse(values) and values.format not in ("csr", "csc") else values
    if metadata.creation_info is not None:
        record[_INFO] = _text(metadata.creation_info, "creation_info")
    return record or {"is_empty": True}


def _restored(record: Mapping[str, Any], fits: bool) -> MatrixMetadata:
    info = record.get(_INFO)
    arrays = {name: record[name] for name in _ARRAYS if fits and name in record}
    return MatrixMetadata(**arrays, creation_info=None if info is None else from_json(str(info)))


def _link(link: AggregationLink) -> dict[str, Any]:
    frame = to_pandas(link.linkage.with_row_index(INDEX), INDEX, "linkage", {})
    return {"source_assay": link.source_assay, "target_assay": link.target_assay, "linkage": frame}


def _linked(stored: Mapping[str, Any]) -> AggregationLink:
    frame = stored["linkage"]
    if not isinstance(frame, pl.DataFrame):
        frame, _ = with_dtypes(frame, "linkage")
    return AggregationLink(str(stored["source_assay"]), str(stored["target_assay"]), frame.drop(INDEX, strict=False))
