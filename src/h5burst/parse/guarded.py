"""The child of `h5burst.parse.guard`: requests on standard input, messages on standard output, a line of JSON each."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from h5burst.errors import CorruptFileError
from h5burst.parse import libhdf5
from h5burst.parse.makers import Makers

_NOTHING = Makers(array=lambda *_: None, children=lambda *_: {}, by_name=lambda *_: None)


def _limit_memory() -> None:
    """No more than the machine has: an absurd claim then fails here, before the system looks for somebody to kill."""
    try:
        import resource
    except ImportError:  # Windows
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _handle(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    path, name = request["path"], request.get("name", "/")
    if request["do"] == "walk":
        for at, problem in libhdf5.walk(path, frozenset(request["skip"])):
            yield {"at": at} if problem is None else {"problem": [at, problem]}
    elif request["attribute"] is not None:
        libhdf5.read_attribute(path, name, request["attribute"])
    elif request["box"] is not None:
        libhdf5.read_box(path, name, [tuple(edge) for edge in request["box"]])
    else:
        libhdf5.read_node(path, name, _NOTHING if request["lazy"] else None)


def main() -> None:
    _limit_memory()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            for message in _handle(request):
                print(json.dumps(message), flush=True)
            print(json.dumps({"done": True}), flush=True)
        except (OSError, MemoryError) as error:
            what = error.what if isinstance(error, CorruptFileError) else str(error) or type(error).__name__
            print(json.dumps({"error": what}), flush=True)
            print(json.dumps({"done": False}), flush=True)


if __name__ == "__main__":
    main()
