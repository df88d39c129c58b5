"""The `h5burst` command: what is in an HDF5 file, whether it is sound, and new files from old ones."""

from __future__ import annotations

from collections.abc import Callable

import typer

from h5burst import console
from h5burst.commands import change, look, machine, states

app = typer.Typer(
    help="Inspect, check and rewrite HDF5 files of any origin.",
    epilog=console.EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=console.SETTINGS,
)
_COMMANDS: tuple[Callable[..., None], ...] = (
    *(look.ls, look.info, look.cat, look.diff),
    *(change.repack, change.verify, change.salvage),
    *(states.log, states.undo, states.restore, states.follow),
    *(machine.doctor, machine.bench, machine.auto),
)
for _command in _COMMANDS:
    app.command(epilog=console.EPILOG)(_command)


def main() -> int:
    return console.run(app)
