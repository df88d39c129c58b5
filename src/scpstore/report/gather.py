"""Content of a page: the container as plain values for JSON."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl

import h5burst
from h5burst.page import finite_numbers, packed
from scpstore.core.assay import Assay
from scpstore.core.structures import ScpContainer
from scpstore.report.layers import LayerFigures, figures_of

Json: TypeAlias = dict[str, Any]

LONGEST_TEXT = 300  # characters of a value of a table


def contents(
    container: ScpContainer, source: Path | None, kind: str, progress: Callable[[int], None] = lambda rows: None
) -> Json:
    """All that a page shows. The layers are gone through one after the other; progress: told how many rows were."""
    samples = _columns(container.obs, container.sample_id_col, "of the table of samples")
    assays = []
    for name, assay in container.assays.items():
        layers = {}
        for layer, matrix in assay.layers.items():
            layers[layer] = figures_of(matrix, progress)
            samples += _of_samples(f"{name}/{layer}", layers[layer])
        assays.append(_assay(name, assay, layers))
    return {
        "name": source.name if source is not None else "container",
        "facts": _facts(container, source, kind),
        "assays": assays,
        "samples": {"names": _ids(container.sample_ids), "columns": samples},
        "links": [[one.source_assay, one.target_assay, one.linkage.height] for one in container.links],
        "history": [
            [one.timestamp, one.action, one.software_version or "", one.description or "", _text(one.params)]
            for one in container.history
        ],
        "extras": [[kind, ", ".join(map(str, names))] for kind, names in container.extras.names().items()],
    }


def _facts(container: ScpContainer, source: Path | None, kind: str) -> list[list[Any]]:
    return [
        ["file", "not saved" if source is None else source.name],
        ["kind", kind],
        *([] if source is None else [["size", h5burst.format_bytes(source.stat().st_size)]]),
        ["samples", container.n_samples],
        ["assays", len(container.assays)],
        ["features", container.n_features],
        ["column of the samples' IDs", container.sample_id_col],
        ["page made by", f"h5burst {h5burst.__version__}, Python {platform.python_version()}"],
    ]


def _assay(name: str, assay: Assay, layers: Mapping[str, LayerFigures]) -> Json:
    columns = _columns(assay.var, assay.feature_id_col, "of the table of features")
    for layer, figures in layers.items():
        columns += [
            _column(f"{layer}/missing", "%", "samples without a value", _percent(figures.missing[1], figures.shape[0])),
            _column(f"{layer}/zeros", "count", "samples with a stored 0", figures.zeros[1].tolist()),
            _column(f"{layer}/mean", "", "over the values that are there", finite_numbers(figures.mean, 10)),
        ]
    return {
        "name": name,
        "names": _ids(assay.feature_ids),
        "columns": columns,
        "layers": [
            _layer(layer, layer_figures, str(assay.layers[layer].X.dtype), _form(assay.layers[layer].X))
            for layer, layer_figures in layers.items()
        ],
    }


def _form(matrix: Any) -> str:
    return getattr(matrix, "format", None) or "dense"


def _layer(name: str, figures: LayerFigures, dtype: str, form: str) -> Json:
    total = figures.shape[0] * figures.shape[1]
    present = int(total - figures.missing[0].sum())
    return {
        "name": name,
        "stored": f"{dtype}, {form}",
        "values": total,
        "there": present,
        "zeros": int(figures.zeros[0].sum()),
        "low": _number(figures.low),
        "high": _number(figures.high),
        "counts": figures.counts.tolist(),
        "edges": finite_numbers(figures.edges),
        "log": figures.log,
        "codes": None if figures.by_code is None else [[code, count] for code, count in figures.by_code.items()],
        "map": {"shape": list(figures.map.shape), "values": packed(np.round(figures.map * 255), "u1")},
    }


def _of_samples(name: str, figures: LayerFigures) -> Iterator[Json]:
    yield _column(f"{name}/missing", "%", "features without a value", _percent(figures.missing[0], figures.shape[1]))
    yield _column(f"{name}/zeros", "count", "features with a stored 0", figures.zeros[0].tolist())
    yield _column(f"{name}/median", "", "of the values that are there", finite_numbers(figures.median, 10))


def _column(name: str, unit: str, meaning: str, values: list[Any]) -> Json:
    return {"name": name, "unit": unit, "what": meaning, "values": values}


def _percent(counts: Any, of: int) -> list[float | None]:
    return finite_numbers(counts / of * 100 if of else np.full(len(counts), np.nan), 10)


def _columns(frame: pl.DataFrame, without: str, meaning: str) -> list[Json]:
    return [_column(n, "", meaning, [_value(one) for one in frame[n].to_list()]) for n in frame.columns if n != without]


def _ids(series: pl.Series) -> list[str]:
    return [str(one) for one in series.to_list()]


def _value(value: Any) -> Any:
    """A cell of a table, as JSON can hold it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _number(value)
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} …"


def _number(value: float) -> float | None:
    if isinstance(value, int):
        return value
    return float(f"{value:.10g}") if math.isfinite(value) else None


def _text(params: Mapping[str, Any]) -> str:
    return json.dumps(params, ensure_ascii=False, default=str) if params else ""
