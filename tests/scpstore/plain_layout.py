"""A writer and a reader of format 1.0 that know nothing else: what an earlier implementation does, with h5py alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

TEXT = h5py.string_dtype("utf-8")


def write(path: Path, content: dict[str, Any]) -> None:
    """Write {"obs": columns, "assays": {name: {"var": columns, "layers": {name: matrices}}}, "history": steps}."""
    with h5py.File(path, "w") as file:
        file.attrs["format_version"] = "1.0"
        file.attrs["scptensor_version"] = "0.9"
        file.attrs["creation_time"] = "2024-01-01T00:00:00"
        _write_columns(file.create_group("obs"), content["obs"])
        assays = file.create_group("assays")
        for name, assay in content.get("assays", {}).items():
            group = assays.create_group(name)
            _write_columns(group.create_group("var"), assay["var"])
            layers = group.create_group("layers")
            for layer, matrices in assay.get("layers", {}).items():
                _write_layer(layers.create_group(layer), matrices)
        if content.get("history"):
            _write_history(file.create_group("provenance/history"), content["history"])


def _write_columns(group: Any, columns: dict[str, list[Any]]) -> None:
    for name, values in columns.items():
        array = np.asarray(values)
        if array.dtype.kind in "iu":
            group.create_dataset(name, data=array.astype(np.int64))
        elif array.dtype.kind == "f":
            group.create_dataset(name, data=array.astype(np.float64))
        elif array.dtype.kind == "b":
            group.create_dataset(name, data=array)
        else:
            group.create_dataset(name, data=np.array(values, dtype=object), dtype=TEXT)


def _write_layer(group: Any, matrices: dict[str, Any]) -> None:
    for name, values in matrices.items():
        if hasattr(values, "indptr"):
            for part in ("data", "indices", "indptr"):
                group.create_dataset(f"{name}_{part}", data=getattr(values, part))
            group.attrs[f"{name}_format"] = "csr"
            group.attrs[f"{name}_shape"] = values.shape
        else:
            group.create_dataset(
                name, data=np.asarray(values, dtype=np.float32), compression="gzip", compression_opts=4
            )


def _write_history(group: Any, steps: list[dict[str, Any]]) -> None:
    for field in ("action", "timestamp", "software_version", "description"):
        group.create_dataset(field, data=[step.get(field) or "" for step in steps], dtype=TEXT)
    group.create_dataset("params", data=[json.dumps(step["params"]) for step in steps], dtype=TEXT)


def read(path: Path) -> dict[str, Any]:
    """The content of a file as `write` takes it.

    Every dataset in obs and var is a column, the rest is not looked at.
    """
    with h5py.File(path, "r") as file:
        if file.attrs["format_version"] != "1.0":
            raise ValueError("version")
        assays = {}
        for name, group in file["assays"].items():
            layers = {layer: _read_layer(matrices) for layer, matrices in group["layers"].items()}
            assays[name] = {"var": _read_columns(group["var"]), "layers": layers}
        history = _read_history(file["provenance/history"]) if "provenance/history" in file else []
        return {"obs": _read_columns(file["obs"]), "assays": assays, "history": history}


def _read_columns(group: Any) -> dict[str, np.ndarray[Any, Any]]:
    columns = {}
    for name in group:
        dataset = group[name]
        assert isinstance(dataset, h5py.Dataset), f"{dataset.name} is not a dataset"
        assert dataset.ndim == 1
        columns[name] = dataset.asstr()[()] if dataset.dtype == object else dataset[()]
    assert len({len(column) for column in columns.values()}) <= 1
    return columns


def _read_layer(group: Any) -> dict[str, Any]:
    import scipy.sparse as sp

    matrices = {}
    for name in ("X", "M"):
        if name in group:
            matrices[name] = group[name][()]
        elif f"{name}_data" in group:
            assert group.attrs[f"{name}_format"] == "csr"
            parts = (group[f"{name}_data"][()], group[f"{name}_indices"][()], group[f"{name}_indptr"][()])
            matrices[name] = sp.csr_matrix(parts, shape=tuple(group.attrs[f"{name}_shape"]))
    return matrices


def _read_history(group: Any) -> list[dict[str, Any]]:
    columns = {field: group[field].asstr()[()] for field in ("action", "timestamp", "software_version", "description")}
    steps = [{field: column[row] for field, column in columns.items()} for row in range(len(columns["action"]))]
    for row, text in enumerate(group["params"].asstr()[()]):
        steps[row]["params"] = json.loads(text)
    return steps
