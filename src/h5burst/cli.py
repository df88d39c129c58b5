"""The `h5burst` command: what is in an HDF5 file, and whether it is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from h5burst import console
from h5burst.console import output
from h5burst.memory.budget import format_bytes

app = typer.Typer(
    help="Inspect and check HDF5 files of any origin.",
    epilog=console.EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
FileArgument = Annotated[Path, typer.Argument(help="An HDF5 file.")]
_MOST = 80  # characters of an attribute on its line


@app.command(epilog=console.EPILOG)
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
    from h5burst.checking import describe
    from h5burst.store import read_tree

    read_tree(console.existing_file(file), lazy=True)  # what is not a whole HDF5 file is said in our words
    datasets = stored = 0
    objects: list[dict[str, Any]] = []
    for item in describe(file):
        level = 0 if item.path == "/" else item.path.count("/")
        if item.kind == "dataset":
            datasets += 1
            stored += item.stored_bytes
        if depth is not None and level > depth:
            continue
        objects.append(_as_json(item, attributes))
        output.say(_line(item, level))
        for key, value in item.attributes.items() if attributes else ():
            text = " ".join(str(value).split())
            output.say(f"{'  ' * (level + 1)}@{key} = {text if len(text) <= _MOST else text[: _MOST - 3] + '...'}")
    size = file.stat().st_size
    output.say(f"{datasets} datasets, {format_bytes(stored)} of data in a file of {format_bytes(size)}")
    output.result({"file": str(file), "bytes": size, "datasets": datasets, "data_bytes": stored, "objects": objects})


def _line(item: Any, level: int) -> str:
    name: str = item.path if level == 0 else "  " * level + item.path.rsplit("/", 1)[1]
    if item.kind != "dataset":
        return name if item.kind == "group" else f"{name}  ({item.kind})"
    shape = "null" if item.shape is None else "x".join(map(str, item.shape)) or "scalar"
    parts = (name, shape, item.dtype, format_bytes(item.stored_bytes), item.filters)
    return "  ".join(part for part in parts if part)


def _as_json(item: Any, attributes: bool) -> dict[str, Any]:
    content = {"path": item.path, "kind": item.kind}
    if item.kind == "dataset":
        content |= {
            "shape": item.shape, "dtype": item.dtype, "stored_bytes": item.stored_bytes, "filters": item.filters,
        }  # fmt: skip
    if attributes:
        content["attributes"] = {key: str(value) for key, value in item.attributes.items()}
    return content


@app.command(epilog=console.EPILOG)
def repack(files: Annotated[list[Path], typer.Argument(help="HDF5 files.")]) -> None:
    """Write files anew without the space that edits have left behind; each is replaced when its new one is whole.

    \b
    Examples:
      h5burst repack recording.h5
    """
    from h5burst.copying.repacking import compact

    saved: dict[str, int] = {}
    for file in files:
        saved[str(file)] = compact(console.existing_file(file))
        output.say(f"{file}: {format_bytes(saved[str(file)])} saved")
    output.result({"saved_bytes": saved})


@app.command(epilog=console.EPILOG)
def verify(
    files: Annotated[list[Path], typer.Argument(help="HDF5 files.")],
    deep: Annotated[bool, typer.Option("--deep", help="Let libhdf5 read everything once more.")] = False,
) -> None:
    """Open and read everything, checksums included; exit code 1 and a list when something is off.

    \b
    Examples:
      h5burst verify recording.h5
      h5burst verify results/*.h5 --deep
    """
    from h5burst import checking

    raise typer.Exit(console.check_files(files, lambda file: checking.verify(console.existing_file(file), deep=deep)))


def main() -> int:
    return console.run(app)
