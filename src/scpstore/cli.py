"""The command `scptensor`, also called `scpstore`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer

import h5burst
from h5burst import console, durable, format_bytes
from scpstore.core.equality import difference
from scpstore.core.exceptions import ScpTensorError
from scpstore.core.structures import ScpContainer
from scpstore.io.formats import (
    ANNDATA,
    CONTAINER,
    INPUT_SUFFIXES,
    MUDATA,
    OUTPUT_SUFFIXES,
    RECORDING,
    Options,
    kind_of,
    read_any,
    suffix_of,
    write_any,
)
from scpstore.io.lazymatrix import LazyMatrix
from scpstore.states import log, restore, undo

output = console.output
_MANY = 12  # columns named before the rest is counted

app = typer.Typer(
    help="Single-cell proteomics containers: HDF5, AnnData, tables and reports of search engines.",
    epilog=console.EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=console.SETTINGS,
)

AnyFile = Annotated[
    Path,
    typer.Argument(help="A container (.h5), .h5ad, .h5mu, a table or a report of a search engine.", show_default=False),
]
At = Annotated[
    str | None,
    typer.Option("--at", help="An earlier state of a container's .h5: its number in `scptensor log`, or a time."),
]


# ---------------------------------------------------------------- info


def info(file: AnyFile, at: At = None) -> None:
    """Say what a file is and holds: samples, assays, layers, history. Layers of containers are not read.

    \b
    Examples:
      scptensor info cells.h5
      scptensor info report.tsv --json
      scptensor info cells.h5 --at 0
    """
    kind = kind_of(file)
    container = read_any(file, Options(at=at))
    output.result({"file": str(file), "kind": kind, "bytes": file.stat().st_size, **_described(container)})
    size = format_bytes(file.stat().st_size)
    output.say(f"{file}: {kind}, {size}, {container.n_samples} samples, {container.n_features} features")
    output.say(f"obs: {_columns(container.obs.columns, container.sample_id_col)}")
    for name, assay in container.assays.items():
        output.say(f"assay {name}: {assay.n_features} features")
        output.say(f"  var: {_columns(assay.var.columns, assay.feature_id_col)}")
        if assay.layers:
            layers = [(f"  {layer}", _form(m, "X"), _form(m, "M")) for layer, m in assay.layers.items()]
            console.print_rows(layers, ("  layer", "X", "M"))
    for link in container.links:
        output.say(f"link {link.source_assay} -> {link.target_assay}: {link.linkage.height} pairs")
    for name, names in container.extras.names().items():
        output.say(f"{name}: {', '.join(names)}")
    for step in container.history:
        version = f" ({step.software_version})" if step.software_version else ""
        output.say(f"history {step.timestamp} {step.action}{version}")


def _described(container: ScpContainer) -> dict[str, Any]:
    assays = {
        name: {
            "n_features": assay.n_features,
            "var": assay.var.columns,
            "feature_id_col": assay.feature_id_col,
            "layers": {layer: {"X": _form(m, "X"), "M": _form(m, "M") or None} for layer, m in assay.layers.items()},
        }
        for name, assay in container.assays.items()
    }
    return {
        "n_samples": container.n_samples,
        "n_features": container.n_features,
        "obs": container.obs.columns,
        "sample_id_col": container.sample_id_col,
        "assays": assays,
        "links": [[x.source_assay, x.target_assay, x.linkage.height] for x in container.links],
        "extras": container.extras.names(),
        "history": [[step.timestamp, step.action, step.software_version] for step in container.history],
    }


def _columns(names: list[str], id_column: str) -> str:
    others = [name for name in names if name != id_column]
    more = f" and {len(others) - _MANY} more" if len(others) > _MANY else ""
    return f"IDs in {id_column!r}; {', '.join(others[:_MANY]) or 'no other columns'}{more}"


def _form(matrix: Any, name: str) -> str:
    """The dtype, format and entries of a matrix; "" where it is not there."""
    if isinstance(matrix, LazyMatrix):
        return matrix.stored_as(name)
    values = getattr(matrix, name)
    if values is None:
        return ""
    sparse = getattr(values, "format", None)
    return f"{values.dtype}, {sparse}, {values.nnz} entries" if sparse else str(values.dtype)


# ---------------------------------------------------------------- report


def report(
    file: AnyFile,
    page: Annotated[Path | None, typer.Option("--output", "-o", help="The page; beside the file if not said.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is not a report.")] = False,
) -> None:
    """Write one HTML page that opens from disk: assays, layers, missing values, distributions, history.

    \b
    Examples:
      scptensor report cells.h5
      scptensor report proteins.h5ad -o page.html
    """
    from scpstore.report import write_report

    path = write_report(console.existing_file(file), page, overwrite=overwrite)
    output.say(path)
    output.result({"file": str(path), "bytes": path.stat().st_size})


# ---------------------------------------------------------------- verify


def verify(files: Annotated[list[Path], typer.Argument(help="Containers.", show_default=False)]) -> None:
    """Read everything, checksums included; exit code 1 and a list when something is wrong. Each file is looked at.

    \b
    Examples:
      scptensor verify cells.h5
      scptensor verify *.h5 --json
    """
    raise typer.Exit(console.check_files(files, _problems))


def _problems(file: Path) -> list[str]:
    console.existing_file(file)
    try:
        kind = kind_of(file)
        if kind not in (CONTAINER, ANNDATA, MUDATA):
            return [f"it is not a container but {'a recording of hdmea' if kind == RECORDING else f'a {kind}'}"]
        problems = [str(problem) for problem in h5burst.verify(file, in_blocks=True)]
        if not problems:
            container = read_any(file)
            for assay in container.assays.values():
                for matrix in assay.layers.values():
                    if isinstance(matrix, LazyMatrix):
                        matrix.check()
    except (ScpTensorError, OSError) as error:
        return [str(error)]
    return problems


# ---------------------------------------------------------------- convert


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help=f"A file: {', '.join(INPUT_SUFFIXES)}.", show_default=False)
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="The file to write; its suffix says the format.", show_default=False)
    ],
    cells: Annotated[
        Path | None,
        typer.Option(help="Table about the samples, beside a table; for x_data.csv, x_cells.csv if there is one."),
    ] = None,
    assay: Annotated[
        str | None, typer.Option(help="Which assay to write, or what to call the one that is read from one table.")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Which layer to write.")] = None,
    orientation: Annotated[
        str | None, typer.Option(help="Of a table: samples_in_rows (if not said), features_in_rows or auto.")
    ] = None,
    q_value: Annotated[float | None, typer.Option(help="Mark quantities with a larger q-value as FILTERED.")] = None,
    make_unique: Annotated[
        bool, typer.Option("--make-unique", help="Append -1, -2, … to IDs of an .h5ad file that repeat.")
    ] = False,
    compression: Annotated[
        str | None, typer.Option(help="Of a container: gzip (if not said), lzf, blosc, zstd or none.")
    ] = None,
    level: Annotated[int | None, typer.Option(help="0 to 9 (4 if not said).")] = None,
    at: At = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Convert between containers, AnnData files, tables and (as input) reports of search engines.

    \b
    Examples:
      scptensor convert report.tsv cells.h5 --q-value 0.01 --cells cells.csv
      scptensor convert cells.h5 proteins.h5ad --assay proteins --layer PG.MaxLFQ
      scptensor convert plexDIA_data.csv plexDIA.h5 --cells plexDIA_cells.csv
      scptensor convert cells.h5 smaller.h5 --compression zstd
      scptensor convert cells.h5 first.h5 --at 0
    """
    options = Options(cells, assay, layer, orientation, q_value, make_unique, compression, level, at)
    console.check_all(
        lambda: _check_suffix(source, INPUT_SUFFIXES),
        lambda: _check_suffix(target, OUTPUT_SUFFIXES),
        lambda: console.existing_file(source),
        lambda: None if cells is None else console.existing_file(cells),
        lambda: durable.require_absent(target, overwrite),
        *options.checks(),
    )
    written = write_any(read_any(source, options), target, options, overwrite=overwrite)
    for path in written:
        output.say(f"{path}: {format_bytes(path.stat().st_size)}")
    output.result([{"file": str(path), "bytes": path.stat().st_size} for path in written])


