"""Common behaviour of all command lines: options that all have, one clear line for an error, exit codes.

`--debug`, `--quiet`, `--json` and `--version` may stand anywhere on the line. Results go to standard output, what is
said on the way and errors to standard error. A terminal or a pipe that goes away ends no work: see `lasting_streams`.
Ctrl-C, SIGTERM and SIGHUP end a command as an error does: what it holds is given back, and files are as they were.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import json
import os
import re
import select
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from h5burst.model.errors import Note

EPILOG = (
    "Every command takes --json (results as JSON), --quiet (no results as text, no progress), --version, and --debug "
    "(the whole traceback of an error)."
)
SETTINGS = {"help_option_names": ["-h", "--help"]}  # of an app and all its commands
_GLOBAL = ("--debug", "--json", "--quiet")
_INTERRUPTED = 130  # exit code after Ctrl-C, which typer gives, too
NO_READER = 141  # exit code of what SIGPIPE ends
_AGAIN_S = 0.01  # after which an interruption that was dropped is raised again
_GONE = {errno.EPIPE, errno.EIO, errno.ENXIO, errno.EBADF, errno.ECONNRESET}  # what a stream that went away raises


@dataclass
class OutputSettings:
    """Settings of this run for printing.

    ends_with_reader: the command does nothing but print, and has nothing to do once nobody reads it any more.
    """

    as_json: bool = False
    quiet: bool = False
    debug: bool = False
    ends_with_reader: bool = False

    def say(self, text: object = "") -> None:
        """A line of the result, for people."""
        if not (self.as_json or self.quiet):
            print(text if self.ends_with_reader else shown(text))

    def progress(self, text: object) -> None:
        """A line about what is being done."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def result(self, content: Any) -> None:
        """The whole result, for programs."""
        if self.as_json:
            print(json.dumps(content, indent=2, ensure_ascii=False, default=str))

    def line(self, content: Any) -> None:
        """One of many results that come one by one, for programs that read line by line."""
        if self.as_json:
            print(json.dumps(content, ensure_ascii=False, default=str), flush=True)


def shown(text: object) -> str:
    """Text without what a terminal would obey: names in files of others may hold its control characters."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else character.encode("unicode_escape").decode()
        for character in str(text)
    )


output = OutputSettings()


class _ReaderGoneError(BaseException):
    """Nobody reads what a command prints that does nothing else: no part takes this for an error of its own."""


class _Lasting:
    """A text stream of which all is dropped from the moment on that its reader is gone, while `drops` says so."""

    def __init__(self, stream: Any, drops: Callable[[], bool]) -> None:
        self._stream, self._drops = stream, drops

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            if error.errno not in _GONE:
                raise OSError(error.errno, f"what is printed cannot be written: {error.strerror}") from error
            with contextlib.suppress(OSError, ValueError):  # what is buffered, and what others print, goes there too
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
            if not self._drops():
                raise _ReaderGoneError from error


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """For the block, standard error drops what nobody can read any more; standard output, too,
    unless the command ends with its reader.

    The reader of a pipe may end (`| head`), and a terminal may be closed, long before the work is done.
    """
    before = sys.stdout, sys.stderr
    if sys.stdout is not None and not isinstance(sys.stdout, _Lasting):
        sys.stdout = _Lasting(sys.stdout, lambda: not output.ends_with_reader)  # type: ignore[assignment]
    if sys.stderr is not None and not isinstance(sys.stderr, _Lasting):
        sys.stderr = _Lasting(sys.stderr, lambda: True)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def is_reader_gone() -> bool:
    """True where nobody will read what is printed, as far as that shows before it is printed."""
    if not hasattr(select, "poll") or sys.stdout is None:
        return False
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
    except (OSError, ValueError):  # a stream that is no file of the system
        return False


def one_line_warnings() -> None:
    """Warnings on a terminal: the message alone, without the source line that raised it."""
    warnings.showwarning = lambda message, *_args, **_kwargs: print(f"warning: {message}", file=sys.stderr)


@dataclass
class _Told:
    """The signal that a command was told to end by."""

    signal: int = signal.SIGINT
    is_told: bool = False  # by another than Ctrl-C, which Python raises itself


class Ending:
    """The handler of a signal that ends a command; a second one ends the process at once."""

    def __init__(self, signalled: _Told) -> None:
        self._told = signalled

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._told.signal, self._told.is_told = number, True
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt


@contextlib.contextmanager
def _ended_by_signals(signalled: _Told) -> Iterator[None]:
    """For the block, SIGTERM and SIGHUP are as Ctrl-C is, unless they are ignored (nohup) or somebody else's.

    An interruption that Python drops, because it came within a finalizer, is raised again.
    """
    numbers: list[int] = []
    if threading.current_thread() is threading.main_thread():
        signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        numbers = [number for number in signals if signal.getsignal(number) is signal.SIG_DFL]
    hook, again = sys.unraisablehook, threading.Timer(0, _thread.interrupt_main)

    def dropped(unraisable: sys.UnraisableHookArgs) -> None:
        nonlocal again
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            hook(unraisable)
            return
        if signalled.is_told:
            signal.signal(signalled.signal, Ending(signalled))
        again = threading.Timer(_AGAIN_S, _thread.interrupt_main, [signalled.signal])
        again.daemon = True
        again.start()

    try:
        sys.unraisablehook = dropped
        for number in numbers:
            signal.signal(number, Ending(signalled))
        yield
    finally:
        sys.unraisablehook = hook
        again.cancel()
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def run(app: typer.Typer, arguments: list[str] | None = None) -> int:
    """Run a command and give its exit code: 2 with one line on stderr for an error; 128 and the signal that ended it,
    130 for Ctrl-C; 141 where nobody reads any more what it does nothing but print.
    """
    signalled = _Told()
    try:
        _never_fail_to_print()
        with lasting_streams(), _ended_by_signals(signalled):
            code = _run(app, sys.argv[1:] if arguments is None else arguments, signalled)
    except KeyboardInterrupt:  # before the command began, or behind its end
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        code = 128 + signalled.signal
        said = "interrupted" if not signalled.is_told else f"ended by {signal.Signals(signalled.signal).name}"
    else:
        said = ""
    _print_last(said)
    return code


def _print_last(line: str) -> None:
    """Print a line on standard error, and what both streams hold: at Python's end a lost reader is an error."""
    output.ends_with_reader = False
    with lasting_streams():
        if line:
            print(line, file=sys.stderr)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # a full disk: Python's end says so; or a closed stream
                if stream is not None:
                    stream.flush()


