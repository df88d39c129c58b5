"""libhdf5 in a process of its own, where a file that makes it crash, hang or fill the memory does no harm.

Before libhdf5 reads in this process what the parser does not cover, a child reads the same, within limits. What the
child survives is taken to be safe. The child is started when it is first needed and ends with its parent, however that
ends: its standard input is then closed.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from h5burst.errors import CorruptFileError

_START_S = 120.0  # until the child has imported what it needs, on the slowest of shared disks
_LEAST_S = 60.0  # for one answer
_BYTES_PER_S = 20e6  # of a file, read by the slowest codec on a busy machine


class GuardedProcess:
    """A child that reads with libhdf5. One request at a time; threads take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The child's messages, the last one of them `{"done": …}`.

        When it dies or takes too long, the last one is `{"died": how}` and the next request starts a new child.
        """
        patience = _LEAST_S + Path(request["path"]).stat().st_size / _BYTES_PER_S
        with self._lock:
            finished = False
            try:
                self._send(request)
                while not finished:
                    message = self._next(patience)
                    if "died" in message:
                        break
                    finished = "done" in message
                    yield message
            except BrokenPipeError:
                message = {"died": "crashed"}
            finally:
                if not finished:  # dead, too slow, or nobody listens any more: what it still says answers nothing
                    self._end()
            if not finished:
                yield message

    def _send(self, request: dict[str, Any]) -> None:
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [sys.executable, "-m", "h5burst.parse.guarded"]
            folder = str(Path(__file__).parents[2])
            search = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
            self._answers = queue.SimpleQueue()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                env={**os.environ, "PYTHONPATH": search},
            )
            threading.Thread(target=_forward, args=(self._process, self._answers), daemon=True).start()
            if "ready" not in self._next(_START_S):
                self._end()
                raise OSError("the process that shields this one from libhdf5 does not start")
        return self._process

    def _next(self, patience: float) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=patience)
        except queue.Empty:
            return {"died": f"took longer than {patience:.0f} s"}
        return {"died": "crashed"} if line is None else json.loads(line)

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _forward(process: subprocess.Popen[str], answers: queue.SimpleQueue[str | None]) -> None:
    """Lines of the child as they come; None for its end."""
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
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


def check(
    path: str,
    name: str,
    *,
    attribute: str | None = None,
    box: Sequence[tuple[int, int]] | None = None,
    lazy: bool = False,
) -> None:
    """Let the child read an object, one attribute of it, or a box. Raises `CorruptFileError` where it fails.

    lazy: without the elements of datasets.
    """
    request = {"do": "read", "path": path, "name": name, "attribute": attribute, "box": box, "lazy": lazy}
    for message in list(_child.ask(request)):
        if "died" in message:
            raise CorruptFileError(path, f"{name}: libhdf5 {message['died']} over it")
        if "error" in message:
            raise CorruptFileError(path, message["error"])
