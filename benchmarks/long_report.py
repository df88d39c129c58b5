"""A long report of DIA-NN larger than the memory, read into a container's file, beside polars alone.

`python benchmarks/long_report.py DIRECTORY [RUNS]` makes the report (580 runs of 40 000 precursors, 23.2 million rows;
5 800 runs are 232 million), unless it is there, and reads it with `read_diann(…, out=…)` and with polars, which pivots
each quantity and q-value in memory. Each side has a process of its own, which prints seconds of the clock and of CPU
time, and its peak of memory. The matrices are compared.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

PRECURSORS, OF_A_RUN, PROTEINS = 60_000, 40_000, 8_000
LEVELS = {
    "precursors": ("Precursor.Id", ("Precursor.Quantity", "Precursor.Normalised", "Q.Value")),
    "proteins": ("Protein.Group", ("PG.MaxLFQ", "PG.Q.Value")),
}
COMPARED = 5  # runs of which all values are compared


def main(directory: Path, runs: int) -> None:
    """Both sides, and whether they agree."""
    report = directory / f"report_{runs}.parquet"
    if not report.exists():
        make(report, runs)
    rows = pl.scan_parquet(report).select(pl.len()).collect().item()
    print(f"{rows} rows of {runs} runs, {report.stat().st_size >> 20} MB", flush=True)
    out = directory / f"cells_{runs}.h5"
    out.unlink(missing_ok=True)
    for side in ("ours", "polars") if runs <= 1000 else ("ours",):
        command = [sys.executable, __file__, f"--{side}", str(report), str(out)]
        print(side, subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)
    compare(report, out)


def make(path: Path, runs: int) -> None:
    """The report, a row group a run."""
    import pyarrow.parquet as pq

    writer: Any = None
    partial = path.with_suffix(".partial")
    number = np.arange(PRECURSORS)
    names = pl.DataFrame(
        {
            "Protein.Group": [f"P{n % PROTEINS:05d}" for n in number],
            "Genes": [f"GENE{n % PROTEINS}" for n in number],
            "Precursor.Id": [f"PEPTIDESEQ{n:06d}K2" for n in number],
            "Stripped.Sequence": [f"PEPTIDESEQ{n:06d}K" for n in number],
        }
    )
    for run in range(runs):
        rng = np.random.default_rng(run)
        chosen = np.sort(rng.permutation(PRECURSORS)[:OF_A_RUN])
        quantity = rng.lognormal(10, 2, OF_A_RUN).astype(np.float32)
        of_proteins = rng.lognormal(12, 2, PROTEINS).astype(np.float32)[chosen % PROTEINS]
        frame = names[chosen].with_columns(
            pl.lit(f"run_{run:05d}").alias("Run"),
            pl.Series("Precursor.Charge", np.full(OF_A_RUN, 2)),
            pl.Series("Precursor.Quantity", quantity),
            pl.Series("Precursor.Normalised", quantity * np.float32(1.1)),
            pl.Series("Q.Value", rng.uniform(0, 0.01, OF_A_RUN).astype(np.float32)),
            pl.Series("PG.MaxLFQ", of_proteins),
            pl.Series("PG.Q.Value", (of_proteins % 1).astype(np.float32)),
        )
        table = frame.to_arrow()
        writer = writer or pq.ParquetWriter(partial, table.schema)
        writer.write_table(table)
    writer.close()
    partial.rename(path)


def measured(work: Any) -> None:
    """Do it, and say what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{wall:.1f} s, {cpu:.1f} s of CPU, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def ours(report: Path, out: Path) -> None:
    """The container."""
    from scpstore.io import read_diann

    measured(lambda: read_diann(report, out=out))


def of_polars(report: Path) -> None:
    """Each matrix, one after the other; none is kept."""

    def work() -> None:
        for feature, names in LEVELS.values():
            for name in names:
                frame = pl.scan_parquet(report).select("Run", feature, name).collect()
                pivoted = frame.pivot("Run", index=feature, values=name, aggregate_function="first")
                pivoted.drop(feature).to_numpy()

    measured(work)


def compare(report: Path, out: Path) -> None:
    """All values of a few runs, by polars and by the container."""
    from scpstore import load_hdf5

    container = load_hdf5(out, lazy=True)
    samples = container.sample_ids.to_list()
    for run in np.random.default_rng(0).choice(samples, COMPARED, replace=False).tolist():
        rows = pl.scan_parquet(report).filter(pl.col("Run") == run).collect()
        place = samples.index(run)
        for assay, (feature, names) in LEVELS.items():
            known = rows.unique(feature, maintain_order=True)
            features = pl.DataFrame({feature: container.assays[assay].feature_ids})
            wanted = features.join(known, on=feature, how="left", maintain_order="left")
            for name in names:
                found = container.assays[assay].layers[name].X[place : place + 1]
                np.testing.assert_array_equal(np.asarray(found)[0], wanted[name].cast(pl.Float64).fill_null(np.nan))
    print(f"{COMPARED} runs are equal")


if __name__ == "__main__":
    if sys.argv[1] == "--ours":
        ours(Path(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1] == "--polars":
        of_polars(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 580)
