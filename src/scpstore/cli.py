"""The command `scptensor`: what is in a container, and conversions between formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from h5burst import console, format_bytes
from scpstore.core.exceptions import ValidationError
from scpstore.core.structures import ScpContainer
from scpstore.io.exceptions import IOWriteError
from scpstore.io.exporters import save_hdf5
from scpstore.io.importers import load_hdf5
from scpstore.io.interchange import from_anndata, write_h5ad
from scpstore.io.tables import read_csv, write_csv

HDF5_SUFFIXES = (".h5", ".hdf5")
SUFFIXES = (*HDF5_SUFFIXES, ".h5ad", ".csv")
_MANY = 12  # columns named before the rest is counted

app = typer.Typer(
    help="Single-cell proteomics containers in HDF5 files.", epilog=console.EPILOG, no_args_is_help=True,
    add_completion=False, rich_markup_mode="rich",
)  # fmt: skip

InputFile = Annotated[Path, typer.Argument(help="A container (.h5, .hdf5).", show_default=False)]


@app.command(epilog="Example:  scptensor info plexDIA.h5")
def info(file: InputFile) -> None:
    """Say what a file holds: samples, assays, layers, history. Layers are not read."""
    container = load_hdf5(file, lazy=True)
    out = Console(highlight=False, soft_wrap=True)
    size = format_bytes(file.stat().st_size)
    out.print(f"{file}: {size}, {container.n_samples} samples, {container.n_features} features", markup=False)
    out.print(f"obs: {_columns(container.obs.columns, container.sample_id_col)}", markup=False)
    for name, assay in container.assays.items():
        out.print(f"assay {name}: {assay.n_features} features", markup=False)
        out.print(f"  var: {_columns(assay.var.columns, assay.feature_id_col)}", markup=False)
        if assay.layers:
            out.print(_layer_table(assay))
    for link in container.links:
        out.print(f"link {link.source_assay} -> {link.target_assay}: {link.linkage.height} pairs", markup=False)
    for step in container.history:
        version = f" ({step.software_version})" if step.software_version else ""
        out.print(f"history {step.timestamp} {step.action}{version}", markup=False)


def _columns(names: list[str], id_column: str) -> str:
    others = [name for name in names if name != id_column]
    more = f" and {len(others) - _MANY} more" if len(others) > _MANY else ""
    return f"IDs in {id_column!r}; {', '.join(others[:_MANY]) or 'no other columns'}{more}"


def _layer_table(assay: Any) -> Table:
    table = Table("layer", "X", "M", box=None, pad_edge=True)
    for name, matrix in assay.layers.items():
        table.add_row(f" {name}", matrix.stored_as("X"), matrix.stored_as("M"))
    return table


@app.command(
    epilog="Examples:\n\nscptensor convert plexDIA_data.csv plexDIA.h5 --cells plexDIA_cells.csv\n\n"
    "scptensor convert plexDIA.h5 plexDIA.h5ad --layer X\n\n"
    "scptensor convert old.h5 new.h5 --compression zstd"
)
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A .h5, .hdf5, .h5ad or .csv file.", show_default=False)],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="The file to write; its suffix says the format.", show_default=False)
    ],
    cells: Annotated[
        Path | None,
        typer.Option(help="CSV about the cells, beside a .csv matrix; for x_data.csv, x_cells.csv if there is one."),
    ] = None,
    assay: Annotated[
        str | None, typer.Option(help="Which assay to write, or what to call the one that is read.")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Which layer to write to .csv or .h5ad.")] = None,
    compression: Annotated[str, typer.Option(help="gzip, lzf, blosc, zstd or none.")] = "gzip",
    level: Annotated[int, typer.Option(help="0 to 9.")] = 4,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Convert between containers, AnnData files and CSV tables."""
    for path in (source, target):
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"Unsupported file suffix {path.suffix!r} of {path}: use one of {', '.join(SUFFIXES)}")
    if target.exists() and not overwrite:
        raise IOWriteError("File already exists (--overwrite replaces it)", target)
    container = _read(source, cells, assay)
    suffix = target.suffix.lower()
    if suffix in HDF5_SUFFIXES:
        chosen = None if compression == "none" else compression
        save_hdf5(container, target, compression=chosen, compression_level=level, overwrite=overwrite)
    else:
        name = _only("assay", list(container.assays), assay)
        chosen_layer = _only("layer", list(container.assays[name].layers) if name in container.assays else [], layer)
        if suffix == ".csv":
            write_csv(
                container,
                target,
                name,
                chosen_layer,
                cells=None if source.suffix == ".csv" else cells,
                overwrite=overwrite,
            )
        else:
            write_h5ad(container, target, name, chosen_layer, overwrite=overwrite)
    typer.echo(f"{target}: {format_bytes(target.stat().st_size)}")


def _read(source: Path, cells: Path | None, assay: str | None) -> ScpContainer:
    if not source.exists():
        raise FileNotFoundError(f"No such file: {source}")
    suffix = source.suffix.lower()
    if suffix in HDF5_SUFFIXES:
        return load_hdf5(source, lazy=True)
    if suffix == ".csv":
        return read_csv(source, cells, assay or "proteins")
    import anndata

    return from_anndata(anndata.read_h5ad(source), assay or "proteins")


def _only(kind: str, names: list[str], wanted: str | None) -> str:
    """The name that was asked for, else the only one there is (of several layers: "X")."""
    if wanted is not None:
        return wanted
    if len(names) == 1:
        return names[0]
    if kind == "layer" and "X" in names:
        return "X"
    raise ValidationError(f"choose with --{kind} one of: {', '.join(names) or '(there is none)'}", kind)


def main() -> int:
    """Run the command."""
    return console.run(app)
