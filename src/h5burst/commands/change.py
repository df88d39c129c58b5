"""Commands that check files or write new ones: verify, repack, salvage."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from h5burst import console
from h5burst.commands.states import At, state_of
from h5burst.console import output
from h5burst.memory.budget import format_bytes
from h5burst.progress import reporting

Files = Annotated[list[Path], typer.Argument(help="HDF5 files.")]


def verify(
    files: Files,
    deep: Annotated[bool, typer.Option("--deep", help="Let libhdf5 read everything once more.")] = False,
    at: At = None,
) -> None:
    """Open and read everything, checksums included; exit code 1 and a list when something is off.

    \b
    Examples:
      h5burst verify results/simulated.h5
      h5burst verify results/*.h5 --deep
    """
    from h5burst.checking import verify as problems_of

    then = state_of(at)
    raise typer.Exit(
        console.check_files(files, lambda file: problems_of(console.existing_file(file), deep=deep, at=then))
    )


def repack(
    files: Files,
    target: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where the copy goes: a file, or a directory for several; missing directories are made.",
        ),
    ] = None,
    compression: Annotated[
        str, typer.Option("--compression", "-c", help="keep, none, gzip, lzf, zstd or blosc.")
    ] = "keep",
    level: Annotated[int | None, typer.Option("--level", "-l", help="Of the codec, 0 to 9.")] = None,
    select: Annotated[
        list[str] | None, typer.Option("--select", help="Path of an object: copy this alone; may be repeated.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that is there.")] = False,
) -> None:
    """Write files anew, without dead space and perhaps compressed otherwise; what is in them stays as it is.

    Without --output each file is replaced when its new one is whole.

    \b
    Examples:
      h5burst repack results/simulated.h5
      h5burst repack results/simulated.h5 -o small.h5 --compression gzip --level 4
      h5burst repack results/simulated.h5 -o part.h5 --select /units/unit_001
    """
    from h5burst.copying.repacking import chosen_storage
    from h5burst.copying.repacking import repack as copy

    codec = None if compression == "none" else compression

    def check_output() -> None:
        if select and target is None:
            raise ValueError("--select without --output would drop the rest of the file: give --output, too")
        if len(files) > 1 and target is not None and not target.is_dir():
            raise NotADirectoryError(f"{target} is not a directory: several files need one as --output")

    console.check_all(lambda: chosen_storage(codec, level), lambda: chosen_storage(codec, None), check_output)

    def work(file: Path) -> dict[str, Any]:
        output_path = file if target is None else target / file.name if target.is_dir() else target
        with reporting(str(file)) as progress:
            result = copy(
                file,
                output_path,
                compression=codec,
                compression_opts=level,
                select=select or None,
                overwrite=overwrite or target is None,
                progress=progress,
            )
        saved = result.before_bytes - result.after_bytes
        gain = f"{format_bytes(abs(saved))} {'saved' if saved >= 0 else 'more'}"
        output.say(f"{file}: {format_bytes(result.before_bytes)} to {format_bytes(result.after_bytes)}, {gain}")
        return {"output": str(output_path), "saved_bytes": saved, **result._asdict()}

    raise typer.Exit(console.each_file(files, work))


def salvage(
    file: Annotated[Path, typer.Argument(help="The damaged file; it stays as it is.")],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The new file; missing directories are made.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that is there.")] = False,
) -> None:
    """Write what can still be read of a damaged file as a new one; exit code 1 and a list of what is lost.

    \b
    Examples:
      h5burst salvage damaged.h5 saved.h5
    """
    from h5burst.copying.salvaging import salvage as rescue

    result = rescue(console.existing_file(file), target, overwrite=overwrite)
    for problem in result.lost:
        output.say(f"lost: {problem}")
    nameless = f", {result.nameless} of them without their names, in h5burst.nameless" if result.nameless else ""
    output.say(f"{target}: {result.objects} objects{nameless}; {len(result.lost)} losses")
    lost = [dataclasses.asdict(problem) for problem in result.lost]
    output.result({"output": str(target), "objects": result.objects, "nameless": result.nameless, "lost": lost})
    raise typer.Exit(int(bool(result.lost)))
