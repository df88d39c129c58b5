"""libhdf5 in a process of its own, where a file that makes it crash, hang or fill the memory does no harm.

Whatever the parser does not cover is read by a child, which sends the values back. (That a child survives reading is
no proof that this process would: memory may be overwritten without a sign.) The child is started when it is first
needed and ends with its parent, however that ends: its standard input is then closed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from h5burst.model.errors import CorruptFileError, MissingFilterError
from h5burst.read.libhdf5_worker import protocol
from h5burst.runtime import isolated

_WORKER = "from h5burst.read.libhdf5_worker.worker import main; main()"
_START_S = 120.0  # until the child has imported what it needs, on the slowest of shared disks
_MIN_S = 60.0  # for one answer
_BYTES_PER_S = 20e6  # of a file, read by the slowest codec on a busy machine


class GuardedProcess:
    """A child that reads with libhdf5. One request at a time; threads take turns."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command  # another child, for tests
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def ask(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The child's messages, the last one of them with `done`.

        When it dies or takes too long, the last one is `{"died": how}` and the next request starts a new child.
        """
        timeout_s = _MIN_S + Path(request["path"]).stat().st_size / _BYTES_PER_S
        with self._lock:
            message: dict[str, Any] = {}
            try:
                self._send(request)
                while "done" not in message:
                    message = self._next(timeout_s)
                    if "died" in message:
                        break
                    yield message
            except BrokenPipeError:
                message = {"died": "crashed"}
            finally:
                if "done" not in message:  # dead, too slow, or nobody listens any more: it answers no other request
                    self._end()
            if "died" in message:
                yield message

    def _send(self, request: dict[str, Any]) -> None:
        process = self._running()
        assert process.stdin is not None
        protocol.send(process.stdin, request)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._answers = queue.SimpleQueue()
            self._process = subprocess.Popen(
                self._command or isolated.command(_WORKER),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=isolated.environment(),
            )
            threading.Thread(target=_forward, args=(self._process, self._answers), daemon=True).start()
            if "ready" not in self._next(_START_S):
                self._end()
                raise OSError("the process that shields this one from libhdf5 does not start")
        return self._process

    def _next(self, timeout_s: float) -> dict[str, Any]:
        try:
            message = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            return {"died": f"took longer than {timeout_s:.0f} s"}
        return {"died": "crashed"} if message is None else message

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):  # of a request that was not read
                self._process.stdin.close()
            self._process = None


def _forward(process: subprocess.Popen[bytes], answers: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    """The child's messages as they come; None for its end, and for what is not a message."""
    assert process.stdout is not None
    with process.stdout:
        try:
            while (message := protocol.receive(process.stdout)) is not None:
                answers.put(message)
        finally:
            answers.put(None)


_child = GuardedProcess()


def ask(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The messages of this process's child about a request."""
    return _child.ask(request)


def _after_fork() -> None:
    """The child of a parent is not the child of its children."""
    global _child
    _child = GuardedProcess()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def read(do: str, path: str, name: str, **options: Any) -> Any:
    """Result of a function of `h5burst.read.libhdf5_worker.libhdf5`, called in the child.

    Raises `CorruptFileError`.
    """
    message = list(ask({"do": do, "path": path, "name": name, "options": options}))[-1]
    if "died" in message:
        raise LibraryDiedError(path, f"{name}: libhdf5 {message['died']} while reading it")
    if "error" in message:
        raise error_of(path, message)
    return message["value"]


class LibraryDiedError(CorruptFileError):
    """libhdf5 crashed or took too long."""


def error_of(path: str, message: dict[str, Any]) -> CorruptFileError:
    """The error that a message of the child tells."""
    problems = [(str(where), str(problem)) for where, problem in message.get("problems", ())]
    return (MissingFilterError if message.get("filter") else CorruptFileError)(path, message["error"], problems)