def _run(app: typer.Typer, given: list[str], signalled: _Told) -> int:
    options = _options_of(app)  # a command may have one of these options to itself
    words = [word for word in given if word not in _GLOBAL or word in options]
    output.as_json, output.quiet, output.debug = ("--json" in given, "--quiet" in given, "--debug" in given)
    output.ends_with_reader = False
    one_line_warnings()
    if "--version" in words and "--version" not in options:
        return _print_version()
    return _code_of(app, words or ["--help"], signalled)


def _code_of(app: typer.Typer, words: list[str], signalled: _Told) -> int:
    try:
        code = app(words, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # what does not get out is an error of the command, not of Python's end
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 2
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except _ReaderGoneError:
        code = NO_READER
    except Exception as error:  # noqa: BLE001 - the outermost frame: every error ends here as one line
        if signalled.is_told:  # such as a call that the signal has interrupted
            return _INTERRUPTED
        if output.debug:
            traceback.print_exception(error)
            return 2
        message, hint = _wrong_words(error) or (_message(error), "--debug shows the traceback")
        with contextlib.suppress(OSError):  # it may be the very stream that failed
            output.result({"error": message, "type": type(error).__name__})
        print(f"error: {message}  ({hint})", file=sys.stderr)
        return 2
    return code if isinstance(code, int) else 0  # typer of later versions gives 130 after Ctrl-C


def _wrong_words(error: Exception) -> tuple[str, str] | None:
    """The mistake in a command line, and where it says what is right; None for an error of another kind.

    Known by what they can do: the class is click's or typer's own, by the version of typer.
    """
    if not hasattr(error, "format_message"):
        return None
    context = getattr(error, "ctx", None)
    message = " ".join(str(error.format_message()).split()).rstrip(".")
    inner = re.search(r"unexpected extra argument(?:s|\(s\))? \((/\S*)\)$", message)
    command = getattr(getattr(context, "command", None), "callback", None)
    if inner is not None and getattr(command, "__module__", "").startswith("h5burst."):
        message += f": an object of a file is written FILE::{inner[1]}"
    return message, f"{context.command_path if context is not None else 'the command'} --help says what there is"


def _options_of(app: typer.Typer) -> set[str]:
    """The options that an app or any of its commands defines."""
    top: Any = typer.main.get_command(app)
    commands = [top, *getattr(top, "commands", {}).values()]
    return {name for command in commands for parameter in command.params for name in parameter.opts}


def check_files(files: Sequence[Path], problems_of: Callable[[Path], Sequence[Any]]) -> int:
    """Check every file, print what is off, and give the exit code: 1 for something off, 2 for a file that is not there.

    problems_of: the problems and notes of one file, notes being nothing that is off; `OSError` for one that cannot be
    looked at. The others are checked anyway.
    """
    broken = missing = 0
    results: list[dict[str, Any]] = []
    for file in files:
        try:
            problems_of_file = problems_of(file)
        except OSError as error:
            if output.debug:
                raise
            missing += 1
            message = _message(error)
            results.append({"file": str(file), "error": message})
            print(f"error: {message if str(file) in message else f'{file}: {message}'}", file=sys.stderr)
            continue
        problems = [str(one) for one in problems_of_file if not isinstance(one, Note)]
        notes = [str(one) for one in problems_of_file if isinstance(one, Note)]
        broken += bool(problems)
        results.append({"file": str(file), "problems": problems} | ({"notes": notes} if notes else {}))
        output.say(f"{file}: {_count(len(problems), 'problem') if problems else 'OK'}")
        for text in problems + notes:
            output.say(f"  {text}")
    output.result(results)
    return 2 if missing else int(broken > 0)


def each_file(files: Sequence[Path], work: Callable[[Path], dict[str, Any]]) -> int:
    """Do the same to every file, whatever becomes of the others, and give the exit code: 2 where it failed for one.

    work: does it and gives the result; it prints for itself. Raises `OSError` where it cannot.
    """
    results: list[dict[str, Any]] = []
    for file in files:
        try:
            results.append({"file": str(file), **work(existing_file(file))})
        except (OSError, KeyError) as error:
            if output.debug:
                raise
            message = _message(error)
            results.append({"file": str(file), "error": message})
            print(f"error: {message if str(file) in message else f'{file}: {message}'}", file=sys.stderr)
    output.result(results)
    return 2 if any("error" in result for result in results) else 0


def print_rows(rows: Sequence[Sequence[str]], header: Sequence[str] | None = None) -> None:
    """A table for people: columns of text side by side, each as wide as its longest cell, the last one as it is."""
    lines = [
        [" ".join(cell.splitlines()) for cell in row] for row in ([header] if header is not None else []) + [*rows]
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for *cells, last in lines:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
        output.say("  ".join([*padded, last]).rstrip())


def check_all(*checks: Callable[[], object]) -> None:
    """Run all checks of a request; raise the one error as it is, or several as one ValueError that lists them."""
    errors: dict[str, Exception] = {}
    for check in checks:
        try:
            check()
        except (ValueError, KeyError, OSError) as error:
            errors.setdefault(_message(error), error)
    if len(errors) == 1:
        raise next(iter(errors.values()))
    if errors:
        raise ValueError(f"{len(errors)} things are wrong: {'; '.join(errors)}")


def _message(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and error.filename is None and not _has_directory():
        return "the working directory is not there any more (it was deleted): cd to one that is"
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    message = " ".join(str(text).split()) or type(error).__name__
    if isinstance(error, OSError) and error.errno == errno.EMFILE and "ulimit" not in message:
        message += f": this process may have {_open_files_limit()} open: allow it more (ulimit -n 1024)"
    return message


def _open_files_limit() -> str:
    try:
        import resource
    except ImportError:  # Windows
        return "no more"
    return str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _has_directory() -> bool:
    try:
        return bool(os.getcwd())
    except OSError:
        return False


def existing_file(path: Path) -> Path:
    """The path of a file that is there. `OSError` for what is not, and for a directory."""
    if not path.exists():
        raise FileNotFoundError(f"No such file: {path}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: give a file")
    if not path.is_file():
        raise OSError(f"{path} is not a regular file")
    return path


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _print_version() -> int:
    import platform

    from h5burst import __version__

    if output.as_json:
        output.result({"h5burst": __version__, "python": platform.python_version()})
    else:
        print(f"h5burst {__version__} (Python {platform.python_version()})")
    return 0


def _never_fail_to_print() -> None:
    """A character that the terminal or the locale does not have is printed as its escape, not raised after the work."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
