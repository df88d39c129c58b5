"""How the command lines of all packages behave: one clear line for an error, exit code 2, a traceback on request."""

from __future__ import annotations

import sys
import warnings

import typer
from rich.console import Console

EPILOG = "Add --debug to any command to see the whole traceback of an error."


def one_line_warnings() -> None:
    """Warnings on a terminal: the message alone, without the source line that raised it."""
    warnings.showwarning = lambda message, *_args, **_kwargs: print(f"warning: {message}", file=sys.stderr)


def run(app: typer.Typer, arguments: list[str] | None = None) -> int:
    """Run a command and give its exit code: 2 with one line on stderr for an error, 130 after Ctrl-C.

    `--debug` anywhere on the line lets the error through with its traceback.
    """
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    one_line_warnings()
    try:
        app([word for word in words if word != "--debug"])
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 2
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted")
        return 130
    except Exception as error:  # the outermost frame: every error ends here as one line
        if debug:
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"error: {message}  (--debug shows the traceback)", file=sys.stderr)
        return 2
    return 0
