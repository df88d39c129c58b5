"""Values that our readers and those of other libraries read from the same reports, compared one by one.

Run by hand: `python tests/scpstore/compare_readers.py DIRECTORY`, with `pip install protdata alphabase` (alphapepttools reads with
alphabase). DIRECTORY is `search_engine_reports` of the test data. Prints how many values were compared; exit code 1 where any
differs.
"""

# ruff: noqa: E501

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scpstore.io import read_report

Values = dict[tuple[str, str], float]


def ours(path: Path, assay: str, layer: str) -> Values:
    container = read_report(path)
    X, features = container.assays[assay].layers[layer].X, container.assays[assay].feature_ids.to_list()
    found = zip(*np.nonzero(~np.isnan(X)), strict=True)
    samples = container.sample_ids.to_list()
    return {(samples[row], features[column]): float(X[row, column]) for row, column in found if X[row, column]}


def of_protdata(path: Path, layer: str | None) -> Values:
    import protdata.io

    adata = protdata.io.read_maxquant(str(path))
    X = adata.X if layer is None else adata.layers[layer]
    return table(X, list(adata.obs_names), list(adata.var_names))


def table(X: Any, samples: list[str], features: list[str]) -> Values:
    pairs = ((s, f, float(X[i, j])) for i, s in enumerate(samples) for j, f in enumerate(features))
    return {(sample, feature): value for sample, feature, value in pairs if value and not np.isnan(value)}


def of_alphabase_groups(path: Path, regex: str, prefix: str) -> Values:
    from alphabase.pg_reader import pg_reader_provider

    frame = pg_reader_provider.get_reader("maxquant", measurement_regex=regex).import_file(str(path))
    features = frame.index.get_level_values("uniprot_ids").tolist()
    return table(frame.to_numpy(float).T, [name.removeprefix(prefix) for name in frame.columns], features)


def of_alphabase_precursors(path: Path, kind: str, column: str, feature: str) -> Values:
    """Rows of one precursor in one run must agree: the reader gives a row a fragment."""
    from alphabase.psm_reader import psm_reader_provider

    frame = psm_reader_provider.get_reader(kind).import_file(str(path))
    found: Values = {}
    for run, precursor, charge, value in zip(
        frame["raw_name"], frame[feature], frame["charge"], frame[column], strict=True
    ):
        key = (run, precursor if kind == "diann" else f"{precursor}.{charge}")
        number = float(str(value).replace(",", "."))
        if found.setdefault(key, number) != number:
            raise ValueError(f"{key} has two values")
    return {key: value for key, value in found.items() if value and not np.isnan(value)}


def comparisons(reports: Path) -> list[tuple[str, Callable[[], Values], Callable[[], Values]]]:
    groups = reports / "maxquant_proteinGroups_short_rows.txt"
    diann, spectronaut = reports / "diann_1.9_report.tsv", reports / "spectronaut_comma.tsv"
    return [
        ("MaxQuant LFQ, protdata", lambda: ours(groups, "proteins", "LFQ intensity"), lambda: of_protdata(groups, None)),
        ("MaxQuant, protdata", lambda: ours(groups, "proteins", "Intensity"), lambda: of_protdata(groups, "Intensity")),
        ("MaxQuant, alphabase", lambda: ours(groups, "proteins", "Intensity"),
         lambda: of_alphabase_groups(groups, "raw", "Intensity ")),
        ("MaxQuant iBAQ, alphabase", lambda: ours(groups, "proteins", "iBAQ"),
         lambda: of_alphabase_groups(groups, "ibaq", "iBAQ ")),
        ("DIA-NN, alphabase", lambda: ours(diann, "precursors", "Precursor.Normalised"),
         lambda: of_alphabase_precursors(diann, "diann", "precursor_intensity", "precursor_id")),
        ("Spectronaut, alphabase", lambda: ours(spectronaut, "precursors", "FG.Quantity"),
         lambda: of_alphabase_precursors(spectronaut, "spectronaut_report", "precursor_intensity", "precursor_id")),
    ]  # fmt: skip


def main() -> int:
    warnings.simplefilter("ignore")
    differing = 0
    for name, one, other in comparisons(Path(sys.argv[1])):
        a, b = one(), other()
        same = {key for key in a.keys() & b.keys() if np.isclose(a[key], b[key], rtol=1e-6, atol=0)}
        left = (a.keys() | b.keys()) - same
        print(f"{name}: {len(same)} equal, {len(left)} not" + (f", such as {sorted(left)[0]}" if left else ""))
        differing += len(left)
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