def _check_suffix(path: Path, suffixes: tuple[str, ...]) -> None:
    if suffix_of(path) not in suffixes:
        raise ValueError(f"Unsupported file suffix {suffix_of(path)!r} of {path}: use one of {', '.join(suffixes)}")


# ---------------------------------------------------------------- diff


def diff(first: AnyFile, second: AnyFile) -> None:
    """Differences between two files, one line a part; exit code 1 where there are any. Values count to the bit.

    \b
    Examples:
      scptensor diff cells.h5 smaller.h5
    """
    lines = differences(read_any(first), read_any(second))
    for line in lines or ["equal"]:
        output.say(line)
    output.result(lines)
    raise typer.Exit(int(bool(lines)))


def differences(a: ScpContainer, b: ScpContainer) -> list[str]:
    """The first difference of every part of two containers."""
    lines = [
        difference(getattr(a, n), getattr(b, n), n) for n in ("sample_id_col", "obs", "links", "history", "extras")
    ]
    for kind, one, other in (("only in the first", a, b), ("only in the second", b, a)):
        lines += [f"assays[{name!r}]: {kind}" for name in one.assays if name not in other.assays]
    for name in [name for name in a.assays if name in b.assays]:
        x, y, where = a.assays[name], b.assays[name], f"assays[{name!r}]"
        lines += [difference(getattr(x, n), getattr(y, n), f"{where}.{n}") for n in ("feature_id_col", "var")]
        lines += _only_in_one(f"{where}.layers", x.layers, y.layers)
        for layer in [layer for layer in x.layers if layer in y.layers]:
            lines.append(difference(x.layers[layer], y.layers[layer], f"{where}.layers[{layer!r}]"))
    return [line for line in lines if line is not None]


def _only_in_one(where: str, a: Collection[str], b: Collection[str]) -> list[str]:
    first = [f"{where}[{name!r}]: only in the first" for name in a if name not in b]
    return first + [f"{where}[{name!r}]: only in the second" for name in b if name not in a]


for _command in (convert, info, report, verify, diff, log, undo, restore):
    app.command(epilog=console.EPILOG)(_command)


def main() -> int:
    """Run the command."""
    return console.run(app)
