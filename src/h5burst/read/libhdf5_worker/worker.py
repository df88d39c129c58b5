"""The child of `h5burst.read.libhdf5_worker.client`.

Requests on standard input, messages on what was standard output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from h5burst.model.errors import CorruptFileError, MissingFilterError, UnsupportedFeatureError
from h5burst.model.tree import Group
from h5burst.read.libhdf5_worker import contents, libhdf5, protocol
from h5burst.runtime.durable import error_number

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_MIN_CPU_S = 5.0  # for one answer
_BYTES_PER_CPU_S = 5e6  # of a file, read by the slowest codec
_OBJECT_CPU_S = 0.002  # more for each object that an answer tells of: files of many small ones have few bytes each
_OBJECTS_AT_ONCE = 256


def _unread(_: str, names: tuple[str, ...], shape: tuple[int, ...], dtype: np.dtype[Any]) -> protocol.Unread:
    return protocol.Unread(names, shape, dtype)


def _limit_memory() -> None:
    """No more than the machine has: an absurd claim then fails here, before the system looks for somebody to kill."""
    if resource is None:
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _time_limit(path: str) -> Callable[[int], None]:
    """A limit of processor time for the next answer, given how many objects it has told of so far.

    The system ends the process that takes more. Unlike the time on a clock it does not depend on how busy the machine
    is.
    """
    if resource is None:
        return lambda objects: None
    used = resource.getrusage(resource.RUSAGE_SELF)
    least = used.ru_utime + used.ru_stime + _MIN_CPU_S + os.path.getsize(path) / _BYTES_PER_CPU_S

    def limit(objects: int) -> None:
        seconds = int(least + objects * _OBJECT_CPU_S) + 1
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = seconds if hard == resource.RLIM_INFINITY else min(seconds, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))

    limit(0)
    return limit


def _answer(request: dict[str, Any], out: IO[bytes], limit_time: Callable[[int], None]) -> Any:
    do, path, name, options = request["do"], request["path"], request["name"], request["options"]
    if do == "problems":
        for number, (at, problem) in enumerate(libhdf5.problems(path, frozenset(options["skip"]))):
            if number % _OBJECTS_AT_ONCE == 0:
                limit_time(number)
            protocol.send(out, {"at": at, "problem": problem})
        return None
    if do == "describe":
        for number, described in enumerate(contents.describe(path)):
            if number % _OBJECTS_AT_ONCE == 0:
                limit_time(number)
            fields = {**vars(described)}
            protocol.send(out, {"described": fields}, Group({}, fields.pop("attributes")))
        return None
    if do == "attribute":
        return libhdf5.read_attribute(path, name, options["attribute"])
    if do == "box":
        return libhdf5.read_box(path, name, [tuple(edge) for edge in options["box"]])
    if do == "storage":
        return libhdf5.read_storage(path, name)
    if do == "holds":
        return "yes" if libhdf5.holds(path, name) else None
    return libhdf5.read_node(path, name, _unread if options["lazy"] else None)


def main() -> None:
    """Answer until the parent is gone."""
    _limit_memory()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is not a message
    protocol.send(out, {"ready": True})
    while (request := protocol.receive(sys.stdin.buffer)) is not None:
        limit_time = _time_limit(request["path"])
        try:
            protocol.send(out, {"done": True}, _answer(request, out, limit_time))
        except (OSError, MemoryError, UnsupportedFeatureError, RuntimeError, ValueError, TypeError, KeyError) as error:
            protocol.send(out, {"done": True, **_error_message(error)})


def _error_message(error: Exception) -> dict[str, Any]:
    if isinstance(error, CorruptFileError):
        return {"error": error.message, "filter": isinstance(error, MissingFilterError), "problems": error.problems}
    return {"error": str(error) or type(error).__name__, "errno": error_number(error)}


if __name__ == "__main__":
    main()
