"""The `h5burst` command: what is in an HDF5 file, and whether it is sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from h5burst import console
from h5burst.memory.budget import format_bytes

app = typer.Typer(
    help="Look into HDF5 files of any origin, and check them.",
    epilog=console.EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
FileArgument = Annotated[Path, typer.Argument(help="An HDF5 file.")]


@app.command()
def info(
    file: FileArgument,
    depth: Annotated[int | None, typer.Option(min=0, help="Show no more levels than these.")] = None,
    attributes: Annotated[bool, typer.Option("--attributes", "-a", help="Show attributes, too.")] = False,
) -> None:
    """Show the tree of a file: shapes, dtypes, sizes, filters.

    \b
    Examples:
      h5burst info recording.h5
      h5burst info recording.h5 --depth 2 --attributes
    """
    from h5burst.verify import describe

    datasets = stored = 0
    for item in describe(_existing(file)):
        level = 0 if item.path == "/" else item.path.count("/")
        if item.kind == "dataset":
            datasets += 1
            stored += item.stored_bytes
        if depth is not None and level > depth:
            continue
        name = item.path if level == 0 else "  " * level + item.path.rsplit("/", 1)[1]
        if item.kind == "dataset":
            shape = "null" if item.shape is None else "x".join(map(str, item.shape)) or "scalar"
            parts = (name, shape, item.dtype, format_bytes(item.stored_bytes), item.filters)
            typer.echo("  ".join(part for part in parts if part))
        else:
            typer.echo(name if item.kind == "group" else f"{name}  ({item.kind})")
        if attributes:
            for key, value in item.attributes.items():
                text = " ".join(str(value).split())
                typer.echo(f"{'  ' * (level + 1)}@{key} = {text if len(text) <= 80 else text[:77] + '...'}")
    typer.echo(f"{datasets} datasets, {format_bytes(stored)} of data in a file of {format_bytes(file.stat().st_size)}")


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="HDF5 files.")],
    deep: Annotated[bool, typer.Option("--deep", help="Let libhdf5 read everything, too; slower.")] = False,
) -> None:
    """Open and read everything, checksums included; exit code 1 and a list when something is off.

    \b
    Examples:
      h5burst verify recording.h5
      h5burst verify --deep results/*.h5
    """
    from h5burst.verify import verify_file

    broken = 0
    for file in files:
        problems = verify_file(_existing(file), deep=deep)
        typer.echo(f"{file}: {'sound' if not problems else f'{len(problems)} problems'}")
        for problem in problems:
            typer.echo(f"  {problem}")
        broken += bool(problems)
    raise typer.Exit(int(broken > 0))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"No such file: {path}")
    if not path.is_file():
        raise IsADirectoryError(f"{path} is no file")
    return path


def main() -> int:
    return console.run(app)
